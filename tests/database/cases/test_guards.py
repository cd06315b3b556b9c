"""What the database refuses about cases, whoever asks and whatever the code does."""

import asyncio
from collections.abc import AsyncGenerator
from itertools import product

import asyncpg
import pytest

from settlement.cases.reading import Case
from settlement.cases.states import TRANSITIONS, CaseState
from tests import factories
from tests.database.cases.world import BOND, World

GUARD, DENIED, CHECK, UNIQUE = "PL010", "42501", "23514", "23505"
ROLES = ("pod_coordinator", "pod_indexer", "pod_settlement", "pod_signer", "pod_finance")
TABLES = (
    "fraud_case",
    "case_file",
    "case_request",
    "case_list",
    "case_credit",
    "case_transition",
)


class Attacked:
    """A world with a case in it, and somebody who types SQL."""

    def __init__(
        self, world: World, case: Case, connection: "asyncpg.Connection[asyncpg.Record]"
    ) -> None:
        self.world = world
        self.case = case
        self.connection = connection

    async def sqlstate(
        self, statement: str, *arguments: object, role: str = "pod_settlement"
    ) -> str:
        """What the statement is refused with, or ""; it leaves nothing behind."""
        undone = self.connection.transaction()
        await undone.start()
        try:
            if role:
                await self.connection.execute(f"set local role {role}")
            await self.connection.execute(statement, *arguments)
        except asyncpg.PostgresError as error:
            return error.sqlstate or "?"
        finally:
            await undone.rollback()
        return ""


@pytest.fixture
async def attacked(world: World) -> AsyncGenerator[Attacked]:
    """A reviewed case of two requests whose bond was seized."""
    accused, alice = await world.operator(), await world.user()
    case = await world.reviewed(accused, await world.paid(alice, accused, 700, 300))
    await world.seize(case)
    connection = await asyncpg.connect(world.books.database.dsn)
    yield Attacked(world, case, connection)
    await connection.close()


async def test_the_database_has_the_table_of_states(attacked: Attacked) -> None:
    rows = await attacked.connection.fetch("select * from settlement.case_transition")
    stored = {(row["from_state"], row["to_state"]): row["by"] for row in rows}
    assert stored == {pair: mover.value for pair, mover in TRANSITIONS.items()}


async def test_no_state_is_skipped(world: World) -> None:
    """Nothing was proposed and no list is there: what is left to people is what the table says."""
    accused, alice = await world.operator(), await world.user()
    case = await world.reviewed(accused, await world.paid(alice, accused, 700))
    connection = await asyncpg.connect(world.books.database.dsn)
    ended = ", closed_at = now(), closed_by = 'x', close_note = 'x'"
    refusals = {CaseState.OPEN: ", reviewed_at = null, reviewed_by = null, review_note = null"
                ", review_accepts = null", CaseState.REFUSED: ", review_accepts = false",
                CaseState.CLOSED: ended}  # fmt: skip
    try:
        for start, end in product(CaseState, CaseState):
            undone = connection.transaction()
            await undone.start()
            try:
                await connection.execute("set local session_replication_role = replica")
                extra = refusals.get(start, "")
                await connection.execute(
                    f"update settlement.fraud_case set state = '{start}'{extra}"
                )
                await connection.execute("set local session_replication_role = origin")
                more = ended if end is CaseState.CLOSED and start is not end else ""
                allowed = start is end or (start, end) in {
                    (before, CaseState.CLOSED)
                    for before, after in TRANSITIONS
                    if after is CaseState.CLOSED
                }
                refused = ""
                try:
                    await connection.execute(f"update settlement.fraud_case set state = $1{more}",
                                             end.value)  # fmt: skip
                except asyncpg.PostgresError as error:
                    refused = error.sqlstate or "?"
                if start is CaseState.OPEN and end in (CaseState.REVIEWED, CaseState.REFUSED):
                    assert refused == CHECK, (start, end)  # nobody is named
                else:
                    assert refused == ("" if allowed else GUARD), (start, end)
            finally:
                await undone.rollback()
    finally:
        await connection.close()
    assert (await world.case(case)).state is CaseState.REVIEWED


async def test_what_the_chain_decided_is_not_typed(world: World) -> None:
    accused, alice = await world.operator(), await world.user()
    case = await world.reviewed(accused, await world.paid(alice, accused, 700))
    attacked = Attacked(world, case, await asyncpg.connect(world.books.database.dsn))
    for state in ("proposed", "contested", "upheld", "executed", "crediting"):
        move = f"update settlement.fraud_case set state = '{state}'"
        for role in ("pod_settlement", ""):
            assert await attacked.sqlstate(move, role=role) == GUARD, state
    assert await attacked.sqlstate(
        "insert into settlement.seizure_step (external_ref, address, step, slot, event_at)"
        " values ('x', $1, 'executed', 1, now())",
        case.bond,
    ) == DENIED  # fmt: skip
    await attacked.connection.close()


