"""What the database refuses, whoever asks and whatever the code does."""

from itertools import product

import asyncpg
import pytest

from settlement.db.pool import Pool, transaction
from settlement.payouts.states import TRANSITIONS, PayoutState
from tests.database.payouts.world import USDC, World

REFUSED_BY_GUARD = "PL010"


async def test_the_database_has_the_table_of_states(world: World) -> None:
    rows = await world.superuser("select * from settlement.payout_transition")
    stored = {(row["from_state"], row["to_state"]) for row in rows}
    ours = {(state, after) for (state, _), after in TRANSITIONS.items() if state != after}
    assert stored == ours


async def test_every_pair_of_states(world: World) -> None:
    """A pair outside the table is refused by the guard; one inside it never is."""
    operator = await world.operator()
    await world.withdraw(operator, 10 * USDC)
    allowed = {(state, after) for (state, _), after in TRANSITIONS.items()}
    connection = await asyncpg.connect(world.dsn)
    numbered = "sequence = 5, destination_account = 'x'"
    ended = "outcome_reference = 'r', outcome_slot = 1"
    try:
        for start, end in product(PayoutState, PayoutState):
            extra = {
                PayoutState.CANCELLED: ", cancel_reason = 'r'",
                **dict.fromkeys(
                    (PayoutState.NUMBERED, PayoutState.SIGNED, PayoutState.SENT),
                    f", {numbered}",
                ),
                **dict.fromkeys((PayoutState.PAID, PayoutState.SKIPPED), f", {numbered}, {ended}"),
            }.get(start, "")
            test = connection.transaction()
            await test.start()
            try:
                await connection.execute("set local session_replication_role = replica")
                await connection.execute(f"update settlement.payout set state = '{start}'{extra}")
                await connection.execute("set local session_replication_role = origin")
                refused = False
                try:
                    await connection.execute("update settlement.payout set state = $1", end)
                except asyncpg.PostgresError as error:
                    refused = error.sqlstate == REFUSED_BY_GUARD
                assert refused == (start != end and (start, end) not in allowed), (start, end)
            finally:
                await test.rollback()
    finally:
        await connection.close()


PROMISES = [
    "amount = amount + 1",
    "destination = account",
    "reference = sha256('x')::bytea",
    "code = 'Somebody'",
    "account = 'treasury'",
    "provider_id = gen_random_uuid()",
    "kind = 'fund_bond'",
    "sequence = 9",
    "needs_approval = true",
    "requested_at = now()",
    "user_id = gen_random_uuid(), provider_id = null",
    "destination_kind = 'token_account'",
    "not_before = now(), delay_reason = 'x'",
    "idempotency_key = 'x'",
]


async def test_what_was_promised_does_not_change(world: World) -> None:
    operator = await world.operator()
    await world.withdraw(operator, 10 * USDC)
    await world.number()
    for change in PROMISES:
        with pytest.raises(asyncpg.PostgresError) as failed:
            await world.superuser(f"update settlement.payout set {change}")
        assert failed.value.sqlstate == REFUSED_BY_GUARD, change


async def test_signed_bytes_are_never_replaced(world: World) -> None:
    operator = await world.operator()
    asked = await world.withdraw(operator, 10 * USDC)
    await world.number()
    await world.build()
    await world.sign()
    changes = [
        *(("message", f"{column} = 'x'") for column in ("wire", "signature", "message", "payer")),
        ("message", "members = 2"),
        ("attempt", "action = 'skip'"),
        ("attempt", "position = 1"),
    ]
    for table, change in changes:
        with pytest.raises(asyncpg.PostgresError) as failed:
            await world.superuser(f"update settlement.payout_{table} set {change}")
        assert failed.value.sqlstate == REFUSED_BY_GUARD, change
    await world.finish(asked.withdrawal_id)
    for statement in (
        "update settlement.payout_message set sends = 9",
        "update settlement.payout_attempt set closed_at = now()",
        "update settlement.payout set skip_reason = 'x'",
    ):
        with pytest.raises(asyncpg.PostgresError) as failed:
            await world.superuser(statement)
        assert failed.value.sqlstate == REFUSED_BY_GUARD, statement


