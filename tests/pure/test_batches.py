"""Which payouts share a message: everybody is in one, and each is one the network takes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message

from settlement.chain.messages import Budget, wire_bytes
from settlement.chain.program import Deployment
from settlement.ledger.operations import AccountName
from settlement.money import MicroUsdc
from settlement.payouts.batches import (
    BOND_RENT_LAMPORTS,
    TOKEN_ACCOUNT_RENT_LAMPORTS,
    Member,
    batches,
    compute_unit_limit,
    cost_lamports,
    message_of,
)
from settlement.payouts.intent import Action, Intent, reference_of
from settlement.payouts.states import PayoutKind, PayoutState

DEPLOYMENT = Deployment(program_id=Keypair().pubkey(), mint=Keypair().pubkey())
PAYER = Keypair().pubkey()


def an_intent(number: int) -> Intent:
    payout_id = UUID(int=number + 1)
    return Intent(
        payout_id=payout_id,
        kind=PayoutKind.PAY,
        provider_id=UUID(int=2),
        account=AccountName("host:x"),
        amount_microusdc=MicroUsdc(10_000_000),
        destination=Keypair().pubkey(),
        code=b"Operator",
        reference=reference_of(payout_id),
        state=PayoutState.NUMBERED,
        sequence=number,
    )


@given(
    shapes=st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=30),
    largest=st.integers(1, 40),
)
def test_everybody_is_in_one_message_that_the_network_takes(
    shapes: list[tuple[bool, bool, bool]], largest: int
) -> None:
    members = [
        member(n, creates=shape[0], skips=shape[1], alone=shape[2])
        for n, shape in enumerate(shapes)
    ]
    made = batches(members, deployment=DEPLOYMENT, payer=PAYER, largest=largest)
    placed = [each.intent.payout_id for batch in made for each in batch]
    assert Counter(placed) == Counter(each.intent.payout_id for each in members)
    for batch in made:
        assert len(batch) <= largest
        assert len({each.action for each in batch}) == 1
        numbers = [each.intent.sequence or 0 for each in batch]
        assert numbers == sorted(numbers)
        if len(batch) > 1:
            assert not any(each.alone for each in batch)
        assert wire_bytes(built(batch)) <= 1_232


def member(
    number: int, *, creates: bool = False, skips: bool = False, alone: bool = False
) -> Member:
    return Member(
        intent=an_intent(number),
        action=Action.SKIP if skips else Action.EXECUTE,
        creates_account=creates and not skips,
        alone=alone,
    )


def built(batch: Sequence[Member]) -> Message:
    return message_of(
        batch,
        deployment=DEPLOYMENT,
        payer=PAYER,
        budget=Budget(
            compute_unit_limit=compute_unit_limit(batch), compute_unit_price_microlamports=1
        ),
        blockhash=Hash.default(),
    )


def test_how_many_fit() -> None:
    def sizes(*, creates: bool) -> list[int]:
        members = [member(n, creates=creates) for n in range(20)]
        made = batches(members, deployment=DEPLOYMENT, payer=PAYER, largest=20)
        return [len(batch) for batch in made]

    assert sizes(creates=False) == [9, 9, 2]
    assert sizes(creates=True) == [5, 5, 5, 5]


def test_two_payouts_to_one_wallet_open_its_account_once() -> None:
    first, second = (member(n, creates=True) for n in range(2))
    shared = replace(second.intent, destination=first.intent.destination)
    second = replace(second, intent=shared)
    (batch,) = batches([first, second], deployment=DEPLOYMENT, payer=PAYER, largest=8)
    assert [each.creates_account for each in batch] == [True, False]


def test_a_bonds_funding_goes_alone() -> None:
    members = [member(n, creates=False) for n in range(3)]
    bond = replace(members[1], intent=replace(members[1].intent, kind=PayoutKind.FUND_BOND))
    made = batches([members[0], bond, members[2]], deployment=DEPLOYMENT, payer=PAYER, largest=8)
    assert made == [(members[0], members[2]), (bond,)]


def test_what_a_message_may_cost() -> None:
    budget = Budget(compute_unit_limit=100_000, compute_unit_price_microlamports=1_000)
    plain, opens = member(1), member(2, creates=True)
    bond = replace(member(3), intent=replace(an_intent(3), kind=PayoutKind.FUND_BOND))
    assert (TOKEN_ACCOUNT_RENT_LAMPORTS, BOND_RENT_LAMPORTS) == (2_039_280, 3_507_840)
    assert cost_lamports([plain], budget) == 5_100
    assert cost_lamports([plain, opens], budget) == 5_100 + 2_039_280
    assert cost_lamports([bond], budget) == 5_100 + 3_507_840
    assert cost_lamports([replace(bond, action=Action.SKIP)], budget) == 5_100
