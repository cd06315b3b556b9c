"""What nearly every transaction of ours is: deposits and nothing else, or nothing at all. Pure.

Such a transaction needs no more of what it was than the rows that are kept of it and what arrived,
so a long history is read to these at once, from the JSON as a node wrote it: by fewer steps than
`decode` takes for everybody, and where another process can do it (`reading`). Whatever is not
plainly everyday, or cannot be read, is left to those who look at it closely.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard, cast

import msgspec

from indexer.attribution import events_of
from indexer.decode import Transaction, Watch, decode, decode_text
from indexer.events import Deposit, Event
from indexer.raw import Unreadable
from indexer.rows import BookedAs, Record, pack, record_of, unpack
from indexer.signed import check_signed_text
from settlement.chain.signatures import signature_text
from settlement.money import MicroUsdc

# Its movement's reference, the vault, the amount, the code, the paying token account.
DepositRow = tuple[str, str, int, bytes | None, str | None]


class Everyday(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A transaction that only brought deposits, one for each event, or nothing of ours."""

    record: Record
    deposits: list[DepositRow]


@dataclass(frozen=True, kw_only=True)
class Belief:
    """When one provider's word is enough."""

    verify_signatures: bool
    most_microusdc: MicroUsdc | None  # of a credit; None: there is no other provider to ask


def only_deposits(events: Sequence[Event]) -> TypeGuard[Sequence[Deposit]]:
    """Whether nothing but deposits happened."""
    return all(isinstance(event, Deposit) for event in events)


def everyday_of(
    read: Transaction, events: Sequence[Deposit], answer: Mapping[str, object] | bytes
) -> Everyday:
    """The rows of a transaction that only brought deposits."""
    return Everyday(
        record=record_of(read, [(event, BookedAs.ITSELF) for event in events], pack(answer)),
        deposits=[
            (
                event.key.reference,
                event.vault.value,
                event.amount_microusdc,
                event.code,
                None if event.source is None else str(event.source),
            )
            for event in events
        ],
    )


def read_everyday(text: bytes, *, signature: str, watch: Watch, belief: Belief) -> Everyday | None:
    """A transaction from a provider's JSON; None when somebody has to look at it closely.

    Then `decode` and those who ask a second provider say what it is.
    """
    try:
        text.decode()  # JSON is UTF-8, also where nobody reads it now
        if belief.verify_signatures:
            check_signed_text(text, signature=signature)
        read = decode_text(text, signature=signature, watch=watch)
    except (Unreadable, UnicodeDecodeError):
        return None
    most = belief.most_microusdc
    if most is not None and read.credit_microusdc > most:
        return None
    events = events_of(read, watch)
    return everyday_of(read, events, text) if only_deposits(events) else None


def read_again(
    one: Everyday, watch: Watch
) -> tuple[Transaction, tuple[Event, ...], Mapping[str, object]]:
    """The transaction, its events and its answer, from what is kept of it."""
    answer = cast("Mapping[str, object]", unpack(one.record.answer))
    read = decode(answer, signature=signature_text(one.record.signature), watch=watch)
    return read, events_of(read, watch), answer
