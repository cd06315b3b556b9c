"""A case is written down whole, by one person, and another looks at it."""

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

import pytest

from settlement.bonds.rules import SeizureStep
from settlement.cases import opening, reading
from settlement.cases.evidence import EvidenceMissing, EvidenceTwice, packed
from settlement.cases.opening import (
    BondNotTheirs,
    BondThere,
    ClaimTooLarge,
    NoBondThere,
    OperatorUnknown,
    ReasonCodeInvalid,
    RequestNotTheirs,
    RequestsMissing,
    ReviewedBefore,
    SamePerson,
    SeveralBonds,
    TextMissing,
)
from settlement.cases.reading import CaseUnknown, EvidenceElsewhere, EvidenceUnknown
from settlement.cases.states import CaseNotThere, CaseState
from settlement.db import pool as db
from settlement.errors import PodError
from tests import factories
from tests.database.cases.world import OPENER, REVIEWER, Accused, World

Claims = Sequence[UUID] | Mapping[UUID, int | None]


async def test_a_case_is_what_was_said(world: World) -> None:
    accused, user = await world.operator(), await world.user()
    first, second = await world.paid(user, accused, 700, 900)
    files = [packed("b", b"two", kept=True), packed("a", b"one", kept=False)]
    opened = await world.open(accused, {second: 400, first: None}, files=files)
    assert (opened.state, opened.bond) == (CaseState.OPEN, accused.bond)
    assert (opened.opened_by, opened.opened_at) == (OPENER, factories.NOW)
    assert f"case {opened.case_id}\noperator {accused.provider_id}\n" in opened.manifest
    async with db.reading(world.finance) as conn:
        kept = await reading.files(conn, opened.case_id)
        assert [(one.name, one.size_bytes, one.kept) for one in kept] == [
            ("a", 3, False),
            ("b", 3, True),
        ]
        assert (await reading.file(conn, opened.case_id, "b")).content == b"two"
        with pytest.raises(EvidenceElsewhere):
            await reading.file(conn, opened.case_id, "a")
        for name in ("c", "", "b\0"):
            with pytest.raises(EvidenceUnknown):
                await reading.file(conn, opened.case_id, name)
        affected = await reading.requests(conn, opened.case_id)
    assert [
        (one.request_id, one.paid_microusdc, one.claimed_microusdc) for one in affected
    ] == sorted([(first, 700, 700), (second, 900, 400)])


async def test_an_operator_is_found_by_its_code(world: World) -> None:
    accused = await world.operator()
    async with db.reading(world.finance) as conn:
        found = await opening.operator_of_code(conn, accused.code.encode())
        with pytest.raises(OperatorUnknown):
            await opening.operator_of_code(conn, b"nobodys!")
    assert found == accused.provider_id


async def refused(
    world: World,
    refusal: type[PodError],
    field: str,
    accused: Accused,
    claims: Claims,
    **more: object,
) -> None:
    """It is refused, naming the field, and nothing of it is there."""
    with pytest.raises(refusal) as told:
        await world.open(accused, claims, **more)  # pyright: ignore[reportArgumentType]
    assert told.value.details["field"] == field
    assert await world.books.fetchval("select count(*) from settlement.fraud_case") == 0


