"""The till as proposals: approvals above the caps, burned numbers, surplus, stray money. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from solders.pubkey import Pubkey

from cli.admin.overview import Overview
from cli.admin.plans.holders import ADMIN, require
from cli.admin.plans.lengths import DAY_SECONDS
from cli.admin.plans.policy import written
from cli.transaction.moments import moment
from cli.transaction.proposal import Line, NothingToDo, Proposal
from settlement.chain import program
from settlement.chain.layouts import REFERENCE_LENGTH, WORD_BITS
from settlement.chain.tokens import TokenAccount
from settlement.errors import Conflict, Refused
from settlement.money import MicroUsdc, format_usdc

APPROVAL_SECONDS: Final = DAY_SECONDS
_PAYER: Final = "payer"


class NumberGone(Conflict):
    """This payout number is paid, skipped, below the window of numbers or beyond it."""


class InvalidReference(Refused):
    """A reference is 32 hexadecimal digits: what `pay` will carry."""


class InvalidNumbers(Refused):
    """Numbers to burn are up to 64 whole numbers, none more than 63 above the lowest."""


class NotOurs(Refused):
    """Only an account whose owner is an address of the program can be recovered."""


class IsAVault(Refused):
    """The vaults are not stray: till money leaves by `pay` only, bonds by `release`."""


@dataclass(frozen=True, kw_only=True)
class Approval:
    """The one payment that may exceed the caps."""

    sequence: int
    amount_microusdc: MicroUsdc
    destination: Pubkey
    reference: bytes


@dataclass(frozen=True, kw_only=True)
class Stray:
    """A token account and where what it holds shall go."""

    address: Pubkey
    account: TokenAccount
    destination: Pubkey


def parse_reference(digits: str) -> bytes:
    """The sixteen bytes a payment carries. Raises `InvalidReference`."""
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        raise InvalidReference(got=digits) from None
    if len(raw) != REFERENCE_LENGTH:
        raise InvalidReference(got=digits)
    return raw


def approve(overview: Overview, wallet: Pubkey, approval: Approval) -> Proposal:
    """Allow one payment above the caps. Raises `NotTheHolder` or `NumberGone`."""
    require(overview, wallet, ADMIN)
    payouts, now = overview.payouts, overview.now
    sequence = approval.sequence
    _refuse(overview, {sequence: _state_of(overview, sequence)}, but=("free",))
    expires_at = now + APPROVAL_SECONDS
    parameters = overview.config.parameters
    caps = (
        written("payout_single_cap_microusdc", parameters.payout_single_cap_microusdc),
        written("payout_window_cap_microusdc", parameters.payout_window_cap_microusdc),
    )
    replaced = (
        (Line(label="replaces", text=f"the approval of number {payouts.approved_sequence}"),)
        if now < payouts.approval_expires_at
        else ()
    )
    return Proposal(
        name="approve_pay",
        title="Approve one payment above the caps",
        lines=(
            Line(label="number", text=str(approval.sequence)),
            Line(label="amount", text=f"{format_usdc(approval.amount_microusdc)} USDC"),
            Line(label="to", text=f"the token account {approval.destination}"),
            Line(label="reference", text=approval.reference.hex()),
            Line(label="caps", text=f"one payment {caps[0]}, a window {caps[1]}"),
            Line(label="until", text=moment(expires_at, now)),
            *replaced,
        ),
        instructions=(
            program.build(
                overview.deployment,
                program.ApprovePay(
                    admin=wallet,
                    sequence=approval.sequence,
                    amount_microusdc=approval.amount_microusdc,
                    destination=approval.destination,
                    reference=approval.reference,
                ),
            ),
        ),
        payer=wallet,
        facts={
            "sequence": approval.sequence,
            "amount_microusdc": approval.amount_microusdc,
            "destination": str(approval.destination),
            "reference": approval.reference.hex(),
            "expires_at": expires_at,
        },
    )


def skip(overview: Overview, wallet: Pubkey, numbers: frozenset[int]) -> Proposal | NothingToDo:
    """Burn numbers that are not paid. Raises `NotTheHolder`, `InvalidNumbers`, `NumberGone`."""
    require(overview, wallet, ADMIN, _PAYER)
    listed = ", ".join(map(str, sorted(numbers)))
    if not numbers or min(numbers) < 0 or max(numbers) - min(numbers) >= WORD_BITS:
        raise InvalidNumbers(got=listed)
    states = {number: _state_of(overview, number) for number in sorted(numbers)}
    _refuse(overview, states, but=("free", "skipped"))
    if "free" not in states.values():
        return NothingToDo(name="skip", why=f"burned already: {listed}")
    first = min(numbers)
    mask = sum(1 << (number - first) for number in numbers)
    return Proposal(
        name="skip",
        title="Burn payout numbers",
        lines=(Line(label="numbers", text=listed),),
        instructions=(
            program.build(overview.deployment, program.Skip(signer=wallet, first=first, mask=mask)),
        ),
        payer=wallet,
        irreversible="No payment can ever use these numbers: withdrawals that wait for one are"
        " cancelled in the books.",
        facts={"numbers": sorted(numbers)},
    )


def sweep(overview: Overview, wallet: Pubkey) -> Proposal | NothingToDo:
    """Move what the bond vault holds above the bonds to the till; anybody may."""
    surplus = overview.bonds.amount_microusdc - overview.escrow.total_bonded_microusdc
    if surplus <= 0:
        return NothingToDo(name="sweep_surplus", why="the bond vault holds the bonds and no more")
    return Proposal(
        name="sweep_surplus",
        title="Sweep the bond vault's surplus into the till",
        lines=(
            Line(label="moves", text=f"{format_usdc(surplus)} USDC"),
            Line(label="from", text=f"the bond vault {overview.bonds.address}"),
            Line(label="to", text=f"the till vault {overview.till.address}"),
        ),
        instructions=(program.build(overview.deployment, program.SweepSurplus()),),
        payer=wallet,
        facts={"amount_microusdc": surplus},
    )


def recover(overview: Overview, wallet: Pubkey, stray: Stray) -> Proposal | NothingToDo:
    """Move tokens that were sent to an account of ours by mistake; all of them.

    Raises `NotTheHolder`, `NotOurs` or `IsAVault`.
    """
    require(overview, wallet, ADMIN)
    deployment, account = overview.deployment, stray.account
    ours = (
        deployment.config,
        deployment.payouts,
        deployment.till_authority,
        deployment.escrow,
    )
    if stray.address in (deployment.till_vault, deployment.bond_vault):
        raise IsAVault(address=str(stray.address))
    if account.owner not in ours:
        raise NotOurs(address=str(stray.address), owner=str(account.owner))
    if account.amount == 0:
        return NothingToDo(name="recover_stray", why=f"{stray.address} is empty")
    return Proposal(
        name="recover_stray",
        title="Recover tokens sent to us by mistake",
        lines=(
            Line(label="from", text=str(stray.address)),
            Line(label="of mint", text=str(account.mint)),
            Line(label="moves", text=f"{account.amount} units, all of it"),
            Line(label="to", text=str(stray.destination)),
        ),
        instructions=(
            program.build(
                deployment,
                program.RecoverStray(
                    admin=wallet,
                    authority=account.owner,
                    stray=stray.address,
                    destination=stray.destination,
                    stray_mint=account.mint,
                ),
            ),
        ),
        payer=wallet,
        facts={"amount": account.amount, "mint": str(account.mint)},
    )


def _state_of(overview: Overview, sequence: int) -> str:
    """What the chain still knows of a payout number."""
    payouts = overview.payouts
    if not payouts.in_window(sequence):
        return "too old" if sequence < payouts.base else "too far"
    if payouts.is_paid(sequence):
        return "paid"
    return "skipped" if payouts.is_used(sequence) else "free"


def _refuse(overview: Overview, states: Mapping[int, str], *, but: tuple[str, ...]) -> None:
    """Every number is in one of these states. Raises `NumberGone` for the first that is not."""
    for number, state in states.items():
        if state not in but:
            raise NumberGone(number=number, state=state, first_free=overview.payouts.first_free)
