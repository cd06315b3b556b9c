"""From what moved to what it means. Pure.

Each instruction of our program claims the token movement it made: the one among its direct children
(by stack height) with the right parties and amount, or none. Claims are made by position, so two
equal deposits in one transaction are two events. What no instruction claims is a plain transfer:
into the till it may be named by a memo, everything else inward is uncoded; outward it is
unexplained. Nothing is ever attributed by owner, by amount alone, or by a log line.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Final, assert_never

from solders.pubkey import Pubkey

from indexer.decode import Instruction, Movement, Transaction, Watch
from indexer.events import (
    BondFunded,
    BondHandedOver,
    BondPosted,
    BondReleased,
    BondRetireCancelled,
    BondRetired,
    BondSeized,
    Deposit,
    Event,
    Governed,
    Outflow,
    Paid,
    Quarantined,
    SeizureStepped,
    Skipped,
    StrayRecovered,
    SurplusSwept,
    Unrecognized,
)
from indexer.memo import MEMO_PROGRAMS, only_code
from indexer.token import MovementKind
from settlement.bonds.rules import SeizureStep
from settlement.chain import program
from settlement.chain.movement import MovementKey, Vault
from settlement.errors import snake_case
from settlement.money import LARGEST_AMOUNT_MICROUSDC, MicroUsdc

# Added to the sub index of a movement between our vaults that nobody claims, for its second half:
# it is booked twice, once out and once in. A Batch has far fewer parts than this.
SECOND_HALF: Final = 1_000
_TOP_LEVEL: Final = 1

Fits = Callable[[Movement], bool]
# What moves nothing: a step of a seizure, what owners decide, and the rest.
_Step = (
    program.ProposeSeizure
    | program.WithdrawProposal
    | program.Contest
    | program.Uphold
    | program.Dismiss
    | program.Lapse
)
_Ruling = program.GovernanceInstruction | program.ApprovePay | program.RecoverStray
_Silent = (
    program.Retire | program.CancelRetire | program.SetBeneficiary | program.Skip | _Step | _Ruling
)


def events_of(transaction: Transaction, watch: Watch) -> tuple[Event, ...]:
    """What one transaction means, in order of execution. A failed one means nothing.

    Together the events account for every movement exactly once.
    """
    claims = _Claims(transaction, watch.deployment.mint)
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

    def __init__(self, transaction: Transaction, mint: Pubkey) -> None:
        self._transaction = transaction
        self.mint = mint
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
        case program.DepositUsdc() | program.Pay() | program.SweepSurplus():
            event = _till_event(claims, position, known)
        case program.RecoverStray():
            event = _recovered(claims, position, known, own)
        case program.PostBond() | program.FundBond():
            event = _bond_opened(claims, position, known)
        case program.Release() | program.ExecuteSeizure():
            event = _bond_closed(claims, position, known)
        case _:
            return _noted(known, own)
    name = type(known).__name__
    return event or Unrecognized(key=own, problem=f"{name} without the transfer it makes")


def _till_event(
    claims: _Claims, position: int, known: program.DepositUsdc | program.Pay | program.SweepSurplus
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
        case program.SweepSurplus():
            taken = claims.take(position, _bond_to_till)
            return taken and SurplusSwept(key=taken[0], amount_microusdc=taken[1])
        case _:
            assert_never(known)


def _recovered(
    claims: _Claims, position: int, known: program.RecoverStray, own: MovementKey
) -> Event | None:
    """Money of ours came into the till; what is not of our mint is none of the books' business."""
    if known.stray_mint != claims.mint:
        return _governed(known, own)
    taken = claims.take(
        position, lambda move: move.to_vault is Vault.TILL and move.source == known.stray
    )
    return taken and StrayRecovered(
        key=taken[0],
        amount_microusdc=taken[1],
        stray=known.stray,
        authority=known.authority,
        admin=known.admin,
    )


def _bond_to_till(move: Movement) -> bool:
    return move.from_vault is Vault.BOND and move.to_vault is Vault.TILL


def _bond_opened(
    claims: _Claims, position: int, known: program.PostBond | program.FundBond
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
        case _:
            assert_never(known)


def _bond_closed(
    claims: _Claims, position: int, known: program.Release | program.ExecuteSeizure
) -> Event | None:
    match known:
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
        case program.ExecuteSeizure():
            taken = claims.take(position, _bond_to_till)
            return taken and BondSeized(
                key=taken[0], address=known.bond, code=known.code, amount_microusdc=taken[1]
            )
        case _:
            assert_never(known)


def _noted(known: _Silent, own: MovementKey) -> Event:
    """What moves nothing, by an instruction that is understood."""
    match known:
        case program.Retire():
            return BondRetired(key=own, address=known.bond, code=known.code)
        case program.CancelRetire():
            return BondRetireCancelled(
                key=own, address=known.bond, code=known.code, beneficiary=known.beneficiary
            )
        case program.SetBeneficiary():
            return BondHandedOver(
                key=own,
                address=known.bond,
                code=known.code,
                beneficiary=known.beneficiary,
                new_beneficiary=known.new_beneficiary,
            )
        case program.Skip():
            return Skipped(key=own, sequences=known.sequences)
        case _:
            return _stepped(known, own) if isinstance(known, _Step) else _governed(known, own)


def _stepped(known: _Step, own: MovementKey) -> Event:
    stepped = partial(SeizureStepped, key=own, address=known.bond, code=known.code)
    match known:
        case program.ProposeSeizure():
            return stepped(
                step=SeizureStep.PROPOSED,
                signer=known.proposer,
                evidence_hash=known.evidence_hash,
                reason=known.reason,
            )
        case program.WithdrawProposal():
            return stepped(step=SeizureStep.WITHDRAWN, signer=known.proposer)
        case program.Contest():
            return stepped(
                step=SeizureStep.CONTESTED, signer=known.beneficiary, reply_hash=known.reply_hash
            )
        case program.Uphold():
            return stepped(step=SeizureStep.UPHELD, signer=known.arbiter)
        case program.Dismiss():
            return stepped(step=SeizureStep.DISMISSED, signer=known.arbiter)
        case program.Lapse():
            return stepped(step=SeizureStep.LAPSED)
        case _:
            assert_never(known)


def _governed(known: _Ruling, own: MovementKey) -> Event:
    """Named as in the program's table."""
    what = snake_case(type(known).__name__)
    return Governed(key=own, what=what, signer=_signer(known), given=known)


def _signer(known: _Ruling) -> Pubkey | None:
    match known:
        case program.ApplyParams() | program.ApplyRole():
            return None
        case program.AcceptAdmin():
            return known.nominee
        case program.Initialize():
            return known.upgrade_authority
        case (
            program.CancelParams()
            | program.CancelRole()
            | program.RevokeRole()
            | program.NominateAdmin()
            | program.Pause()
        ):
            return known.signer
        case _:
            return known.admin


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