async def test_only_the_settlements_role_writes_cases(attacked: Attacked) -> None:
    for table, role in product(TABLES, ROLES):
        for statement in (
            f"delete from settlement.{table}",
            f"truncate settlement.{table} cascade",
            f"insert into settlement.{table} select * from settlement.{table}",
        ):
            refused = await attacked.sqlstate(statement, role=role)
            written_whole = statement.startswith("insert") and table in (
                "case_file",
                "case_request",
            )
            allowed = written_whole and role == "pod_settlement"
            assert refused == (GUARD if allowed else DENIED), (statement, role)
    for column in ("provider_id", "bond_address", "reason", "manifest", "evidence", "opened_by"):
        change = f"update settlement.fraud_case set {column} = {column}"
        assert await attacked.sqlstate(change) == DENIED
        if column in ("reason", "opened_by"):
            assert await attacked.sqlstate(
                f"update settlement.fraud_case set {column} = 'x'", role=""
            ) == GUARD  # fmt: skip
    for role in ("pod_indexer", "pod_signer"):
        assert await attacked.sqlstate("select * from settlement.case_list", role=role) == DENIED
    read = "select * from settlement.case_list"
    assert await attacked.sqlstate(read, role="pod_coordinator") == DENIED


async def test_who_said_what_does_not_change(attacked: Attacked) -> None:
    for change, refused in (
        ("reviewed_by = 'Eve'", GUARD),
        ("reviewed_by = opened_by", GUARD),
        ("review_accepts = false", GUARD),
        (
            "reviewed_at = null, reviewed_by = null, review_note = null, review_accepts = null",
            GUARD,
        ),
        ("closed_by = 'Eve'", CHECK),
    ):
        assert await attacked.sqlstate(f"update settlement.fraud_case set {change}") == refused
    world = attacked.world
    accused, alice = await world.operator(), await world.user()
    opened = await world.open(accused, await world.paid(alice, accused, 5))
    alone = (
        "update settlement.fraud_case set state = 'reviewed', reviewed_at = now(),"
        " reviewed_by = ' ANN ', review_note = 'x', review_accepts = true where case_id = $1"
    )
    assert await attacked.sqlstate(alone, opened.case_id) == CHECK
    assert await attacked.sqlstate(alone.replace(" ANN ", "Eve"), opened.case_id) == ""


async def test_what_belongs_to_a_case_came_with_it(attacked: Attacked) -> None:
    world, case = attacked.world, attacked.case
    later = "insert into settlement.case_file values ($1, 'later', 0, sha256(''), '')"
    assert await attacked.sqlstate(later, case.case_id) == GUARD
    request = "insert into settlement.case_request values ($1, $2, $3, 700, 700)"
    account = await world.books.fetchval("select min(user_account) from settlement.case_request")
    found = await attacked.sqlstate(request, case.case_id, factories.request_id(), account)
    assert found == GUARD
    # Also at once with a case: not another content, not another's request, not another price.
    new = (
        "with c as (insert into settlement.fraud_case (case_id, provider_id, bond_address,"
        " reason_code, reason, manifest, evidence, opened_at, opened_by)"
        " values (gen_random_uuid(), $1, null, 1, 'r', 'm', sha256('m'), now(), 'x')"
        " returning case_id) "
    )
    accused, alice = await world.operator(), await world.user()
    (theirs,) = await world.paid(alice, accused, 700)
    other = await world.operator()
    assert await attacked.sqlstate(f"{new} select 1", other.provider_id) == ""
    forged = new.replace("sha256('m')", "sha256('n')")
    assert await attacked.sqlstate(f"{forged} select 1", other.provider_id) == CHECK
    bond = new.replace("null, 1", "$2, 1")
    stolen = await attacked.sqlstate(f"{bond} select 1", other.provider_id, accused.bond)
    assert stolen == GUARD
    assert await attacked.sqlstate(
        "insert into settlement.case_file values ($1, 'x', 1, sha256('a'), 'b')", case.case_id
    ) in (CHECK, GUARD)  # fmt: skip
    connection = attacked.connection
    undone = connection.transaction()
    await undone.start()
    try:
        await connection.execute("set local role pod_settlement")
        case_id = await connection.fetchval(
            f"{new.replace(') select', ')')} select case_id from c", other.provider_id
        )
        with pytest.raises(asyncpg.PostgresError, match="was not paid like that"):
            await connection.execute(request, case_id, theirs, account)
    finally:
        await undone.rollback()


