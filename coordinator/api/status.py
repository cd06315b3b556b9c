"""Whether this process is well, and what it counts."""

from importlib import metadata

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from coordinator.api.desk import desk_of, told
from coordinator.metrics import Metrics
from settlement.db.pool import TRANSIENT, Pool

router = APIRouter(tags=["status"])
_PATIENCE_SECONDS = 2
VERSION = metadata.version("podledger")


@router.get("/health", summary="Whether it can do its work now")
async def health(request: Request) -> Response:
    """200 when the database answers, 503 when it does not."""
    desk = desk_of(request)
    database = await _answers(desk.pool)
    agents = len(desk.sessions)
    return told(
        {
            "status": "ok" if database else "degraded",
            "version": VERSION,
            "components": {"postgres": "ok" if database else "unavailable", "agents": agents},
            "well": database,
            "line": f"{agents} agents connected" if database else "the database does not answer",
            "facts": {"agents": agents},
        },
        status=200 if database else 503,
    )


@router.get("/metrics", summary="For Prometheus", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Everything counted, in the text format."""
    counted: Metrics = request.app.state.metrics
    counted.providers.set(len(desk_of(request).sessions))
    return Response(generate_latest(counted.registry), media_type=CONTENT_TYPE_LATEST)


async def _answers(pool: Pool) -> bool:
    try:
        async with pool.acquire(timeout=_PATIENCE_SECONDS) as connection:
            return await connection.fetchval("select 1", timeout=_PATIENCE_SECONDS) == 1
    except TRANSIENT:
        return False