async def test_nothing_is_deleted(world: World) -> None:
    for table in (
        *("payout", "payout_attempt", "payout_message", "payout_counter", "payout_halt"),
        "frontier",
    ):
        with pytest.raises(asyncpg.PostgresError) as failed:
            await world.superuser(f"delete from settlement.{table}")
        assert failed.value.sqlstate == "PL003", table


async def may(pool: Pool, statement: str) -> bool:
    """Whether a role has the right to do this (it may fail for other reasons)."""
    try:
        async with transaction(pool) as tx:
            await tx.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return False
    except asyncpg.PostgresError:
        return True
    return True


RIGHTS = [
    ("update settlement.payout set outcome_reference = 'x', outcome_slot = 1", "indexer"),
    ("update settlement.payout set skip_reason = 'x'", "indexer worker"),
    ("update settlement.payout set approved_by = 'x'", "finance"),
    ("update settlement.payout set refused_by = 'x'", "worker"),
    (
        "insert into settlement.payout_approval (payout_id, approved_by, approved_at)"
        " values (gen_random_uuid(), 'x', now())",
        "finance",
    ),
    (
        "insert into settlement.payout_approval (payout_id, approved_by, approved_at, login)"
        " values (gen_random_uuid(), 'x', now(), 'somebody else')",
        "",
    ),
    (
        "insert into settlement.payout_gate (era, reason, dead_above_height)"
        " values (1, 'restored', 1)",
        "worker",
    ),
    ("update settlement.payout_gate set passed_at = now(), next_number = 1", "worker"),
    ("update settlement.payout_gate set dead_above_height = 1", ""),
    ("select * from settlement.payout_gate", "coordinator finance indexer worker signer"),
    ("update settlement.payout_message set signature = 'x'", "signer"),
    ("update settlement.payout_message set sends = 1, problem = 'x', rejected = true", "worker"),
    ("update settlement.payout_message set confirmed_at = now()", "worker"),
    ("update settlement.payout_message set closed_at = now(), ended = 'x'", "indexer worker"),
    ("update settlement.payout_message set cost_lamports = 1", ""),
    ("update settlement.payout_attempt set closed_at = now()", "indexer worker"),
    ("update settlement.payout set amount = 1", ""),
    ("update settlement.payout_message set message = 'x'", ""),
    ("update settlement.payout_attempt set message_id = 1", ""),
    ("delete from settlement.payout", ""),
    ("insert into settlement.frontier (cluster, address, slot) values ('a','b',1)", "indexer"),
    ("update settlement.frontier set slot = slot + 1", "indexer"),
    (
        "insert into settlement.payout_halt (reason, detail) values ('x', 'y')",
        "indexer worker",
    ),
    ("update settlement.payout_halt set lifted_at = now(), lifted_by = 'x'", "worker"),
    ("update settlement.payout_counter set next_sequence = 1", "indexer worker"),
    ("insert into settlement.payout_number_gone values (1, 'paid', 'x')", "indexer"),
    ("select * from settlement.payout", "coordinator indexer worker signer finance"),
    ("select * from settlement.payout_counter", "indexer worker finance"),
    ("select * from settlement.operator", "coordinator indexer worker finance"),
    ("select * from settlement.reconcile_run", "coordinator indexer worker finance"),
]


async def test_who_may_do_what(world: World) -> None:
    pools = {
        "coordinator": world.coordinator,
        "indexer": world.indexer,
        "worker": world.worker,
        "signer": world.signer,
        "finance": world.finance,
    }
    for statement, who in RIGHTS:
        allowed = {name for name, pool in pools.items() if await may(pool, statement)}
        assert allowed == set(who.split()), statement
