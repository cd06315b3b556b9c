"""From what is asked and what is true to the one transaction a wallet signs. Pure.

A transaction is [compute limit, compute price, one instruction of our program], paid and signed by
the wallet alone; of the wallet's accounts it writes only its USDC account. Whatever the program
would refuse is refused here first, in words. No token account is ever created for anybody.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, assert_never

from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from coordinator.api.payments import refusals
from coordinator.api.payments.asked import BondStep, DepositAsked, code_text, dollars
from coordinator.api.payments.state import Seen
from settlement.chain import messages, program
from settlement.chain.layouts import PauseRecord
from settlement.chain.program import Bond, BondState, Deployment, SeizureState
from settlement.chain.tokens import TokenAccount, TokenState
from settlement.money import Lamports, MicroUsdc

# A signature's fee. What a unit costs above it is low: a wallet that wants more asks for more.
_SIGNATURE_LAMPORTS: Final = 5_000
_PRICE_MICROLAMPORTS: Final = 10_000
_MICROLAMPORTS_PER_LAMPORT: Final = 1_000_000
_LAMPORTS_PER_SOL: Final = 1_000_000_000
_SECONDS_PER_DAY: Final = 86_400
# Generous: wallets add guard instructions of their own to what they sign.
_DEPOSIT_UNITS: Final = 60_000
_BOND_UNITS: Final = 100_000
_STEP_UNITS: Final = 60_000


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What the wallet shall do, and what it tells its owner of it."""

    instruction: Instruction
    compute_units: int
    message: str


def unsigned(prepared: Prepared, account: Pubkey, blockhash: Hash) -> bytes:
    """The transaction as a wallet takes it: one place for one signature, empty."""
    message = _compiled(prepared, account, blockhash)
    return bytes(Transaction.new_unsigned(message))


def deposit(place: Deployment, asked: DepositAsked, seen: Seen) -> Prepared:
    """Prepaid money under a code. Raises what is in `refusals`."""
    _check_pause(seen.config.pauses.deposits, seen)
    if seen.till_vault_frozen:
        raise refusals.VaultFrozen
    _check_funds(seen, asked.amount_microusdc)
    _check_sol(seen, _fee_lamports(_DEPOSIT_UNITS))
    plain = program.deposit_usdc(
        place, depositor=seen.account, code=asked.code, amount_microusdc=asked.amount_microusdc
    )
    return Prepared(
        instruction=_with_references(plain, asked.references),
        compute_units=_DEPOSIT_UNITS,
        message=f"Deposit {dollars(asked.amount_microusdc)} USDC for {code_text(asked.code)}",
    )


def post_bond(
    place: Deployment, code: bytes, beneficiary: Pubkey, seen: Seen, rent_lamports: Lamports
) -> Prepared:
    """A bond for the beneficiary, of the amount that the chain says. Raises `refusals`."""
    if seen.bond is not None:
        over = seen.bond.state in (BondState.RELEASED, BondState.SEIZED)
        raise refusals.BondClosed if over else refusals.BondExists
    _check_pause(seen.config.pauses.deposits, seen)
    if seen.bond_vault_frozen:
        raise refusals.VaultFrozen
    terms = seen.config.parameters
    _check_funds(seen, terms.bond_amount_microusdc)
    _check_sol(seen, _fee_lamports(_BOND_UNITS) + rent_lamports)
    days = terms.cooldown_seconds // _SECONDS_PER_DAY
    return Prepared(
        instruction=program.post_bond(
            place,
            depositor=seen.account,
            funder=seen.account,
            code=code,
            beneficiary=beneficiary,
        ),
        compute_units=_BOND_UNITS,
        message=f"Bond of {dollars(terms.bond_amount_microusdc)} USDC for {code_text(code)},"
        f" back {days} days after you retire",
    )


def bond_step(
    place: Deployment, step: BondStep, bond: Bond, seen: Seen, receiver: TokenAccount | None
) -> Prepared:
    """One step of a bond's life; `receiver` is where a release goes. Raises `refusals`."""
    match step:
        case BondStep.RETIRE:
            return _retire(place, bond, seen)
        case BondStep.CANCEL:
            return _cancel(place, bond, seen)
        case BondStep.RELEASE:
            return _release(place, bond, seen, receiver)
        case _:
            assert_never(step)


def _retire(place: Deployment, bond: Bond, seen: Seen) -> Prepared:
    _check_state(bond, BondState.POSTED)
    _check_beneficiary(bond, seen)
    days = bond.cooldown_seconds // _SECONDS_PER_DAY
    instruction = program.retire(
        place,
        signer=seen.account,
        code=bond.code,
        beneficiary=bond.beneficiary,
        first_beneficiary=bond.first_beneficiary,
    )
    said = f"Retire {code_text(bond.code)}: {dollars(bond.amount_microusdc)} USDC back in {days} d"
    return _step(instruction, said, seen)


