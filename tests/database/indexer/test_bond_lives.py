"""Whatever the chain may do to bonds, the books say what a plain model of the chain says.

A few bonds under one operator's code live random lives, as the program would let them, while money
is sent to the bond vault by mistake and swept. Transactions hold several instructions, and several
of them are read at once, each time by a new life of the indexer. Whenever everything is read: the
bond vault is what is owed for bonds and by mistake, the refund pool is what was seized, each bond
is owed to whom it counts for, and its seizure stands where the chain has it.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.bonds.rules import SeizureState
from settlement.chain import program
from settlement.db.pool import reading
from settlement.ledger import store
from tests.database.indexer.conftest import Desk
from tests.database.indexer.node import FakeNode, claim, follower
from tests.database.indexer.story import FIRST_SLOT, Story, executed
from tests.pure.transactions import (
    ALICE_ATA,
    BOND,
    TILL,
    Call,
    answer,
    checked,
    signature,
    transfer,
)

PEOPLE: Final = 3
# What may be done about a seizure that stands there, and where it leads.
DISPUTE: Final[dict[SeizureState, dict[str, SeizureState]]] = {
    SeizureState.NONE: {"propose": SeizureState.PROPOSED},
    SeizureState.PROPOSED: {
        "withdraw": SeizureState.NONE,
        "contest": SeizureState.CONTESTED,
        "lapse": SeizureState.NONE,
    },
    SeizureState.CONTESTED: {
        "withdraw": SeizureState.NONE,
        "uphold": SeizureState.UPHELD,
        "dismiss": SeizureState.NONE,
        "lapse": SeizureState.NONE,
    },
    SeizureState.UPHELD: {"lapse": SeizureState.NONE},
}
once_per_database = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


@dataclass(frozen=True)
class Step:
    """One thing that somebody does: which of those the program would let them."""

    choice: int
    bond: int
    person: int
    amount: int
    ends_transaction: bool
    is_read: bool


steps = st.lists(
    st.builds(
        Step,
        st.integers(0, 10**6),
        st.integers(0, PEOPLE - 1),
        st.integers(0, PEOPLE - 1),
        st.integers(1, 10**9),
        st.booleans(),
        st.booleans(),
    ),
    min_size=10,
    max_size=60,
)


@dataclass
class Bond:
    """A bond as the chain has it."""

    story: Story
    beneficiary: Pubkey
    amount: int
    state: str = "none"
    seizure: SeizureState = SeizureState.NONE

    @property
    def open(self) -> bool:
        return self.state in ("posted", "retiring")


@dataclass
class Chain:
    """The plain model: what the program lets happen, and what it leads to."""

    people: list[Pubkey]
    bonds: list[Bond]
    surplus: int = 0
    suspense: int = 0
    refunds: int = 0
    till: int = 0
    calls: list[Call] = field(default_factory=list[Call])
    till_change: int = 0
    bond_change: int = 0

    def possible(self, bond: Bond) -> list[str]:
        """What the program would let happen now; what is likelier stands there more often."""
        found = ["stray"]
        if bond.state == "none":
            found += ["post"] * 3
        if bond.open:
            found += ["retire" if bond.state == "posted" else "cancel_retire"]
            found += list(DISPUTE[bond.seizure]) * 4
        if bond.open and bond.seizure is SeizureState.NONE:
            found += ["hand_over"]
        if bond.state == "retiring" and bond.seizure is SeizureState.NONE:
            found += ["release"]
        if bond.open and bond.seizure in (SeizureState.PROPOSED, SeizureState.UPHELD):
            found += ["seize"]
        if self.surplus > 0:
            found += ["sweep"]
        return found

    def do(self, step: Step) -> str:
        """Carry out one of the possible things; returns which."""
        bond = self.bonds[step.bond]
        possible = self.possible(bond)
        action = possible[step.choice % len(possible)]
        match action:
            case "stray":
                self.surplus += step.amount
                self.suspense += step.amount
                self._did(transfer(ALICE_ATA, BOND, step.amount), bond=step.amount)
            case "sweep":
                self._sweep()
            case "post":
                bond.amount, bond.state = step.amount, "posted"
                self._did(bond.story.opening(step.amount), bond=step.amount)
            case "release":
                bond.state = "released"
                back = bond.story.releasing(bond.beneficiary, bond.amount)
                self._did(back, bond=-bond.amount)
            case "seize":
                self._seize(bond)
            case "hand_over":
                others = [one for one in self.people if one != bond.beneficiary]
                to = others[step.person % len(others)]
                built = bond.story.hand_over(bond.beneficiary, to)
                bond.beneficiary = to
                self._did(executed(built))
            case "retire" | "cancel_retire":
                bond.state = "retiring" if action == "retire" else "posted"
                self._did(executed(getattr(bond.story, action)()))
            case _:
                bond.seizure = DISPUTE[bond.seizure][action]
                self._did(executed(getattr(bond.story, action)()))
        return action

    def _seize(self, bond: Bond) -> None:
        bond.state, bond.seizure = "seized", SeizureState.NONE
        self.refunds += bond.amount
        self.till += bond.amount
        self._did(bond.story.seizing(bond.amount), bond=-bond.amount, till=bond.amount)

    def _sweep(self) -> None:
        amount, self.surplus = self.surplus, 0
        self.till += amount
        swept = executed(program.SweepSurplus(), checked(BOND, TILL, amount))
        self._did(swept, bond=-amount, till=amount)

    def _did(self, made: Call, *, bond: int = 0, till: int = 0) -> None:
        self.calls.append(made)
        self.bond_change += bond
        self.till_change += till

    def end_transaction(self, node: FakeNode) -> None:
        """What was done since the last one is one transaction."""
        if self.calls:
            number = len(node.answers)
            made = answer(*self.calls, bond=self.bond_change, till=self.till_change)
            made.signature, made.slot = signature(number), FIRST_SLOT + number // 2
            node.add(made)
            self.calls, self.bond_change, self.till_change = [], 0, 0

    def owed(self) -> dict[str, int]:
        """Every account that is not at zero; a vault holds what it has on its debit side."""
        wallet = self.people[0]
        found = Counter[str]()
        for bond in self.bonds:
            if bond.open:
                counts = bond.beneficiary == wallet
                found[bond.story.counted if counts else bond.story.uncounted] += bond.amount
        bonded = sum(found.values())
        found["suspense"], found["refund-pool"] = self.suspense, self.refunds
        found["chain:bond"], found["chain:till"] = -bonded - self.surplus, -self.till
        return {name: net for name, net in found.items() if net}


@once_per_database
@given(wanted=steps)
async def test_the_books_say_what_the_chain_did_to_bonds(desk: Desk, wanted: list[Step]) -> None:
    operators = await desk.another_operator()
    before = Counter(await desk.nets())
    people = [operators.wallet.pubkey(), *(Keypair().pubkey() for _ in range(PEOPLE - 1))]
    stories = [Story(operators, person) for person in people]
    chain = Chain(people, [Bond(one, one.first, 0) for one in stories])
    cluster = f"lives-{operators.provider_id}"
    node, writer = FakeNode(page=5), await claim(desk.pool, cluster)
    for number, step in enumerate(wanted):
        event(chain.do(step))
        last = number == len(wanted) - 1
        if step.ends_transaction or last:
            chain.end_transaction(node)
        if (step.is_read and not chain.calls) or last:
            now = await follower(node, desk.pool, writer, cluster=cluster).round()
            assert (now.standing.wanted, now.standing.incidents) == (0, 0)
            assert await change(desk, before) == chain.owed()
            await same_states(desk, chain)
    assert await desk.halts() == ()
    async with reading(desk.pool) as conn:
        assert await store.broken_rules(conn) == []


async def change(desk: Desk, before: Counter[str]) -> dict[str, int]:
    """What this example did to the accounts."""
    after = Counter(await desk.nets())
    after.subtract(before)
    return {name: net for name, net in after.items() if net}


async def same_states(desk: Desk, chain: Chain) -> None:
    """Each bond's row says what the chain's account says."""
    wallet = chain.people[0]
    for bond in chain.bonds:
        rows = await desk.rows(
            "select state, beneficiary, first_beneficiary, provider_id is not null as counts,"
            " seizure_state, seizure_evidence is not null as told, amount"
            " from settlement.bond where address = $1",
            str(bond.story.address),
        )
        expected = (
            bond.state,
            str(bond.beneficiary),
            str(bond.story.first),
            bond.beneficiary == wallet,
            bond.seizure.value,
            bond.seizure is not SeizureState.NONE,
            bond.amount,
        )
        assert [tuple(row) for row in rows] == ([] if bond.state == "none" else [expected])
