"""The Python table of the program, its Rust sources and both IDL files say the same."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from solders.pubkey import Pubkey

from programs.build.artifacts import Crate, find_stale
from programs.build.interface import Struct, read_interface
from settlement.chain import layouts, program
from settlement.chain.abi import KINDS, SHAPES, PauseBit, Role, instruction_discriminator
from settlement.chain.program import Deployment

CRATE = Crate(root=Path(__file__).parents[2] / "programs/bond")
INTERFACE = read_interface(CRATE.sources)
STRUCTS = {each.name: each for each in (*INTERFACE.accounts, *INTERFACE.types)}
SIZES = {"u8": 1, "u16": 2, "u64": 8, "i64": 8, "Key": 32, "Code": 8, "Hash": 32}
# The kinds of `abi.KINDS` by what stands in the sources; `initialize` names its roles one by one.
KIND_BY_RUST = {
    "u8": {"role", "bit"},
    "UnalignedU16": {"u16"},
    "u64": {"u64", "amount"},
    "Key": {"key"},
    "UnalignedKey": {"key"},
    "Code": {"code"},
    "[u8; 32]": {"hash"},
    "[u8; 16]": {"reference"},
    "Parameters": {"parameters"},
}
INITIAL_ROLES = ["admin", "proposer", "arbiter", "guardian", "payer"]
DEPLOYMENT = Deployment(Pubkey.new_unique(), Pubkey.new_unique())
# Rust's names where Python says it otherwise (units and nesting aside).
RENAMED = {
    "half_started_at": "half_window_started_at",
    "current": "half_window_spent",
    "previous": "previous_half_window_spent",
    "approval.sequence": "approved_sequence",
    "approval.amount": "approved_amount",
    "approval.destination": "approved_destination",
    "approval.reference": "approved_reference",
    "approval.expires_at": "approval_expires_at",
    "evidence_count": "",
    "ring.base": "base",
    "ring.used": "used",
    "ring.paid": "paid",
}
NOT_DECODED = {"version", "bump", "reserved"}


def size_of(kind: str) -> int:
    array = re.fullmatch(r"\[(\w+); (\d+)\]", kind)
    if array is not None:
        return size_of(array[1]) * int(array[2])
    if kind in SIZES:
        return SIZES[kind]
    return sum(size_of(field.kind) for field in STRUCTS[kind].fields)


def scalars(struct: Struct, path: str = "") -> Iterator[tuple[str, str]]:
    """Every field down to those that are no structs, with its path."""
    for field in struct.fields:
        if field.kind in STRUCTS:
            yield from scalars(STRUCTS[field.kind], f"{path}{field.name}.")
        else:
            yield path + field.name, field.kind


# --- the three tables


def test_the_committed_files_follow_from_the_sources() -> None:
    assert find_stale(CRATE) == []


def test_instructions_their_accounts_and_arguments() -> None:
    assert {each.name for each in INTERFACE.instructions} == set(SHAPES)
    for shape in INTERFACE.instructions:
        assert shape.discriminator == instruction_discriminator(shape.name)
        ours = SHAPES[shape.name]
        table = [(use.name, "s" * use.signer + "w" * use.writable) for use in shape.accounts]
        assert table == list(ours.accounts), shape.name
        arguments = [(each.name, each.kind) for each in shape.arguments]
        if shape.name == "initialize":
            assert arguments[:5] == [(role, "Key") for role in INITIAL_ROLES]
            arguments[:5] = []
            assert ours.arguments[0] == ("roles", "roles")
        named = [entry for entry in ours.arguments if entry[1] != "roles"]
        for (theirs, kind), (name, our_kind) in zip(arguments, named, strict=True):
            assert name.removesuffix("_microusdc") == theirs, shape.name
            assert our_kind in KIND_BY_RUST[kind], shape.name


def test_the_numbers_of_roles_and_pauses() -> None:
    roles = (CRATE.sources / "rules/roles.rs").read_text()
    assert dict(re.findall(r"pub const (\w+): u8 = (\d);", roles)) == {
        role.name: str(role.value) for role in Role
    }
    config = (CRATE.sources / "state/config.rs").read_text()
    assert dict(re.findall(r"(\d) => Ok\(&mut self\.(\w+)_pause\)", config)) == {
        str(bit.value): bit.name.lower() for bit in PauseBit
    }


def test_every_kind_of_argument_is_used() -> None:
    assert {kind for shape in SHAPES.values() for _, kind in shape.arguments} == set(KINDS)


def test_errors() -> None:
    assert {each.code: each.name for each in INTERFACE.errors} == program.ERRORS
    assert list(program.ERRORS) == list(range(6000, 6050))
    assert program.ERRORS[6000] == "InvalidInstruction"
    assert program.ERRORS[6034] == "AlreadyPaid"
    assert program.ERRORS[6049] == "ApprovalMismatch"


def test_account_kinds_and_sizes() -> None:
    rust = {each.discriminator: 8 + size_of(each.name) for each in INTERFACE.accounts}
    assert rust == {tag: size for tag, (size, _) in layouts.ACCOUNTS.items()}
    for each in INTERFACE.accounts:
        assert each.discriminator == layouts.account_discriminator(each.name)


@pytest.mark.parametrize("name", [each.name for each in INTERFACE.accounts])
def test_every_field_is_read_from_its_place(name: str) -> None:
    """Each field is filled with bytes of its own and must come back under its own name."""
    struct = STRUCTS[name]
    data = bytearray(struct.discriminator or b"")
    expected: dict[str, object] = {}
    for number, (path, kind) in enumerate(scalars(struct)):
        raw = filling(path, kind, number)
        data += raw
        expected[renamed(path)] = value_of(kind, raw)
    found = flatten(program.decode_account(bytes(data)))
    for path, value in expected.items():
        if path and path not in NOT_DECODED:
            assert found.pop(path) == value, path
    if name != "Tombstone":
        assert found == {}, "Python reads what the sources do not have"


def filling(path: str, kind: str, number: int) -> bytes:
    named = {"version": 1, "state": 2, "seizure_state": 3, "evidence_count": 3}
    if path in named:
        return bytes([named[path]])
    return bytes((number * 7 + at) % 127 + 1 for at in range(size_of(kind)))


def value_of(kind: str, raw: bytes) -> object:
    array = re.fullmatch(r"\[(\w+); (\d+)\]", kind)
    if array is not None and array[1] != "u8":
        step = size_of(array[1])
        parts = [raw[at : at + step] for at in range(0, len(raw), step)]
        return tuple(
            part if array[1] == "Hash" else int.from_bytes(part, "little") for part in parts
        )
    return raw if kind in ("Key", "Code", "Hash") or array else int.from_bytes(raw, "little")


def renamed(path: str) -> str:
    pause = re.fullmatch(r"(\w+)_pause\.(\w+)", path)
    if pause is not None:
        return f"pauses.{pause[1]}.{pause[2]}"
    last = path.removeprefix("spending.")
    return RENAMED.get(path, RENAMED.get(last, path))


def flatten(value: object, path: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    assert is_dataclass(value)
    for field in fields(value):
        inner = getattr(value, field.name)
        name = path + re.sub(r"_(microusdc|seconds)$", "", field.name)
        if is_dataclass(inner):
            found |= flatten(inner, f"{name}.")
        else:
            found[name] = bytes(inner) if isinstance(inner, Pubkey) else inner
    return found


def test_both_idl_files_say_the_same() -> None:
    spec, legacy = (
        cast("dict[str, Any]", json.loads((CRATE.root / "idl" / name).read_text()))
        for name in ("bond.json", "bond.legacy.json")
    )
    assert spec["metadata"]["spec"] == "0.1.0"
    assert spec["errors"] == legacy["errors"]
    assert [each["name"] for each in spec["accounts"]] == [e["name"] for e in legacy["accounts"]]
    for new, old in zip(spec["instructions"], legacy["instructions"], strict=True):
        assert snake(old["name"]) == new["name"]
        assert [each["name"] for each in new["args"]] == [snake(e["name"]) for e in old["args"]]
        for account, older in zip(new["accounts"], old["accounts"], strict=True):
            assert snake(older["name"]) == account["name"]
            assert older["isMut"] == account.get("writable", False)
            assert older["isSigner"] == account.get("signer", False)


def snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda match: f"_{match[1].lower()}", name)


# --- known values from outside


def test_the_wires_published_numbers() -> None:
    assert instruction_discriminator("deposit_usdc") == bytes(
        [184, 148, 250, 169, 224, 213, 34, 126]
    )
    (event,) = INTERFACE.events
    assert event.discriminator == bytes([120, 248, 61, 83, 31, 142, 107, 144])
    assert [(field.name, field.kind) for field in event.fields] == [
        ("code", "Code"),
        ("amount", "u64"),
        ("mint", "Key"),
        ("depositor", "Key"),
        ("timestamp", "i64"),
    ]
    assert layouts.account_discriminator("Config") == bytes([155, 12, 170, 224, 30, 250, 204, 130])


def test_published_addresses_are_derived_alike() -> None:
    published = Deployment(
        Pubkey.from_string("BBAdcqUkg68JXNiPQ1HR1wujfZuayyK3eQTQSYAh6FSW"),
        Pubkey.from_string("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"),
    )
    assert str(published.config) == "G9ko998ReQinG5Cc6YT7NS7hZJucXyuxLxTXTwKEpNPH"
    pay_to = Pubkey.from_string("GXfqVnZENHzvim8rNN8TPwqxWXQe8EBbxhcEMYE8Z7BS")
    account = program.associated_token_address(pay_to, published.mint)
    assert str(account) == "H4pgrVNyMu5NvGM9wbU2vGg2sTbmgDAk3qKRe1EkvVL7"


def test_a_deployments_addresses_are_all_different() -> None:
    d = DEPLOYMENT
    addresses = [d.config, d.payouts, d.till_authority, d.till_vault, d.escrow, d.bond_vault]
    addresses += [d.program_data, d.bond(b"Enroll01", d.mint), d.bond(b"Enroll02", d.mint)]
    assert len(set(addresses)) == len(addresses)
