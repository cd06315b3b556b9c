"""Operators with bonds, users who paid them, and a chain whose steps the books are told of."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

from settlement import deposits
from settlement.bonds import lifecycle, seizure
from settlement.bonds.lifecycle import BondPosted, BondReleased, BondRetired, BondSeized
from settlement.bonds.rules import SeizureStep, SeizureTimes
from settlement.bonds.seizure import StepSeen
from settlement.cases import crediting, lists, opening, reading
from settlement.cases.crediting import Credited
from settlement.cases.evidence import EvidenceFile, packed
from settlement.cases.lists import Credit, CreditList
from settlement.cases.opening import Opening
from settlement.cases.reading import Case
from settlement.db import pool as db
from settlement.db.pool import Pool, Tx, open_pool, transaction
from settlement.ledger import accounts, store
from settlement.ledger.operations import AccountName, Operation, Writer
from settlement.money import MicroUsdc
from tests import factories
from tests.database.conftest import Books

BOND = 50_000_000
OPENER, REVIEWER, DRAWER, APPROVER = "Ann", "Bob", "Cleo", "Dan"
TIMES = SeizureTimes(
    execute_after=factories.NOW + timedelta(days=7),
    decide_by=factories.NOW + timedelta(days=14),
    dies_at=factories.NOW + timedelta(days=21),
)


@dataclass(frozen=True, kw_only=True)
class Accused:
    """An operator, and the bond that was posted, if one was."""

    provider_id: UUID
    wallet: str
    code: str
    bond: str | None


@dataclass(kw_only=True)
class World:
    """Books, and everybody who has to do with a case."""

    books: Books
    finance: Pool  # of the settlement's role, as a person's command has it
    indexer: Pool
    indexing: Writer
    clock: factories.FixedClock = field(default_factory=factories.FixedClock)
    slot: int = 1_000

    async def operator(self, *, bond: int | None = BOND) -> Accused:
        """Enrolled, and with a bond of this many microunits."""
        wallet, provider_id = factories.wallet(), uuid4()
        async with transaction(self.books.pool) as tx:
            code = await deposits.enroll_operator(tx, provider_id, wallet)
            await store.open_account(tx, accounts.host(provider_id))
        accused = Accused(provider_id=provider_id, wallet=wallet, code=code, bond=None)
        if bond is None:
            return accused
        return await self.bonded(accused, bond)

    async def bonded(self, accused: Accused, amount: int = BOND) -> Accused:
        """The operator with another bond."""
        address = factories.bond_address()
        fact = BondPosted(
            key=factories.movement(),
            moment=factories.moment(self.later()),
            address=address,
            code=accused.code.encode(),
            beneficiary=accused.wallet,
            amount_microusdc=MicroUsdc(amount),
            rent_payer=accused.wallet,
            cooldown_seconds=7_776_000,
        )
        async with transaction(self.indexer) as tx:
            await self._book(tx, await lifecycle.posted(tx, fact))
        return Accused(
            provider_id=accused.provider_id,
            wallet=accused.wallet,
            code=accused.code,
            bond=address,
        )

    async def user(self, deposit: int = 100_000_000) -> AccountName:
        """A user with money."""
        name = accounts.user(uuid4())
        await self.books.open(name)
        await self.books.apply(factories.deposit(name, deposit))
        return name

    async def paid(self, user: AccountName, accused: Accused, *gross: int) -> list[UUID]:
        """Requests that the user paid the operator for."""
        host = accounts.host(accused.provider_id)
        charges = [
            factories.charge(factories.request_id(), user, host, each, hold_id=None)
            for each in gross
        ]
        assert set(await self.books.codes(*charges)) <= {"applied"}
        return [one.request_id for one in charges]

    async def open(
        self,
        accused: Accused,
        claims: Sequence[UUID] | Mapping[UUID, int | None],
        *,
        files: Sequence[EvidenceFile] | None = None,
        no_bond: bool | None = None,
        bond: str | None = None,
        actor: str = OPENER,
        reason: str = "answers of another model",
        reason_code: int = 3,
    ) -> Case:
        """A case about these requests; of each the whole price is claimed, or so much."""
        named = claims if isinstance(claims, Mapping) else dict.fromkeys(claims)
        said = Opening(
            provider_id=accused.provider_id,
            bond=bond,
            no_bond=accused.bond is None if no_bond is None else no_bond,
            reason_code=reason_code,
            reason=reason,
            files=[packed("log.txt", b"what happened", kept=True)] if files is None else files,
            claims={
                one: None if amount is None else MicroUsdc(amount) for one, amount in named.items()
            },
            actor=actor,
        )
        return await opening.open_case(self.finance, self.clock, said)

    async def review(self, case: Case, *, actor: str = REVIEWER, accepts: bool = True) -> Case:
        """A second person's word."""
        return await opening.review(
            self.finance, self.clock, case.case_id, actor=actor, note="looked", accepts=accepts
        )

    async def reviewed(self, accused: Accused, claims: Sequence[UUID]) -> Case:
        """A case that two people stand for."""
        return await self.review(await self.open(accused, claims))

    async def step(
        self,
        case: Case,
        step: SeizureStep,
        *,
        slot: int | None = None,
        evidence: bytes | None = None,
        times: SeizureTimes | None = TIMES,
    ) -> None:
        """The chain did this to the case's bond."""
        assert case.bond is not None
        proposed = step is SeizureStep.PROPOSED
        fact = StepSeen(
            key=factories.movement(),
            moment=factories.moment(slot or self.later()),
            address=case.bond,
            step=step,
            signer=factories.wallet(),
            evidence_hash=(evidence or case.evidence) if proposed else None,
            reason=case.reason_code if proposed else None,
            reply_hash=b"r" * 32 if step is SeizureStep.CONTESTED else None,
            times=times if step in (SeizureStep.PROPOSED, SeizureStep.CONTESTED) else None,
        )
        async with transaction(self.indexer) as tx:
            await seizure.stepped(tx, fact)

    async def seize(self, case: Case, amount: int = BOND) -> None:
        """The case's seizure is proposed, nobody contests, it is carried out."""
        await self.step(case, SeizureStep.PROPOSED)
        await self.execute(case, amount)

    async def execute(self, case: Case, amount: int = BOND) -> None:
        """The bond goes into the refund pool."""
        assert case.bond is not None
        fact = BondSeized(
            key=factories.movement(),
            moment=factories.moment(self.later()),
            address=case.bond,
            amount_microusdc=MicroUsdc(amount),
        )
        async with transaction(self.indexer) as tx:
            await self._book(tx, await lifecycle.seized(tx, fact))

    async def release(self, accused: Accused) -> None:
        """The bond goes back."""
        assert accused.bond is not None
        retired = BondRetired(
            key=factories.movement(),
            moment=factories.moment(self.later()),
            address=accused.bond,
            release_at=factories.NOW,
        )
        released = BondReleased(
            key=factories.movement(),
            moment=factories.moment(self.later()),
            address=accused.bond,
            amount_microusdc=MicroUsdc(BOND),
            destination=accused.wallet,
        )
        async with transaction(self.indexer) as tx:
            await lifecycle.retired(tx, retired)
            await self._book(tx, await lifecycle.released(tx, released))

    async def draw(self, case: Case, *, actor: str = DRAWER, backed: bool = False) -> CreditList:
        """A list from the books as they are."""
        return await lists.draw(self.finance, self.clock, case.case_id, actor=actor, backed=backed)

    async def approve(
        self, case: Case, list_no: int = 1, *, actor: str = APPROVER, backing: int = 0
    ) -> CreditList:
        """A second person agrees to the list."""
        return await lists.approve(
            self.finance,
            self.clock,
            case.case_id,
            list_no,
            actor=actor,
            backing_microusdc=MicroUsdc(backing),
        )

    async def credit(self, case: Case, pool: Pool | None = None) -> Credited:
        """Everything open of the approved list is settled."""
        return await crediting.credit(pool or self.finance, self.clock, case.case_id)

    async def close(self, case: Case, *, actor: str = REVIEWER) -> Case:
        """The case ends."""
        return await opening.close(self.finance, self.clock, case.case_id, actor=actor, note="done")

    async def case(self, case: Case) -> Case:
        """As it stands."""
        return await self.found(case.case_id)

    async def found(self, case_id: UUID) -> Case:
        """The case of this id."""
        async with db.reading(self.finance) as conn:
            return await reading.case(conn, case_id)

    async def lines(self, case: Case, list_no: int = 1) -> list[Credit]:
        """What a list gives to whom."""
        async with db.reading(self.finance) as conn:
            return await lists.credits_of(conn, case.case_id, list_no)

    async def entries(self) -> list[tuple[object, ...]]:
        """What was posted about cases, in the order of its references."""
        rows = await self.finance.fetch(
            "select x.kind, x.external_ref, x.refunds, x.actor, x.event_at, x.meta ->> 'case',"
            "       x.meta ->> 'request', d.name, c.name, t.amount"
            "  from settlement.txn x join settlement.transfer t using (txn_id)"
            "  join settlement.account d on d.account_id = t.debit"
            "  join settlement.account c on c.account_id = t.credit"
            " where x.external_ref like 'refund-pool%' order by x.external_ref"
        )
        return [tuple(row) for row in rows]

    async def net(self, name: AccountName) -> int:
        """Credits minus debits."""
        return (await self.books.balance(name)).net_microusdc

    def later(self) -> int:
        """The next slot."""
        self.slot += 1
        return self.slot

    async def _book(self, tx: Tx, operations: Sequence[Operation]) -> None:
        outcomes = await store.apply(tx, self.indexing, operations)
        assert all(outcome.done for outcome in outcomes)


@asynccontextmanager
async def open_world(books: Books) -> AsyncGenerator[World]:
    """A world over these books."""
    dsn = books.database.dsn
    finance = await open_pool(dsn, role="pod_settlement", application="test", size=4)
    indexer = await open_pool(dsn, role="pod_indexer", application="test", size=2)
    try:
        yield World(
            books=books,
            finance=finance,
            indexer=indexer,
            indexing=await store.open_writer(indexer, "indexer"),
        )
    finally:
        await finance.close()
        await indexer.close()
