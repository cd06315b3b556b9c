"""What a transaction did to the SOL of our fee payers. Pure.

Lamports have no movement of their own to be named by, so a transaction is one entry for each
purpose and payer: its fee (also when it failed), rent of accounts opened at our expense, rent that
came back, what was put in, what was taken out. Together they are exactly the difference between the
payer's balance before and after, which is why nothing here can fail: what no instruction of the
System program explains is rent that a program gave back, or else counted as taken out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from solders.pubkey import Pubkey

from indexer.decode import NO_INSTRUCTION, PayerBalance
from indexer.events import LamportsMoved, LamportsPurpose
from indexer.executed import TOP_LEVEL, Instruction
from settlement.chain.movement import MovementKey
from settlement.chain.program import SYSTEM_PROGRAM
from settlement.money import Lamports

# What the network takes for each signature; whatever a fee is above that was paid for priority.
LAMPORTS_PER_SIGNATURE: Final = 5_000
# Sub indexes below are the vaults' (`decode.difference_key`).
_FIRST_SUB: Final = 16


_PURPOSES: Final = tuple(LamportsPurpose)


def lamports_moved(
    balance: PayerBalance, instructions: tuple[Instruction, ...], *, cluster: str, signature: str
) -> Iterator[LamportsMoved]:
    """The entries of one payer in one transaction; their sum is its difference."""
    amounts = dict.fromkeys(_PURPOSES, 0)
    amounts[LamportsPurpose.FEE] = balance.fee_lamports
    for one in instructions:
        found = _system_transfer(one)
        if found is None or found.source == found.destination:
            continue
        if found.source == balance.payer:
            amounts[found.purpose] += found.amount
        elif found.destination == balance.payer:
            amounts[LamportsPurpose.FUNDED] += found.amount
    left = balance.after_lamports - balance.before_lamports - _change(amounts)
    amounts[LamportsPurpose.RENT_RETURNED if left > 0 else LamportsPurpose.DRAWN] += abs(left)
    for number, purpose in enumerate(_PURPOSES):
        if amounts[purpose]:
            yield LamportsMoved(
                key=MovementKey(
                    cluster=cluster,
                    signature=signature,
                    outer=NO_INSTRUCTION,
                    inner=NO_INSTRUCTION,
                    sub=_FIRST_SUB + len(_PURPOSES) * balance.place + number,
                ),
                payer=balance.payer,
                purpose=purpose,
                amount_lamports=Lamports(amounts[purpose]),
                priority_lamports=_priority(balance, purpose),
            )


def _change(amounts: dict[LamportsPurpose, int]) -> int:
    inward = amounts[LamportsPurpose.FUNDED] + amounts[LamportsPurpose.RENT_RETURNED]
    return 2 * inward - sum(amounts.values())


def _priority(balance: PayerBalance, purpose: LamportsPurpose) -> Lamports:
    if purpose is not LamportsPurpose.FEE:
        return Lamports(0)
    return Lamports(max(0, balance.fee_lamports - balance.signatures * LAMPORTS_PER_SIGNATURE))


@dataclass(frozen=True, kw_only=True)
class _SystemTransfer:
    source: Pubkey
    destination: Pubkey
    amount: int
    purpose: LamportsPurpose  # when we are the source


# Instructions of the System program that move lamports: the number's place of the amount in the
# data, and the places of source and destination among the accounts. The seeds of 3 come first.
_CREATE, _TRANSFER, _CREATE_WITH_SEED, _WITHDRAW_NONCE, _TRANSFER_WITH_SEED = 0, 2, 3, 5, 11
_SEED_AT: Final = 4 + 32  # after the instruction's number and the base key


def _system_transfer(one: Instruction) -> _SystemTransfer | None:
    if one.program != SYSTEM_PROGRAM or len(one.data) < 12:
        return None
    number = int.from_bytes(one.data[:4], "little")
    at, source, destination = 4, 0, 1
    match number:
        case _ if number in (_CREATE, _TRANSFER, _WITHDRAW_NONCE):
            pass
        case _ if number == _CREATE_WITH_SEED:
            at = _SEED_AT + 8 + int.from_bytes(one.data[_SEED_AT : _SEED_AT + 8], "little")
        case _ if number == _TRANSFER_WITH_SEED:
            destination = 2
        case _:
            return None
    amount = one.data[at : at + 8]
    if len(amount) < 8 or len(one.accounts) <= destination:
        return None
    # A plain transfer at the top level is a person's; a program's call opens an account for it.
    drawn = one.height == TOP_LEVEL and number in (_TRANSFER, _TRANSFER_WITH_SEED)
    return _SystemTransfer(
        source=one.accounts[source],
        destination=one.accounts[destination],
        amount=int.from_bytes(amount, "little"),
        purpose=LamportsPurpose.DRAWN if drawn else LamportsPurpose.RENT,
    )
