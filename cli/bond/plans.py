"""A proposal for each verb of a bond's life, from the facts of one slot. Pure.

What the program would refuse is refused here first, in words and with the time it becomes possible.
What is so already is `NothingToDo`: every verb but a deposit can be repeated.
"""

from dataclasses import dataclass

from solders.pubkey import Pubkey

from cli.bond.facts import Facts, NoSuchBond, has_expired
from cli.transaction.codes import told_code
from cli.transaction.moments import check_not_paused, duration, moment
from cli.transaction.proposal import Line, NothingToDo, Opened, Proposal
from cli.transaction.purse import check_can_pay
from settlement.chain import program
from settlement.chain.instructions import instruction_name
from settlement.chain.layouts import BOND_SIZE, SeizureState
from settlement.chain.program import Bond, BondState
from settlement.errors import Conflict, Refused
from settlement.money import format_usdc


class CodeIsUsedUp(Refused):
    """This bond is over, and its code cannot be bonded again for the same beneficiary: enroll anew
    for another code."""


class HandedOn(Conflict):
    """The bond that stands here was handed over: it belongs to another beneficiary now."""


class NotTheBeneficiary(Refused):
    """Only the bond's beneficiary may do this."""


class NotRetiring(Refused):
    """The bond is not retiring: `pod bond retire` starts the cooldown first."""


class CooldownRuns(Refused):
    """The cooldown is not over."""


class SeizureIsOpen(Refused):
    """A seizure is open: nothing can be released or handed over until it is decided or lapses."""


class NoSeizureOpen(Refused):
    """No seizure of this bond is open."""


class TooLate(Refused):
    """The time for this is over."""


class TooEarly(Refused):
    """The time for this has not come."""


class ContestedOtherwise(Refused):
    """The seizure was contested already, with another reply."""


