"""Which instructions a transaction carried out, with the keys they name. Pure.

All of them, outer and inner, in the order of execution: what is not there, or does not fit
together, makes the answer `Unreadable`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from solders.pubkey import Pubkey

from indexer.raw import RawInner, RawLoaded, RawMeta, RawTransaction, Unreadable, pubkey
from settlement.chain import base58

TOP_LEVEL: Final = 1
_WITH_LOOKUP_TABLES: Final = 0


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One executed instruction: where it stood, how deep, and what it was given."""

    outer: int
    inner: int  # -1 at the top level
    height: int
    program: Pubkey
    accounts: tuple[Pubkey, ...]
    data: bytes


def account_keys(raw: RawTransaction, meta: RawMeta) -> list[Pubkey]:
    """Static keys, then writable loaded ones, then read-only loaded ones: the order of indexes.

    A failed transaction may have failed because its tables could not be read.
    """
    message, loaded = raw.transaction.message, meta.loaded_addresses or RawLoaded()
    lookups = message.address_table_lookups
    writable = sum(len(lookup.writable_indexes) for lookup in lookups)
    readonly = sum(len(lookup.readonly_indexes) for lookup in lookups)
    complete = (len(loaded.writable), len(loaded.readonly)) == (writable, readonly)
    if not complete and meta.err is None:
        raise Unreadable(problem="the keys from lookup tables are not all there")
    if raw.version != _WITH_LOOKUP_TABLES and (lookups or loaded.writable or loaded.readonly):
        raise Unreadable(problem=f"version {raw.version} has no lookup tables")
    texts = [*message.account_keys, *loaded.writable, *loaded.readonly]
    if len(set(texts)) != len(texts) and meta.err is None:
        raise Unreadable(problem="an account key is listed twice")
    try:
        return [pubkey(text) for text in texts]
    except ValueError:
        raise Unreadable(problem="an account key is not a key") from None


def executed(raw: RawTransaction, meta: RawMeta, keys: Sequence[Pubkey]) -> Iterator[Instruction]:
    """All instructions in order of execution: each top-level one, then what it called."""
    if meta.inner_instructions is None:
        raise Unreadable(problem="the answer has no inner instructions")
    groups = _inner_by_outer(meta.inner_instructions, len(raw.transaction.message.instructions))
    for outer, top in enumerate(raw.transaction.message.instructions):
        called = groups.get(outer)
        height = TOP_LEVEL
        if top.stack_height not in (None, TOP_LEVEL):
            raise Unreadable(problem=f"stack height {top.stack_height} at the top level")
        for inner, one in enumerate([top, *(called.instructions if called else ())], -1):
            if inner >= 0:
                height = _checked_height(one.stack_height, height)
            if max([one.program_id_index, *one.accounts]) >= len(keys):
                raise Unreadable(problem="an instruction names a key that is not there")
            yield Instruction(
                outer=outer,
                inner=inner,
                height=height,
                program=keys[one.program_id_index],
                accounts=tuple(keys[index] for index in one.accounts),
                data=_base58(one.data),
            )


def _inner_by_outer(groups: list[RawInner], outer_count: int) -> dict[int, RawInner]:
    by_outer = {group.index: group for group in groups}
    if len(by_outer) != len(groups) or any(index >= outer_count for index in by_outer):
        raise Unreadable(problem="inner instructions do not fit the outer ones")
    return by_outer


def _checked_height(height: int | None, previous: int) -> int:
    """A call goes one deeper than its caller; returning may go up any number of steps."""
    if height is None or not TOP_LEVEL < height <= previous + 1:
        raise Unreadable(problem=f"stack height {height} after {previous}")
    return height


def _base58(text: str) -> bytes:
    try:
        return base58.decode(text)
    except ValueError:
        raise Unreadable(problem="instruction data is not base58") from None
