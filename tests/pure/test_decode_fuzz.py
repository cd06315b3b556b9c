"""Damaged answers: the decoder refuses them or what it says adds up; nothing else ever happens."""

import copy
from typing import Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from indexer.attribution import events_of
from indexer.decode import decode
from indexer.doors import changes_of
from indexer.events import Event
from indexer.raw import Unreadable
from settlement.chain import program
from settlement.chain.movement import Vault
from tests.pure.samples import executed, sample
from tests.pure.transactions import (
    ALICE_ATA,
    BOND,
    SIGNATURE,
    TILL,
    WATCH,
    Call,
    Json,
    answer,
    batch,
    checked,
    deposit,
    key,
    memo,
    transfer,
)

CODE = bytes.fromhex("bcb1d3eaddb99251")
WHOLE = (
    answer(deposit(CODE, 5), memo(CODE.hex()), transfer(ALICE_ATA, TILL, 7), till=12),
    answer(batch(transfer(ALICE_ATA, TILL, 5), transfer(TILL, ALICE_ATA, 2)), till=3),
    answer(checked(TILL, BOND, 50), deposit(CODE, 1), till=-49, bond=50),
    answer(
        executed(sample(program.ExecuteSeizure), checked(BOND, TILL, 50)),
        executed(sample(program.SweepSurplus), checked(BOND, TILL, 3)),
        executed(sample(program.Lapse)),
        till=53,
        bond=-53,
    ),
)
ACCOUNTS = (TILL, BOND, ALICE_ATA, key("stray"), key("destination"), key("depositor_ata"))
transfers = st.builds(
    checked, st.sampled_from(ACCOUNTS), st.sampled_from(ACCOUNTS), st.sampled_from((7, 50, 51))
)
instructions = st.sampled_from(get_args(program.ProgramInstruction)).map(sample)


def called_by(instruction: program.ProgramInstruction | None, made: list[Call]) -> Call:
    """Calls made by an instruction of ours, or (None) by a program of others."""
    if instruction is None:
        return Call(key("router"), [], b"", made)
    return executed(instruction, *made)


# Whatever calls whatever, transfers anywhere between.
calls = st.recursive(
    transfers,
    lambda inner: st.builds(called_by, st.none() | instructions, st.lists(inner, max_size=3)),
    max_leaves=8,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)


def paths(node: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401 raw JSON
    """Every place in a JSON value but its root."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(node, dict):
        pairs = list(node.items())  # pyright: ignore[reportUnknownArgumentType] raw JSON
    elif isinstance(node, list):
        pairs = list(enumerate(node))  # pyright: ignore[reportUnknownArgumentType] raw JSON
    return [path for name, child in pairs for path in [(*here, name), *paths(child, (*here, name))]]


def change_of(event: Event, vault: Vault) -> int:
    """What an event did to a vault."""
    return sum(change for _, moved, change in changes_of(event) if moved is vault)


def balances(made: Json, when: str) -> dict[str, int]:
    keys = made["transaction"]["message"]["accountKeys"]
    return {
        keys[entry["accountIndex"]]: int(entry["uiTokenAmount"]["amount"])
        for entry in made["meta"][when]
        if entry["mint"] == str(WATCH.deployment.mint)
    }


@given(data=st.data(), whole=st.sampled_from(WHOLE), hits=st.integers(0, 3))
@settings(deadline=None)
def test_damage_is_refused_or_adds_up(data: st.DataObject, whole: Any, hits: int) -> None:  # noqa: ANN401
    made = copy.deepcopy(whole.json())
    for _ in range(hits):
        *parents, last = data.draw(st.sampled_from(paths(made)))
        place: Any = made
        for name in parents:
            place = place[name]
        if data.draw(st.booleans()):
            place[last] = data.draw(json_values)
        else:
            del place[last]
    try:
        found = decode(made, signature=SIGNATURE, watch=WATCH)
    except Unreadable:
        return
    events = events_of(found, WATCH)
    before, after = (balances(made, when) for when in ("preTokenBalances", "postTokenBalances"))
    for vault in Vault:
        address = str(WATCH.address(vault))
        change = after.get(address, 0) - before.get(address, 0)
        assert sum(move.change(vault) for move in found.movements) == change
        assert sum(change_of(event, vault) for event in events) == change


@given(data=st.binary(max_size=80), count=st.integers(0, 8))
def test_any_bytes_given_to_the_token_program(data: bytes, count: int) -> None:
    one = transfer(ALICE_ATA, TILL, 5)
    one.data, one.accounts = (
        data,
        [ALICE_ATA, TILL, BOND, TILL, ALICE_ATA, TILL, BOND, TILL][:count],
    )
    found = decode(answer(one).json(), signature=SIGNATURE, watch=WATCH)
    assert sum(move.change(Vault.TILL) for move in found.movements) == 0
    assert sum(move.change(Vault.BOND) for move in found.movements) == 0


@given(made=st.lists(calls, min_size=1, max_size=4), missed=st.sampled_from((0, 0, 0, 1)))
@settings(deadline=None)
def test_whatever_calls_whatever_every_movement_is_one_event(made: list[Call], missed: int) -> None:
    changes = {vault: sum(_change(one, WATCH.address(vault)) for one in made) for vault in Vault}
    changes[Vault.TILL] += missed
    whole = answer(*made, till=changes[Vault.TILL], bond=changes[Vault.BOND])
    found = decode(whole.json(), signature=SIGNATURE, watch=WATCH)
    events = events_of(found, WATCH)
    for vault, change in changes.items():
        assert sum(change_of(event, vault) for event in events) == change
    keys = [event.key for event in events]
    assert len(set(keys)) == len(keys)
    assert found.explained == (missed == 0)


def _change(one: Call, vault: Pubkey) -> int:
    """What a call and all it called did to an account."""
    own = 0
    if one.program == program.TOKEN_PROGRAM:
        amount = int.from_bytes(one.data[1:9], "little")
        own = amount * ((one.accounts[2] == vault) - (one.accounts[0] == vault))
    return own + sum(_change(child, vault) for child in one.calls)
