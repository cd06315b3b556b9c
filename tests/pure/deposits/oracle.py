"""A second, simple reading of an answer, to hold the decoder against.

Written from the token program's page, not from our decoder; it trusts the answer's form, so it is
asked only about answers that the decoder could read.
"""

import re
import struct
from collections.abc import Iterator
from typing import Any

import base58

from indexer.decode import Transaction, Watch
from indexer.doors import changes_of
from indexer.events import Deposit, Event
from settlement.chain.movement import MovementKey, Vault

Raw = Any
_TOKEN = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
_MEMOS = {
    "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr",
    "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo",
}
_HEX = re.compile(r"(?<![^ \t\r\n])[0-9a-fA-F]{16}(?![^ \t\r\n])")
_BOND = re.compile(r"(?<![^ \t\r\n])POD-BOND-([A-Za-z0-9]{8})(?![^ \t\r\n])")
# What the instruction starts with, and at which places money leaves and arrives.
_PLACES = {3: (0, 1), 12: (0, 2), 7: (None, 1), 14: (None, 1), 8: (0, None), 15: (0, None)}


def keys_of(raw: Raw) -> list[str]:
    """All account keys."""
    static: list[str] = raw["transaction"]["message"]["accountKeys"]
    loaded: Raw = raw["meta"].get("loadedAddresses")
    if loaded is None:
        return static
    writable: list[str] = loaded.get("writable", [])
    readonly: list[str] = loaded.get("readonly", [])
    return static + writable + readonly


def balance_change(raw: Raw, account: str, mint: str) -> int:
    """By how much a token account's balance changed."""
    keys, change = keys_of(raw), 0
    for sign, when in ((-1, "preTokenBalances"), (1, "postTokenBalances")):
        for one in raw["meta"][when]:
            if keys[one["accountIndex"]] == account and one["mint"] == mint:
                change += sign * int(one["uiTokenAmount"]["amount"])
    return change


def moved(raw: Raw, account: str) -> int:
    """What token instructions moved into an account, less what they moved out of it."""
    keys, total = keys_of(raw), 0
    for one in _instructions(raw):
        if _program(keys, one) == _TOKEN:
            places: list[int] = one["accounts"]
            parties = [keys[index] for index in places]
            total += _moved_by(base58.b58decode(one["data"]), parties, account)
    return total


def _moved_by(data: bytes, parties: list[str], account: str) -> int:
    if data[:1] == b"\xff":
        return _moved_by_batch(data[1:], parties, account)
    if not data or data[0] not in _PLACES or len(data) < (10 if data[0] > 11 else 9):
        return 0
    if len(parties) < (4 if data[0] == 12 else 3):
        return 0
    out, into = _PLACES[data[0]]
    (amount,) = struct.unpack_from("<Q", data, 1)
    arrived = into is not None and parties[into] == account
    left = out is not None and parties[out] == account
    return amount * (arrived - left)


def _moved_by_batch(data: bytes, parties: list[str], account: str) -> int:
    total = 0
    while len(data) >= 2:
        count, size = data[0], data[1]
        if len(parties) < count or len(data) < 2 + size:
            break
        part = data[2 : 2 + size]
        if part[:1] != b"\xff":
            total += _moved_by(part, parties[:count], account)
        data, parties = data[2 + size :], parties[count:]
    return total


def memo_codes(raw: Raw) -> set[bytes]:
    """Every code in a memo at the top level."""
    keys, said = keys_of(raw), set[bytes]()
    for one in raw["transaction"]["message"]["instructions"]:
        if _program(keys, one) in _MEMOS:
            text = base58.b58decode(one["data"]).decode("utf-8", "replace")
            said |= {bytes.fromhex(found) for found in _HEX.findall(text)}
            said |= {found.encode() for found in _BOND.findall(text)}
    return said


def callers_code(raw: Raw, key: MovementKey, program_id: str) -> bytes | None:
    """The code in the data of what called the instruction at `key`, if that is of our program."""
    keys = keys_of(raw)
    groups: list[Raw] = [
        one for one in raw["meta"]["innerInstructions"] if one["index"] == key.outer
    ]
    called: list[Raw] = groups[0]["instructions"] if groups else []
    called = called[: key.inner + 1]
    if not called:
        return None
    height: int = called[-1]["stackHeight"]
    callers = [one for one in called[:-1] if one["stackHeight"] == height - 1]
    top: Raw = raw["transaction"]["message"]["instructions"][key.outer]
    caller: Raw = callers[-1] if callers else top
    return base58.b58decode(caller["data"])[8:16] if _program(keys, caller) == program_id else None


def _program(keys: list[str], one: Raw) -> str:
    place: int = one["programIdIndex"]
    return keys[place]


def _instructions(raw: Raw) -> Iterator[Raw]:
    yield from raw["transaction"]["message"]["instructions"]
    for group in raw["meta"]["innerInstructions"]:
        yield from group["instructions"]


def hold(raw: Raw, found: Transaction, events: tuple[Event, ...], watch: Watch) -> None:
    """What must be true of every reading of every answer, whatever was done to it."""
    keys = [event.key for event in events]
    assert len(set(keys)) == len(keys), "two events have one name"
    mint, program_id = str(watch.deployment.mint), str(watch.deployment.program_id)
    for vault in Vault:
        address = str(watch.address(vault))
        change = balance_change(raw, address, mint)
        ours = [found for one in events for _, at, found in changes_of(one) if at is vault]
        assert sum(ours) == change, "the books would not hold what the vault holds"
        gained = sum(one for one in ours if one > 0)
        lost = -sum(one for one in ours if one < 0)
        assert gained <= max(0, change) + lost, "money was made up"
        if not found.failed and moved(raw, address) != change:
            assert vault in found.doubted, "instructions and balances disagree, and nobody said so"
    credits = [one for one in events if isinstance(one, Deposit) and one.code is not None]
    assert not (found.failed and events), "a failed transaction means something"
    assert not (found.doubted and credits), "somebody was credited by what does not add up"
    for one in credits:
        by_instruction = callers_code(raw, one.key, program_id)
        if one.code != by_instruction:
            assert memo_codes(raw) == {one.code}, "a code came from nowhere"