class WaitsForTheArbiter(Refused):
    """The seizure was contested: only the arbiter can decide it now."""


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Whose wallet acts, and who pays the fee and any rent."""

    wallet: Pubkey
    payer: Pubkey


def post(facts: Facts, actor: Actor, beneficiary: Pubkey) -> Proposal | NothingToDo:
    """Open a bond.

    Raises `CodeIsUsedUp`, `HandedOn`, `PausedForNow` and what `check_can_pay` raises.
    """
    if facts.bond is not None:
        already = living(facts)
        if already.beneficiary != beneficiary:
            raise HandedOn(bond=str(facts.address), beneficiary=str(already.beneficiary))
        why = f"already posted: {format_usdc(already.amount_microusdc)} USDC at {facts.address}"
        return NothingToDo(name="post_bond", why=why, facts=named(facts))
    check_not_paused(facts.config.pauses.deposits, facts.now, "deposits and new bonds")
    terms = facts.config.parameters
    check_can_pay(facts.purse, terms.bond_amount_microusdc)
    facts.check_vault()
    instruction = program.post_bond(
        facts.deployment,
        depositor=actor.wallet,
        funder=actor.payer,
        code=facts.code,
        beneficiary=beneficiary,
    )
    holds = format_usdc(facts.purse.has_microusdc)
    return Proposal(
        name="post_bond",
        title=f"Post the bond {told_code(facts.code)}",
        lines=(
            Line(label="moves", text=f"{format_usdc(terms.bond_amount_microusdc)} USDC"),
            Line(label="from", text=f"{facts.purse.address}, your USDC, which holds {holds}"),
            Line(label="to", text=f"{facts.deployment.bond_vault}, the bond vault"),
            Line(label="bond", text=f"{facts.address}, new"),
            Line(label="beneficiary", text=_whose(beneficiary, actor)),
            Line(label="counts if", text="the beneficiary is the wallet enrolled with this code"),
            Line(label="cooldown", text=f"{duration(terms.cooldown_seconds)} after retiring"),
            Line(label="rent", text="of the bond's account comes back with the money's return"),
            Line(label="if accused", text=f"{duration(terms.dispute_seconds)} to contest, then"
                 f" {duration(terms.decision_seconds)} for the arbiter, then"
                 f" {duration(terms.execution_seconds)} to carry it out"),
        ),
        instructions=(instruction,),
        payer=actor.payer,
        irreversible="the money comes back only by retire, the cooldown, and release;"
        " these terms are frozen for this bond",
        opens=(Opened(what="bond", size_bytes=BOND_SIZE),),
        facts=named(facts) | {"amount_microusdc": terms.bond_amount_microusdc},
    )  # fmt: skip


def retire(facts: Facts, actor: Actor) -> Proposal | NothingToDo:
    """Start the cooldown. Raises `NotTheBeneficiary` and what `living` raises."""
    bond = living(facts)
    if bond.state is BondState.RETIRING:
        why = f"already retiring: the cooldown ends {moment(bond.release_at, facts.now)}"
        return NothingToDo(name="retire", why=why, facts=named(facts))
    if actor.wallet != facts.config.proposer:
        check_beneficiary(bond, actor)
    ends = facts.now + bond.cooldown_seconds
    return _proposal(
        facts,
        actor,
        program.Retire(signer=actor.wallet, bond=facts.address, code=facts.code),
        title="Retire the bond",
        lines=(
            Line(label="from now", text="the operator gets no new jobs"),
            Line(label="cooldown", text=f"{duration(bond.cooldown_seconds)}, frozen when posted"),
            Line(label="ends", text=moment(ends, facts.now)),
            Line(label="then", text=f"`pod bond release {told_code(facts.code)}`, by anybody"),
        ),
        irreversible="`pod bond cancel` stops it at any time before the release; a new retirement"
        " starts the cooldown from the beginning",
    )


def cancel(facts: Facts, actor: Actor) -> Proposal | NothingToDo:
    """Stop the cooldown. Raises `NotTheBeneficiary` and what `living` raises."""
    bond = living(facts)
    if bond.state is BondState.POSTED:
        why = "not retiring: there is no cooldown to stop"
        return NothingToDo(name="cancel_retire", why=why, facts=named(facts))
    check_beneficiary(bond, actor)
    return _proposal(
        facts,
        actor,
        program.CancelRetire(beneficiary=actor.wallet, bond=facts.address, code=facts.code),
        title="Stop retiring the bond",
        lines=(
            Line(label="from now", text="the bond is posted again and counts for new jobs"),
            Line(label="an open seizure", text="is not touched by this"),
        ),
        irreversible=f"the cooldown so far ({duration(facts.now - bond.retiring_at)}) is lost",
    )


def contest(facts: Facts, actor: Actor, reply_hash: bytes) -> Proposal | NothingToDo:
    """Hand a seizure to the arbiter.

    Raises `NoSeizureOpen`, `ContestedOtherwise`, `TooLate`, `NotTheBeneficiary` and what `living`
    raises.
    """
    bond = living(facts)
    if bond.seizure_state is SeizureState.NONE:
        raise NoSeizureOpen(bond=str(facts.address))
    if bond.seizure_state is not SeizureState.PROPOSED:
        if bond.reply_hash != reply_hash:
            raise ContestedOtherwise(reply=bond.reply_hash.hex())
        why = f"already contested with this reply; {_decided_by(bond, facts.now)}"
        return NothingToDo(name="contest", why=why, facts=named(facts))
    check_beneficiary(bond, actor)
    if facts.now >= bond.execute_after:
        raise TooLate(ended=moment(bond.execute_after, facts.now))
    return _proposal(
        facts,
        actor,
        program.Contest(
            beneficiary=actor.wallet, bond=facts.address, code=facts.code, reply_hash=reply_hash
        ),
        title="Contest the seizure of the bond",
        lines=(
            Line(label="evidence", text=bond.evidence_hash.hex()),
            Line(label="your reply", text=f"{reply_hash.hex()} (SHA-256)"),
            Line(label="then", text=_decided_by(bond, facts.now)),
            Line(label="undecided", text="it lapses and the bond is free"),
        ),
        irreversible="one reply only: keep the very file, the arbiter needs it to check the hash",
    )


def lapse(facts: Facts, actor: Actor) -> Proposal | NothingToDo:
    """Clear a seizure past its time. Raises `TooEarly` and what `living` raises."""
    bond = living(facts)
    if bond.seizure_state is SeizureState.NONE:
        why = "no seizure is open: nothing to clear"
        return NothingToDo(name="lapse", why=why, facts=named(facts))
    if not has_expired(bond, facts.now):
        ends = bond.decide_by if bond.seizure_state is SeizureState.CONTESTED else bond.dies_at
        raise TooEarly(opens=moment(ends, facts.now))
    return _proposal(
        facts,
        actor,
        program.Lapse(bond=facts.address, code=facts.code),
        title="Clear the expired seizure of the bond",
        lines=(Line(label="moves", text="nothing"), Line(label="who may", text="anybody")),
        irreversible="the seizure is over; another one needs other evidence",
    )


def execute(facts: Facts, actor: Actor) -> Proposal | NothingToDo:
    """Carry out a seizure: the bond goes to the till.

    Raises `NoSeizureOpen`, `WaitsForTheArbiter`, `TooEarly`, `TooLate`, `PausedForNow`,
    `FrozenByIssuer` and what `living` raises.
    """
    if facts.bond is not None and facts.bond.state is BondState.SEIZED:
        return NothingToDo(name="execute_seizure", why="seized already", facts=named(facts))
    bond = living(facts)
    check_not_paused(facts.config.pauses.seizures, facts.now, "seizures")
    if bond.seizure_state is SeizureState.NONE:
        raise NoSeizureOpen(bond=str(facts.address))
    if bond.seizure_state is SeizureState.CONTESTED:
        raise WaitsForTheArbiter(until=moment(bond.decide_by, facts.now))
    if facts.now < bond.execute_after:
        raise TooEarly(opens=moment(bond.execute_after, facts.now))
    if facts.now >= bond.dies_at:
        raise TooLate(ended=moment(bond.dies_at, facts.now), remedy="pod bond lapse")
    facts.check_vault()
    return _proposal(
        facts,
        actor,
        program.ExecuteSeizure(bond=facts.address, rent_payer=bond.rent_payer, code=facts.code),
        title="Carry out the seizure of the bond",
        lines=(
            Line(label="moves", text=f"{format_usdc(bond.amount_microusdc)} USDC"),
            Line(label="from", text=f"{facts.deployment.bond_vault}, the bond vault"),
            Line(label="to", text=f"{facts.deployment.till_vault}, the till vault"),
            Line(label="who may", text="anybody"),
            Line(label="rent", text=f"goes back to {bond.rent_payer}"),
        ),
        irreversible="the beneficiary loses the bond, for good",
    )


def hand_over(facts: Facts, actor: Actor, to: Pubkey) -> Proposal | NothingToDo:
    """Give the bond to another beneficiary. Raises `SeizureIsOpen`, `NotTheBeneficiary`."""
    bond = living(facts)
    if bond.beneficiary == to:
        why = f"{to} is the beneficiary already"
        return NothingToDo(name="set_beneficiary", why=why, facts=named(facts))
    check_beneficiary(bond, actor)
    if bond.seizure_state is not SeizureState.NONE:
        raise SeizureIsOpen(state=bond.seizure_state.name.lower())
    return _proposal(
        facts,
        actor,
        program.SetBeneficiary(
            beneficiary=actor.wallet, new_beneficiary=to, bond=facts.address, code=facts.code
        ),
        title="Hand the bond over",
        lines=(
            Line(label="from", text=str(bond.beneficiary)),
            Line(label="to", text=f"{to}, who signs too"),
            Line(label="address", text=f"{facts.address}, which stays"),
            Line(
                label="counts if", text="the new beneficiary is the wallet enrolled with the code"
            ),
        ),
        irreversible="only the new beneficiary can give it back",
    )


def living(facts: Facts) -> Bond:
    """The bond, which is not over. Raises `NoSuchBond` or `CodeIsUsedUp`."""
    if facts.bond is None:
        raise NoSuchBond(code=told_code(facts.code), address=str(facts.address))
    if facts.bond.state in (BondState.RELEASED, BondState.SEIZED):
        raise CodeIsUsedUp(bond=str(facts.address), state=facts.bond.state.name.lower())
    return facts.bond


def _proposal(
    facts: Facts,
    actor: Actor,
    instruction: program.ProgramInstruction,
    *,
    title: str,
    lines: tuple[Line, ...],
    irreversible: str,
) -> Proposal:
    return Proposal(
        name=instruction_name(type(instruction)),
        title=f"{title} {told_code(facts.code)}",
        lines=(Line(label="bond", text=str(facts.address)), *lines),
        instructions=(program.build(facts.deployment, instruction),),
        payer=actor.payer,
        irreversible=irreversible,
        facts=named(facts),
    )


def named(facts: Facts) -> dict[str, object]:
    return {"code": told_code(facts.code), "bond": str(facts.address)}


def _whose(beneficiary: Pubkey, actor: Actor) -> str:
    return f"{beneficiary}, {'you' if beneficiary == actor.wallet else 'not you'}"


def _decided_by(bond: Bond, now: int) -> str:
    return f"the arbiter decides before {moment(bond.decide_by, now)}"


def check_beneficiary(bond: Bond, actor: Actor) -> None:
    if bond.beneficiary != actor.wallet:
        raise NotTheBeneficiary(beneficiary=str(bond.beneficiary), wallet=str(actor.wallet))
