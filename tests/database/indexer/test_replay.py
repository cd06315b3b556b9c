"""Whatever the order, the pages, the repetitions and the crashes: the same books."""

import random
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from solders.keypair import Keypair

from indexer.follow import Follower
from settlement.chain import program
from settlement.chain.rpc import RpcRefused
from settlement.db.pool import Pool
from settlement.errors import Unavailable
from settlement.ledger.store import open_writer
from tests.database.indexer.conftest import Desk
from tests.database.indexer.mortal import Crash, Life, mortal_pool
from tests.database.indexer.node import FakeNode, claim, follower
from tests.database.indexer.story import Story, executed
from tests.pure.transactions import (
    ALICE,
    ALICE_ATA,
    BOND,
    DEPLOYMENT,
    TILL,
    Answer,
    answer,
    batch,
    call,
    checked,
    deposit,
    key,
    memo,
    signature,
    transfer,
)

KINDS = (
    *("coded", "twice", "memo", "nameless", "stray", "failed", "wrong", "out", "skip", "batch"),
    *("seized", "handed", "swept", "recovered", "ruled"),
)
LIVES = 50
# One database serves all examples, each on a cluster of its own; shrinking would take minutes.
once_per_database = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


@dataclass(frozen=True)
class Step:
    """One transaction of a made-up history."""

    kind: str
    amount: int


steps = st.lists(
    st.builds(Step, st.sampled_from(KINDS), st.integers(1, 10**12)), min_size=1, max_size=12
)


def history(desk: Desk, made: list[Step]) -> tuple[list[Answer], dict[str, int]]:
    """Transactions, three to a slot, and what the accounts come to."""
    totals: dict[str, int] = {}
    answers: list[Answer] = []
    for number, step in enumerate(made):
        one, effects = _transaction(desk, step)
        one.signature, one.slot = signature(number), 10 + number // 3
        answers.append(one)
        for account, amount in effects:
            totals[account] = totals.get(account, 0) + amount
    return answers, {account: total for account, total in totals.items() if total}


def _transaction(desk: Desk, step: Step) -> tuple[Answer, list[tuple[str, int]]]:
    amount, user = step.amount, desk.user
    plain, coded = transfer(ALICE_ATA, TILL, amount), deposit(desk.user_code, amount)
    skip = call(program.skip(DEPLOYMENT, signer=ALICE, first=0, mask=1))
    text = memo(desk.user_code.hex())
    cases: dict[str, tuple[Answer, list[tuple[str, int]]]] = {
        "coded": (answer(coded, till=amount), [(user, amount), ("chain:till", -amount)]),
        "twice": (
            answer(coded, coded, till=2 * amount),
            [(user, 2 * amount), ("chain:till", -2 * amount)],
        ),
        "memo": (answer(plain, text, till=amount), [(user, amount), ("chain:till", -amount)]),
        "batch": (
            answer(batch(plain, plain), till=2 * amount),
            [("suspense", 2 * amount), ("chain:till", -2 * amount)],
        ),
        "nameless": (
            answer(plain, till=amount),
            [("suspense", amount), ("chain:till", -amount)],
        ),
        "stray": (
            answer(checked(ALICE_ATA, BOND, amount), bond=amount),
            [("suspense", amount), ("chain:bond", -amount)],
        ),
        "failed": (answer(coded, failed=True), []),
        "wrong": (
            answer(coded, till=amount + 1),
            [("quarantine", amount + 1), ("chain:till", -amount - 1)],
        ),
        "out": (
            answer(transfer(TILL, ALICE_ATA, amount), till=-amount),
            [("unexplained-out", -amount), ("chain:till", amount)],
        ),
        "skip": (answer(skip), []),
    }
    return cases.get(step.kind) or _program_step(desk, step)


