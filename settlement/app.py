"""Puts settlement's processes together: the payout worker, one comparison.

The worker numbers, builds and sends payouts, turns pending bond money into bonds, gives bonds back
when their day has come, compares the books with the chain, and makes the days that requests will
settle into. One is active per
deployment, by an advisory lock; others stand by. The ledger writer is opened only under that lock,
because opening it ends the older life of the same writer.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from settlement.chain.rpc import RetryPolicy, RpcClient, open_rpc
from settlement.chain.transport import RpcUnavailable
from settlement.clock import Clock, SystemClock
from settlement.config import ReconcileSettings, WorkerSettings
from settlement.cranks.rounds import crank_once
from settlement.cranks.send import CrankRoad
from settlement.db.pool import TRANSIENT, AlreadyRunning, Pool, only_one
from settlement.ledger import charge_days
from settlement.ledger.operations import Writer
from settlement.ledger.seal import BooksBroken, SealRefused, make_seal
from settlement.ledger.store import WriterFenced, give_back_expired, open_writer
from settlement.metrics import WorkerMetrics
from settlement.observability import Health, status_server
from settlement.payouts import bond_funding
from settlement.payouts.nudge import Nudge
from settlement.payouts.road import Road
from settlement.payouts.rounds import Rounds
from settlement.payouts.survey import read_till
from settlement.process import Standing, repeat, until_first_ends, waited_pool
from settlement.reconcile.compare import (
    NoData,
    Reconciliation,
    Verdict,
    compare,
    record,
    record_no_data,
)
from settlement.schedules.alarm import ringing
from settlement.schedules.ticks import Payer, run_due

_WRITER = "settlement"
_LOCK = "settlement-worker"
_POOL_SIZE = 8
_STANDBY_SECONDS = 0.5
# Leases live for minutes; a dead process's money comes back this much later at most.
_LEASES_SECONDS = 10.0
_CHARGE_DAYS_SECONDS = 3_600.0
# Shorter than the client's own: health should say soon that the node is away.
_RETRY = RetryPolicy(attempts=4, longest_pause_seconds=1.0, total_seconds=5.0)
_log = structlog.stdlib.get_logger()


@dataclass(frozen=True, kw_only=True)
class _Worker:
    """What the worker's loops share."""

    settings: WorkerSettings
    pool: Pool
    rpc: RpcClient
    clock: Clock
    standing: Standing
    metrics: WorkerMetrics


async def work(settings: WorkerSettings) -> None:
    """Be the payout worker until cancelled."""
    standing, metrics = Standing(), WorkerMetrics()

    def health() -> Health:
        return Health(well=standing.well, line=standing.line)

    async with (
        status_server(settings.metrics, metrics.registry, health) as address,
        open_rpc(settings.reconcile.rpc_urls, retry=_RETRY) as rpc,
        waited_pool(
            settings.reconcile.database_url,
            role="pod_settlement",
            application=_WRITER,
            size=_POOL_SIZE,
            standing=standing,
        ) as pool,
    ):
        _log.info("listening", metrics=str(address))
        worker = _Worker(
            settings=settings,
            pool=pool,
            rpc=rpc,
            clock=SystemClock(),
            standing=standing,
            metrics=metrics,
        )
        while True:
            await _active_or_standby(worker)
            await asyncio.sleep(_STANDBY_SECONDS)


async def _active_or_standby(worker: _Worker) -> None:
    """Work while holding the lock; return when somebody else has it, or when it is lost."""
    try:
        async with only_one(worker.pool, _LOCK) as held:
            writer = await open_writer(worker.pool, _WRITER)
            worker.standing.right("lock")
            async with ringing() as bell:
                await until_first_ends(_until_lost(held), *_loops(worker, writer, bell))
    except AlreadyRunning:
        worker.standing.right("lock")  # standing by is what a second worker is for
    except WriterFenced as error:
        # Our lock was lost with its connection, and another worker was faster than our noticing.
        worker.standing.wrong("lock", str(error))
    except TRANSIENT as error:
        worker.standing.wrong("lock", str(error) or type(error).__name__)


async def _until_lost(held: Callable[[], bool]) -> None:
    while held():  # noqa: ASYNC110 -- a lost connection is not announced
        await asyncio.sleep(_STANDBY_SECONDS)


def _loops(
    worker: _Worker, writer: Writer, bell: asyncio.Event
) -> tuple[Coroutine[Any, Any, None], ...]:
    settings = worker.settings
    rounds = Rounds(
        Road(
            pool=worker.pool,
            chain=worker.rpc,
            cluster=settings.reconcile.cluster,
            deployment=settings.reconcile.deployment,
            payer=settings.payer,
            clock=worker.clock,
            policy=settings.policy,
        ),
        lowest_payer_lamports=settings.lowest_payer_lamports,
        payer_policy=settings.payer_policy,
        nudge=None if settings.signer is None else Nudge(pool=worker.pool, path=settings.signer),
    )

    def every(
        seconds: float, part: str, step: Callable[[], Coroutine[Any, Any, None]]
    ) -> Coroutine[Any, Any, None]:
        return repeat(step, part=part, every_seconds=seconds, standing=worker.standing)

    bonds_seconds = settings.bond_funding_milliseconds / 1_000
    ahead = partial(charge_days.keep_ahead, worker.pool, partial(_days_told, worker))
    return (
        every(
            settings.round_milliseconds / 1_000, "payouts", partial(_payout_round, worker, rounds)
        ),
        every(bonds_seconds, "bond funding", partial(_bond_round, worker, writer)),
        every(
            settings.crank_milliseconds / 1_000,
            "cranks",
            partial(_crank_round, worker, _crank_road(worker)),
        ),
        every(0.0, "scheduled payouts", partial(_schedule_round, worker, writer, bell)),
        every(settings.reconcile_every_seconds, "reconcile", partial(_reconcile_round, worker)),
        every(_CHARGE_DAYS_SECONDS, "days ahead", ahead),
        every(_LEASES_SECONDS, "leases", partial(_lease_round, worker, writer)),
        every(settings.seal_every_seconds, "sealing", partial(_seal_round, worker)),
    )


