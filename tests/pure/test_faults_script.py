"""Faults as data: a script reads, prints and refuses; a seed always stands for the same."""

import dataclasses
import random
import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest

from localnet.adversary.chance import chance, choice
from localnet.adversary.cluster_faults import CLUSTER_FAULTS, Alpenglow, Fork
from localnet.adversary.faults import (
    OPTIONS,
    CallFault,
    CallKind,
    Script,
    SocketFault,
    SocketKind,
    ViewFault,
    ViewKind,
)
from localnet.adversary.schedule import script_from, script_of_seed
from localnet.adversary.script import load_script, parse_script, script_text
from localnet.toml_table import SettingsError

EVERYTHING = """
seed = 9

[fleet]
backends = ["a", "far-away"]
routing = "round-robin"

[[fault]]
kind = "http-429"
method = "getTransaction"
backend = "far-away"
from_call = 3
until_call = 5
retry_after_seconds = 2

[[fault]]
kind = "lost-signatures"
until_slot = 40
share = 0.5

[[fault]]
kind = "ws-drop"
after_messages = 7
probability = 1

[[fault]]
kind = "fork"
at_slot = 12
depth_slots = 3
reorders = true
"""


def parsed(text: str) -> Script:
    return parse_script(tomllib.loads(text))


def test_a_script_says_what_it_says() -> None:
    assert parsed(EVERYTHING) == Script(
        seed=9,
        backends=("a", "far-away"),
        routing="round-robin",
        faults=(
            CallFault(
                kind="http-429",
                method="getTransaction",
                backend="far-away",
                from_call=3,
                until_call=5,
                retry_after_seconds=2,
            ),
            ViewFault(kind="lost-signatures", until_slot=40, share=0.5),
            SocketFault(kind="ws-drop", after_messages=7),
            Fork(at_slot=12, depth_slots=3, reorders=True),
        ),
    )


