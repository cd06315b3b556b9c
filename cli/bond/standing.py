"""What may happen to a bond from now on: every step, who may take it, and when. Pure.

The same conditions the program checks, so a step that is shown as open can be taken.
"""

from dataclasses import dataclass
from typing import Final

from cli.bond.facts import Facts
from cli.transaction.codes import told_code
from cli.transaction.moments import duration, moment, utc
from settlement.chain.layouts import PauseRecord, SeizureState
from settlement.chain.program import Bond, BondState
from settlement.money import format_usdc

BENEFICIARY: Final = "beneficiary"
ANYBODY: Final = "anybody"
ARBITER: Final = "arbiter"
EITHER: Final = "beneficiary or proposer"
BOTH: Final = "old and new beneficiary"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing that can be done: from `opens_at` (None: already) until before `closes_at`."""

    verb: str
    who: str
    opens_at: int | None = None
    closes_at: int | None = None
    paused_until: int | None = None

    def is_open(self, now: int) -> bool:
        """Whether the program would let it happen now."""
        opened = self.opens_at is None or now >= self.opens_at
        in_time = self.closes_at is None or now < self.closes_at
        return opened and in_time and self.paused_until is None

    def when(self, now: int) -> str:
        """In words."""
        parts = ["now" if self.is_open(now) else ""]
        if self.opens_at is not None and now < self.opens_at:
            parts = [f"from {moment(self.opens_at, now)}"]
        if self.closes_at is not None:
            parts.append(f"before {moment(self.closes_at, now)}")
        if self.paused_until is not None:
            parts.append(f"paused until {moment(self.paused_until, now)}")
        return ", ".join(part for part in parts if part)


def steps(facts: Facts) -> tuple[Step, ...]:
    """Everything that is or becomes possible, without the steps that only prolong it."""
    bond = facts.bond
    if bond is None or bond.state in (BondState.RELEASED, BondState.SEIZED):
        return ()
    seizure = _seizure_steps(facts, bond)
    if bond.state is BondState.POSTED:
        return (Step(verb="retire", who=EITHER), *_hand_over(bond), *seizure)
    release = Step(
        verb="release",
        who=ANYBODY,
        opens_at=max(bond.release_at, _cleared_at(bond)),
        paused_until=_paused(facts.config.pauses.releases, facts.now),
    )
    return (Step(verb="cancel", who=BENEFICIARY), release, *_hand_over(bond), *seizure)


def _hand_over(bond: Bond) -> tuple[Step, ...]:
    free = bond.seizure_state is SeizureState.NONE
    return (Step(verb="hand-over", who=BOTH),) if free else ()


def _cleared_at(bond: Bond) -> int:
    """When an open seizure can be cleared at the latest, if it is not carried out before."""
    match bond.seizure_state:
        case SeizureState.NONE:
            return 0
        case SeizureState.CONTESTED:
            return bond.decide_by
        case SeizureState.PROPOSED | SeizureState.UPHELD:
            return bond.dies_at


def _seizure_steps(facts: Facts, bond: Bond) -> tuple[Step, ...]:
    paused = _paused(facts.config.pauses.seizures, facts.now)
    execute = Step(
        verb="execute",
        who=ANYBODY,
        opens_at=bond.execute_after,
        closes_at=bond.dies_at,
        paused_until=paused,
    )
    match bond.seizure_state:
        case SeizureState.NONE:
            return ()
        case SeizureState.PROPOSED:
            contest = Step(verb="contest", who=BENEFICIARY, closes_at=bond.execute_after)
            found = (contest, execute)
        case SeizureState.CONTESTED:
            dismiss = Step(verb="dismiss", who=ARBITER, closes_at=bond.decide_by)
            uphold = Step(verb="uphold", who=ARBITER, closes_at=bond.decide_by, paused_until=paused)
            found = (dismiss, uphold)
        case SeizureState.UPHELD:
            found = (execute,)
    over = [step for step in found if step.closes_at is not None and facts.now >= step.closes_at]
    left = tuple(step for step in found if step not in over)
    return (*left, Step(verb="lapse", who=ANYBODY, opens_at=_cleared_at(bond)))


def _paused(record: PauseRecord, now: int) -> int | None:
    return record.paused_until if now < record.paused_until else None


def lines(facts: Facts, bond: Bond) -> list[tuple[str, str]]:
    """The bond as label and text."""
    told = [("code", told_code(bond.code)), ("bond", str(facts.address))]
    told.append(("state", bond.state.name.lower()))
    if bond.state in (BondState.RELEASED, BondState.SEIZED):
        return told
    now = facts.now
    told += [
        ("beneficiary", str(bond.beneficiary)),
        ("amount", f"{format_usdc(bond.amount_microusdc)} USDC"),
        ("posted", moment(bond.posted_at, now)),
        ("cooldown", duration(bond.cooldown_seconds)),
    ]
    if bond.first_beneficiary != bond.beneficiary:
        told.insert(4, ("opened for", str(bond.first_beneficiary)))
    if bond.state is BondState.RETIRING:
        told.append(("retiring since", moment(bond.retiring_at, now)))
        told.append(("cooldown ends", moment(bond.release_at, now)))
    if bond.seizure_state is SeizureState.NONE:
        return told
    return [*told, *_seizure_lines(bond, now)]


def _seizure_lines(bond: Bond, now: int) -> list[tuple[str, str]]:
    told = [
        ("seizure", bond.seizure_state.name.lower()),
        ("  reason", str(bond.reason)),
        ("  evidence", bond.evidence_hash.hex()),
        ("  proposed", moment(bond.proposed_at, now)),
        ("  contest before", moment(bond.execute_after, now)),
    ]
    if bond.seizure_state is not SeizureState.PROPOSED:
        told.append(("  reply", bond.reply_hash.hex()))
        told.append(("  decide before", moment(bond.decide_by, now)))
    told.append(("  dies", moment(bond.dies_at, now)))
    return told


def as_json(facts: Facts, bond: Bond) -> dict[str, object]:
    """The bond for a program: seconds since 1970, microunits, hex."""
    told: dict[str, object] = {
        "code": told_code(bond.code),
        "address": str(facts.address),
        "state": bond.state.name.lower(),
        "now": facts.now,
    }
    if bond.state in (BondState.RELEASED, BondState.SEIZED):
        return told | {"steps": list[object]()}
    return told | {
        "beneficiary": str(bond.beneficiary),
        "first_beneficiary": str(bond.first_beneficiary),
        "rent_payer": str(bond.rent_payer),
        "amount_microusdc": bond.amount_microusdc,
        **_times(bond, ("posted_at", "retiring_at", "release_at")),
        "cooldown_seconds": bond.cooldown_seconds,
        "dispute_seconds": bond.dispute_seconds,
        "decision_seconds": bond.decision_seconds,
        "execution_seconds": bond.execution_seconds,
        "seizure": _seizure_json(bond),
        "steps": [_step_json(step, facts.now) for step in steps(facts)],
    }


def _seizure_json(bond: Bond) -> dict[str, object] | None:
    if bond.seizure_state is SeizureState.NONE:
        return None
    return {
        "state": bond.seizure_state.name.lower(),
        "reason": bond.reason,
        "evidence_hash": bond.evidence_hash.hex(),
        "reply_hash": bond.reply_hash.hex(),
        **_times(bond, ("proposed_at", "execute_after", "decide_by", "dies_at")),
    }


def _times(bond: Bond, names: tuple[str, ...]) -> dict[str, object]:
    """Each time twice: seconds, and UTC for people who read the JSON."""
    told: dict[str, object] = {}
    for name in names:
        at = int(getattr(bond, name))
        told[name] = at
        told[f"{name}_utc"] = utc(at) if at else None
    return told


def _step_json(step: Step, now: int) -> dict[str, object]:
    return {
        "verb": step.verb,
        "who": step.who,
        "open": step.is_open(now),
        "opens_at": step.opens_at,
        "closes_at": step.closes_at,
        "paused_until": step.paused_until,
    }
