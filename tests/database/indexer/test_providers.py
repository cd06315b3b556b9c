"""Rounds over several providers: who proves what, who is named, and what is booked all the same."""

from dataclasses import replace

import pytest

from indexer import overview
from indexer.follow import Follower
from indexer.hydration import Hydrator, Rules
from indexer.providers import Distrust, Provider, Providers
from indexer.raw import Unreadable
from settlement.chain.rpc import RpcUnavailable
from settlement.db.pool import open_pool, reading, transaction
from settlement.money import MicroUsdc, Slot
from settlement.reconcile import frontier
from tests.database.indexer.conftest import Desk
from tests.database.indexer.node import RULES, WATCHED, FakeNode, follower_of
from tests.pure import test_signed
from tests.pure.transactions import TILL, WATCH, Answer, Json, answer, deposit, signature

LIMIT = RULES.quorum_above_microusdc


def coded(number: int, desk: Desk, *, slot: int, amount: int = 5) -> Answer:
    """A coded deposit of the desk's user: it mentions the till and the program."""
    return answer(
        deposit(desk.user_code, amount), till=amount, slot=slot, signature=signature(number)
    )


def nodes(count: int, *made: Answer) -> list[FakeNode]:
    """Honest nodes with the same history."""
    all_of_them = [FakeNode() for _ in range(count)]
    for node in all_of_them:
        node.add(*made)
    return all_of_them


def providers(*of: FakeNode) -> list[Provider]:
    return [Provider(name=name, rpc=node) for name, node in zip("abc", of, strict=False)]


def life(desk: Desk, *of: FakeNode, rules: Rules = RULES) -> Follower:
    return follower_of(providers(*of), desk.pool, desk.writer, rules=rules)


async def reached(desk: Desk) -> dict[str, int]:
    async with reading(desk.pool) as conn:
        found = await frontier.read(conn, WATCH.cluster)
    return {one.purpose: found[str(one.address)] for one in WATCHED if str(one.address) in found}


def tip(slot: int, *of: FakeNode) -> None:
    for node in of:
        node.tip = slot


async def test_two_providers_prove_a_frontier_in_one_round(desk: Desk) -> None:
    a, b = nodes(2, coded(1, desk, slot=10))
    now = await life(desk, a, b, rules=replace(RULES, single_source=False)).round()
    assert set((await reached(desk)).values()) == {10}
    assert (now.lead, now.provers, now.single_source) == ("a", 2, False)
    proofs = await desk.rows("select provider, slot, signatures, digest from indexer.proof")
    assert {(row["provider"], row["slot"]) for row in proofs} == {("a", 10), ("b", 10)}
    digests = await desk.rows(
        "select count(distinct digest) as n from indexer.proof group by address"
    )
    assert {row["n"] for row in digests} == {1}  # both listed the very same


async def test_one_provider_proves_nothing_where_one_source_is_not_enough(desk: Desk) -> None:
    (a,) = nodes(1, coded(1, desk, slot=10))
    one = life(desk, a, rules=replace(RULES, single_source=False))
    for slot in (10, 20, 30):
        tip(slot, a)
        await one.round()
    assert await reached(desk) == {}
    assert await desk.net(desk.user) == 5  # booked all the same


async def test_a_second_provider_that_lags_proves_as_far_as_it_has_got(desk: Desk) -> None:
    a, b = nodes(2, coded(1, desk, slot=10))
    tip(30, a)
    tip(17, b)
    await life(desk, a, b).round()
    assert set((await reached(desk)).values()) == {17}