async def test_a_list_adds_up_before_it_is_approved(attacked: Attacked) -> None:
    world, case = attacked.world, attacked.case
    drawn = await world.draw(case)
    approve = (
        "update settlement.case_list set approved_at = now(), approved_by = 'Dan'"
        " where list_no = $1"
    )
    assert await attacked.sqlstate(approve, drawn.list_no) == ""
    own = approve.replace("Dan", "cleo ")
    assert await attacked.sqlstate(own, drawn.list_no) == CHECK
    for number, (losses, paid, seized, carried) in enumerate(
        [
            (1_000, 1_000, BOND + 1, 0),  # more than was seized
            (1_000, 1_000, BOND, 1),  # of nobody's case
            (2_000, 1_000, BOND, 0),  # not the sum of its lines
            (1_000, 999, BOND, 0),
        ],
        2,
    ):
        await world.books.execute(
            "insert into settlement.case_list (case_id, list_no, drawn_at, drawn_by, losses,"
            " credits, seized, carried, backing) values ($1, $2, now(), 'Cleo', $3, $4, $5, $6, 0)",
            *(case.case_id, number, losses, paid, seized, carried),
        )
        await world.books.execute(
            "insert into settlement.case_credit (case_id, list_no, request_id, loss, amount)"
            " select case_id, $1, request_id, loss, amount from settlement.case_credit"
            " where list_no = 1",
            number,
        )
        assert await attacked.sqlstate(approve, number) == GUARD, number
    for change in ("credits = 1", "drawn_by = 'Eve'"):
        assert await attacked.sqlstate(f"update settlement.case_list set {change}") == DENIED
        change_all = f"update settlement.case_list set {change}"
        assert await attacked.sqlstate(change_all, role="") == GUARD
    over = (
        "insert into settlement.case_list (case_id, list_no, drawn_at, drawn_by, losses, credits,"
        " seized, carried, backing) values ($1, 9, now(), 'Cleo', 5, 6, 7, 0, 0)"
    )
    assert await attacked.sqlstate(over, case.case_id) == CHECK


async def test_a_credit_is_settled_by_its_entry_only(attacked: Attacked) -> None:
    world, case = attacked.world, attacked.case
    settle = "update settlement.case_credit set settled_at = now(), credited = amount, txn_id = $1"
    await world.draw(case)
    entry = await world.books.fetchval("select txn_id from settlement.txn limit 1")
    assert await attacked.sqlstate(settle, entry) == GUARD  # nobody approved it
    await world.approve(case)
    assert await attacked.sqlstate(settle, entry) == GUARD  # another entry
    nothing = settle.replace("= amount", "= 0").replace("$1", "null")
    assert await attacked.sqlstate(nothing) == ""
    assert await attacked.sqlstate(settle.replace("$1", "null")) == CHECK
    again = "update settlement.case_list set approved_by = 'Eve'"
    assert await attacked.sqlstate(again) == GUARD
    second = await attacked.sqlstate(
        "insert into settlement.case_credit (case_id, list_no, request_id, loss, amount)"
        " select case_id, 1, request_id, 1, 1 from settlement.case_request"
    )
    assert second in (GUARD, UNIQUE)
    close = (
        "update settlement.fraud_case set state = 'closed', closed_at = now(), closed_by = 'x',"
        " close_note = 'x'"
    )
    assert await attacked.sqlstate(close) == GUARD
    await world.credit(case)
    assert await attacked.sqlstate(nothing) == GUARD
    assert await attacked.sqlstate(close) == ""


async def test_nothing_goes_out_before_the_treasurys_part_came_in(world: World) -> None:
    accused, alice = await world.operator(bond=10), await world.user()
    case = await world.reviewed(accused, await world.paid(alice, accused, 30))
    await world.seize(case, 10)
    await world.draw(case, backed=True)
    await world.approve(case, backing=20)
    connection = await asyncpg.connect(world.books.database.dsn)
    attacked = Attacked(world, case, connection)
    settle = "update settlement.case_credit set settled_at = now(), credited = 0"
    assert await attacked.sqlstate(settle) == GUARD
    foreign = "update settlement.case_list set backing_txn = (select txn_id from settlement.txn"
    assert await attacked.sqlstate(f"{foreign} limit 1)") == GUARD
    undone = connection.transaction()
    await undone.start()
    await connection.execute("set local session_replication_role = replica")
    await connection.execute(settle)
    await connection.execute("set local session_replication_role = origin")
    with pytest.raises(asyncpg.PostgresError, match="no way from crediting to closed"):
        await connection.execute(
            "update settlement.fraud_case set state = 'closed', closed_at = now(),"
            " closed_by = 'x', close_note = 'x'"
        )
    await undone.rollback()
    await connection.close()


async def test_two_approvals_of_one_operator_wait_for_each_other(world: World) -> None:
    """Each reads what is left only when the other is over."""
    accused, alice = await world.operator(bond=100), await world.user()
    first = await world.reviewed(accused, await world.paid(alice, accused, 40))
    await world.seize(first, 100)
    await world.close(first)
    others: list[Case] = []
    for _ in range(2):
        requests = await world.paid(alice, accused, 70)
        others.append(await world.review(await world.open(accused, requests, no_bond=True)))
        assert (await world.draw(others[-1])).funds.carried_microusdc == 70
    approve = (
        "update settlement.case_list set approved_at = now(), approved_by = 'Dan'"
        " where case_id = $1"
    )
    here, there, watching = [await asyncpg.connect(world.books.database.dsn) for _ in range(3)]
    waits = "select exists (select from pg_locks where locktype = 'advisory' and not granted)"
    async with here.transaction():
        await here.execute(approve, others[0].case_id)
        second = asyncio.create_task(there.execute(approve, others[1].case_id))
        while not second.done() and not await watching.fetchval(waits):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    with pytest.raises(asyncpg.PostgresError, match="cannot be approved"):
        await second
    for connection in (here, there, watching):
        await connection.close()
