"""Pauses as proposals: each bit alone, for 72 hours, not again for the 72 hours after. Pure."""

from typing import Final

from solders.pubkey import Pubkey

from cli.admin.overview import Overview
from cli.admin.plans.holders import ADMIN, GUARDIAN, require
from cli.transaction.moments import moment
from cli.transaction.proposal import Line, NothingToDo, Proposal
from settlement.chain import program
from settlement.chain.abi import PauseBit
from settlement.chain.layouts import Config, PauseRecord
from settlement.errors import Conflict

PAUSE_SECONDS: Final = 72 * 3_600
STOPPED: Final = {
    PauseBit.DEPOSITS: "deposit_usdc, post_bond",
    PauseBit.PAYOUTS: "pay, fund_bond",
    PauseBit.SEIZURES: "propose_seizure, uphold, execute_seizure",
    PauseBit.RELEASES: "release",
}


class TooSoon(Conflict):
    """It was paused a short while ago and may not be paused again yet."""


def record_of(config: Config, bit: PauseBit) -> PauseRecord:
    """What Config says of one bit."""
    record: PauseRecord = getattr(config.pauses, bit.name.lower())
    return record


def pause(overview: Overview, wallet: Pubkey, bit: PauseBit) -> Proposal:
    """Stop one thing. Raises `NotTheHolder` or `TooSoon`."""
    now, record = overview.now, record_of(overview.config, bit)
    by = require(overview, wallet, ADMIN, GUARDIAN)
    if now < record.not_before:
        raise TooSoon(what=bit.name.lower(), possible=moment(record.not_before, now))
    until = now + PAUSE_SECONDS
    return Proposal(
        name="pause",
        title=f"Pause {bit.name.lower()}",
        lines=(
            Line(label="stops", text=STOPPED[bit]),
            Line(label="until", text=moment(until, now)),
            Line(label="next pause from", text=moment(until + PAUSE_SECONDS, now)),
            Line(label="paused by", text=by),
        ),
        instructions=(program.build(overview.deployment, program.Pause(signer=wallet, bit=bit)),),
        payer=wallet,
        irreversible="Only the admin can end it early, and it cannot be lengthened.",
        facts={"bit": bit.name.lower(), "paused_until": until, "not_before": until + PAUSE_SECONDS},
    )


def unpause(overview: Overview, wallet: Pubkey, bit: PauseBit) -> Proposal | NothingToDo:
    """End a pause early. Raises `NotTheHolder`."""
    now, record = overview.now, record_of(overview.config, bit)
    facts: dict[str, object] = {"bit": bit.name.lower()}
    if now >= record.paused_until:
        why = f"{bit.name.lower()} are not paused"
        return NothingToDo(name="unpause", why=why, facts=facts)
    require(overview, wallet, ADMIN)
    return Proposal(
        name="unpause",
        title=f"End the pause of {bit.name.lower()}",
        lines=(
            Line(label="works again", text=STOPPED[bit]),
            Line(label="would have ended", text=moment(record.paused_until, now)),
            Line(label="next pause from", text=moment(now + PAUSE_SECONDS, now)),
        ),
        instructions=(program.build(overview.deployment, program.Unpause(admin=wallet, bit=bit)),),
        payer=wallet,
        facts={**facts, "not_before": now + PAUSE_SECONDS},
    )
