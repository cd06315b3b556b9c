"""From what moved to what it means. Pure.

Each instruction of our program claims the token movement it made: the one among its direct children
(by stack height) with the right parties and amount, or none. Claims are made by position, so two
equal deposits in one transaction are two events. What no instruction claims is a plain transfer:
into the till it may be named by a memo, everything else inward is uncoded; outward it is
unexplained. Nothing is ever attributed by owner, by amount alone, or by a log line.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final, assert_never

from indexer.decode import Instruction, Movement, Transaction, Watch
from indexer.events import (
    BondFunded,
    BondPosted,
    BondReleased,
    BondRetired,
    Deposit,
    Event,
    Initialized,
    Outflow,
    Paid,
    Quarantined,
    Skipped,
    Unrecognized,
)
from indexer.memo import MEMO_PROGRAMS, only_code
from indexer.token import MovementKind
from settlement.chain import program
from settlement.chain.movement import MovementKey, Vault
from settlement.money import LARGEST_AMOUNT_MICROUSDC, MicroUsdc

# Added to the sub index of a movement between our vaults that nobody claims, for its second half:
# it is booked twice, once out and once in. A Batch has far fewer parts than this.
SECOND_HALF: Final = 1_000
_TOP_LEVEL: Final = 1

Fits = Callable[[Movement], bool]


def events_of(transaction: Transaction, watch: Watch) -> tuple[Event, ...]:
    """What one transaction means, in order of execution. A failed one means nothing.

    Together the events account for every movement exactly once.
    """
    claims = _Claims(transaction)
    claimed: list[Event] = []
    for position, one in enumerate(transaction.instructions):
        if one.program == watch.deployment.program_id:
            own = MovementKey(
                cluster=watch.cluster,
                signature=transaction.signature,
                outer=one.outer,
                inner=one.inner,
            )
            claimed.append(_claim(claims, position, one, own))
    code = _memo_code(transaction, claims.left, watch)
    plain = [event for move in claims.left for event in _plain(move, code)]
    return tuple(sorted([*claimed, *plain], key=_place))


def _place(event: Event) -> tuple[int, int, int]:
    return event.key.outer, event.key.inner, event.key.sub


class _Claims:
    """The movements nobody has claimed yet."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.left = list(transaction.movements)

    def take(self, position: int, fits: Fits) -> tuple[MovementKey, MicroUsdc] | None:
        """Claim the one movement by a direct child of `position` that fits; None if not one."""
        children = {(one.outer, one.inner) for one in self._transaction.called_by(position)}
        fitting = [
            move
            for move in self.left
            if (move.key.outer, move.key.inner) in children
            and move.kind is MovementKind.TRANSFER
            and move.amount_microusdc <= LARGEST_AMOUNT_MICROUSDC
            and fits(move)
        ]
        if len(fitting) != 1:
            return None
        self.left.remove(fitting[0])
        return fitting[0].key, MicroUsdc(fitting[0].amount_microusdc)


def _claim(claims: _Claims, position: int, instruction: Instruction, own: MovementKey) -> Event:
    try:
        known = program.decode_instruction(instruction.data, instruction.accounts)
    except program.UnknownInstruction as error:
        return Unrecognized(key=own, problem=str(error))
    event: Event | None
    match known:
        case program.DepositUsdc() | program.Pay():
            event = _till_event(claims, position, known)
        case program.PostBond() | program.FundBond() | program.Release():
            event = _bond_event(claims, position, known)
        case program.Retire():
            event = BondRetired(key=own, address=known.bond, code=known.code)
        case program.Skip():
            event = Skipped(key=own, sequences=known.sequences)
        case program.Initialize():
            event = Initialized(key=own)
        case _:
            return Unrecognized(key=own, problem=f"{type(known).__name__} is not booked yet")
    name = type(known).__name__
    return event or Unrecognized(key=own, problem=f"{name} without the transfer it makes")


def _till_event(
    claims: _Claims, position: int, known: program.DepositUsdc | program.Pay
) -> Event | None:
    match known:
        case program.DepositUsdc():
            taken = claims.take(
                position,
                lambda move: (
                    move.to_vault is Vault.TILL
                    and move.source == known.depositor_ata
                    and move.amount_microusdc == known.amount_microusdc
                ),
            )
            return taken and Deposit(
                key=taken[0],
                vault=Vault.TILL,
                amount_microusdc=taken[1],
                code=known.code,
                source=known.depositor_ata,
            )
        case program.Pay():
            taken = claims.take(
                position,
                lambda move: (
                    move.from_vault is Vault.TILL
                    and move.destination == known.destination
                    and move.amount_microusdc == known.amount_microusdc
                ),
            )
            return taken and Paid(
                key=taken[0],
                sequence=known.sequence,
                amount_microusdc=taken[1],
                destination=known.destination,
                reference=known.reference,
                code=known.code,
            )
        case _:
            assert_never(known)


def _bond_event(
    claims: _Claims, position: int, known: program.PostBond | program.FundBond | program.Release
) -> Event | None:
    match known:
        case program.PostBond():
            taken = claims.take(
                position,
                lambda move: move.to_vault is Vault.BOND and move.source == known.depositor_ata,
            )
            return taken and BondPosted(
                key=taken[0],
                address=known.bond,
                code=known.code,
                beneficiary=known.beneficiary,
                amount_microusdc=taken[1],
                funder=known.funder,
            )
        case program.FundBond():
            taken = claims.take(
                position,
                lambda move: move.from_vault is Vault.TILL and move.to_vault is Vault.BOND,
            )
            return taken and BondFunded(
                key=taken[0],
                sequence=known.sequence,
                address=known.bond,
                code=known.code,
                beneficiary=known.beneficiary,
                amount_microusdc=taken[1],
                funder=known.funder,
            )
        case program.Release():
            taken = claims.take(
                position,
                lambda move: (
                    move.from_vault is Vault.BOND and move.destination == known.destination
                ),
            )
            return taken and BondReleased(
                key=taken[0],
                address=known.bond,
                code=known.code,
                beneficiary=known.beneficiary,
                destination=known.destination,
                amount_microusdc=taken[1],
            )
        case _:
            assert_never(known)


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
        if one.program in MEMO_PROGRAMS and one.height == _TOP_LEVEL
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
