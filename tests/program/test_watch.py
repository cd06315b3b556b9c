"""The watch over random lives barks: each promise broken on paper is noticed.

No program that does such things is at hand, so what would have been read from the chain is made up.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest
from solders.pubkey import Pubkey

from settlement.chain.instructions import (
    Contest,
    ExecuteSeizure,
    FundBond,
    Pay,
    ProgramInstruction,
    ProposeSeizure,
    Release,
    Skip,
    SweepSurplus,
    Uphold,
)
from settlement.chain.layouts import Bond, BondState, Parameters, SeizureState
from settlement.chain.layouts import Escrow as EscrowAccount
from settlement.money import MicroUsdc
from tests.program.lives.beginning import first_state
from tests.program.lives.chain import (
    DEPLOYMENT,
    Snapshot,
    TokensMoved,
    bond_address,
    canonical,
    key,
    new_chain,
    second,
)
from tests.program.lives.watch import Happened, Watch

CODE = b"Enroll01"
ALICE = key("alice")
AT = bond_address(CODE, ALICE)
T = 1_800_000_000
AMOUNT = MicroUsdc(50_000_000)
DAY = 86_400
OPEN = Bond(
    state=BondState.RETIRING,
    code=CODE,
    beneficiary=ALICE,
    first_beneficiary=ALICE,
    rent_payer=key("funder"),
    amount_microusdc=AMOUNT,
    posted_at=T,
    retiring_at=T,
    release_at=T + 90 * DAY,
    cooldown_seconds=90 * DAY,
    dispute_seconds=7 * DAY,
    decision_seconds=14 * DAY,
    execution_seconds=14 * DAY,
)
ACCUSED = replace(
    OPEN,
    seizure_state=SeizureState.PROPOSED,
    proposed_at=T,
    execute_after=T + 7 * DAY,
    decide_by=T + 21 * DAY,
    dies_at=T + 21 * DAY,
)
VAULT, TILL = DEPLOYMENT.bond_vault, DEPLOYMENT.till_vault
RELEASED = Bond(state=BondState.RELEASED, code=CODE)


def scene(bond: Bond | None = OPEN, *, held: int = AMOUNT, owed: int = AMOUNT) -> Snapshot:
    """A chain with one bond on it."""
    state = first_state(new_chain(Parameters(), 0), Parameters(), 0)
    escrow = EscrowAccount(total_bonded_microusdc=MicroUsdc(owed), open_count=int(owed > 0))
    accounts = {
        DEPLOYMENT.config: state.config,
        DEPLOYMENT.escrow: escrow,
        DEPLOYMENT.payouts: state.numbers.account(),
    }
    vault = replace(state.tokens[VAULT], amount=held)
    return Snapshot(
        accounts=accounts if bond is None else {**accounts, AT: bond},
        tokens={**state.tokens, VAULT: vault},
    )


def happened(it: ProgramInstruction, *moved: tuple[Pubkey, Pubkey, int]) -> list[Happened]:
    found = [
        TokensMoved(place=0, source=source, destination=destination, amount=amount)
        for source, destination, amount in moved
    ]
    return [Happened(instruction=it, signers=frozenset(), moved=tuple(found))]


def pay(sequence: int) -> Pay:
    return Pay(
        payer=key("payer"),
        destination=canonical("bob"),
        sequence=sequence,
        amount_microusdc=MicroUsdc(5),
        code=CODE,
        reference=bytes(16),
    )


def release(destination: Pubkey) -> Release:
    return Release(
        bond=AT,
        beneficiary=ALICE,
        destination=destination,
        rent_payer=key("funder"),
        code=CODE,
    )


def tell(watch: Watch, it: ProgramInstruction) -> None:
    """What was carried out, without a look at the accounts."""
    watch._check_number(it)
    watch._check_verdict(it)


EXECUTION = ExecuteSeizure(bond=AT, rent_payer=key("funder"), code=CODE)
FUNDING = FundBond(
    payer=key("payer"),
    funder=key("funder"),
    bond=AT,
    sequence=1,
    code=CODE,
    beneficiary=ALICE,
)
PROPOSAL = ProposeSeizure(
    proposer=key("proposer"), bond=AT, code=CODE, evidence_hash=b"\1" * 32, reason=1
)
CONTEST = Contest(beneficiary=ALICE, bond=AT, code=CODE, reply_hash=bytes(32))
UPHOLD = Uphold(arbiter=key("arbiter"), bond=AT, code=CODE)


def test_a_quiet_scene_is_fine() -> None:
    watch = Watch(base=0)
    watch.check(scene())
    home = happened(release(canonical("alice")), (VAULT, canonical("alice"), AMOUNT))
    after = scene(RELEASED, held=0, owed=0)
    watch.saw(scene(), home, after, T + 90 * DAY)
    watch.check(after)


@pytest.mark.parametrize("burn_first", [False, True])
def test_a_number_used_twice(*, burn_first: bool) -> None:
    watch = Watch(base=0)
    first = Skip(signer=key("payer"), first=5, mask=0b100) if burn_first else pay(7)
    tell(watch, first)
    with pytest.raises(AssertionError, match="used twice"):
        tell(watch, pay(7))


def test_a_paid_number_burned_and_a_number_below_the_window() -> None:
    watch = Watch(base=64)
    tell(watch, pay(70))
    with pytest.raises(AssertionError, match="burned"):
        tell(watch, Skip(signer=key("payer"), first=64, mask=2**64 - 1))
    with pytest.raises(AssertionError):
        tell(watch, pay(63))
    with pytest.raises(AssertionError):
        tell(watch, Skip(signer=key("payer"), first=63, mask=1))


def test_a_used_number_forgotten() -> None:
    watch = Watch(base=0, numbers={3: "skipped"})
    with pytest.raises(AssertionError, match="given up"):
        watch.saw(scene(), [], scene(), T)


@pytest.mark.parametrize(
    ("bond", "now"),
    [
        (OPEN, OPEN.release_at - 1),
        (ACCUSED, OPEN.release_at),
        (replace(OPEN, state=BondState.POSTED), OPEN.release_at),
    ],
)
def test_a_release_too_early(bond: Bond, now: int) -> None:
    with pytest.raises(AssertionError):
        Watch(base=0)._check_times(release(canonical("alice")), scene(bond), now)


@pytest.mark.parametrize(
    ("bond", "now"),
    [
        (ACCUSED, ACCUSED.execute_after - 1),
        (ACCUSED, ACCUSED.dies_at),
        (replace(ACCUSED, seizure_state=SeizureState.CONTESTED), ACCUSED.execute_after),
        (replace(ACCUSED, proposed_at=T + 1), ACCUSED.execute_after),
        (OPEN, OPEN.release_at),
    ],
)
def test_an_execution_out_of_its_time(bond: Bond, now: int) -> None:
    with pytest.raises(AssertionError):
        Watch(base=0)._check_times(EXECUTION, scene(bond), now)


def test_an_execution_of_what_was_contested() -> None:
    watch = Watch(base=0)
    for step in (PROPOSAL, CONTEST):
        tell(watch, step)
    with pytest.raises(AssertionError):
        tell(watch, EXECUTION)
    tell(watch, UPHOLD)
    tell(watch, EXECUTION)


def test_an_uphold_of_what_was_not_contested() -> None:
    watch = Watch(base=0)
    tell(watch, PROPOSAL)
    with pytest.raises(AssertionError):
        tell(watch, UPHOLD)


@pytest.mark.parametrize(
    ("it", "moved"),
    [
        (release(canonical("bob")), (VAULT, canonical("bob"), AMOUNT)),
        (release(canonical("alice")), (VAULT, second("alice"), AMOUNT)),
        (release(canonical("alice")), (VAULT, canonical("alice"), AMOUNT - 1)),
        (EXECUTION, (VAULT, canonical("alice"), AMOUNT)),
        (SweepSurplus(), (VAULT, canonical("alice"), 1)),
        (CONTEST, (VAULT, TILL, AMOUNT)),
        (pay(1), (TILL, canonical("alice"), 5)),
        (pay(1), (TILL, canonical("bob"), 6)),
        (FUNDING, (TILL, canonical("payer"), AMOUNT)),
        (SweepSurplus(), (TILL, VAULT, 1)),
    ],
)
def test_money_gone_where_it_may_not(
    it: ProgramInstruction, moved: tuple[Pubkey, Pubkey, int]
) -> None:
    (each,) = happened(it, moved)
    with pytest.raises(AssertionError):
        Watch(base=0)._check_money(each, scene())


def test_money_gone_without_a_transfer() -> None:
    with pytest.raises(AssertionError):
        Watch(base=0).saw(scene(), [], scene(held=AMOUNT - 1), T)


BROKEN: list[Callable[[], Snapshot]] = [
    lambda: scene(held=AMOUNT - 1),
    lambda: scene(owed=AMOUNT - 1),
    lambda: scene(owed=0),
    lambda: scene(None),
    lambda: scene(RELEASED, owed=0),
    lambda: scene(replace(OPEN, first_beneficiary=key("bob"))),
]


@pytest.mark.parametrize("broken", range(len(BROKEN)))
def test_accounts_that_do_not_add_up(broken: int) -> None:
    with pytest.raises(AssertionError):
        Watch(base=0).check(BROKEN[broken]())


def test_a_bond_that_vanishes_or_comes_back() -> None:
    watch = Watch(base=0)
    watch.check(scene())
    with pytest.raises(AssertionError, match="without a tombstone"):
        watch.check(scene(None, owed=0))
    watch.check(scene(RELEASED, owed=0))
    for again in (OPEN, replace(RELEASED, state=BondState.SEIZED)):
        owed = AMOUNT if again is OPEN else 0
        with pytest.raises(AssertionError):
            watch.check(scene(again, owed=owed))


def test_one_person_in_two_roles_or_no_admin() -> None:
    quiet = scene()
    for changes in ({"payer": key("admin")}, {"proposer": key("arbiter")}):
        config = replace(quiet.config, **changes)
        broken = replace(quiet, accounts={**quiet.accounts, DEPLOYMENT.config: config})
        with pytest.raises(AssertionError):
            Watch(base=0).check(broken)
    nobody = replace(quiet.config, admin=Pubkey.default())
    with pytest.raises(AssertionError):
        Watch(base=0).check(replace(quiet, accounts={**quiet.accounts, DEPLOYMENT.config: nobody}))


@pytest.mark.parametrize("payments", [[], [0], [5]])
def test_payments_that_were_counted_wrongly(payments: list[int]) -> None:
    quiet = scene()
    counted = replace(quiet.payouts, paid_count=1, paid_total_microusdc=MicroUsdc(4))
    told = (
        quiet
        if payments == [0]
        else replace(quiet, accounts={**quiet.accounts, DEPLOYMENT.payouts: counted})
    )
    with pytest.raises(AssertionError):
        Watch(base=0, payments=payments).check(told)


def test_more_bonds_counted_than_there_are() -> None:
    quiet = scene()
    escrow = replace(quiet.escrow, open_count=2)
    with pytest.raises(AssertionError):
        Watch(base=0).check(replace(quiet, accounts={**quiet.accounts, DEPLOYMENT.escrow: escrow}))


def test_an_account_that_should_not_be() -> None:
    quiet = scene()
    strange = {**quiet.accounts, key("bob"): quiet.escrow}
    with pytest.raises(AssertionError):
        Watch(base=0).check(replace(quiet, accounts=strange))


@pytest.mark.parametrize(
    "doing",
    [
        happened(SweepSurplus(), (TILL, TILL, 0)),
        happened(pay(7)),
        happened(UPHOLD),
        happened(EXECUTION),
    ],
)
def test_every_look_is_taken_at_every_transaction(doing: list[Happened]) -> None:
    watch = Watch(base=0, numbers={7: "paid"}, verdicts={AT: "proposed"})
    quiet = scene(ACCUSED)
    payouts = replace(quiet.payouts, used=(2**64 - 1,) * 128)
    after = replace(quiet, accounts={**quiet.accounts, DEPLOYMENT.payouts: payouts})
    watch.saw(quiet, [], after, T)
    with pytest.raises(AssertionError):
        watch.saw(quiet, doing, after, T)