async def test_what_cannot_be_a_case_is_refused_by_its_field(world: World) -> None:
    accused, user = await world.operator(), await world.user()
    other = await world.operator()
    (request,) = await world.paid(user, accused, 700)
    (theirs,) = await world.paid(user, other, 700)
    (free,) = await world.paid(user, accused, 0)
    stranger = Accused(provider_id=uuid4(), wallet="", code="", bond=None)
    log = packed("log", b"", kept=True)
    attempts: list[tuple[type[PodError], str, Accused, Claims, dict[str, object]]] = [
        (OperatorUnknown, "operator", stranger, [request], {}),
        (TextMissing, "actor", accused, [request], {"actor": " "}),
        (TextMissing, "reason", accused, [request], {"reason": "\t"}),
        (TextMissing, "reason", accused, [request], {"reason": "a\0b"}),
        (TextMissing, "reason", accused, [request], {"reason": "\ud800"}),
        (TextMissing, "reason", accused, [request], {"reason": "x" * 2_001}),
        (ReasonCodeInvalid, "reason_code", accused, [request], {"reason_code": 65_536}),
        (ReasonCodeInvalid, "reason_code", accused, [request], {"reason_code": -1}),
        (RequestsMissing, "requests", accused, [], {}),
        (RequestNotTheirs, "requests", accused, [factories.request_id()], {}),
        (RequestNotTheirs, "requests", accused, [request, theirs], {}),
        (RequestNotTheirs, "requests", accused, [free], {}),
        (ClaimTooLarge, "requests", accused, {request: 701}, {}),
        (ClaimTooLarge, "requests", accused, {request: 0}, {}),
        (EvidenceMissing, "evidence", accused, [request], {"files": []}),
        (EvidenceTwice, "evidence", accused, [request], {"files": [log, log]}),
        (BondNotTheirs, "bond", accused, [request], {"bond": other.bond}),
        (BondThere, "bond", accused, [request], {"no_bond": True}),
    ]
    for refusal, field, about, claims, more in attempts:
        await refused(world, refusal, field, about, claims, **more)


async def test_the_bond_is_the_operators_only_one_or_is_named(world: World) -> None:
    accused, user = await world.operator(bond=None), await world.user()
    (request,) = await world.paid(user, accused, 700)
    await refused(world, NoBondThere, "bond", accused, [request], no_bond=False)
    first = await world.bonded(accused)
    second = await world.bonded(accused)
    await refused(world, SeveralBonds, "bond", second, [request])
    assert (await world.open(second, [request], bond=first.bond)).bond == first.bond
    await world.release(first)
    assert (await world.open(second, [request])).bond == second.bond
    with pytest.raises(BondNotTheirs):
        await world.open(second, [request], bond=first.bond)


async def test_two_people_stand_for_a_case(world: World) -> None:
    accused, user = await world.operator(), await world.user()
    opened = await world.open(accused, await world.paid(user, accused, 700))
    for name in (OPENER, "ann", " ANN "):
        with pytest.raises(SamePerson):
            await world.review(opened, actor=name)
    with pytest.raises(TextMissing):
        await world.review(opened, actor="")
    reviewed = await world.review(opened)
    assert (reviewed.state, reviewed.review_accepts) == (CaseState.REVIEWED, True)
    assert reviewed.review is not None
    assert (reviewed.review.actor, reviewed.review.note) == (REVIEWER, "looked")
    assert await world.review(opened) == reviewed
    for actor, accepts in (("Eve", True), (REVIEWER, False)):
        with pytest.raises(ReviewedBefore):
            await world.review(opened, actor=actor, accepts=accepts)


async def test_a_case_that_is_refused_is_over(world: World) -> None:
    accused, user = await world.operator(), await world.user()
    opened = await world.open(accused, await world.paid(user, accused, 700))
    ended = await world.review(opened, accepts=False)
    assert (ended.state, ended.review_accepts) == (CaseState.REFUSED, False)
    for step in (world.close, world.draw):
        with pytest.raises(CaseNotThere):
            await step(opened)
    unknown = uuid4()
    with pytest.raises(CaseUnknown):
        await opening.close(world.finance, world.clock, unknown, actor="Eve", note="x")


async def test_of_many_reviewers_at_once_one_has_the_word(world: World) -> None:
    accused, user = await world.operator(), await world.user()
    opened = await world.open(accused, await world.paid(user, accused, 700))
    said = await asyncio.gather(
        *(world.review(opened, actor=f"r{n}", accepts=n % 2 == 0) for n in range(6)),
        return_exceptions=True,
    )
    done = [one for one in said if isinstance(one, reading.Case)]
    assert len(done) == 1
    assert all(isinstance(one, reading.Case | ReviewedBefore) for one in said)


