"""Each instruction of our program claims the token movement it made. Pure.

It is the one among its direct children (by stack height) with the right parties and, where the
instruction says it, the right amount; none or two that fit claim nothing. Claims are made by
position, so two equal deposits in one transaction are two events. An instruction that is not fully
understood, or whose movement is not there, is `Unrecognized`, and what moved stays unclaimed.
"""

from collections.abc import Callable
from typing import assert_never

from solders.pubkey import Pubkey

from indexer.decode import Movement, Transaction
from indexer.events import (
    BondFunded,
    BondPosted,
    BondReleased,
    BondSeized,
    Deposit,
    Event,
    Paid,
    StrayRecovered,
    SurplusSwept,
    Unrecognized,
)
from indexer.executed import Instruction
from indexer.silent import governed, noted
from indexer.token import MovementKind
from settlement.chain import program
from settlement.chain.movement import MovementKey, Vault
from settlement.money import LARGEST_AMOUNT_MICROUSDC, MicroUsdc

Fits = Callable[[Movement], bool]


class Claims:
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


def claim(claims: Claims, position: int, instruction: Instruction, own: MovementKey) -> Event:
    """What one instruction of our program means; `own` is its name when it moves nothing."""
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
            return noted(known, own)
    name = type(known).__name__
    return event or Unrecognized(key=own, problem=f"{name} without the transfer it makes")


def _till_event(
    claims: Claims, position: int, known: program.DepositUsdc | program.Pay | program.SweepSurplus
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
    claims: Claims, position: int, known: program.RecoverStray, own: MovementKey
) -> Event | None:
    """Money of ours came into the till; what is not of our mint is none of the books' business."""
    if known.stray_mint != claims.mint:
        return governed(known, own)
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
    claims: Claims, position: int, known: program.PostBond | program.FundBond
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
    claims: Claims, position: int, known: program.Release | program.ExecuteSeizure
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
