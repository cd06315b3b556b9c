"""A bond from the chain's events: what counts, what it is worth, and who may work."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from settlement import deposits
from settlement.bonds import lifecycle, seizure
from settlement.bonds.lifecycle import (
    BondConflict,
    BondHandedOver,
    BondPosted,
    BondReleased,
    BondRetireCancelled,
    BondRetired,
    BondSeized,
    BondStanding,
    BondUnknown,
    Standing,
)
from settlement.bonds.rules import SeizureStep, UnexpectedBondEvent
from settlement.bonds.seizure import SeizureStepConflict, StepSeen
from settlement.chain.movement import Vault
from settlement.db.pool import Pool, Tx, open_pool, reading, transaction
from settlement.ledger import accounts, postings, store
from settlement.ledger.operations import HoldPurpose, Operation
from settlement.money import MicroUsdc
from tests import factories
from tests.database.conftest import Books

BOND = MicroUsdc(50_000_000)
RELEASE_AT = factories.NOW + timedelta(days=90)
Fact = (
    BondPosted
    | BondRetired
    | BondReleased
    | BondRetireCancelled
    | BondHandedOver
    | BondSeized
    | StepSeen
)


class World:
    """An enrolled operator and the indexer's own connections."""

    def __init__(self, books: Books, pool: Pool, writer: store.Writer) -> None:
        self.books = books
        self.pool = pool
        self.writer = writer
        self.provider_id = uuid4()
        self.wallet = factories.wallet()
        self.code = ""

    def posted(self, *, beneficiary: str | None = None, code: bytes | None = None) -> BondPosted:
        """The operator's bond, posted on chain."""
        return BondPosted(
            key=factories.movement(),
            moment=factories.moment(),
            address=factories.bond_address(),
            code=code or self.code.encode(),
            beneficiary=beneficiary or self.wallet,
            amount_microusdc=BOND,
            rent_payer=self.wallet,
            cooldown_seconds=7_776_000,
        )

    async def see(self, fact: Fact) -> list[str]:
        """Take in one fact and book it, in one transaction."""
        async with transaction(self.pool) as tx:
            operations = await self._operations(tx, fact)
            outcomes = await store.apply(tx, self.writer, operations)
        return [outcome.code.value for outcome in outcomes]

    async def _operations(self, tx: Tx, fact: Fact) -> list[Operation]:
        match fact:
            case BondPosted():
                return await lifecycle.posted(tx, fact)
            case BondRetired():
                return await lifecycle.retired(tx, fact)
            case BondReleased():
                return await lifecycle.released(tx, fact)
            case BondRetireCancelled():
                return await lifecycle.retire_cancelled(tx, fact)
            case BondHandedOver():
                return await lifecycle.handed_over(tx, fact)
            case BondSeized():
                return await lifecycle.seized(tx, fact)
            case StepSeen():
                await seizure.stepped(tx, fact)
                return []

    async def standing(self, provider_id: UUID | None = None) -> BondStanding:
        async with reading(self.pool) as conn:
            return await lifecycle.standing(conn, provider_id or self.provider_id)

    async def active(self) -> bool:
        async with reading(self.pool) as conn:
            return self.provider_id in await lifecycle.active_providers(conn)


@pytest.fixture
async def world(books: Books) -> AsyncIterator[World]:
    pool = await open_pool(books.database.dsn, role="pod_indexer", application="indexer")
    made = World(books, pool, await store.open_writer(pool, "indexer"))
    async with transaction(books.pool) as tx:
        made.code = await deposits.enroll_operator(tx, made.provider_id, made.wallet)
    yield made
    await pool.close()


def retired(bond: BondPosted) -> BondRetired:
    return BondRetired(
        key=factories.movement(),
        moment=factories.moment(200),
        address=bond.address,
        release_at=RELEASE_AT,
    )


def released(bond: BondPosted) -> BondReleased:
    return BondReleased(
        key=factories.movement(),
        moment=factories.moment(300),
        address=bond.address,
        amount_microusdc=BOND,
        destination=bond.beneficiary,
    )


def cancelled(bond: BondPosted) -> BondRetireCancelled:
    return BondRetireCancelled(
        key=factories.movement(), moment=factories.moment(250), address=bond.address
    )


def handed_over(bond: BondPosted, beneficiary: str, slot: int = 260) -> BondHandedOver:
    return BondHandedOver(
        key=factories.movement(),
        moment=factories.moment(slot),
        address=bond.address,
        beneficiary=beneficiary,
    )