def _program_step(desk: Desk, step: Step) -> tuple[Answer, list[tuple[str, int]]]:
    amount = step.amount
    cases: dict[str, tuple[Answer, list[tuple[str, int]]]] = {
        "ruled": (answer(executed(program.Pause(signer=ALICE, bit=program.PauseBit.RELEASES))), []),
        "recovered": (
            answer(
                executed(
                    program.RecoverStray(
                        admin=ALICE,
                        authority=DEPLOYMENT.escrow,
                        stray=key("stray"),
                        destination=TILL,
                        stray_mint=DEPLOYMENT.mint,
                    ),
                    checked(key("stray"), TILL, amount),
                ),
                till=amount,
            ),
            [("suspense", amount), ("chain:till", -amount)],
        ),
        "swept": (
            answer(
                checked(ALICE_ATA, BOND, amount),
                executed(program.SweepSurplus(), checked(BOND, TILL, amount)),
                till=amount,
            ),
            [("suspense", amount), ("chain:till", -amount)],
        ),
        "seized": _bond_seized(desk, amount),
        "handed": _bond_handed_over(desk, amount),
    }
    return cases[step.kind]


def _bond_seized(desk: Desk, amount: int) -> tuple[Answer, list[tuple[str, int]]]:
    """A stranger's bond from its opening to its end, in one transaction."""
    story = Story(desk, Keypair().pubkey())
    made = answer(
        story.opening(amount),
        *(executed(one) for one in (story.retire(), story.cancel_retire(), story.propose())),
        story.seizing(amount),
        till=amount,
    )
    return made, [("refund-pool", amount), ("chain:till", -amount)]


def _bond_handed_over(desk: Desk, amount: int) -> tuple[Answer, list[tuple[str, int]]]:
    """A stranger's bond that the operator gets."""
    story = Story(desk, Keypair().pubkey())
    wallet = desk.wallet.pubkey()
    given = executed(story.hand_over(story.first, wallet))
    made = answer(story.opening(amount), given, bond=amount)
    return made, [(story.counted, amount), ("chain:bond", -amount)]


@dataclass(kw_only=True)
class Run:
    """One history on a cluster of its own, with a user of its own."""

    desk: Desk
    cluster: str
    before: dict[str, int]
    node: FakeNode
    expected: dict[str, int]
    hidden: list[Answer]

    async def life(self, pool: Pool | None = None) -> Follower:
        """A new life of the indexer, and the end of older ones."""
        chosen = pool or self.desk.pool
        writer = await open_writer(chosen, "indexer")
        return follower(self.node, chosen, writer, cluster=self.cluster)

    async def finish(self) -> None:
        """Rounds with a node that behaves, until nothing is left; then the books are right."""
        self.node.add(*self.hidden)
        self.node.missing, self.node.hidden = set(), set()
        self.node.away = self.node.forgets_cursors = False
        last = await self.life()
        for _ in range(2):
            self.node.tip += 2
            await last.round()
        self.node.tip += 2
        now = await last.round()
        assert now.standing.wanted == 0
        assert now.frontier >= self.node.tip - 2
        assert await self.change() == self.expected
        assert await self.moved() == {
            name: net for name, net in self.expected.items() if name.startswith("chain:")
        }

    async def change(self) -> dict[str, int]:
        """What this run did to the accounts."""
        after = await self.desk.nets()
        names = after.keys() | self.before.keys()
        changes = {name: after.get(name, 0) - self.before.get(name, 0) for name in names}
        return {name: change for name, change in changes.items() if change}

    async def moved(self) -> dict[str, int]:
        """What the movements say of the vaults."""
        rows = await self.desk.rows(
            "select v.vault, sum(case when m.to_vault = v.vault then -m.amount else m.amount end)"
            " as net from (values ('till'), ('bond')) as v (vault) join indexer.movement m"
            " on v.vault in (m.from_vault, m.to_vault) where m.cluster = $1 group by v.vault",
            self.cluster,
        )
        return {f"chain:{row['vault']}": int(row["net"]) for row in rows if row["net"]}


async def start(desk: Desk, made: list[Step]) -> Run:
    """A history that nobody has read yet."""
    newcomer = await desk.another_user()
    cluster = f"test-{uuid4().hex[:8]}"
    await claim(desk.pool, cluster)
    answers, expected = history(newcomer, made)
    return Run(
        desk=newcomer,
        cluster=cluster,
        before=await desk.nets(),
        node=FakeNode(page=2),
        expected=expected,
        hidden=answers,
    )


