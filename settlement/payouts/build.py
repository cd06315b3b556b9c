"""Numbered payouts become messages: each is judged alone, then they share messages or do not.

A message is stored before anybody can sign it. Judging reads the chain, so it is done before any
lock is taken; under the locks only what can have changed in the books is looked at again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import asyncpg
import structlog
from solders.pubkey import Pubkey

from settlement.chain.answers import AccountAt, LatestBlockhash
from settlement.chain.messages import Budget
from settlement.chain.transport import RpcRefused
from settlement.db.pool import reading, transaction
from settlement.db.sql import load
from settlement.money import Lamports
from settlement.payouts.batches import (
    Member,
    batches,
    compute_unit_limit,
    cost_lamports,
    message_of,
)
from settlement.payouts.intent import Action, Intent, destination_account
from settlement.payouts.priority import offer
from settlement.payouts.road import Road
from settlement.payouts.states import PayoutState
from settlement.payouts.store import accounts_opened, intent_of, want_skip
from settlement.payouts.survey import AccountReader, Till, Unpayable, judge

_SQL = load("settlement.payouts", "messages.sql")
_AT_ONCE: Final = 256
_ACCOUNTS_AT_ONCE: Final = 100  # as many as a node tells in one answer
_log = structlog.stdlib.get_logger()


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    """A payout to build for, and what became of its messages before."""

    intent: Intent
    in_vain: int
    rejected: int
    alone: bool


@dataclass(frozen=True, kw_only=True)
class Built:
    """For how many payouts a message was built, and whether SOL was short for more."""

    payouts: int = 0
    short: bool = False


async def build_waiting(road: Road, till: Till, *, spendable: Lamports) -> Built:
    """Build a message for every numbered payout that has none, as far as the lamports go."""
    async with reading(road.pool) as conn:
        rows = await conn.fetch(_SQL["to_build"], _AT_ONCE)
        if not rows:
            return Built()
        wallets = sorted({str(row["destination"]) for row in rows})
        opened = await accounts_opened(conn, wallets)
    waiting = [_waiting(row) for row in rows]
    members = await _judged(road, waiting, till, opened)
    latest = await road.chain.latest_blockhash()
    shares = len(members) >= road.policy.batch_from
    made = batches(
        members,
        deployment=road.deployment,
        payer=road.payer,
        largest=road.policy.largest_batch if shares else 1,
    )
    recent = await _recent_fees(road)
    left, built = int(spendable), 0
    for batch in made:
        budget = _budget(road, batch, recent)
        left -= cost_lamports(batch, budget)
        if left < 0:
            _log.debug("payer_short", lamports=spendable, waiting=len(members) - built)
            return Built(payouts=built, short=True)
        built += await _build(road, batch, budget, latest)
    return Built(payouts=built)


async def _recent_fees(road: Road) -> tuple[int, ...]:
    written = [road.payer, road.deployment.payouts, road.deployment.till_vault]
    try:
        return await road.chain.recent_priority_fees(written)
    except RpcRefused as error:
        _log.warning("recent_fees_not_told", problem=error.text)
        return ()


def _budget(road: Road, members: Sequence[Member], recent: Sequence[int]) -> Budget:
    in_vain = max(member.in_vain for member in members)
    return Budget(
        compute_unit_limit=compute_unit_limit(members),
        compute_unit_price_microlamports=offer(recent, in_vain=in_vain, policy=road.policy.fees),
    )


def _waiting(row: asyncpg.Record) -> _Waiting:
    return _Waiting(
        intent=intent_of(row),
        in_vain=row["in_vain"],
        rejected=row["rejected"],
        alone=row["alone"],
    )


async def _judged(
    road: Road, waiting: Sequence[_Waiting], till: Till, opened: Counter[str]
) -> list[Member]:
    """What is to be done for each; reasons to burn a number are found here."""
    known = await _known_accounts(road, [each.intent for each in waiting])
    members: list[Member] = []
    for each in waiting:
        intent, reason, creates = each.intent, each.intent.skip_reason, False
        if reason is None and each.rejected >= road.policy.most_rejections:
            reason = f"the chain refused it {each.rejected} times"
        if reason is None:
            verdict = await judge(
                known,
                intent,
                deployment=road.deployment,
                till=till,
                opened=opened[str(intent.destination)],
            )
            reason = verdict.reason if isinstance(verdict, Unpayable) else None
            creates = not isinstance(verdict, Unpayable) and verdict.creates_account
        members.append(
            Member(
                intent=replace(intent, skip_reason=reason),
                action=Action.EXECUTE if reason is None else Action.SKIP,
                creates_account=creates,
                alone=each.alone,
                in_vain=each.in_vain,
            )
        )
    return members


@dataclass(frozen=True, kw_only=True)
class _Known:
    """Accounts that were read together; others are asked for."""

    chain: AccountReader
    found: Mapping[Pubkey, AccountAt]

    async def accounts(self, addresses: Sequence[Pubkey]) -> tuple[AccountAt, ...]:
        if all(address in self.found for address in addresses):
            return tuple(self.found[address] for address in addresses)
        return await self.chain.accounts(addresses)


async def _known_accounts(road: Road, intents: Sequence[Intent]) -> _Known:
    named: dict[Pubkey, None] = {}
    for intent in intents:
        if intent.skip_reason is None:
            named[intent.destination] = None
            named[destination_account(intent, road.deployment)] = None
    addresses = list(named)
    found: dict[Pubkey, AccountAt] = {}
    for first in range(0, len(addresses), _ACCOUNTS_AT_ONCE):
        asked = addresses[first : first + _ACCOUNTS_AT_ONCE]
        found.update(zip(asked, await road.chain.accounts(asked), strict=True))
    return _Known(chain=road.chain, found=found)


async def _build(
    road: Road, batch: Sequence[Member], planned: Budget, latest: LatestBlockhash
) -> int:
    """Store one message; payouts that meanwhile moved on are left out of it."""
    ids = [member.intent.payout_id for member in batch]
    async with transaction(road.pool) as tx:
        locked = [intent_of(row) for row in await tx.fetch(_SQL["lock_payouts"], ids)]
        underway = {row["payout_id"] for row in await tx.fetch(_SQL["underway"], ids)}
        members = _still(batch, {intent.payout_id: intent for intent in locked}, underway)
        if not members:
            return 0
        for member in members:
            reason = member.intent.skip_reason
            if member.action is Action.SKIP and reason is not None:
                await want_skip(tx, member.intent, reason)
        budget = replace(planned, compute_unit_limit=compute_unit_limit(members))
        message = message_of(
            members,
            deployment=road.deployment,
            payer=road.payer,
            budget=budget,
            blockhash=latest.blockhash,
        )
        message_id = await tx.fetchval(
            _SQL["add_message"],
            bytes(road.payer),
            len(members),
            bytes(message),
            cost_lamports(members, budget),
            latest.last_valid_height,
            road.clock.now(),
        )
        await tx.execute(
            _SQL["add_attempts"],
            message_id,
            [member.intent.payout_id for member in members],
            [member.action for member in members],
            [member.creates_account for member in members],
        )
    return len(members)


def _still(
    batch: Sequence[Member], locked: Mapping[UUID, Intent], underway: set[UUID]
) -> list[Member]:
    """The members that are still to be built for. A number may have been given up meanwhile."""
    members: list[Member] = []
    for member in batch:
        now = locked.get(member.intent.payout_id)
        if now is None or now.state is not PayoutState.NUMBERED or now.payout_id in underway:
            continue
        if now.sequence != member.intent.sequence:
            continue
        if now.skip_reason is not None and member.action is Action.EXECUTE:
            continue  # the next round burns it, in a message with its like
        reason = now.skip_reason or member.intent.skip_reason
        members.append(replace(member, intent=replace(now, skip_reason=reason)))
    return members
