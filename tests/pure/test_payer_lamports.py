"""What a transaction did to a fee payer's SOL: every lamport has a purpose, and they add up."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from indexer.attribution import events_of
from indexer.decode import decode
from indexer.events import Event, LamportsMoved, LamportsPurpose
from indexer.raw import Unreadable
from settlement.chain.program import SYSTEM_PROGRAM
from tests.pure.transactions import ALICE, WATCH, Answer, Call, Json, answer, deposit, key

PAYER = key("payer")
BOB = key("bob")
OURS = replace(WATCH, payers=frozenset({PAYER}))
HELD = 10**9
FEE, PRIORITY = 7_500, 2_500
CODE = bytes.fromhex("bcb1d3eaddb99251")


def system(number: int, amount: int, *accounts: Pubkey, before: bytes = b"") -> Call:
    """An instruction of the System program, the amount after what comes before it."""
    data = number.to_bytes(4, "little") + before + amount.to_bytes(8, "little") + bytes(40)
    return Call(SYSTEM_PROGRAM, accounts, data)


def sent(amount: int, source: Pubkey = PAYER, destination: Pubkey = BOB) -> Call:
    return system(2, amount, source, destination)


def created(amount: int, funder: Pubkey = PAYER) -> Call:
    return system(0, amount, funder, BOB)


def with_seed(amount: int) -> Call:
    seed = b"some seed"
    return system(3, amount, PAYER, BOB, before=bytes(32) + len(seed).to_bytes(8, "little") + seed)


def told(made: Answer, change: int, *, pays: bool = True, fee: int = FEE) -> Json:
    """The answer with lamports: the payer's changed by `change`."""
    made.keys[:] = [PAYER, ALICE] if pays else [ALICE, PAYER]
    found = made.json()
    places = len(made.keys)
    before = [HELD] * places
    after = list(before)
    after[made.keys.index(PAYER)] += change
    found["meta"] |= {"fee": fee, "preBalances": before, "postBalances": after}
    return found


def events(made: Answer, change: int, *, pays: bool = True) -> list[Event]:
    found = told(made, change, pays=pays)
    return list(events_of(decode(found, signature=made.signature, watch=OURS), OURS))


def purposes(found: list[Event]) -> dict[LamportsPurpose, int]:
    return {one.purpose: one.amount_lamports for one in found if isinstance(one, LamportsMoved)}


def test_a_fee_is_told_with_its_priority_part() -> None:
    (found,) = events(answer(), -FEE)
    assert isinstance(found, LamportsMoved)
    assert (found.payer, found.purpose) == (PAYER, LamportsPurpose.FEE)
    assert (found.amount_lamports, found.priority_lamports) == (FEE, PRIORITY)


def test_a_failed_transaction_costs_its_fee_and_nothing_it_wanted() -> None:
    found = events(answer(sent(500), failed=True), -FEE)
    assert purposes(found) == {LamportsPurpose.FEE: FEE}


def test_somebody_elses_fee_is_not_ours() -> None:
    assert events(answer(), 0, pays=False) == []


@pytest.mark.parametrize("opened", [created(700), with_seed(700)])
def test_an_account_opened_at_the_top_is_rent(opened: Call) -> None:
    found = purposes(events(answer(opened), -FEE - 700))
    assert found == {LamportsPurpose.FEE: FEE, LamportsPurpose.RENT: 700}


@pytest.mark.parametrize("opened", [created(700), sent(700)])
def test_what_a_program_moves_for_us_is_rent(opened: Call) -> None:
    outer = Call(key("associated"), [PAYER, BOB], b"", [opened])
    found = purposes(events(answer(outer), -FEE - 700))
    assert found == {LamportsPurpose.FEE: FEE, LamportsPurpose.RENT: 700}


