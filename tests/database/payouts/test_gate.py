"""Books that came back from a backup: nobody is paid twice for what they have forgotten."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from localnet import postgres
from settlement.db.pool import reading, transaction
from settlement.ledger import store
from settlement.money import Lamports
from settlement.payouts import decide
from settlement.payouts.halt import lift
from settlement.payouts.rounds import Round, Rounds
from settlement.payouts.store import PastUnknown
from settlement.withdrawals import Withdrawal, WithdrawalStatus, cancel
from tests.conftest import Database
from tests.database.ledger_drills.test_restored import Restorable
from tests.database.payouts.world import USDC, Operator, World, open_world

RESTORED = "the gate before numbers has closed: restored"


class Books:
    """A world whose database can go back to where it was, while its chain does not."""

    def __init__(self, restorable: Restorable, world: World) -> None:
        self.restorable = restorable
        self.world = world

    async def back_up(self) -> None:
        await self.restorable.back_up()

    async def restore(self, *, said: bool = True) -> None:
        """Yesterday's books, and yesterday's cursor; every process starts again."""
        taken = self.taken
        await self.restorable.restore()
        self.world.taken = taken
        if said:
            await store.begin_era(self.world.worker, actor="Ada", reason="the disk is gone")
        for name in self.world.writers:
            pool = {"settlement": self.world.worker}.get(name) or getattr(self.world, name)
            self.world.writers[name] = await store.open_writer(pool, name)

    taken = 0

    async def rounds(self) -> Round:
        """One round of a worker that has just started."""
        return await Rounds(self.world.road(), lowest_payer_lamports=Lamports(0)).once()

    async def read_up_to(self, slot: int) -> None:
        """The indexer has read everything up to a slot."""
        deployment = self.world.deployment
        async with transaction(self.world.indexer) as tx:
            for address in (deployment.till_vault, deployment.payouts, deployment.program_id):
                await tx.execute(
                    "insert into settlement.frontier (cluster, address, slot)"
                    " values ('fake', $1, $2) on conflict (cluster, address)"
                    " do update set slot = excluded.slot",
                    str(address),
                    slot,
                )

    async def through_the_gate(self) -> None:
        """Blockhashes die, the indexer reads, the gate opens."""
        self.world.chain.pass_blocks(400)
        assert (await self.rounds()).gate_closed
        await self.world.index()
        await self.read_up_to(self.world.chain.height + 1)
        found = await self.rounds()
        assert not found.gate_closed, found.blocked

    async def lift(self) -> tuple[str, ...]:
        async with transaction(self.world.worker) as tx:
            return await lift(tx, by="Ada")


@pytest.fixture
async def books(database: Database, postgres_cluster: postgres.Cluster) -> AsyncIterator[Books]:
    admin = await asyncpg.connect(postgres_cluster.dsn())
    restorable = Restorable(admin=admin, database=database)
    async with open_world(database.dsn) as world:
        yield Books(restorable, world)
    await restorable.forget()
    await admin.close()


async def ends(world: World, asked: Withdrawal, status: WithdrawalStatus) -> None:
    assert (await world.finish(asked.withdrawal_id)).status is status


async def test_what_was_paid_after_the_backup_is_not_paid_again(books: Books) -> None:
    """The payout had no number in the backup, and was paid under one that the books forgot."""
    world = books.world
    operator = await world.operator()
    asked = await world.withdraw(operator, 30 * USDC)
    await books.back_up()
    await world.round()
    assert world.received(operator.wallet) == 30 * USDC
    await books.restore()
    assert (await books.rounds()).blocked == (RESTORED,)
    await books.through_the_gate()
    done = await world.status(asked)
    assert (done.status, done.sequence) == (WithdrawalStatus.FINAL, 0)
    assert await world.balance(f"host:{operator.provider_id}") == (70 * USDC, 0)
    await world.round()
    assert world.received(operator.wallet) == 30 * USDC
    async with reading(world.worker) as conn:
        assert await conn.fetchval("select count(*) from settlement.payout_halt") == 0


async def test_what_may_have_been_paid_is_not_taken_back(books: Books) -> None:
    """Cancelled or refused now, it would have been paid and given back."""
    world = books.world
    operator = await world.operator()
    asked = await world.withdraw(operator, 30 * USDC)
    await books.back_up()
    await world.round()
    await books.restore()
    for closed in (False, True):  # before any worker has looked, and after
        if closed:
            assert (await books.rounds()).gate_closed
        async with transaction(world.coordinator) as tx:
            with pytest.raises(PastUnknown):
                await cancel(tx, asked.withdrawal_id, owner_id=operator.provider_id, reason="tired")
        async with transaction(world.finance) as tx:
            with pytest.raises(PastUnknown):
                await decide.refuse(tx, asked.withdrawal_id, by="Ada", reason="no")
        async with transaction(world.coordinator) as tx:
            with pytest.raises(asyncpg.PostgresError, match="the gate before numbers is closed"):
                await tx.execute(
                    "update settlement.payout set state = 'cancelled', cancel_reason = 'raw'"
                )
    assert await world.balance(f"host:{operator.provider_id}") == (100 * USDC, 30 * USDC)
    await books.through_the_gate()
    assert (await world.status(asked)).status is WithdrawalStatus.FINAL


async def test_what_was_on_its_way_lands_before_the_gate_opens(books: Books) -> None:
    """Signed and sent after the backup, and the network takes its time."""
    world = books.world
    first, second = await world.operator(), await world.operator()
    a, b = [await world.withdraw(each, 30 * USDC) for each in (first, second)]
    await books.back_up()
    world.chain.hold_sends = True
    await world.round()
    await books.restore()
    assert (await books.rounds()).gate_closed
    assert (await books.rounds()).numbered == 0
    world.chain.let_go()  # both land now, under numbers that the books do not know
    await books.through_the_gate()
    for operator, asked in ((first, a), (second, b)):
        assert (await world.status(asked)).status is WithdrawalStatus.FINAL
        await world.round()
        assert world.received(operator.wallet) == 30 * USDC


async def test_what_died_on_its_way_is_paid_under_the_number_it_had(books: Books) -> None:
    world = books.world
    operator = await world.operator()
    asked = await world.withdraw(operator, 30 * USDC)
    await books.back_up()
    world.chain.lose_sends = 1
    await world.round()
    await books.restore()
    assert (await books.rounds()).gate_closed
    await books.through_the_gate()
    await ends(world, asked, WithdrawalStatus.FINAL)
    assert world.received(operator.wallet) == 30 * USDC
    assert world.chain.used == {0}


async def test_a_payout_the_books_forgot_altogether_is_booked_by_its_code(books: Books) -> None:
    world = books.world
    operator = await world.operator()
    await books.back_up()
    await world.withdraw(operator, 30 * USDC)
    await world.round()
    await books.restore()
    later = await world.withdraw(operator, 5 * USDC)
    assert (await books.rounds()).gate_closed
    world.chain.pass_blocks(400)
    assert (await books.rounds()).gate_closed
    await world.index()
    await books.read_up_to(world.chain.height + 1)
    assert await world.balance(f"host:{operator.provider_id}") == (70 * USDC, 5 * USDC)
    assert await books.lift() == ("unexpected_payment",)
    assert (await books.rounds()).numbered == 1
    await ends(world, later, WithdrawalStatus.FINAL)
    assert world.chain.paid == {0, 1}
    assert (await world.status(later)).sequence == 1


async def test_each_thing_is_waited_for(books: Books) -> None:
    world = books.world
    await world.withdraw(await world.operator(), 30 * USDC)
    await store.begin_era(world.worker, actor="Ada", reason="test")
    world.writers["coordinator"] = await store.open_writer(world.coordinator, "coordinator")
    world.writers["indexer"] = await store.open_writer(world.indexer, "indexer")
    world.writers["settlement"] = await store.open_writer(world.worker, "settlement")
    assert (await books.rounds()).blocked == (RESTORED,)
    told = (await books.rounds()).blocked[0]
    assert "blockhashes of before live up to height" in told
    world.chain.pass_blocks(400)
    await books.rounds()
    assert "is not read up to slot" in (await books.rounds()).blocked[0]
    safe = world.chain.height
    await books.read_up_to(100)
    assert (await books.rounds()).gate_closed, "read, but not far enough"
    await books.read_up_to(safe)
    assert (await books.rounds()).numbered == 1
    (row,) = await world.superuser("select * from settlement.payout_gate")
    assert (row["era"], row["reason"], row["next_number"]) == (2, "restored", 0)


async def test_a_restore_that_nobody_told_of_is_noticed_by_the_numbers(books: Books) -> None:
    world = books.world
    operator = await world.operator()
    asked = await world.withdraw(operator, 30 * USDC)
    await books.back_up()
    await world.round()
    await books.restore(said=False)
    assert (await books.rounds()).blocked == (
        "the gate before numbers has closed: unknown numbers",
    )
    await books.through_the_gate()
    assert (await world.status(asked)).status is WithdrawalStatus.FINAL
    assert world.received(operator.wallet) == 30 * USDC


async def test_a_number_that_an_admin_burned_is_waited_for_too(books: Books) -> None:
    world = books.world
    asked = await world.withdraw(await world.operator(), 30 * USDC)
    world.chain.burn(0)
    assert (await books.rounds()).gate_closed
    world.chain.pass_blocks(400)
    await books.rounds()
    await books.read_up_to(world.chain.height + 1)
    assert "the chain has used number 0" in (await books.rounds()).blocked[0]
    await world.index()
    assert (await books.rounds()).numbered == 1
    await ends(world, asked, WithdrawalStatus.FINAL)
    assert (await world.status(asked)).sequence == 1


async def test_the_database_numbers_nothing_while_the_gate_is_closed(books: Books) -> None:
    """Not even for a worker that knows of no gate."""
    world = books.world
    await world.withdraw(await world.operator(), 30 * USDC)
    await store.begin_era(world.worker, actor="Ada", reason="test")
    for _ in range(2):
        with pytest.raises(asyncpg.PostgresError) as failed:
            await world.number()
        assert failed.value.sqlstate == "PL010"
        assert (await books.rounds()).gate_closed


async def test_what_nobody_had_approved_by_then_cannot_be_approved_any_more(books: Books) -> None:
    world = books.world
    operator = await world.operator(earned=2_000 * USDC)
    asked = await world.withdraw(operator, 1_500 * USDC)
    await books.back_up()
    await approved(world, asked)
    await world.round()
    assert world.received(operator.wallet) == 1_500 * USDC
    await books.restore()
    assert (await books.rounds()).gate_closed
    await books.through_the_gate()
    assert (await world.status(asked)).status is WithdrawalStatus.CANCELLED
    (row,) = await world.superuser("select cancel_reason from settlement.payout")
    assert row["cancel_reason"] == "paid under number 0 before the books were restored"
    for fact in world.chain.seen:
        await world.take_in(fact)  # seen again: the same answers
    assert await world.balance(f"host:{operator.provider_id}") == (500 * USDC, 0)


async def approved(world: World, asked: Withdrawal) -> None:
    async with transaction(world.finance) as tx:
        await decide.approve(tx, asked.withdrawal_id, by="Ada", now=world.clock.now())


async def test_a_number_another_payout_has_by_now_is_not_its_own(books: Books) -> None:
    """Numbered before anybody knew of the restore, in another order: both are paid once."""
    world = books.world
    operators: list[Operator] = [await world.operator() for _ in range(2)]
    first, second = [await world.withdraw(each, 30 * USDC) for each in operators]
    await books.back_up()
    await world.superuser(
        "update settlement.payout set state = 'cancelled', cancel_reason = 'x'"
        f" where payout_id = '{first.withdrawal_id}'"
    )
    world.chain.hold_sends = True
    await world.round()
    await books.restore(said=False)
    # The lost message paid the second under number 0; the books give 0 to the first.
    await world.superuser(
        f"update settlement.payout set state = 'numbered', sequence = 0, destination_account = 'x'"
        f" where payout_id = '{first.withdrawal_id}'"
    )
    await world.superuser(
        f"insert into settlement.payout_counter values (true, '{world.deployment.program_id}', 1)"
    )
    world.chain.let_go()
    await world.index()
    assert (await world.status(second)).status is WithdrawalStatus.FINAL
    assert (await world.status(first)).status is WithdrawalStatus.APPROVED
    assert await books.lift() == ("unexpected_payment",)
    await ends(world, first, WithdrawalStatus.FINAL)
    for operator in operators:
        assert world.received(operator.wallet) == 30 * USDC