def proposed(bond: BondPosted) -> StepSeen:
    return StepSeen(
        key=factories.movement(),
        moment=factories.moment(270),
        address=bond.address,
        step=SeizureStep.PROPOSED,
        signer=factories.wallet(),
        evidence_hash=b"e" * 32,
        reason=7,
    )


def seized(bond: BondPosted) -> BondSeized:
    return BondSeized(
        key=factories.movement(),
        moment=factories.moment(300),
        address=bond.address,
        amount_microusdc=BOND,
    )


async def test_a_bonds_whole_life(world: World) -> None:
    bond, account = world.posted(), accounts.bond(world.provider_id)
    assert (await world.standing()).state is Standing.NONE
    assert await world.see(bond) == ["applied"]
    assert await world.standing() == BondStanding(
        state=Standing.POSTED,
        amount_microusdc=BOND,
        pending_microusdc=MicroUsdc(0),
        address=bond.address,
        release_at=None,
    )
    assert await world.active()
    assert (await world.books.balance(account)).net_microusdc == BOND

    assert await world.see(retired(bond)) == []
    standing = await world.standing()
    assert (standing.state, standing.release_at) == (Standing.RETIRING, RELEASE_AT)
    assert not await world.active()

    assert await world.see(released(bond)) == ["applied"]
    assert (await world.standing()).state is Standing.RELEASED
    assert not await world.active()
    assert (await world.books.balance(account)).net_microusdc == 0
    assert (await world.books.balance(accounts.chain_vault(Vault.BOND))).net_microusdc == 0


async def test_the_same_fact_again_changes_nothing(world: World) -> None:
    bond = world.posted()
    end, back = retired(bond), released(bond)
    for fact, first in ((bond, ["applied"]), (end, []), (back, ["applied"])):
        assert await world.see(fact) == first
    assert await world.see(bond) == ["replayed"]
    assert await world.see(end) == []
    assert await world.see(back) == ["replayed"]
    assert (await world.standing()).state is Standing.RELEASED
    assert await world.books.fetchval("select count(*) from settlement.bond_event") == 3


@pytest.mark.parametrize("stranger", ["beneficiary", "code", "both"])
async def test_a_bond_that_is_not_the_enrolled_wallets_counts_for_nobody(
    world: World, stranger: str
) -> None:
    bond = world.posted(
        beneficiary=None if stranger == "code" else factories.wallet(),
        code=None if stranger == "beneficiary" else b"STRANGER",
    )
    assert await world.see(bond) == ["applied"]
    assert not await world.active()
    assert (await world.standing()).state is Standing.NONE
    account = accounts.bond_unenrolled(bond.address)
    assert (await world.books.balance(account)).net_microusdc == BOND
    await world.see(retired(bond))
    assert await world.see(released(bond)) == ["applied"]
    assert (await world.books.balance(account)).net_microusdc == 0


async def test_a_users_code_makes_no_bond(world: World) -> None:
    async with transaction(world.books.pool) as tx:
        code = await deposits.enroll_user(tx, uuid4())
    assert await world.see(world.posted(code=code)) == ["applied"]
    assert not await world.active()


async def test_what_the_chain_cannot_do_stops_the_line(world: World) -> None:
    bond = world.posted()
    with pytest.raises(BondUnknown):
        await world.see(retired(bond))
    await world.see(bond)
    with pytest.raises(UnexpectedBondEvent):
        await world.see(released(bond))
    with pytest.raises(BondConflict):
        await world.see(replace(world.posted(), address=bond.address))
    with pytest.raises(BondConflict):
        await world.see(replace(retired(bond), key=bond.key))
    assert (await world.standing()).state is Standing.POSTED


async def test_pending_bond_money_is_escrowed_from_the_till(world: World) -> None:
    pending, account = accounts.bond_pending(world.provider_id), accounts.bond(world.provider_id)
    await world.books.apply(factories.deposit(pending, BOND))
    standing = await world.standing()
    assert (standing.state, standing.pending_microusdc) == (Standing.PENDING, BOND)

    hold = factories.hold(pending, BOND, purpose=HoldPurpose.PAYOUT)
    await world.books.apply(hold)
    bond = world.posted()
    async with transaction(world.pool) as tx:
        credit = await lifecycle.record_funded(tx, bond)
        funded = postings.bond_funded(bond.key, bond.moment, pending, credit, BOND)
        capture = factories.Capture(hold_id=hold.hold_id, post=funded)
        (outcome,) = await store.apply(tx, world.writer, [capture])
    assert (credit, outcome.done) == (account, True)
    assert (await world.standing()).state is Standing.POSTED
    assert await world.active()
    assert (await world.books.balance(pending)).net_microusdc == 0
    assert (await world.books.balance(account)).net_microusdc == BOND
    assert (await world.books.balance(accounts.chain_vault(Vault.BOND))).net_microusdc == -BOND


