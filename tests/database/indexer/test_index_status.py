"""`pod index status`, `decide` and `close` as they are typed, over what a follower left behind."""

import json
from typing import Any

from indexer import evidence
from indexer.providers import Distrust, Provider, Providers
from settlement.money import Slot
from tests.database.indexer.conftest import Desk
from tests.database.indexer.node import FakeNode, follower_of
from tests.database.words import Answer as Said
from tests.database.words import typed
from tests.pure.transactions import (
    ALICE_ATA,
    TILL,
    WATCH,
    answer,
    deposit,
    signature,
    transfer,
)


async def pod_index(desk: Desk, *words: str) -> Said:
    return await typed(*words, dsn=desk.database.dsn, noun="index")


async def followed(desk: Desk) -> list[FakeNode]:
    """Two providers after some rounds: one signature in dispute, money in suspense."""
    nodes = [FakeNode(), FakeNode()]
    for node in nodes:
        node.add(
            answer(deposit(desk.user_code, 5), till=5, slot=10, signature=signature(1)),
            answer(transfer(ALICE_ATA, TILL, 7), till=7, slot=11, signature=signature(2)),
        )
    nodes[1].add(
        answer(transfer(ALICE_ATA, TILL, 9), till=9, slot=12, signature=signature(3)),
    )
    nodes[1].missing = {signature(3)}
    of = [Provider(name=name, rpc=node) for name, node in zip("ab", nodes, strict=True)]
    of[1].distrust = frozenset({Distrust.EMPTY_FOR_UNKNOWN_CURSOR})
    providers = Providers(of)
    life = follower_of(of, desk.pool, desk.writer)
    for tip in (20, 24, 28):
        for node in nodes:
            node.tip = tip
        await life.round()
    await evidence.remember_providers(desk.pool, WATCH.cluster, providers)
    return nodes


async def status(desk: Desk, code: int) -> dict[str, Any]:
    said = await pod_index(desk, "status", "--json")
    assert (said.code, said.err) == (code, "")
    found: dict[str, Any] = json.loads(said.out)
    return found


async def test_everything_that_matters_is_told(desk: Desk) -> None:
    await followed(desk)
    found = await status(desk, 1)
    assert (found["cluster"], found["finalized_slot"]) == ("test", 28)
    assert found["frontier"] is None  # the till's has never moved: its only listing is disputed
    by_purpose = {row["purpose"]: row for row in found["frontiers"]}
    assert by_purpose["payouts"]["slot"] == 28
    assert by_purpose["payouts"]["sources"] == 2
    assert 0 <= by_purpose["payouts"]["lag_seconds"] < 60
    assert by_purpose["till_vault"]["slot"] is None
    assert found["queues"]["wanted"] == 1
    assert found["queues"]["unlisted"] == 1
    assert found["queues"]["oldest_seconds"] > 0
    money = {row["name"]: row for row in found["unattributed"]}
    assert (money["suspense"]["net_microusdc"], money["suspense"]["entries"]) == (7, 1)
    assert found["incidents"] == 1
    assert found["newest_incidents"][0]["reference"] == f"a {signature(3)}"
    assert {row["provider"] for row in found["unlisted"]} == {"a"}
    providers = {row["provider"]: row for row in found["providers"]}
    assert providers["b"]["distrust"] == [str(Distrust.EMPTY_FOR_UNKNOWN_CURSOR)]
    assert (providers["a"]["finalized_slot"], providers["a"]["lag_slots"]) == (28, 0)


async def test_the_table_says_it_to_people(desk: Desk) -> None:
    await followed(desk)
    said = await pod_index(desk, "status")
    assert said.code == 1
    for words in (
        "not every address has a frontier yet",
        "till_vault",
        "answers an unknown cursor with an empty page",
        "0.000007 USDC",
        "a provider does not list a signature",
    ):
        assert words in said.out


async def test_a_person_decides_and_closes(desk: Desk) -> None:
    nodes = await followed(desk)
    decided = await pod_index(desk, "decide", signature(3), "--by", "ada")
    assert decided.code == 0
    assert "a need not list it" in decided.out
    again = await pod_index(desk, "decide", signature(3), "--by", "ada")
    assert again.code == 1
    number = (await status(desk, 1))["newest_incidents"][0]["incident_id"]
    closed = await pod_index(desk, "close", str(number), "--by", "ada", "--json")
    assert json.loads(closed.out)["closed"] == number
    assert (await pod_index(desk, "close", str(number), "--by", "ada")).code == 1
    of = [Provider(name=name, rpc=node) for name, node in zip("ab", nodes, strict=True)]
    await follower_of(of, desk.pool, desk.writer).round()
    found = await status(desk, 0)
    assert (found["frontier"], found["lag_slots"], found["single_source"]) == (28, 0, False)
    rows = await desk.rows("select decided_by from indexer.unlisted")
    assert {row["decided_by"] for row in rows} == {"ada"}


async def test_a_lag_is_told_in_slots_and_seconds(desk: Desk) -> None:
    node = FakeNode(tip=10)
    of = [Provider(name="a", rpc=node)]
    life = follower_of(of, desk.pool, desk.writer)
    for node.tip in (10, 11, 40):
        await life.round()
    of[0].slot = Slot(40)
    await evidence.remember_providers(desk.pool, WATCH.cluster, Providers(of))
    found = await status(desk, 0)
    assert (found["frontier"], found["lag_slots"], found["single_source"]) == (11, 29, True)
    assert 0 <= found["lag_seconds"] < 60


async def test_a_cluster_nobody_followed_is_refused(desk: Desk) -> None:
    said = await pod_index(desk, "status", "--cluster", "other")
    assert said.code == 1
    assert "never followed" in said.err
    assert (await typed("status", dsn=None, noun="index")).code == 1