async def test_what_only_the_leading_one_lists_is_booked_and_the_frontier_waits(
    desk: Desk,
) -> None:
    a, b = nodes(2, coded(1, desk, slot=10), coded(2, desk, slot=12))
    b.hidden = {signature(2)}
    one = life(desk, a, b)
    now = await one.round()
    assert await desk.net(desk.user) == 10
    assert now.unlisted == 1
    assert {name for name, slot in (await reached(desk)).items() if slot == 12} == {
        "bond_vault",
        "payouts",
        "fee_payer",
    }
    assert await desk.incidents() == []  # an index may lag
    tip(15, a, b)
    await one.round()
    assert await desk.incidents() == ["a provider does not list a signature"] * 1
    rows = await desk.rows("select reference from indexer.incident")
    assert rows[0]["reference"] == f"b {signature(2)}"
    b.hidden = set()
    tip(16, a, b)
    now = await one.round()
    assert now.unlisted == 0
    assert set((await reached(desk)).values()) == {16}


async def test_what_only_the_verifying_one_lists_is_booked_too(desk: Desk) -> None:
    a, b = nodes(2, coded(1, desk, slot=10), coded(2, desk, slot=12))
    a.hidden = {signature(2)}
    one = life(desk, a, b)
    await one.round()
    assert await desk.net(desk.user) == 10
    await one.round()
    assert (await reached(desk)).get("till_vault", -1) < 12
    a.hidden = set()
    await one.round()
    assert set((await reached(desk)).values()) == {12}


async def test_a_third_provider_outvotes_one_that_lost_its_history(desk: Desk) -> None:
    a, b, c = nodes(3, coded(1, desk, slot=10), coded(2, desk, slot=12))
    b.hidden = {signature(2)}
    one = life(desk, a, b, c)
    await one.round()
    await one.round()
    assert set((await reached(desk)).values()) == {12}
    unlisted = await desk.rows("select distinct provider from indexer.unlisted")
    assert [row["provider"] for row in unlisted] == ["b"]


async def test_a_signature_that_does_not_exist_waits_for_a_person(desk: Desk) -> None:
    a, b = nodes(2, coded(1, desk, slot=10))
    b.add(coded(66, desk, slot=11))
    b.missing = {signature(66)}
    tip(14, a, b)
    one = life(desk, a, b)
    for slot in (14, 18, 22):
        tip(slot, a, b)
        now = await one.round()
    assert (now.standing.wanted, now.unlisted) == (1, 1)
    assert "till_vault" not in await reached(desk)
    assert await desk.incidents() == ["a provider does not list a signature"]
    finance = await open_pool(desk.database.dsn, role="pod_finance", application="test", size=1)
    async with transaction(finance) as tx:
        decided = await overview.decide_unlisted(tx, WATCH.cluster, signature(66), "ada")
        with pytest.raises(overview.NothingToDecide):
            await overview.decide_unlisted(tx, WATCH.cluster, signature(66), "ada")
    await finance.close()
    assert {provider for provider, _ in decided} == {"a"}
    await one.round()
    now = await one.round()
    assert set((await reached(desk)).values()) == {22}
    assert now.quiet  # nobody waits for it any more


async def test_a_proof_counts_only_while_it_has_all_that_is_known(desk: Desk) -> None:
    """Both prove slot 12; then a late signature below shows that both had lost it."""
    a, b = nodes(2, coded(1, desk, slot=10), coded(2, desk, slot=12))
    a.hidden = b.hidden = {signature(1)}
    a.missing = b.missing = {signature(2)}
    one = life(desk, a, b)
    await one.round()
    assert (await reached(desk))["till_vault"] == 11
    a.hidden = set()  # the first one finds it again, the second one does not
    a.missing = b.missing = set()
    tip(13, a, b)
    await one.round()
    await one.round()
    assert (await reached(desk))["till_vault"] == 11
    assert await desk.net(desk.user) == 10


async def test_one_providers_word_is_not_enough_for_a_failure(desk: Desk) -> None:
    """The leading one says that a deposit failed: it would be final without ever being read."""
    a, b = nodes(2, coded(1, desk, slot=10))
    honest = a.answers[signature(1)]
    a.answers[signature(1)] = honest | {"meta": honest["meta"] | {"err": "Lie"}}
    await life(desk, a, b).round()
    a.answers[signature(1)] = honest
    await life(desk, a, b).round()
    assert await desk.net(desk.user) == 5