async def test_everybody_who_listens_hears_of_a_change(world: World) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = await asyncpg.connect(world.books.database.dsn)

    def hear(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        heard.put_nowait(str(payload))

    await listener.add_listener("bond_changed", hear)
    bond, strangers = world.posted(), world.posted(beneficiary=factories.wallet())
    given = handed_over(bond, factories.wallet())
    back = handed_over(bond, world.wallet, slot=261)
    for fact in (strangers, handed_over(strangers, factories.wallet()), bond, retired(bond)):
        await world.see(fact)
    await world.see(given)
    await world.see(back)
    told = [await asyncio.wait_for(heard.get(), 10) for _ in range(4)]
    assert told == [str(world.provider_id)] * 4
    assert heard.empty()
    await listener.close()


async def test_every_other_fact_again_changes_nothing(world: World) -> None:
    bond, taken = world.posted(), world.posted()
    given = handed_over(bond, factories.wallet())
    facts: list[tuple[Fact, list[str]]] = [
        (bond, ["applied"]),
        (retired(bond), []),
        (cancelled(bond), []),
        (given, ["applied"]),
        (taken, ["applied"]),
        (proposed(taken), []),
        (seized(taken), ["applied"]),
    ]
    for fact, first in facts:
        assert await world.see(fact) == first
    stood = await rows_of(world)
    for fact, first in facts:
        # A hand-over is not asked of the books again: what it moved follows from the row.
        again = [] if fact is given else ["replayed" for _ in first]
        assert await world.see(fact) == again
    assert await rows_of(world) == stood
    assert (await world.books.balance(accounts.REFUND_POOL)).net_microusdc == BOND
    assert (await world.books.balance(accounts.bond(world.provider_id))).net_microusdc == 0


async def rows_of(world: World) -> object:
    return await world.books.fetchval(
        "select array_agg(t order by t) from (select b::text from settlement.bond b union all"
        " select e::text from settlement.bond_event e union all"
        " select s::text from settlement.seizure_step s) as x (t)"
    )


async def test_a_name_stands_for_one_step_of_one_bond(world: World) -> None:
    bond = world.posted()
    step = proposed(bond)
    await world.see(bond)
    await world.see(step)
    for other in (
        replace(step, step=SeizureStep.LAPSED),
        replace(step, address=factories.bond_address()),
    ):
        with pytest.raises(SeizureStepConflict):
            await world.see(other)
    with pytest.raises(BondConflict):
        await world.see(replace(cancelled(bond), key=bond.key))
    with pytest.raises(BondConflict):
        await world.see(replace(seized(bond), key=bond.key))
    with pytest.raises(BondConflict):
        await world.see(replace(handed_over(bond, world.wallet), key=bond.key))


@pytest.mark.parametrize("end", [released, seized])
async def test_nothing_happens_to_a_bond_that_is_over(
    world: World, end: Callable[[BondPosted], Fact]
) -> None:
    bond = world.posted()
    for fact in (bond, retired(bond), end(bond)):
        await world.see(fact)
    for late in (
        cancelled(bond),
        handed_over(bond, factories.wallet()),
        seized(bond),
        released(bond),
        retired(bond),
    ):
        with pytest.raises(UnexpectedBondEvent):
            await world.see(late)


@pytest.mark.parametrize("make", [cancelled, seized, released, retired])
async def test_a_bond_nobody_knows(world: World, make: Callable[[BondPosted], Fact]) -> None:
    with pytest.raises(BondUnknown):
        await world.see(make(world.posted()))
    with pytest.raises(BondUnknown):
        await world.see(handed_over(world.posted(), world.wallet))
    await world.see(proposed(world.posted()))  # kept until its bond is read


async def test_a_bond_is_never_forgotten_and_only_its_state_moves(world: World) -> None:
    await world.see(world.posted())
    for statement in ("delete from settlement.bond", "update settlement.bond_event set slot = 1"):
        with pytest.raises(asyncpg.PostgresError):
            await world.books.execute(statement)
    for statement in (
        "update settlement.bond set amount = 1",
        "update settlement.bond set code = 'STRANGER'",
        "update settlement.bond set first_beneficiary = beneficiary",
        "delete from settlement.bond_event",
        "update settlement.seizure_step set step = 'lapsed'",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await world.books.execute(statement, role="pod_indexer")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await world.books.execute(
            "update settlement.bond set state = 'posted'", role="pod_coordinator"
        )
