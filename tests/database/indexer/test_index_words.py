"""`pod index replay` and `explain`: what was recorded is read again, and told as it was booked."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast, get_args

import asyncpg
import pytest

from indexer import recorded
from indexer.decode import DECODER_VERSION
from indexer.events import Event
from indexer.explain import DOORS, NotASignature, SignatureUnknown, explain
from indexer.recorded import Row
from indexer.replay import Verdict, replay
from settlement.db.pool import Pool, open_pool, reading
from settlement.errors import snake_case
from tests.database.indexer.conftest import Desk
from tests.database.indexer.node import PAYER, FakeNode, follower
from tests.database.words import typed
from tests.pure.transactions import (
    ALICE_ATA,
    BOND,
    TILL,
    WATCH,
    Answer,
    answer,
    batch,
    deposit,
    memo,
    signature,
    transfer,
)

UNTOUCHED = 8  # transactions of a history


@pytest.fixture
async def finance(desk: Desk) -> AsyncIterator[Pool]:
    """Who may only read."""
    pool = await open_pool(desk.database.dsn, role="pod_finance", application="test", size=2)
    yield pool
    await pool.close()


@pytest.fixture
async def history(desk: Desk) -> Desk:
    """A desk whose chain had one of nearly everything, two transactions to a slot."""
    coded, plain = deposit(desk.user_code, 5), transfer(ALICE_ATA, TILL, 5)
    made: list[Answer] = [
        answer(coded, till=5),
        answer(coded, coded, till=10),
        answer(plain, memo(desk.user_code.hex()), till=5),
        answer(batch(plain, plain), till=10),
        answer(transfer(ALICE_ATA, BOND, 7), bond=7),
        answer(coded, till=8),
        answer(transfer(TILL, ALICE_ATA, 3), till=-3),
        answer(transfer(TILL, BOND, 2), till=-2, bond=2),
    ]
    node = FakeNode()
    node.add(
        *(
            replace(one, signature=signature(number), slot=10 + number // 2)
            for number, one in enumerate(made)
        )
    )
    await follower(node, desk.pool, desk.writer).round()
    assert await desk.states() == {"booked": UNTOUCHED}
    return desk


async def replayed(pool: Pool, *, from_slot: int = 0, recorded_by: int | None = None) -> Verdict:
    async with reading(pool) as conn:
        watch = await recorded.watch_of(conn, None)
    assert watch == replace(WATCH, payers=frozenset({PAYER}))
    verdict = Verdict(cluster=watch.cluster, from_slot=from_slot, to_slot=from_slot)
    told: list[int] = []
    await replay(pool, verdict, watch=watch, recorded_by=recorded_by, told=told.append)
    assert sum(told) == verdict.transactions
    return verdict


async def damage(desk: Desk, statement: str, *arguments: object) -> None:
    """As the superuser, past every trigger."""
    connection = await asyncpg.connect(desk.database.dsn)
    try:
        await connection.execute("set session_replication_role = replica")
        assert await connection.execute(statement, *arguments) != "UPDATE 0"
    finally:
        await connection.close()


@pytest.mark.parametrize("page", [1, 3, 500])
async def test_what_was_recorded_reads_the_same_in_pages_of_any_size(
    history: Desk, finance: Pool, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(recorded, "PAGE", page)
    verdict = await replayed(finance)
    assert verdict.identical
    assert (verdict.transactions, verdict.to_slot) == (UNTOUCHED, 14)
    rows = await history.rows("select (select count(*) from indexer.movement), count(*)"
                              " from indexer.event")  # fmt: skip
    assert [verdict.movements, verdict.events] == list(rows[0])


async def test_it_goes_on_from_a_slot(history: Desk, finance: Pool) -> None:
    assert (await replayed(finance, from_slot=12)).transactions == UNTOUCHED // 2
    assert (await replayed(finance, from_slot=14)).transactions == 0


@pytest.mark.parametrize(
    ("statement", "row", "column", "then", "now"),
    [
        ("update indexer.movement set amount = 6", "movement 0:0:0", "amount", 6, 5),
        ("update indexer.movement set slot = 9", "movement 0:0:0", "slot", 9, 10),
        ("update indexer.movement set source = null", "movement 0:0:0", "source", None,
         str(ALICE_ATA)),
        ("update indexer.event set kind = 'outflow'", "event 0:0:0", "kind", "outflow", "deposit"),
        ("update indexer.signature set state = 'failed'", "transaction", "state", "failed",
         "booked"),
    ],
)  # fmt: skip
async def test_the_first_difference_is_named(
    history: Desk,
    finance: Pool,
    statement: str,
    row: str,
    column: str,
    then: object,
    now: object,
) -> None:
    await damage(history, f"{statement} where signature = $1", signature_bytes(0))
    verdict = await replayed(finance)
    first = verdict.first_difference
    assert first is not None
    assert (verdict.identical, verdict.different) == (False, 1)
    assert (first.signature, first.slot) == (signature(0), 10)
    assert (first.row, first.column, first.recorded, first.decoded) == (row, column, then, now)


async def test_rows_too_few_and_too_many_are_named(history: Desk, finance: Pool) -> None:
    await damage(history, "delete from indexer.event where signature = $1", signature_bytes(0))
    first = (await replayed(finance)).first_difference
    assert first is not None
    assert (first.row, first.column, first.recorded) == ("event 0:0:0", "row", None)
    await damage(history, "update indexer.movement set sub_index = 4 where signature = $1",
                 signature_bytes(0))  # fmt: skip
    first = (await replayed(finance)).first_difference
    assert first is not None
    assert (first.row, first.decoded is None) == ("movement 0:0:0", False)


async def test_what_cannot_be_read_any_more_is_a_difference(history: Desk, finance: Pool) -> None:
    await damage(
        history,
        "update indexer.raw_transaction set answer = (select answer from indexer.raw_transaction"
        " where signature = $2) where signature = $1",
        signature_bytes(0),
        signature_bytes(1),
    )
    first = (await replayed(finance)).first_difference
    assert first is not None
    assert (first.row, first.recorded) == ("transaction", "booked")
    assert "about another transaction" in str(first.decoded)


async def test_what_leaves_quarantine_is_told_apart_when_a_version_is_asked_for(
    history: Desk, finance: Pool
) -> None:
    """As an older decoder would have recorded the first transaction."""
    raw = signature_bytes(0)
    await damage(
        history,
        "update indexer.movement set kind = 'unexplained', outer_index = -1, inner_index = -1,"
        " source = null where signature = $1",
        raw,
    )
    await damage(
        history,
        "update indexer.event set kind = 'quarantined', outer_index = -1, inner_index = -1,"
        ' facts = \'{"vault": "till", "delta_microusdc": 5}\' where signature = $1',
        raw,
    )
    await damage(
        history, "update indexer.raw_transaction set decoder_version = 1 where signature = $1", raw
    )
    assert (await replayed(finance)).different == 1
    verdict = await replayed(finance, recorded_by=1)
    assert (verdict.transactions, verdict.identical) == (1, True)
    assert verdict.reclassified == [signature(0)]
    assert (await replayed(finance, recorded_by=DECODER_VERSION)).transactions == UNTOUCHED - 1
    await damage(history, "update indexer.movement set amount = 6 where signature = $1", raw)
    assert (await replayed(finance, recorded_by=1)).different == 1  # a vault would not be the same


def signature_bytes(number: int) -> bytes:
    """The signature of that number, as it is kept."""
    return number.to_bytes(8, "big") + bytes([9]) * 56


async def test_replay_as_it_is_typed(history: Desk) -> None:
    dsn = history.database.dsn
    answered = await typed("replay", "--json", dsn=dsn, noun="index")
    assert (answered.code, answered.err) == (0, "")
    told = json.loads(answered.out)
    assert (told["identical"], told["transactions"]) == (True, UNTOUCHED)
    await damage(
        history, "update indexer.movement set amount = 6 where signature = $1", signature_bytes(0)
    )
    answered = await typed("replay", dsn=dsn, noun="index")
    assert answered.code == 1
    assert f"first in {signature(0)} at slot 10" in answered.out
    assert "recorded  6" in answered.out
    assert (await typed("replay", dsn="postgresql://127.0.0.1:1/no", noun="index")).code == 2


def entries_of(event: Row) -> list[Row]:
    """What the books have of an event."""
    return cast("list[Row]", event["entries"])


async def test_a_deposit_is_explained_from_the_answer_to_the_entry(
    history: Desk, finance: Pool
) -> None:
    async with reading(finance) as conn:
        found = await explain(conn, None, signature(0))
    assert (found.slot, found.state, found.failed) == (10, "booked", False)
    assert [row["purpose"] for row in found.addresses] == ["program", "till_vault"]
    (vault,) = found.vaults
    assert (vault["vault"], vault["change"], vault["movements"]) == ("till", 5, 5)
    assert vault["explained"]
    (movement,) = found.movements
    made = movement["instruction"]
    assert isinstance(made, dict)
    assert (made["known_as"], made["depth"], made["inner"]) == ("token program", 2, 0)
    (event,) = found.events
    assert (event["kind"], event["booked_as"]) == ("deposit", "itself")
    assert event["door"] == "settlement.deposits"
    assert [(one["debit"], one["credit"], one["amount"]) for one in entries_of(event)] == [
        ("chain:till", history.user, 5)
    ]
    assert list(found.incidents) == []
    json.dumps(found.as_json())


async def test_what_does_not_add_up_is_explained_with_its_incident(
    history: Desk, finance: Pool
) -> None:
    async with reading(finance) as conn:
        found = await explain(conn, None, signature(5))
    assert [vault["explained"] for vault in found.vaults] == [False]
    assert [(row["kind"], row["instruction"]) for row in found.movements] == [("unexplained", None)]
    kinds = {row["kind"] for row in found.incidents}
    assert kinds == {"movements do not add up", "unknown instruction of our program"}
    booked = {str(row["kind"]): entries_of(row) for row in found.events}
    assert booked["unrecognized"] == []
    assert [one["credit"] for one in booked["quarantined"]] == ["quarantine"]


async def test_each_half_of_money_between_vaults_is_shown_once(
    history: Desk, finance: Pool
) -> None:
    async with reading(finance) as conn:
        found = await explain(conn, None, signature(7))
    assert [len(entries_of(row)) for row in found.events] == [1, 1]


async def test_a_signature_nobody_has_met_says_what_to_do(history: Desk, finance: Pool) -> None:
    async with reading(finance) as conn:
        with pytest.raises(SignatureUnknown, match="pod index status"):
            await explain(conn, None, signature(99))
        with pytest.raises(NotASignature):
            await explain(conn, None, "nonsense")
    answered = await typed("explain", signature(99), dsn=history.database.dsn, noun="index")
    assert (answered.code, answered.out) == (1, "")
    assert "pod index status" in answered.err


async def test_explain_as_it_is_typed(history: Desk) -> None:
    dsn = history.database.dsn
    answered = await typed("explain", signature(0), dsn=dsn, noun="index")
    assert answered.code == 0
    assert f"debit chain:till, credit {history.user}, 0.000005 USDC" in answered.out
    assert "by token program at depth 2: instruction 0, call 0 inside it" in answered.out
    answered = await typed("explain", signature(0), "--json", dsn=dsn, noun="index")
    assert json.loads(answered.out)["events"][0]["kind"] == "deposit"


async def test_what_is_still_to_be_booked_is_explained_as_far_as_it_is(
    desk: Desk, finance: Pool
) -> None:
    node = FakeNode(missing={signature(1)})
    node.add(answer(deposit(desk.user_code, 5), till=5, signature=signature(1)))
    await follower(node, desk.pool, desk.writer).round()
    async with reading(finance) as conn:
        found = await explain(conn, None, signature(1))
    assert (found.state, found.decoder_version, list(found.events)) == ("wanted", None, [])


def test_every_kind_of_event_has_a_door() -> None:
    assert DOORS.keys() == {snake_case(kind.__name__) for kind in get_args(Event)}
