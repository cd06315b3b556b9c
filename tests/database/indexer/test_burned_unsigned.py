"""A provider alone cannot make payout numbers look burned: that would free money to be paid twice.

Nobody signs what a call inside a transaction was given, and no balance contradicts it.
"""

import copy
from dataclasses import replace

from settlement.chain import program
from tests.database.indexer.conftest import Desk
from tests.database.indexer.node import RULES, FakeNode
from tests.database.indexer.test_providers import coded, life, nodes
from tests.pure.transactions import DEPLOYMENT, Answer, Call, answer, call, key, signature


def skip() -> Call:
    """`skip` of number 0."""
    return call(program.skip(DEPLOYMENT, signer=key("payer"), first=0, mask=1))


async def gone(desk: Desk) -> list[int]:
    """Payout numbers the books hold for burned or paid."""
    rows = await desk.rows("select sequence from settlement.payout_number_gone order by 1")
    return [row["sequence"] for row in rows]


def inside() -> Answer:
    """`skip`, called by another program."""
    return answer(Call(key("multisig"), [], b"", [skip()]))


async def test_a_number_burned_inside_a_call_needs_a_second_provider(desk: Desk) -> None:
    a, b = nodes(2, replace(inside(), slot=10))
    b.missing = set(b.answers)
    both = life(desk, a, b)
    assert (await both.round()).standing.wanted == 1
    assert await gone(desk) == []
    b.missing = set()
    assert (await both.round()).standing.wanted == 0
    assert await gone(desk) == [0]


async def test_one_that_is_made_up_burns_nothing(desk: Desk) -> None:
    """A liar adds it to somebody's deposit; the honest one knows nothing of it."""
    a, b = nodes(2, coded(1, desk, slot=10))
    lie = copy.deepcopy(a.answers[signature(1)])
    made_up = answer(*coded(1, desk, slot=10).calls, Call(key("x"), [], b"", [skip()]), till=5)
    lie["transaction"]["message"] = made_up.json()["transaction"]["message"]
    lie["meta"] = made_up.json()["meta"]
    a.answers[signature(1)] = lie
    now = await life(desk, a, b).round()
    assert now.standing.unreadable == 1
    assert await gone(desk) == []
    assert "two providers tell a transaction differently" in await desk.incidents()


async def test_at_the_top_its_signers_vouch_for_it(desk: Desk) -> None:
    a, b = nodes(2, replace(answer(skip()), slot=10))
    b.missing = set(b.answers)
    assert (await life(desk, a, b).round()).standing.wanted == 0
    assert await gone(desk) == [0]


async def test_with_one_source_allowed_one_is_enough(desk: Desk) -> None:
    alone = FakeNode()
    alone.add(replace(inside(), slot=10))
    await life(desk, alone, rules=RULES).round()
    assert await gone(desk) == [0]
