"""From what moved to what it means. Pure.

Instructions of our program claim the movements they made (`claims`). What no instruction claims is
a plain transfer: into the till it may be named by a memo, everything else inward is uncoded;
outward it is unexplained. Nothing is ever attributed by owner, by amount alone, by a log line, or
because somebody says so.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from indexer.claims import Claims, claim
from indexer.decode import Movement, Transaction, Watch, difference_key
from indexer.events import Deposit, Event, Outflow, Quarantined
from indexer.executed import TOP_LEVEL
from indexer.lamports import lamports_moved
from indexer.memo import MEMO_PROGRAMS, only_code
from indexer.token import MovementKind
from settlement.chain.movement import MovementKey, Vault
from settlement.money import LARGEST_AMOUNT_MICROUSDC, MicroUsdc

# Added to the sub index of a movement between our vaults that nobody claims, for its second half:
# it is booked twice, once out and once in. A Batch has fewer parts than this (`token`).
SECOND_HALF: Final = 1_000


def events_of(transaction: Transaction, watch: Watch) -> tuple[Event, ...]:
    """What one transaction means, in order of execution. A failed one costs its fee and no more.

    Together the events account for every movement exactly once.
    """
    claims = Claims(transaction, watch.deployment.mint)
    claimed: list[Event] = []
    for position, one in enumerate(transaction.instructions):
        if one.program == watch.deployment.program_id:
            own = MovementKey(
                cluster=watch.cluster,
                signature=transaction.signature,
                outer=one.outer,
                inner=one.inner,
            )
            claimed.append(claim(claims, position, one, own))
    code = _memo_code(transaction, claims.left, watch)
    plain = [event for move in claims.left for event in _plain(move, code)]
    spent = [
        event
        for balance in transaction.payers
        for event in lamports_moved(
            balance,
            transaction.instructions,
            cluster=watch.cluster,
            signature=transaction.signature,
        )
    ]
    doubts = _contradictions(transaction, watch)
    return tuple(sorted([*claimed, *plain, *doubts, *spent], key=_place))


def _place(event: Event) -> tuple[int, int, int]:
    return event.key.outer, event.key.inner, event.key.sub


def _contradictions(transaction: Transaction, watch: Watch) -> Iterator[Event]:
    """Vaults that instructions moved money of and that did not change: nothing to book, to tell."""
    booked = {move.from_vault or move.to_vault for move in transaction.movements}
    for vault in sorted(transaction.doubted - booked):
        key = difference_key(vault, transaction.signature, watch)
        yield Quarantined(key=key, vault=vault, delta_microusdc=0)


def _memo_code(transaction: Transaction, unclaimed: list[Movement], watch: Watch) -> bytes | None:
    """The code that names the plain transfers into the till, if one may.

    Only top-level memos count. The payer must be one account and nobody but the till may have
    gained tokens of the mint: in a batch paid out by an exchange a memo can be meant for another.
    """
    payers = {move.source for move in unclaimed if _may_be_named(move)}
    if len(payers) != 1 or transaction.gained != frozenset({watch.deployment.till_vault}):
        return None
    return only_code(
        one.data
        for one in transaction.instructions
        if one.program in MEMO_PROGRAMS and one.height == TOP_LEVEL
    )


def _may_be_named(move: Movement) -> bool:
    """A plain transfer from outside into the till."""
    inward = move.to_vault is Vault.TILL and move.from_vault is None
    return inward and move.kind is MovementKind.TRANSFER


def _plain(move: Movement, code: bytes | None) -> Iterator[Event]:
    """One movement that no instruction of ours claimed, as it touches each of our vaults."""
    if move.from_vault is not None:
        yield _outward(move, move.key, move.from_vault)
    if move.to_vault is not None:
        second = move.from_vault is not None
        key = replace(move.key, sub=move.key.sub + SECOND_HALF) if second else move.key
        yield _inward(move, key, move.to_vault, code if _may_be_named(move) else None)


def _outward(move: Movement, key: MovementKey, vault: Vault) -> Event:
    if not _bookable(move):
        return Quarantined(key=key, vault=vault, delta_microusdc=-move.amount_microusdc)
    return Outflow(
        key=key,
        vault=vault,
        amount_microusdc=MicroUsdc(move.amount_microusdc),
        destination=move.destination,
    )


def _inward(move: Movement, key: MovementKey, vault: Vault, code: bytes | None) -> Event:
    if not _bookable(move):
        return Quarantined(key=key, vault=vault, delta_microusdc=move.amount_microusdc)
    return Deposit(
        key=key,
        vault=vault,
        amount_microusdc=MicroUsdc(move.amount_microusdc),
        code=code,
        source=move.source,
    )


def _bookable(move: Movement) -> bool:
    explained = move.kind is not MovementKind.UNEXPLAINED
    return explained and move.amount_microusdc <= LARGEST_AMOUNT_MICROUSDC