@pytest.mark.parametrize("number", [2, 11])
def test_a_plain_transfer_out_is_the_owners(number: int) -> None:
    accounts = (PAYER, BOB) if number == 2 else (PAYER, ALICE, BOB)
    found = purposes(events(answer(system(number, 9, *accounts)), -FEE - 9))
    assert found == {LamportsPurpose.FEE: FEE, LamportsPurpose.DRAWN: 9}


@pytest.mark.parametrize("number", [2, 5, 11])
def test_what_anybody_sends_is_funding(number: int) -> None:
    accounts = (BOB, ALICE, PAYER) if number == 11 else (BOB, PAYER)
    assert purposes(events(answer(system(number, 9, *accounts)), 9, pays=False)) == {
        LamportsPurpose.FUNDED: 9
    }


def test_what_a_program_gives_back_is_rent_returned() -> None:
    given_back = Call(WATCH.deployment.program_id, [PAYER], b"\1" * 8)
    found = purposes(events(answer(given_back), 1_500_000 - FEE))
    assert found == {LamportsPurpose.FEE: FEE, LamportsPurpose.RENT_RETURNED: 1_500_000}


def test_what_nothing_explains_is_taken_out_never_lost() -> None:
    found = purposes(events(answer(), -FEE - 3))
    assert found == {LamportsPurpose.FEE: FEE, LamportsPurpose.DRAWN: 3}


def test_a_transfer_to_oneself_moves_nothing() -> None:
    assert purposes(events(answer(sent(5, PAYER, PAYER)), -FEE)) == {LamportsPurpose.FEE: FEE}


def test_a_deposit_in_the_same_transaction_keeps_its_name() -> None:
    alone = events_of(
        decode(answer(deposit(CODE, 5), till=5).json(), signature=answer().signature, watch=WATCH),
        WATCH,
    )
    found = events(answer(deposit(CODE, 5), till=5), -FEE)
    assert [one for one in found if not isinstance(one, LamportsMoved)] == list(alone)
    assert len({one.key for one in found}) == len(found)


@pytest.mark.parametrize("missing", ["fee", "preBalances", "postBalances"])
def test_an_answer_without_our_lamports_is_unreadable(missing: str) -> None:
    found = told(answer(), -FEE)
    del found["meta"][missing]
    with pytest.raises(Unreadable):
        decode(found, signature=answer().signature, watch=OURS)
    decode(found, signature=answer().signature, watch=WATCH)  # nobody of ours takes part


@pytest.mark.parametrize("nonsense", [-1, 2**63, "5000", None, 0.5])
def test_lamports_that_are_none_are_unreadable(nonsense: object) -> None:
    for path in (("fee",), ("preBalances", 0), ("postBalances", 1)):
        found = told(answer(), -FEE)
        holder = found["meta"] if len(path) == 1 else found["meta"][path[0]]
        holder[path[-1]] = nonsense
        with pytest.raises(Unreadable):
            decode(found, signature=answer().signature, watch=OURS)


def test_a_list_that_ends_too_soon_is_unreadable() -> None:
    found = told(answer(), -FEE)
    found["meta"]["postBalances"] = []
    with pytest.raises(Unreadable):
        decode(found, signature=answer().signature, watch=OURS)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 2, 3, 5, 11, 13, 2**32 - 1]),
            st.integers(0, 2**64 - 1),
            st.permutations([PAYER, BOB, ALICE]),
            st.integers(0, 3),
        ),
        max_size=4,
    ),
    st.integers(-HELD, HELD),
    st.booleans(),
)
def test_the_purposes_always_add_up_to_the_difference(
    drawn: list[tuple[int, int, list[Pubkey], int]],
    change: int,
    pays: bool,
) -> None:
    calls = [system(number, amount, *who[:several]) for number, amount, who, several in drawn]
    found = purposes(events(answer(*calls), change, pays=pays))
    inward = found.get(LamportsPurpose.FUNDED, 0) + found.get(LamportsPurpose.RENT_RETURNED, 0)
    assert 2 * inward - sum(found.values()) == change
    assert all(amount > 0 for amount in found.values())