async def misbehave(run: Run, chance: random.Random, rounds: int) -> None:
    """Rounds with a node that hides, lags, loses and comes back, over several lives."""
    life = await run.life()
    for _ in range(rounds):
        for _ in range(chance.randint(0, 4)):
            if run.hidden:
                run.node.add(run.hidden.pop(0))
        known = sorted(run.node.answers)
        run.node.missing = {one for one in known if chance.random() < 0.2}
        run.node.hidden = {one for one in known if chance.random() < 0.1}
        run.node.away = chance.random() < 0.1
        run.node.forgets_cursors = chance.random() < 0.1
        run.node.page = chance.randint(1, 5)
        if chance.random() < 0.3:
            life = await run.life()
        with suppress(Unavailable, RpcRefused):
            await life.round()


@once_per_database
@given(made=steps, seed=st.integers(0, 2**32))
async def test_a_node_that_misbehaves_changes_nothing(
    desk: Desk, made: list[Step], seed: int
) -> None:
    run = await start(desk, made)
    await misbehave(run, random.Random(seed), rounds=6)
    await run.finish()


@once_per_database
@given(made=steps, seed=st.integers(0, 2**32))
async def test_finding_signatures_in_any_order_changes_nothing(
    desk: Desk, made: list[Step], seed: int
) -> None:
    run = await start(desk, made)
    chance = random.Random(seed)
    run.node.add(*run.hidden)
    late = [one.signature for one in run.hidden]
    chance.shuffle(late)
    run.hidden.clear()
    while late:
        run.node.hidden = set(late)
        with suppress(Unavailable):
            await (await run.life()).round()
        late = late[chance.randint(1, 4) :]
    await run.finish()


async def test_dying_after_any_statement_changes_nothing(desk: Desk) -> None:
    """Each life dies one statement later than the one before, commits included."""
    run = await start(desk, [Step(kind, 1_000 + number) for number, kind in enumerate(KINDS * 2)])
    run.node.page = 1_000
    life, deaths = Life(), 0
    pool = await mortal_pool(desk.database.dsn, life)
    while True:
        if run.hidden and deaths % 4 == 0:
            run.node.add(run.hidden.pop(0))
        writer = await open_writer(desk.pool, "indexer")
        life.left = deaths + 1
        with suppress(Crash):
            await follower(run.node, pool, writer, cluster=run.cluster).round()
            if not run.hidden:
                break
        deaths += 1
    pool.terminate()
    assert deaths >= LIVES
    await run.finish()


async def test_the_books_do_not_depend_on_the_day_they_were_written(desk: Desk) -> None:
    """The same chain followed calmly and in one go, and in pieces: the same transactions."""
    made = [Step(kind, 7) for kind in KINDS]
    calm, pieces = await start(desk, made), await start(desk, made)
    await calm.finish()
    pieces.before = await desk.nets()
    while pieces.hidden:
        pieces.node.add(pieces.hidden.pop(0))
        await (await pieces.life()).round()
    await pieces.finish()
    booked = [await _transactions(desk, run) for run in (calm, pieces)]
    assert booked[0] == booked[1]
    assert len(booked[0]) == 18


async def _transactions(desk: Desk, run: Run) -> list[tuple[object, ...]]:
    rows = await desk.rows(
        "select replace(x.external_ref, $1, '') as ref, x.kind, x.slot, x.event_at, t.amount,"
        " regexp_replace(d.name, '(unenrolled:).*|' || $2, '\\1') as debit,"
        " regexp_replace(c.name, '(unenrolled:).*|' || $2, '\\1') as credit"
        " from settlement.txn x join settlement.transfer t using (txn_id)"
        " join settlement.account d on d.account_id = t.debit"
        " join settlement.account c on c.account_id = t.credit"
        " where x.external_ref like 'chain:' || $1 || ':%' order by 1",
        run.cluster,
        str(run.desk.user_id),
    )
    return [tuple(row.values()) for row in rows]
