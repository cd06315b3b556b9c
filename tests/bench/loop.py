"""`bench loop`: requests settled a second through the whole stack, with one scripted provider.

Beside it, the same requests sent straight at the provider's backend: what is left of that rate is
what matching, holding, relaying, counting and settling cost. Every good answer must be a settled
charge in the books.
"""

import asyncio
import json
import tempfile
from pathlib import Path

import aiohttp

from cli.story.api import Api
from cli.story.arrivals import deposit, enroll, pair_provider, post_bond, register
from cli.story.books import open_books
from cli.story.people import deployment_of, people_of
from cli.story.report import Report
from cli.story.stage import Stage, User
from cli.wallet import patient_rpc
from cli.workspace import Running
from localnet.settings import load_settings
from settlement.db.pool import open_pool, reading
from tests.bench.harness import Bar, Measured
from tests.bench.load import Load, push
from tests.e2e.system import TestSystem, running_system

LOAD = Load(clients=16, seconds=6.0, words=32)
WARM_UP = Load(clients=4, seconds=1.0, words=32)
# Two cores gave 0.048 to 0.071: a twentieth of what the bare backend answers, each settled
# in two durable commits. The bar catches a collapse, not the noise of a shared machine.
LEAST_SHARE_OF_STRAIGHT = 0.03
_CHARGES = "select count(*) from settlement.charge"


def measure(directory: Path) -> Measured:
    """Start a system of its own, push it, stop it."""
    with (
        tempfile.TemporaryDirectory(dir=directory, prefix="loop-") as place,
        running_system(Path(place), cheap_tokens=True) as system,
    ):
        return asyncio.run(_measure(system, system.up()))


async def _measure(system: TestSystem, running: Running) -> Measured:
    user, model = await _ready_to_serve(system, running)
    through = f"{running.coordinator}/proxy/{user.token}/v1/chat/completions"
    backend = json.loads((system.workspace.provider / "address.json").read_text())["backend"]
    straight = f"{backend}/v1/chat/completions"
    await push(straight, model, WARM_UP)
    await push(through, model, WARM_UP)
    before = await _charges(running)
    straight_answers = await push(straight, model, LOAD)
    answers = await push(through, model, LOAD)
    settled = await _charges(running) - before
    share = answers.per_second / straight_answers.per_second
    return Measured(
        results={
            "straight": straight_answers.figures(),
            "through": {
                **answers.figures(),
                "settled": settled,
                "settled_per_second": round(settled / answers.seconds, 1),
                "share_of_straight": round(share, 4),
            },
        },
        bars=[
            Bar(name="share_of_straight", value=round(share, 4), limit=LEAST_SHARE_OF_STRAIGHT),
            Bar(
                name="answers_without_charge_or_charges_without_answer",
                value=abs(len(answers.taken) - settled),
                limit=0,
                kind="at most",
            ),
            Bar(name="failed", value=answers.failed, limit=0, kind="at most"),
        ],
    )


async def _ready_to_serve(system: TestSystem, running: Running) -> tuple[User, str]:
    """The first half of the demo: a user with money and a provider with a bond."""
    async with (
        aiohttp.ClientSession() as http,
        patient_rpc(running.rpc) as rpc,
        open_books(running.database) as books,
    ):
        stage = Stage(
            running=running,
            settings=load_settings(Path(system.environment["POD_LOCALNET"])),
            people=people_of(running),
            deployment=deployment_of(running),
            rpc=rpc,
            coordinator=Api(http, running.coordinator),
            provider=Api(http, running.provider),
            books=books,
            report=Report(told=lambda _: None),
        )
        user = await register(stage)
        await deposit(stage, user)
        operator = await enroll(stage)
        await post_bond(stage, operator)
        return user, await pair_provider(stage, user, operator)


async def _charges(running: Running) -> int:
    pool = await open_pool(running.database, role="pod_finance", application="bench", size=1)
    try:
        async with reading(pool) as connection:
            return int(await connection.fetchval(_CHARGES))
    finally:
        await pool.close()