async def test_a_provider_that_lists_another_slot_holds_nothing_up(desk: Desk) -> None:
    a, b = nodes(2, coded(1, desk, slot=10))
    a.lists_at[signature(1)] = 10**9
    tip(12, a, b)
    one = life(desk, a, b)
    await one.round()
    await one.round()
    assert await desk.net(desk.user) == 5


async def test_a_leading_one_that_fails_is_followed_by_another(desk: Desk) -> None:
    a, b = nodes(2, coded(1, desk, slot=10))
    a.away = True
    one = life(desk, a, b)
    with pytest.raises(RpcUnavailable):
        await one.round()
    now = await one.round()
    assert now.lead == "b"
    assert await desk.net(desk.user) == 5
    assert (await reached(desk)) == {}  # nobody verifies: the frontier waits


async def test_a_verifying_one_that_fails_stops_nothing(desk: Desk) -> None:
    a, b = nodes(2, coded(1, desk, slot=10))
    b.away = True
    await life(desk, a, b).round()
    assert await desk.net(desk.user) == 5
    assert await reached(desk) == {}


async def test_one_that_ignores_min_context_slot_is_no_witness(desk: Desk) -> None:
    a, b = nodes(2, coded(1, desk, slot=10))
    both = providers(a, b)
    both[1].distrust = frozenset({Distrust.IGNORES_MIN_CONTEXT_SLOT})
    now = await follower_of(
        both, desk.pool, desk.writer, rules=replace(RULES, single_source=False)
    ).round()
    assert (now.provers, await reached(desk)) == (1, {})


async def test_one_without_history_neither_leads_nor_proves_what_is_older(desk: Desk) -> None:
    a, b, c = nodes(3, coded(1, desk, slot=10), coded(2, desk, slot=12))
    a.hidden = {signature(1)}
    of = providers(a, b, c)
    of[0].first_block = Slot(11)
    now = await follower_of(of, desk.pool, desk.writer).round()
    assert now.lead == "b"
    assert set((await reached(desk)).values()) == {12}
    assert await desk.rows("select from indexer.unlisted") == []


async def answer_of(asked: Hydrator, signature: str) -> object:
    """The answer that is believed; None while there is none."""
    found = await asked.believed(signature)
    return None if found is None else found.answer


def hydrator(desk: Desk, *of: FakeNode, rules: Rules = RULES) -> tuple[Hydrator, list[Provider]]:
    made = providers(*of)
    return Hydrator(Providers(made), desk.pool, WATCH, rules), made


async def test_a_transaction_one_has_not_is_asked_of_the_next(desk: Desk) -> None:
    a, b = nodes(2, coded(1, desk, slot=10))
    a.missing = {signature(1)}
    asked, _ = hydrator(desk, a, b)
    assert await answer_of(asked, signature(1)) == b.answers[signature(1)]
    b.missing = {signature(1)}
    assert await answer_of(asked, signature(1)) is None


async def test_what_nobody_has_is_asked_for_ever_more_seldom(desk: Desk) -> None:
    (a,) = nodes(1, coded(1, desk, slot=10))
    a.missing = {signature(1)}
    asked, _ = hydrator(desk, a)
    for _ in range(20):
        assert await answer_of(asked, signature(1)) is None
    assert len(a.asked) == 6


@pytest.mark.parametrize("how", ["away", "refused", "no meta", "another version"])
async def test_nonsense_is_asked_of_the_next(desk: Desk, how: str) -> None:
    a, b = nodes(2, coded(1, desk, slot=10))
    match how:
        case "away":
            a.away = True
        case "refused":
            a.refused = {signature(1): -32015}
        case "no meta":
            a.answers[signature(1)] = a.answers[signature(1)] | {"meta": None}
        case _:
            a.answers[signature(1)] = a.answers[signature(1)] | {"version": 9}
    asked, _ = hydrator(desk, a, b)
    assert await answer_of(asked, signature(1)) == b.answers[signature(1)]


