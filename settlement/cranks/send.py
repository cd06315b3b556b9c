"""The road of a crank to the chain: build, (the signer signs), send, expire.

The same road as a payout's. What is stored comes first: a message before it can be signed, the
signed bytes before they can be sent, "about to send" before the send; a send only repeats stored
bytes. Nothing here decides that a step was taken. Who cannot be served now (a frozen account, a
pause) is put off, ever longer, and keeps nobody else waiting.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from solders.pubkey import Pubkey

from settlement.chain.answers import LatestBlockhash
from settlement.chain.messages import ACCOUNT_COMPUTE_UNITS, Budget, Step, build
from settlement.chain.program import Deployment
from settlement.chain.transport import RpcRefused, RpcUnavailable
from settlement.clock import Clock
from settlement.cranks import store
from settlement.cranks.states import FINAL, CrankEvent, CrankState
from settlement.cranks.step import CrankKind, instruction, recipient
from settlement.cranks.store import Crank
from settlement.cranks.survey import CrankChain, NotNow, Possible, judge
from settlement.db.pool import Pool, reading, transaction
from settlement.db.sql import load
from settlement.payouts.refusals import refusal_text

_SQL = load("settlement.cranks", "cranks.sql")
_BATCH: Final = 50
# Several times the program's budgets (program.md §9).
_COMPUTE_UNITS: Final = {
    CrankKind.RELEASE: 20_000,
    CrankKind.EXECUTE_SEIZURE: 20_000,
    CrankKind.LAPSE: 10_000,
}
_LONGEST_DOUBLING: Final = 30
_log = structlog.stdlib.get_logger()


@dataclass(frozen=True, kw_only=True)
class CrankPolicy:
    """How eagerly messages are sent, what is paid for priority, and how long one is put off."""

    compute_unit_price_microlamports: int = 1_000
    resend_after: timedelta = timedelta(seconds=2)
    first_pause: timedelta = timedelta(seconds=10)
    longest_pause: timedelta = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class CrankRoad:
    """Everything the steps below work with."""

    pool: Pool
    chain: CrankChain
    deployment: Deployment
    payer: Pubkey
    clock: Clock
    policy: CrankPolicy


def pause_after(put_off: int, policy: CrankPolicy) -> timedelta:
    """How long to wait when it was not possible so often before: twice as long each time."""
    return min(policy.first_pause * 2 ** min(put_off, _LONGEST_DOUBLING), policy.longest_pause)


async def build_waiting(road: CrankRoad, cranks: list[Crank]) -> int:
    """Build a message for every crank that waits for one and is not put off; says how many."""
    now = road.clock.now()
    waiting = [
        crank
        for crank in cranks
        if crank.state is CrankState.WAITING and (crank.retry_at is None or crank.retry_at <= now)
    ][:_BATCH]
    if not waiting:
        return 0
    latest = await road.chain.latest_blockhash()
    return sum([await _build_one(road, crank, latest) for crank in waiting])


async def _build_one(road: CrankRoad, crank: Crank, latest: LatestBlockhash) -> bool:
    async with reading(road.pool) as conn:
        if await conn.fetchval(_SQL["has_open_attempt"], crank.crank_id):
            return False
        opened = await conn.fetchval(_SQL["accounts_opened"], str(crank.bond.beneficiary))
    verdict = await judge(
        road.chain, crank.kind, crank.bond, deployment=road.deployment, opened=int(opened)
    )
    if isinstance(verdict, NotNow):
        await _put_off(road, crank, verdict.reason)
        return False
    return await _store_message(road, crank, verdict, latest)


async def _store_message(
    road: CrankRoad, crank: Crank, verdict: Possible, latest: LatestBlockhash
) -> bool:
    units = _COMPUTE_UNITS[crank.kind]
    budget = Budget(
        compute_unit_limit=units + (ACCOUNT_COMPUTE_UNITS if verdict.creates_account else 0),
        compute_unit_price_microlamports=road.policy.compute_unit_price_microlamports,
    )
    opens = recipient(crank.kind, crank.bond, deployment=road.deployment)
    step = Step(
        instruction=instruction(crank.kind, crank.bond, deployment=road.deployment),
        opens=opens if verdict.creates_account else None,
    )
    message = build(
        payer=road.payer,
        steps=[step],
        budget=budget,
        blockhash=latest.blockhash,
    )
    async with transaction(road.pool) as tx:
        state = await store.locked(tx, crank.crank_id)
        if state is not CrankState.WAITING:
            return False
        if await tx.fetchval(_SQL["has_open_attempt"], crank.crank_id):
            return False  # another worker was faster
        await tx.execute(_SQL["possible_again"], crank.crank_id)
        await tx.execute(
            _SQL["add_attempt"],
            crank.crank_id,
            verdict.creates_account,
            bytes(message),
            latest.last_valid_height,
            road.clock.now(),
        )
    return True


async def _put_off(road: CrankRoad, crank: Crank, reason: str) -> None:
    retry_at = road.clock.now() + pause_after(crank.put_off, road.policy)
    async with transaction(road.pool) as tx:
        await tx.execute(_SQL["put_off"], crank.crank_id, reason, retry_at)
    if crank.problem != reason:
        _log.warning("crank_put_off", crank=str(crank.crank_id), kind=crank.kind, reason=reason)


async def send_waiting(road: CrankRoad) -> int:
    """Send what is signed, and again what was sent a while ago; says how many went out."""
    async with reading(road.pool) as conn:
        before = road.clock.now() - road.policy.resend_after
        rows = await conn.fetch(_SQL["to_send"], before, _BATCH)
    sent = 0
    for row in rows:
        if not await _about_to_send(road, row["crank_id"], row["attempt"]):
            continue
        sent += 1
        log = _log.bind(crank=str(row["crank_id"]), kind=row["kind"], signature=row["signature"])
        try:
            await road.chain.send(bytes(row["wire"]))
            log.info("crank_sent", times=row["sends"] + 1)
        except RpcRefused as error:
            log.warning("crank_send_refused", problem=refusal_text(error))
            await _note(road, row["crank_id"], row["attempt"], refusal_text(error))
        except RpcUnavailable as error:
            log.warning("crank_send_unanswered", problem=str(error))
            await _note(road, row["crank_id"], row["attempt"], str(error))
            break
    return sent


async def _about_to_send(road: CrankRoad, crank_id: UUID, attempt: int) -> bool:
    async with transaction(road.pool) as tx:
        state = await store.locked(tx, crank_id)
        assert state is not None, "an attempt has its crank"
        # Nothing when the attempt was closed meanwhile: its blockhash is dead, or the end was seen.
        sends = await tx.fetchval(_SQL["about_to_send"], crank_id, attempt, road.clock.now())
        if sends is None:
            return False
        await store.move(tx, crank_id, state, CrankEvent.SEND)
    return True


async def _note(road: CrankRoad, crank_id: UUID, attempt: int, problem: str) -> None:
    async with transaction(road.pool) as tx:
        await tx.execute(_SQL["note_problem"], crank_id, attempt, problem[:1_000])


async def expire_dead(road: CrankRoad, cranks: list[Crank]) -> int:
    """Close attempts whose blockhash is dead at a finalized height; says how many.

    One that a node or the signer refused is put off, so that nothing is tried in a tight loop.
    """
    height = await road.chain.block_height()
    async with reading(road.pool) as conn:
        rows = await conn.fetch(_SQL["to_expire"], height, _BATCH)
    known = {crank.crank_id: crank for crank in cranks}
    closed = 0
    for row in rows:
        async with transaction(road.pool) as tx:
            state = await store.locked(tx, row["crank_id"])
            now = road.clock.now()
            done = await tx.fetchval(_SQL["close_attempt"], row["crank_id"], row["attempt"], now)
            if state is None or done is None:
                continue
            closed += 1
            if state not in FINAL:
                await store.move(tx, row["crank_id"], state, CrankEvent.EXPIRE)
            crank = known.get(row["crank_id"])
            if crank is not None and row["problem"] is not None:
                retry_at = now + pause_after(crank.put_off, road.policy)
                await tx.execute(_SQL["put_off"], crank.crank_id, row["problem"], retry_at)
            _log.info("crank_expired", crank=str(row["crank_id"]), attempt=row["attempt"])
    return closed
