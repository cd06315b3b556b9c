"""What the database refuses of cranks, whoever asks and whatever the code does."""

from itertools import product

import asyncpg
import pytest

from settlement.cranks.states import TRANSITIONS, CrankState
from tests.database.cranks.conftest import Bonds

REFUSED_BY_GUARD = "PL010"


async def test_the_database_has_the_table_of_states(bonds: Bonds) -> None:
    rows = await bonds.world.superuser("select * from settlement.crank_transition")
    stored = {(row["from_state"], row["to_state"]) for row in rows}
    ours = {(state, after) for (state, _), after in TRANSITIONS.items() if state != after}
    assert stored == ours


async def test_every_pair_of_states(bonds: Bonds) -> None:
    await signed(bonds)
    await bonds.crank()
    await bonds.index()
    reference = bonds.chain.steps[0][0].reference
    allowed = {(state, after) for (state, _), after in TRANSITIONS.items()}
    connection = await asyncpg.connect(bonds.world.dsn)
    fields = (
        f"state = %s, outcome_reference = case when %s = 'done' then '{reference}' end,"
        " closed_at = case when %s in ('done', 'overtaken') then now() end"
    )
    try:
        for start, end in product(CrankState, CrankState):
            test = connection.transaction()
            await test.start()
            try:
                await connection.execute("set local session_replication_role = replica")
                await connection.execute(
                    "update settlement.crank set " + fields.replace("%s", f"'{start}'")
                )
                await connection.execute("set local session_replication_role = origin")
                refused = False
                try:
                    await connection.execute(
                        "update settlement.crank set " + fields.replace("%s", f"'{end}'")
                    )
                except asyncpg.PostgresError as error:
                    refused = error.sqlstate == REFUSED_BY_GUARD
                assert refused == (start != end and (start, end) not in allowed), (start, end)
            finally:
                await test.rollback()
    finally:
        await connection.close()


async def signed(bonds: Bonds) -> None:
    """One crank with a signature, not sent yet."""
    await bonds.post()
    bonds.chain.now += 10
    await bonds.crank()
    await bonds.sign()


async def test_nobody_but_the_indexer_makes_it_done(bonds: Bonds) -> None:
    await signed(bonds)
    other = await bonds.post()
    (posted,) = await bonds.world.superuser(
        f"select external_ref from settlement.bond_event where address = '{other}'"
        " and event = 'posted'"
    )
    for reference in ("chain:fake:made-up:0:-1:0", posted["external_ref"]):
        with pytest.raises(asyncpg.PostgresError) as failed:
            async with bonds.world.worker.acquire() as connection:
                await connection.execute(
                    "update settlement.crank set state = 'done', closed_at = now(),"
                    " outcome_reference = $1",
                    reference,
                )
        assert failed.value.sqlstate == REFUSED_BY_GUARD


async def test_what_it_is_for_and_what_was_signed_do_not_change(bonds: Bonds) -> None:
    await signed(bonds)
    changes = [
        "crank set kind = 'lapse'",
        "crank set due_at = now()",
        "crank set opened_at = now()",
        "crank_attempt set message = 'x'",
        "crank_attempt set wire = 'x'",
        "crank_attempt set signature = 'x'",
        "crank_attempt set last_valid_height = 7",
    ]
    for change in changes:
        with pytest.raises(asyncpg.PostgresError) as failed:
            await bonds.world.superuser(f"update settlement.{change}")
        assert failed.value.sqlstate == REFUSED_BY_GUARD, change
    for table in ("crank", "crank_attempt"):
        with pytest.raises(asyncpg.PostgresError):
            await bonds.world.superuser(f"delete from settlement.{table}")


REFUSALS = {
    "coordinator": [
        "insert into settlement.crank (crank_id, kind, address, due_at, opened_at)"
        " select gen_random_uuid(), 'release', address, now(), now() from settlement.bond",
        "update settlement.crank set state = 'waiting'",
    ],
    "indexer": ["update settlement.crank set retry_at = now()"],
    "worker": [
        "update settlement.crank_attempt set wire = 'x'",
        "update settlement.crank_attempt set signature = 'x'",
        "update settlement.crank_attempt set refusal = null",
        "update settlement.crank set address = address",
        "delete from settlement.crank_attempt",
    ],
    "signer": [
        "update settlement.crank_attempt set message = 'x'",
        "update settlement.crank_attempt set sends = 1",
        "update settlement.crank set outcome_reference = 'x'",
        "insert into settlement.crank_attempt (crank_id, attempt, creates_account, message,"
        " last_valid_height, built_at) select crank_id, 9, false, 'x', 1, now()"
        " from settlement.crank",
        "update settlement.bond set state = 'retiring'",
    ],
}


@pytest.mark.parametrize(
    ("role", "statement"), [(role, one) for role, many in REFUSALS.items() for one in many]
)
async def test_a_role_has_no_more_than_it_needs(bonds: Bonds, role: str, statement: str) -> None:
    await signed(bonds)
    pool = getattr(bonds.world, role)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool.execute(statement)
