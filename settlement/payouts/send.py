"""The road from a numbered payout to the chain: build, (the signer signs), send, expire.

Nothing here decides that money moved: that is the indexer seeing `Paid #n` or `Skipped #n`
finalized. So every step may be repeated, lost, or done by two senders at once: the chain takes a
number once. What is stored comes first: a message before it can be signed, the signed bytes before
they can be sent, "about to send" before the send; and a send only ever repeats the stored bytes.
A dead blockhash sends the same number back to be built again.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, cast
from uuid import UUID

import structlog
from solders.pubkey import Pubkey

from settlement.chain.answers import LatestBlockhash
from settlement.chain.messages import Plan, build
from settlement.chain.program import ERRORS, Deployment
from settlement.chain.transport import RpcRefused, RpcUnavailable
from settlement.clock import Clock
from settlement.db.pool import Pool, reading, transaction
from settlement.db.sql import load
from settlement.payouts import store
from settlement.payouts.intent import Action, Intent, instruction, recipient
from settlement.payouts.states import FINAL, PayoutEvent, PayoutKind, PayoutState
from settlement.payouts.survey import Payable, PayoutChain, Till, Unpayable, judge

_SQL = load("settlement.payouts", "payouts.sql")
_BATCH: Final = 50
# Twice what the program's budgets are (program.md §9); opening an account searches addresses too.
_COMPUTE_UNITS: Final = {PayoutKind.PAY: 20_000, PayoutKind.FUND_BOND: 40_000}
_SKIP_COMPUTE_UNITS: Final = 10_000
_ACCOUNT_COMPUTE_UNITS: Final = 60_000
_log = structlog.stdlib.get_logger()


@dataclass(frozen=True, kw_only=True)
class SendPolicy:
    """How eagerly messages are sent and what is paid for priority."""

    compute_unit_price_microlamports: int = 1_000
    resend_after: timedelta = timedelta(seconds=2)


@dataclass(frozen=True, kw_only=True)
class Road:
    """Everything the steps below work with."""

    pool: Pool
    chain: PayoutChain
    deployment: Deployment
    payer: Pubkey
    clock: Clock
    policy: SendPolicy


async def build_waiting(road: Road, till: Till) -> int:
    """Build a message for every numbered payout that has none; says how many."""
    async with reading(road.pool) as conn:
        rows = await conn.fetch(_SQL["to_build"], _BATCH)
    if not rows:
        return 0
    latest = await road.chain.latest_blockhash()
    built = 0
    for row in rows:
        built += await _build_one(road, store.intent_of(row), till, latest)
    return built


async def _build_one(road: Road, intent: Intent, till: Till, latest: LatestBlockhash) -> bool:
    verdict = await _verdict(road, intent, till)
    unpayable = verdict.reason if isinstance(verdict, Unpayable) else None
    async with transaction(road.pool) as tx:
        current = await store.locked(tx, intent.payout_id)
        if current is None or current.state is not PayoutState.NUMBERED:
            return False
        if await tx.fetchval(_SQL["has_open_attempt"], intent.payout_id):
            return False
        if unpayable is not None:
            await tx.execute(_SQL["want_skip"], intent.payout_id, unpayable)
            _log.warning("payout_unpayable", payout=str(intent.payout_id), reason=unpayable)
        skips = unpayable is not None or current.skip_reason is not None
        action = Action.SKIP if skips else Action.EXECUTE
        creates = isinstance(verdict, Payable) and verdict.creates_account and not skips
        plan = _plan(current, action, creates=creates, policy=road.policy)
        message = build(
            payer=road.payer,
            instruction=instruction(current, action, deployment=road.deployment, payer=road.payer),
            recipient=recipient(current, action, road.deployment),
            plan=plan,
            blockhash=latest.blockhash,
        )
        await tx.execute(
            _SQL["add_attempt"],
            intent.payout_id,
            action,
            creates,
            bytes(message),
            latest.last_valid_height,
            road.clock.now(),
        )
    return True


async def _verdict(road: Road, intent: Intent, till: Till) -> Payable | Unpayable:
    if intent.skip_reason is not None:
        return Unpayable(reason=intent.skip_reason)
    async with reading(road.pool) as conn:
        opened = await conn.fetchval(_SQL["accounts_opened"], str(intent.destination))
    return await judge(
        road.chain, intent, deployment=road.deployment, till=till, opened=int(opened)
    )


def _plan(intent: Intent, action: Action, *, creates: bool, policy: SendPolicy) -> Plan:
    units = _SKIP_COMPUTE_UNITS if action is Action.SKIP else _COMPUTE_UNITS[intent.kind]
    return Plan(
        compute_unit_limit=units + (_ACCOUNT_COMPUTE_UNITS if creates else 0),
        compute_unit_price_microlamports=policy.compute_unit_price_microlamports,
        creates_account=creates,
    )


async def send_waiting(road: Road) -> int:
    """Send what is signed, and again what was sent a while ago; says how many went out."""
    async with reading(road.pool) as conn:
        before = road.clock.now() - road.policy.resend_after
        rows = await conn.fetch(_SQL["to_send"], before, _BATCH)
    sent = 0
    for row in rows:
        if not await _about_to_send(road, row["payout_id"], row["attempt"]):
            continue
        sent += 1
        log = _log.bind(
            payout=str(row["payout_id"]), number=row["sequence"], signature=row["signature"]
        )
        try:
            await road.chain.send(bytes(row["wire"]))
            log.info("payout_sent", times=row["sends"] + 1)
        except RpcRefused as error:
            problem = refusal_text(error)
            log.warning("payout_send_refused", problem=problem)
            await _note(road, row["payout_id"], row["attempt"], problem)
        except RpcUnavailable as error:
            log.warning("payout_send_unanswered", problem=str(error))
            await _note(road, row["payout_id"], row["attempt"], str(error))
            break
    return sent


async def _about_to_send(road: Road, payout_id: UUID, attempt: int) -> bool:
    async with transaction(road.pool) as tx:
        intent = await store.locked(tx, payout_id)
        assert intent is not None, "an attempt has its payout"
        # Nothing when the attempt was closed meanwhile: its blockhash is dead, or the end was seen.
        sends = await tx.fetchval(_SQL["about_to_send"], payout_id, attempt, road.clock.now())
        if sends is None:
            return False
        await store.move(tx, intent, PayoutEvent.SEND)
    return True


async def _note(road: Road, payout_id: UUID, attempt: int, problem: str) -> None:
    async with transaction(road.pool) as tx:
        await tx.execute(_SQL["note_problem"], payout_id, attempt, problem[:1_000])


async def expire_dead(road: Road) -> int:
    """Close attempts whose blockhash is dead at a finalized height; says how many."""
    height = await road.chain.block_height()
    async with reading(road.pool) as conn:
        rows = await conn.fetch(_SQL["to_expire"], height, _BATCH)
    closed = 0
    for row in rows:
        async with transaction(road.pool) as tx:
            intent = await store.locked(tx, row["payout_id"])
            done = await tx.fetchval(
                _SQL["close_attempt"], row["payout_id"], row["attempt"], road.clock.now()
            )
            if intent is None or done is None:
                continue
            closed += 1
            if intent.state not in FINAL:
                await store.move(tx, intent, PayoutEvent.EXPIRE)
            _log.info("payout_expired", payout=str(row["payout_id"]), attempt=row["attempt"])
    return closed


def refusal_text(error: RpcRefused) -> str:
    """What the node said, with the program's own name for its error when there is one."""
    data = error.data
    told = cast("dict[str, object]", data).get("err") if isinstance(data, dict) else None
    if isinstance(told, dict):
        inner = cast("dict[str, object]", told).get("InstructionError")
        parts = cast("list[object]", inner) if isinstance(inner, list) else []
        custom = cast("dict[str, object]", parts[1]) if _is_custom(parts) else {}
        number = custom.get("Custom")
        if isinstance(number, int):
            return f"{ERRORS.get(number, 'Custom')} ({number})"
    return f"{error.error_code}: {error.text}" + (f" {told}" if told is not None else "")


def _is_custom(parts: list[object]) -> bool:
    return len(parts) == 2 and isinstance(parts[1], dict)