def _cancel(place: Deployment, bond: Bond, seen: Seen) -> Prepared:
    _check_state(bond, BondState.RETIRING)
    _check_beneficiary(bond, seen)
    cancel = program.CancelRetire(
        beneficiary=seen.account,
        bond=place.bond(bond.code, bond.first_beneficiary),
        code=bond.code,
    )
    said = f"Keep {code_text(bond.code)}: its cooldown stops"
    return _step(program.build(place, cancel), said, seen)


def _release(place: Deployment, bond: Bond, seen: Seen, receiver: TokenAccount | None) -> Prepared:
    """Anybody may send it: the money goes to the beneficiary's own account, and nowhere else."""
    _check_state(bond, BondState.RETIRING)
    _check_pause(seen.config.pauses.releases, seen)
    if bond.seizure_state is not SeizureState.NONE:
        raise refusals.SeizureOpen
    if seen.now < bond.release_at:
        raise refusals.CooldownNotOver(
            f"the bond's cooldown is not over: it ends {_day(bond.release_at)}"
        )
    if seen.bond_vault_frozen:
        raise refusals.VaultFrozen
    _usable(receiver)
    instruction = program.release(
        place,
        code=bond.code,
        beneficiary=bond.beneficiary,
        rent_payer=bond.rent_payer,
        first_beneficiary=bond.first_beneficiary,
    )
    said = f"Release {code_text(bond.code)}: {dollars(bond.amount_microusdc)} USDC back"
    return _step(instruction, said, seen)


def _step(instruction: Instruction, message: str, seen: Seen) -> Prepared:
    _check_sol(seen, _fee_lamports(_STEP_UNITS))
    return Prepared(instruction=instruction, compute_units=_STEP_UNITS, message=message)


def _check_pause(record: PauseRecord, seen: Seen) -> None:
    if seen.now < record.paused_until:
        raise refusals.Paused(retry_after_seconds=record.paused_until - seen.now)


def _check_state(bond: Bond, wanted: BondState) -> None:
    if bond.state is not wanted:
        raise refusals.WrongBondState(
            f"the bond is {bond.state.name.lower()}, not {wanted.name.lower()}",
            state=bond.state.name.lower(),
        )


def _check_beneficiary(bond: Bond, seen: Seen) -> None:
    if seen.account != bond.beneficiary:
        raise refusals.NotTheBeneficiary(field="account")


def _check_funds(seen: Seen, required_microusdc: MicroUsdc) -> None:
    held = _usable(seen.usdc)
    if held.amount < required_microusdc:
        raise refusals.TooLittleUsdc(
            f"this wallet has {dollars(held.amount)} USDC, {dollars(required_microusdc)} is needed",
            field="account",
            available_microusdc=held.amount,
            required_microusdc=required_microusdc,
        )


def _usable(account: TokenAccount | None) -> TokenAccount:
    if account is None:
        raise refusals.NoUsdcAccount(field="account")
    if account.state is TokenState.FROZEN:
        raise refusals.UsdcAccountFrozen(field="account")
    return account


def _check_sol(seen: Seen, required_lamports: int) -> None:
    """The fee, the rent, and what the network makes a wallet keep."""
    left = seen.lamports - required_lamports
    if left != 0 and left < seen.least_lamports:
        needed = required_lamports + seen.least_lamports
        raise refusals.TooLittleSol(
            f"this wallet has {_sol(seen.lamports)} SOL, {_sol(needed)} is needed for fee and rent",
            field="account",
            available_lamports=seen.lamports,
            required_lamports=needed,
        )


def _fee_lamports(units: int) -> int:
    return _SIGNATURE_LAMPORTS - (-units * _PRICE_MICROLAMPORTS // _MICROLAMPORTS_PER_LAMPORT)


def _with_references(plain: Instruction, references: tuple[Pubkey, ...]) -> Instruction:
    """Reference keys stand last, are read only and never sign, so that they change nothing."""
    taken = {meta.pubkey for meta in plain.accounts} | {plain.program_id}
    if taken & set(references):
        raise refusals.QueryInvalid(
            field="reference", problem="this key has a part in the transaction itself"
        )
    extra = [AccountMeta(key, is_signer=False, is_writable=False) for key in references]
    return Instruction(plain.program_id, plain.data, [*plain.accounts, *extra])


def _compiled(prepared: Prepared, account: Pubkey, blockhash: Hash) -> Message:
    budget = messages.Budget(
        compute_unit_limit=prepared.compute_units,
        compute_unit_price_microlamports=_PRICE_MICROLAMPORTS,
    )
    step = messages.Step(instruction=prepared.instruction)
    return messages.build(payer=account, steps=[step], budget=budget, blockhash=blockhash)


def _sol(lamports: int) -> str:
    whole, rest = divmod(lamports, _LAMPORTS_PER_SOL)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".")


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