def test_an_empty_script_is_a_calm_node() -> None:
    assert parsed("") == Script(seed=0, backends=("a",), routing="random", faults=())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sed = 1", "sed: unknown key"),
        ("seed = -1", "seed: expected a whole number from 0"),
        ("fleet = 3", "fleet: expected a table"),
        ("[fleet]\nbackends = []", "fleet.backends: expected one or more"),
        ('[fleet]\nbackends = ["a", "a"]', "fleet.backends: expected one or more"),
        ('[fleet]\nbackends = ["a/b"]', "fleet.backends: use letters"),
        ('[fleet]\nbackends = "a"', "fleet.backends: expected an array of strings"),
        ('[fleet]\nrouting = "sticky"', "fleet.routing: expected one of random, round-robin"),
        ("[fleet]\nsize = 3", "fleet.size: unknown key"),
        ("[fault]\n", "fault: expected [[fault]] tables"),
        ("[[fault]]\n", "fault[0].kind: missing"),
        ('[[fault]]\nkind = "fire"', "fault[0].kind: expected one of http-429, "),
        ('[[fault]]\nkind = "html"\nstatus = 500', "fault[0].status: unknown key"),
        (
            '[[fault]]\nkind = "html"\n[[fault]]\nkind = "html"\nprobability = 1.5',
            "fault[1].probability: expected a number from 0 to 1",
        ),
        ('[[fault]]\nkind = "html"\nprobability = true', "fault[0].probability: expected"),
        ('[[fault]]\nkind = "html"\nbackend = "z"', "fault[0].backend: expected one of a"),
        ('[[fault]]\nkind = "html"\nmethod = ""', "fault[0].method: expected a non-empty"),
        ('[[fault]]\nkind = "html"\nfrom_call = 0', "fault[0].from_call: expected a whole"),
        (
            '[[fault]]\nkind = "html"\nfrom_slot = 9\nuntil_slot = 9',
            "fault[0].until_slot: must be more than from_slot",
        ),
        (
            '[[fault]]\nkind = "html"\nuntil_call = 1',
            "fault[0].until_call: must be more than from_call",
        ),
        ('[[fault]]\nkind = "error"\nwith_data = 1', "fault[0].with_data: expected true or false"),
        ('[[fault]]\nkind = "http-error"\nstatus = 200', "fault[0].status: expected a whole"),
        ('[[fault]]\nkind = "fork"\nat_slot = 1', "fault[0].depth_slots: missing"),
        (
            '[[fault]]\nkind = "fork"\nat_slot = 1\ndepth_slots = 0',
            "fault[0].depth_slots: expected a whole number from 1",
        ),
        (
            '[[fault]]\nkind = "fork"\nat_slot = 1\ndepth_slots = 1\nx = 1',
            "fault[0].x: unknown key",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_path(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parsed(text)
    assert str(refused.value).startswith(said)


def test_a_file_is_named_too(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    with pytest.raises(SettingsError, match="no such file"):
        load_script(path)
    path.write_text("seed = 1.5\n")
    with pytest.raises(SettingsError, match=r"faults\.toml: seed: expected a whole number"):
        load_script(path)
    path.write_text("seed = \n")
    with pytest.raises(SettingsError, match=r"faults\.toml: "):
        load_script(path)


@pytest.mark.parametrize("kind", [*OPTIONS, *(name.replace("_", "-") for name in CLUSTER_FAULTS)])
def test_every_kind_can_be_written(kind: str) -> None:
    fault: dict[str, Any] = {"kind": kind}
    if kind not in OPTIONS:
        fault |= {"at_slot": 1}
        needed = {"fork": "depth_slots", "skip": "slots", "halt": "lasts_slots"}
        needed |= {"slot-time": "slot_time_ms", "congestion": "slots"}
        fault |= {needed[kind]: 5} if kind in needed else {}
        fault |= {"delay_slots": 2} if kind == "congestion" else {}
    script = parse_script({"fault": [fault]})
    assert parsed(script_text(script)) == script


def test_the_manual_names_every_kind_and_every_key() -> None:
    manual = Path("docs/faults.md").read_text()
    kinds = {*OPTIONS, *(name.replace("_", "-") for name in CLUSTER_FAULTS)}
    keys = {name for options in OPTIONS.values() for name in options}
    keys |= {field.name for made in CLUSTER_FAULTS.values() for field in dataclasses.fields(made)}
    in_code = set(re.findall(r"`([^`\n]+)`", manual)) | set(re.findall(r"^(\w+) = ", manual, re.M))
    assert kinds | keys <= in_code
    table_rows = re.findall(r"^\| (`.*?) \|", manual, re.M)
    assert {kind for row in table_rows for kind in re.findall(r"`([^`]+)`", row)} == kinds


def test_the_manuals_example_is_a_script() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", Path("docs/faults.md").read_text(), re.DOTALL)
    script = parsed(example)
    assert (script.seed, script.backends) == (7, ("a", "b", "c"))
    assert [fault.retry_after_seconds for fault in script.faults if isinstance(fault, CallFault)]


def test_every_kind_has_its_options() -> None:
    kinds = {*get_args(CallKind), *get_args(ViewKind), *get_args(SocketKind)}
    assert set(OPTIONS) == kinds


@pytest.mark.parametrize("seed", range(50))
def test_a_seed_is_printed_as_a_script_that_says_the_same(seed: int) -> None:
    script = script_of_seed(seed)
    assert parsed(script_text(script)) == script
    assert script_of_seed(seed) == script


def test_a_seed_ends_in_calm_and_seeds_differ() -> None:
    scripts = [script_of_seed(seed, slots=200) for seed in range(200)]
    assert len({repr(script.faults) for script in scripts}) == 200
    kinds: set[str] = set()
    for script in scripts:
        for fault in script.faults:
            if isinstance(fault, CallFault | ViewFault | SocketFault):
                kinds.add(fault.kind)
                assert fault.until_slot is not None
                assert fault.until_slot < 200
                assert fault.backend in (None, *script.backends)
            else:
                assert fault.at_slot < 200
                assert not isinstance(fault, Alpenglow)
    assert kinds == set(OPTIONS)


def test_a_file_under_other_dice(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(EVERYTHING)
    script = load_script(path)
    assert script_from(path, None, slots=3_000, slot_time_ms=200) == script
    other = script_from(path, 4, slots=3_000, slot_time_ms=200)
    assert other is not None
    assert (other.seed, other.faults) == (4, script.faults)
    assert script_from(None, 4, slots=3_000, slot_time_ms=200) == script_of_seed(4)
    assert script_from(None, 4, slots=50, slot_time_ms=200) == script_of_seed(4, slots=50)
    assert script_from(None, None, slots=3_000, slot_time_ms=200) is None


def test_dice_are_fair_and_always_the_same() -> None:
    thrown = [chance(7, "thing", number) for number in range(2_000)]
    assert thrown == [chance(7, "thing", number) for number in range(2_000)]
    assert all(0 <= one < 1 for one in thrown)
    assert 0.45 < sum(thrown) / len(thrown) < 0.55
    assert chance(8, "thing", 0) != chance(7, "thing", 0) != chance(7, "other", 0)
    assert {choice("abc", 1, number) for number in range(50)} == set("abc")
    state = random.getstate()
    script_of_seed(3)
    assert random.getstate() == state  # nobody else's dice are moved
