"""The request as it came in: one JSON object, each field looked at before anything is done with it.

    do             "names" | "encode" | "simulate" | "send" | "accounts"
    idl            path of the legacy IDL                   program_id    base58
    rpc            URL of a node (not for the first two)    commitment    of accounts: "finalized"
    instructions   [ours | another program's], in order
      ours         {"name", "args": {by IDL name}, "accounts": {by IDL name: base58},
                    "signs": [accounts that sign though the IDL does not ask for it],
                    "extra": [account], "expected": {"data": hex, "accounts": [account]}}
      another's    {"program": base58, "data": hex, "accounts": [account]}
      account      {"address": base58, "signs": bool, "written": bool}
    payer          base58; pays the fee                     keys          paths of key files
    compute_units, price_microlamports                      patience_seconds, until it is final
    addresses      of the accounts to read, all as of one slot

Names are in snake case. Integers are JSON numbers; arrays of bytes are hex; keys are base58.
"""

import json
from dataclasses import dataclass
from typing import Any, cast

from failure import malformed
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

OFFLINE = ("names", "encode")
KINDS = (*OFFLINE, "simulate", "send", "accounts")


@dataclass(frozen=True, kw_only=True)
class Ours:
    """An instruction of the program, by the names of its IDL."""

    name: str
    args: dict[str, object]
    accounts: dict[str, Pubkey]
    signs: tuple[str, ...]
    extra: tuple[AccountMeta, ...]
    expected: Instruction | None


class Fields:
    """One JSON object. Every reader raises `Failure` naming the field."""

    def __init__(self, found: object, where: str) -> None:
        if not isinstance(found, dict):
            raise malformed(f"{where} is not an object")
        self._found = cast("dict[str, Any]", found)
        self._where = where

    def has(self, name: str) -> bool:
        return self._found.get(name) is not None

    def known(self, *names: str) -> None:
        """Nothing but these stands here."""
        unknown = sorted(set(self._found) - set(names))
        if unknown:
            raise malformed(f"{self._where} has no field {', '.join(unknown)}")

    def text(self, name: str) -> str:
        return cast("str", self._of(name, str, "a string"))

    def flag(self, name: str) -> bool:
        return cast("bool", self._of(name, bool, "true or false"))

    def whole(self, name: str, default: int) -> int:
        if not self.has(name):
            return default
        value = cast("int", self._of(name, int, "a whole number"))
        if isinstance(value, bool) or value < 0:
            raise malformed(f"{self._where}.{name} is not a whole number from 0")
        return value

    def record(self, name: str) -> dict[str, Any]:
        return cast("dict[str, Any]", self._of(name, dict, "an object"))

    def rows(self, name: str) -> list[object]:
        """A list; empty when it is not given."""
        return cast("list[object]", self._of(name, list, "a list")) if self.has(name) else []

    def texts(self, name: str) -> tuple[str, ...]:
        rows = self.rows(name)
        if not all(isinstance(row, str) for row in rows):
            raise malformed(f"{self._where}.{name} is not a list of strings")
        return tuple(cast("list[str]", rows))

    def key(self, name: str) -> Pubkey:
        return key_of(self.text(name), f"{self._where}.{name}")

    def data(self, name: str) -> bytes:
        return bytes_of(self.text(name), f"{self._where}.{name}")

    def _of(self, name: str, kind: type, word: str) -> object:
        if name not in self._found:
            raise malformed(f"{self._where}.{name} is missing")
        if not isinstance(self._found[name], kind):
            raise malformed(f"{self._where}.{name} is not {word}")
        return self._found[name]


def key_of(text: object, where: str) -> Pubkey:
    """A base58 key of 32 bytes."""
    try:
        return Pubkey.from_string(cast("str", text))
    except (ValueError, TypeError):
        raise malformed(f"{where} is not an address") from None


def bytes_of(text: object, where: str) -> bytes:
    """Hex, without a prefix."""
    try:
        return bytes.fromhex(cast("str", text))
    except (ValueError, TypeError):
        raise malformed(f"{where} is not hex") from None


def read_request(raw: bytes) -> Fields:
    """The object on stdin, of a kind this client knows."""
    try:
        found: object = json.loads(raw)
    except (ValueError, RecursionError):
        raise malformed("the request is not JSON") from None
    request = Fields(found, "request")
    if request.text("do") not in KINDS:
        raise malformed(f"request.do is none of {', '.join(KINDS)}")
    request.known(
        *("do", "idl", "program_id", "rpc", "commitment", "instructions", "payer", "keys"),
        *("compute_units", "price_microlamports", "patience_seconds", "addresses"),
    )
    return request


def read_instructions(request: Fields, program_id: Pubkey) -> list[Ours | Instruction]:
    """What the transaction is made of, in order; at least one."""
    rows = request.rows("instructions")
    if not rows:
        raise malformed("request.instructions is empty")
    return [_instruction(row, f"instructions[{at}]", program_id) for at, row in enumerate(rows)]


def _instruction(row: object, where: str, program_id: Pubkey) -> Ours | Instruction:
    fields = Fields(row, where)
    if fields.has("program"):
        fields.known("program", "data", "accounts")
        return Instruction(fields.key("program"), fields.data("data"), _metas(fields, where))
    fields.known("name", "args", "accounts", "signs", "extra", "expected")
    expected = None
    if fields.has("expected"):
        told = Fields(fields.record("expected"), f"{where}.expected")
        told.known("data", "accounts")
        expected = Instruction(program_id, told.data("data"), _metas(told, f"{where}.expected"))
    accounts = fields.record("accounts")
    return Ours(
        name=fields.text("name"),
        args=dict(fields.record("args")),
        accounts={
            name: key_of(text, f"{where}.accounts.{name}") for name, text in accounts.items()
        },
        signs=fields.texts("signs"),
        extra=tuple(_metas(fields, where, "extra")),
        expected=expected,
    )


def _metas(fields: Fields, where: str, name: str = "accounts") -> list[AccountMeta]:
    found: list[AccountMeta] = []
    for at, row in enumerate(fields.rows(name)):
        one = Fields(row, f"{where}.{name}[{at}]")
        one.known("address", "signs", "written")
        found.append(AccountMeta(one.key("address"), one.flag("signs"), one.flag("written")))
    return found
