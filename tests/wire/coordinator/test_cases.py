"""What an operator is told it is accused of: its own cases, without whose requests they were."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import pytest

from settlement.bonds import seizure
from settlement.bonds.rules import SeizureStep, SeizureTimes
from settlement.bonds.seizure import StepSeen
from settlement.cases import opening, reading
from settlement.cases.evidence import packed
from settlement.cases.opening import Opening
from settlement.cases.reading import Case
from settlement.clock import SystemClock
from settlement.db.pool import Pool, open_pool, transaction
from tests import factories
from tests.conftest import Database
from tests.wire.coordinator.scripted import Operator
from tests.wire.coordinator.test_hosts import ask_once, bearer
from tests.wire.coordinator.world import DOLLAR, World, world

EXECUTE_AFTER = datetime(2026, 12, 24, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Court:
    """An operator with a bond who was paid for a request, and people who open cases."""

    world: World
    finance: Pool
    operator: Operator
    request_id: UUID

    async def told(self, path: str, operator: Operator | None = None) -> tuple[int, dict[str, Any]]:
        headers = bearer(operator or self.operator)
        response = await self.world.get(f"/v1/host/cases{path}", headers=headers)
        return response.status, await response.json()

    async def opened(self, *, accepts: bool | None = True) -> Case:
        """A case; a second person agreed, or not, or has not looked."""
        said = Opening(
            provider_id=self.operator.provider_id,
            bond=None,
            no_bond=False,
            reason_code=3,
            reason="answers of another model",
            files=[
                packed("logs/a b?.txt", b"<script>", kept=True),
                packed("big.bin", b"elsewhere", kept=False),
            ],
            claims={self.request_id: None},
            actor="Ann",
        )
        made = await opening.open_case(self.finance, SystemClock(), said)
        if accepts is None:
            return made
        return await opening.review(
            self.finance, SystemClock(), made.case_id, actor="Bob", note="x", accepts=accepts
        )

    async def step(self, case: Case, step: SeizureStep, slot: int) -> None:
        """The chain did this."""
        proposed = step is SeizureStep.PROPOSED
        times = SeizureTimes(
            execute_after=EXECUTE_AFTER,
            decide_by=EXECUTE_AFTER + timedelta(days=7),
            dies_at=EXECUTE_AFTER + timedelta(days=21),
        )
        assert case.bond is not None
        fact = StepSeen(
            key=factories.movement(),
            moment=factories.moment(slot),
            address=case.bond,
            step=step,
            signer="somebody",
            evidence_hash=case.evidence if proposed else None,
            reason=3 if proposed else None,
            reply_hash=None if proposed else b"r" * 32,
            times=times,
        )
        async with transaction(self.world.pool) as tx:
            await seizure.stepped(tx, fact)


@asynccontextmanager
async def court(dsn: str) -> AsyncGenerator[Court]:
    finance = await open_pool(dsn, role="pod_settlement", application="test", size=2)
    async with world(dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator, models={"tiny-chat": DOLLAR * 1_000_000}) as agent:
            asked = asyncio.create_task(ask_once(w, user.token))
            await agent.answer(await agent.job(), "one two three")
            assert await asked == 200
        request_id = await w.pool.fetchval("select request_id from settlement.charge")
        yield Court(world=w, finance=finance, operator=operator, request_id=request_id)
    await finance.close()


async def test_a_case_is_told_to_the_operator_with_all_it_needs(database: Database) -> None:
    async with court(database.dsn) as c:
        case = await c.opened()
        await c.step(case, SeizureStep.PROPOSED, 10)
        status, told = await c.told("")
        assert (status, told["next"], len(told["cases"])) == (200, None, 1)
        (listed,) = told["cases"]
        assert (listed["case_id"], listed["status"]) == (str(case.case_id), "proposed")
        assert listed["contest_before"] == EXECUTE_AFTER.isoformat()
        status, shown = await c.told(f"/{case.case_id}")
        assert status == 200
        assert listed.items() <= shown.items()
        assert shown["reason"] == "answers of another model"
        evidence = shown["evidence"]
        assert evidence["hash"] == sha256(evidence["manifest"].encode()).hexdigest()
        assert [(one["name"], one["path"] is not None) for one in evidence["files"]] == [
            ("big.bin", False),
            ("logs/a b?.txt", True),
        ]
        (request,) = shown["requests"]
        assert request["request_id"] == str(c.request_id)
        assert request["paid_microusdc"] == request["claimed_microusdc"] > 0
        assert [one["step"] for one in shown["steps"]] == ["proposed"]
        assert shown["contest"]["before"] == EXECUTE_AFTER.isoformat()
        assert f"POD-BOND-{c.operator.code}" in shown["contest"]["command"]
        row = await c.world.pool.fetchval("select name from settlement.account where kind = 'user'")
        assert row.removeprefix("user:") not in str(shown), "whose requests they were is not said"
        await c.step(case, SeizureStep.CONTESTED, 11)
        _, contested = await c.told(f"/{case.case_id}")
        assert (contested["status"], contested["contest"]) == ("contested", None)
        assert contested["contest_before"] is None
        assert contested["steps"][1]["reply_hash"] == (b"r" * 32).hex()


async def test_evidence_is_downloaded_as_it_was_hashed(database: Database) -> None:
    async with court(database.dsn) as c:
        case = await c.opened()
        _, shown = await c.told(f"/{case.case_id}")
        headers = bearer(c.operator)
        kept = next(one for one in shown["evidence"]["files"] if one["path"])
        got = await c.world.get(kept["path"], headers=headers)
        assert (got.status, await got.read()) == (200, b"<script>")
        assert got.headers["content-type"] == "application/octet-stream"
        assert got.headers["x-content-type-options"] == "nosniff"
        assert got.headers["content-disposition"].startswith("attachment;")
        manifest = await c.world.get(f"/v1/host/cases/{case.case_id}/evidence", headers=headers)
        assert sha256(await manifest.read()).digest() == case.evidence
        for name, code in (("big.bin", 404), ("none", 404), ("logs/../logs", 404), ("%00", 404)):
            status, told = await c.told(f"/{case.case_id}/evidence/{name}")
            assert (status, told["error"]["type"]) == (code, "not_found"), name
            assert told["message"] == told["error"]["message"]


async def test_a_case_is_nobody_elses(database: Database) -> None:
    async with court(database.dsn) as c:
        case, other = await c.opened(), await c.world.operator()
        assert await c.told("", other) == (200, {"cases": [], "next": None})
        for path in ("", "/evidence", "/evidence/logs/a%20b%3F.txt"):
            status, told = await c.told(f"/{case.case_id}{path}", other)
            assert (status, told["error"]["param"]) == (404, "case_id"), path
            nobody: Mapping[str, str] = {"Authorization": "Bearer pod_host_nobody"}
            for headers in ({}, nobody):
                response = await c.world.get(
                    f"/v1/host/cases/{case.case_id}{path}", headers=dict(headers)
                )
                assert response.status == 401


@pytest.mark.parametrize("accepts", [None, False])
async def test_one_persons_word_is_not_shown(database: Database, accepts: bool | None) -> None:
    async with court(database.dsn) as c:
        case = await c.opened(accepts=accepts)
        assert (await c.told(""))[1]["cases"] == []
        assert (await c.told(f"/{case.case_id}"))[0] == 404
        await c.step(case, SeizureStep.PROPOSED, 10)
        assert (await c.told(f"/{case.case_id}"))[0] == 200


async def test_bad_ids_are_told_by_their_field(database: Database) -> None:
    async with court(database.dsn) as c:
        for path, field in (("/1", "case_id"), ("/1/evidence", "case_id"), ("?before=x", "before")):
            status, told = await c.told(path)
            assert (status, told["error"]["param"]) == (400, field)
        status, told = await c.told(f"/{uuid4()}")
        assert (status, told["error"]["type"]) == (404, "not_found")


async def test_cases_come_by_pages(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PAGE", 2)
    async with court(database.dsn) as c:
        made = [await c.opened() for _ in range(3)]
        _, first = await c.told("")
        _, rest = await c.told(f"?before={first['next']}")
        found = [one["case_id"] for page in (first, rest) for one in page["cases"]]
        assert sorted(found) == sorted(str(one.case_id) for one in made)
        assert (len(first["cases"]), rest["next"]) == (2, None)