async def test_a_case_stands_where_the_chain_has_it(world: World) -> None:
    accused, user = await world.operator(), await world.user()
    case = await world.reviewed(accused, await world.paid(user, accused, 700))
    for step in (
        SeizureStep.PROPOSED,
        SeizureStep.CONTESTED,
        SeizureStep.WITHDRAWN,
        SeizureStep.PROPOSED,
        SeizureStep.LAPSED,
    ):
        await world.step(case, step)
        found = await world.case(case)
        assert (found.state.value, found.stored) == (step.value, CaseState.REVIEWED)
    closed = await world.close(case)
    assert closed.stored is CaseState.CLOSED
    assert closed.closing is not None
    assert (await world.close(case, actor="Eve")).closing == closed.closing
    await world.step(case, SeizureStep.PROPOSED)
    assert (await world.case(case)).state is CaseState.CLOSED


async def test_what_a_case_goes_through_on_chain_does_not_end_it(world: World) -> None:
    accused, user = await world.operator(), await world.user()
    case = await world.reviewed(accused, await world.paid(user, accused, 700))
    for step in (SeizureStep.PROPOSED, SeizureStep.CONTESTED, SeizureStep.UPHELD):
        await world.step(case, step)
        with pytest.raises(CaseNotThere):
            await world.close(case)


async def test_steps_belong_to_the_case_of_their_evidence(world: World) -> None:
    accused, user = await world.operator(), await world.user()
    requests = await world.paid(user, accused, 700, 800)
    first = await world.reviewed(accused, requests[:1])
    second = await world.reviewed(accused, requests[1:])
    await world.step(first, SeizureStep.PROPOSED, slot=2_000)
    await world.step(second, SeizureStep.PROPOSED, slot=2_020)
    await world.step(second, SeizureStep.UPHELD, slot=2_040)
    await world.step(second, SeizureStep.CONTESTED, slot=2_030)  # read late
    await world.step(first, SeizureStep.DISMISSED, slot=2_010)
    assert (await world.case(first)).state is CaseState.DISMISSED
    assert (await world.case(second)).state is CaseState.UPHELD
    async with db.reading(world.finance) as conn:
        taken = await reading.steps(conn, second.case_id)
        assert [one.step.value for one in taken] == ["proposed", "contested", "upheld"]
        assert reading.contestable(taken) is None
        assert reading.contestable(taken[:1]) == taken[0]
        assert reading.contestable([]) is None
    await world.step(first, SeizureStep.PROPOSED, evidence=b"x" * 32)
    assert (await world.case(first)).state is CaseState.DISMISSED


async def test_the_chain_may_be_faster_than_the_reviewer(world: World) -> None:
    accused, user = await world.operator(), await world.user()
    case = await world.open(accused, await world.paid(user, accused, 700))
    await world.step(case, SeizureStep.PROPOSED)
    late = await world.review(case)
    assert (late.state, late.review_accepts) == (CaseState.PROPOSED, True)


async def test_cases_are_listed_by_pages_and_shown_when_two_stand_for_them(world: World) -> None:
    accused, other, user = await world.operator(), await world.operator(), await world.user()
    (request,) = await world.paid(user, accused, 700)
    opened = await world.open(accused, [request])
    reviewed = await world.reviewed(accused, [request])
    proposed = await world.open(accused, [request])
    await world.step(proposed, SeizureStep.PROPOSED)
    refused_case = await world.open(accused, [request])
    await world.review(refused_case, accepts=False)
    async with db.reading(world.finance) as conn:
        everything = await reading.cases(conn)
        theirs = await reading.cases(conn, accused.provider_id, shown_only=True)
        older = await reading.cases(conn, before=everything[0].case_id)
        assert await reading.cases(conn, other.provider_id) == []
    ids = {one.case_id for one in (opened, reviewed, proposed, refused_case)}
    assert {one.case_id for one in everything} == ids
    assert {one.case_id for one in theirs} == {reviewed.case_id, proposed.case_id}
    assert older == everything[1:]