async def test_nonsense_from_everybody_is_unreadable(desk: Desk) -> None:
    a, b = nodes(2, coded(1, desk, slot=10))
    for node in (a, b):
        node.answers[signature(1)] = node.answers[signature(1)] | {"meta": None}
    asked, _ = hydrator(desk, a, b)
    with pytest.raises(Unreadable):
        await answer_of(asked, signature(1))


async def test_what_nobody_signed_is_refused_and_its_teller_named(desk: Desk) -> None:
    a, b = FakeNode(), FakeNode()
    name, told = signed()
    b.answers[name] = told
    message = told["transaction"]["message"]
    lie = message | {"accountKeys": [*message["accountKeys"][:-1], str(TILL)]}
    a.answers[name] = told | {"transaction": told["transaction"] | {"message": lie}}
    asked, of = hydrator(desk, a, b, rules=replace(RULES, verify_signatures=True))
    assert await answer_of(asked, name) == told
    assert of[0].distrust == {Distrust.FABRICATES}
    assert (of[0].proves, of[1].distrust) == (False, frozenset())
    assert await desk.incidents() == ["a provider's answer is not what was signed"]
    rows = await desk.rows("select reference from indexer.incident")
    assert rows[0]["reference"] == f"a {name}"
    alone, _ = hydrator(desk, a, rules=replace(RULES, verify_signatures=True))
    with pytest.raises(Unreadable):
        await answer_of(alone, name)


def signed() -> tuple[str, Json]:
    """A transaction that really was signed, and moved nothing of ours."""
    name, told = test_signed.told(test_signed.SHAPES["v0"])
    made = answer(signature=name, slot=9).json()
    return name, made | {"transaction": told["transaction"]}


async def test_a_large_credit_needs_two_who_tell_the_same(desk: Desk) -> None:
    a, b = nodes(2, coded(1, desk, slot=10, amount=LIMIT + 1), coded(2, desk, slot=10))
    b.missing = {signature(1), signature(2)}
    one = life(desk, a, b)
    now = await one.round()
    assert now.standing.wanted == 2  # the small one waits behind the large one
    assert await desk.net(desk.user) == 0
    b.missing = set()
    await one.round()
    assert await desk.net(desk.user) == LIMIT + 6


async def test_a_credit_at_the_limit_needs_one(desk: Desk) -> None:
    a, b = nodes(2, coded(1, desk, slot=10, amount=LIMIT))
    b.missing = {signature(1)}
    await life(desk, a, b).round()
    assert await desk.net(desk.user) == LIMIT


async def test_two_who_tell_a_large_credit_differently_stop_it(desk: Desk) -> None:
    a, b, c = nodes(3, coded(1, desk, slot=10, amount=LIMIT + 1))
    lie = replace(coded(1, desk, slot=10, amount=LIMIT + 1), slot=9)
    a.answers[signature(1)] = lie.json()
    a.lists_at[signature(1)] = 10
    one = life(desk, a, b)
    now = await one.round()
    assert now.standing.unreadable == 1
    assert await desk.net(desk.user) == 0
    assert await desk.incidents() == [
        "two providers tell a transaction differently",
        "unreadable transaction",
    ]
    await life(desk, a, b, c).round()  # a third one decides
    assert await desk.net(desk.user) == LIMIT + 1


async def test_with_one_source_allowed_one_is_enough(desk: Desk) -> None:
    (a,) = nodes(1, coded(1, desk, slot=10, amount=LIMIT + 1))
    await life(desk, a, rules=replace(RULES, quorum_above_microusdc=MicroUsdc(0))).round()
    assert await desk.net(desk.user) == LIMIT + 1
