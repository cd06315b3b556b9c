"""The plan of a release: an expired seizure is cleared first, a missing token account is made.

Unsigned by the beneficiary the money can only go to the beneficiary's canonical token account, so
anybody may do it; signed, it goes wherever the beneficiary says.
"""

from dataclasses import dataclass

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from cli.bond.facts import Facts, has_expired
from cli.bond.plans import (
    Actor,
    CooldownRuns,
    NotRetiring,
    SeizureIsOpen,
    check_beneficiary,
    living,
    named,
)
from cli.transaction.codes import told_code
from cli.transaction.moments import check_not_paused, moment
from cli.transaction.proposal import Line, NothingToDo, Opened, Proposal
from cli.transaction.purse import Purse, check_can_receive, purse_address, purse_of
from cli.transaction.target import Target
from settlement.chain import program
from settlement.chain.layouts import SeizureState
from settlement.chain.program import Bond, BondState
from settlement.chain.rpc import Commitment
from settlement.chain.tokens import TOKEN_ACCOUNT_SIZE, NotATokenAccount, token_account_at
from settlement.errors import Refused
from settlement.money import format_usdc


class OtherToken(Refused):
    """The destination is a token account of something else than USDC."""


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where the money goes; `is_named` when the beneficiary chose it, and so must sign."""

    purse: Purse
    is_named: bool

    @property
    def creates(self) -> bool:
        """Whether its token account has to be made first."""
        return self.purse.account is None


async def named_destination(target: Target, to: Pubkey) -> Destination:
    """What `--to` means: a USDC token account itself, or the wallet that owns one.

    Raises `OtherToken`.
    """
    purse = purse_address(target.deployment, to)
    asked = await target.rpc.accounts([to, purse], commitment=Commitment.CONFIRMED)
    try:
        itself = token_account_at(asked[0]).account
    except NotATokenAccount:
        found = purse_of(target.deployment, to, asked[1])
        return Destination(purse=found, is_named=True)
    if itself.mint != target.deployment.mint:
        raise OtherToken(token_account=str(to), mint=str(itself.mint))
    own = Purse(owner=itself.owner, address=to, account=itself)
    return Destination(purse=own, is_named=True)


def release(facts: Facts, actor: Actor, to: Destination | None) -> Proposal | NothingToDo:
    """Send a bond back. `to` None: where anybody may send it, the beneficiary's own account.

    Raises `NotRetiring`, `CooldownRuns`, `SeizureIsOpen`, `PausedForNow`, `NotTheBeneficiary`,
    `FrozenByIssuer`, `GivenAway`, and what `living` raises.
    """
    if facts.bond is not None and facts.bond.state is BondState.RELEASED:
        return NothingToDo(name="release", why="released already", facts=named(facts))
    bond = living(facts)
    if to is not None:
        check_beneficiary(bond, actor)
    _check_time(facts, bond)
    facts.check_vault()
    destination = to or Destination(purse=facts.purse, is_named=False)
    check_can_receive(destination.purse)
    rent = () if not destination.creates else (_token_account(),)
    return Proposal(
        name="release",
        title=f"Release the bond {told_code(facts.code)}",
        lines=(
            Line(label="bond", text=str(facts.address)),
            Line(label="moves", text=f"{format_usdc(bond.amount_microusdc)} USDC"),
            Line(label="from", text=f"{facts.deployment.bond_vault}, the bond vault"),
            Line(label="to", text=_told(destination)),
            Line(label="who may", text="the beneficiary" if to else "anybody"),
            Line(label="rent", text=f"of the bond goes back to {bond.rent_payer}"),
        ),
        instructions=_instructions(facts, bond, actor, destination),
        payer=actor.payer,
        irreversible="the bond is over and its code is used up",
        opens=rent,
        facts=named(facts)
        | {
            "amount_microusdc": bond.amount_microusdc,
            "destination": str(destination.purse.address),
        },
    )


def _check_time(facts: Facts, bond: Bond) -> None:
    check_not_paused(facts.config.pauses.releases, facts.now, "releases")
    if bond.state is BondState.POSTED:
        raise NotRetiring(bond=str(facts.address))
    if facts.now < bond.release_at:
        raise CooldownRuns(ends=moment(bond.release_at, facts.now))
    if bond.seizure_state is not SeizureState.NONE and not has_expired(bond, facts.now):
        raise SeizureIsOpen(state=bond.seizure_state.name.lower())


def _instructions(
    facts: Facts, bond: Bond, actor: Actor, destination: Destination
) -> tuple[Instruction, ...]:
    """`lapse` and the token account only where they are needed, then `release`."""
    before: list[Instruction] = []
    if bond.seizure_state is not SeizureState.NONE:
        lapse = program.Lapse(bond=facts.address, code=facts.code)
        before.append(program.build(facts.deployment, lapse))
    if destination.creates:
        owner, mint = destination.purse.owner, facts.deployment.mint
        before.append(
            program.create_associated_token_account(funder=actor.payer, owner=owner, mint=mint)
        )
    release = program.release(
        facts.deployment,
        code=facts.code,
        beneficiary=bond.beneficiary,
        rent_payer=bond.rent_payer,
        destination=destination.purse.address,
        signed=destination.is_named,
        first_beneficiary=bond.first_beneficiary,
    )
    return (*before, release)


def _told(destination: Destination) -> str:
    owner = destination.purse.owner
    made = ", made now" if destination.creates else ""
    return f"{destination.purse.address}, the USDC of {owner}{made}"


def _token_account() -> Opened:
    return Opened(what="token account", size_bytes=TOKEN_ACCOUNT_SIZE)