async def _payout_round(worker: _Worker, rounds: Rounds) -> None:
    found = await rounds.once()
    worker.metrics.round(found, worker.clock.now())
    if found.blocked:
        worker.standing.wrong("road", ", ".join(found.blocked))
    else:
        worker.standing.right("road")


async def _bond_round(worker: _Worker, writer: Writer) -> None:
    if not await bond_funding.anybody_waits(worker.pool, clock=worker.clock):
        return
    till = await read_till(worker.rpc, worker.settings.reconcile.deployment)
    made = await bond_funding.fund_pending(
        worker.pool,
        writer,
        bond_amount_microusdc=till.bond_amount_microusdc,
        clock=worker.clock,
    )
    worker.metrics.bonds_requested(made)


def _crank_road(worker: _Worker) -> CrankRoad:
    settings = worker.settings
    return CrankRoad(
        pool=worker.pool,
        chain=worker.rpc,
        deployment=settings.reconcile.deployment,
        payer=settings.payer,
        clock=worker.clock,
        policy=settings.crank_policy,
    )


async def _crank_round(worker: _Worker, road: CrankRoad) -> None:
    lowest = worker.settings.lowest_payer_lamports
    found = await crank_once(road, lowest_payer_lamports=lowest)
    worker.metrics.cranked(found)
    if found.blocked is None:
        worker.standing.right("crank road")
    else:
        worker.standing.wrong("crank road", found.blocked)


async def _schedule_round(worker: _Worker, writer: Writer, bell: asyncio.Event) -> None:
    await bell.wait()
    bell.clear()
    payer = Payer(
        pool=worker.pool,
        writer=writer,
        deployment=worker.settings.reconcile.deployment,
        clock=worker.clock,
        limits=worker.settings.withdrawals,
        chain=worker.rpc,
    )
    try:
        worker.metrics.scheduled(await run_due(payer))
    except BaseException:
        bell.set()  # what was left undone is looked at again
        raise


async def _seal_round(worker: _Worker) -> None:
    try:
        made = await make_seal(worker.pool)
    except (BooksBroken, SealRefused) as error:
        worker.standing.wrong("seals", str(error))
        return
    worker.standing.right("seals")
    if made is not None:
        _log.info("sealed", seal=made.seal_no, rows=made.rows, hash=made.hash.hex())


async def _lease_round(worker: _Worker, writer: Writer) -> None:
    given_back = await give_back_expired(worker.pool, writer)
    if given_back:
        _log.warning("leases_given_back", count=len(given_back))
    worker.metrics.leases_given_back(len(given_back))


def _days_told(worker: _Worker, ahead: int) -> None:
    worker.metrics.charge_days(ahead)
    if ahead < charge_days.FEWEST_AHEAD:
        _log.error("charge_days_short", days_ahead=ahead)
        worker.standing.wrong("days", f"requests can be settled for {ahead} more days only")
    else:
        worker.standing.right("days")


async def _reconcile_round(worker: _Worker) -> None:
    try:
        found = await _compared(worker.pool, worker.rpc, worker.settings.reconcile, worker.clock)
    except (NoData, RpcUnavailable):
        worker.metrics.not_reconciled()
        raise
    worker.metrics.reconciled(found)
    if found.verdict is Verdict.DIFFERENT:
        worker.standing.wrong("books", f"they differ from the chain at slot {found.slot}")
    else:
        worker.standing.right("books")


async def _compared(
    pool: Pool, rpc: RpcClient, settings: ReconcileSettings, clock: Clock
) -> Reconciliation:
    """Compare and store how it ended, also when it could not be done."""
    started_at = clock.now()
    try:
        found = await compare(
            pool,
            rpc,
            cluster=settings.cluster,
            deployment=settings.deployment,
            clock=clock,
            patience_seconds=settings.patience_seconds,
        )
    except (NoData, RpcUnavailable) as error:
        await record_no_data(
            pool,
            cluster=settings.cluster,
            problem=str(error),
            sources=rpc.sources,
            started_at=started_at,
            clock=clock,
        )
        raise
    await record(pool, found)
    return found


async def reconcile_once(settings: ReconcileSettings) -> Reconciliation:
    """One comparison, now. Raises `NoData`, `RpcUnavailable` or `DatabaseUnavailable`."""
    async with (
        open_rpc(settings.rpc_urls) as rpc,
        waited_pool(
            settings.database_url,
            role="pod_settlement",
            application="reconcile",
            size=2,
            standing=Standing(),
        ) as pool,
    ):
        return await _compared(pool, rpc, settings, SystemClock())
