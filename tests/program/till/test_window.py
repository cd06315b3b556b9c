"""The window of numbers, at and beyond both edges, around the ring and to the last number.

`pay`, `fund_bond` and `skip` share it: whatever one used, no other uses again, for ever.
"""

from itertools import product

import pytest
from solders.keypair import Keypair

from settlement.chain.layouts import RING_WORDS, WINDOW_NUMBERS
from tests.program.till.counter import ALL_64, VERBS, Counter, new_counter
from tests.program.world import ROLE_AT, USDC

BASES = [64, WINDOW_NUMBERS - 64, WINDOW_NUMBERS, 3 * WINDOW_NUMBERS + 64, 2**63, 2**64 - 8_192]
LAST_BASE = 2**64 - 64
# Every word's edges, and a few inside.
SAMPLE = sorted({64 * word + bit for word in range(RING_WORDS) for bit in (0, 63)} | {7, 4_100})


def used_by(verb: str) -> str:
    return "AlreadySkipped" if verb == "skip" else "AlreadyPaid"


# --- edges


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("base", BASES)
def test_both_edges(verb: str, base: int) -> None:
    counter = new_counter()
    counter.base_at(base)
    use = VERBS[verb]
    assert counter.refuse(use(counter, base - 1)) == "SequenceTooOld"
    assert counter.refuse(use(counter, 0)) == "SequenceTooOld"
    for number in (base, base + WINDOW_NUMBERS - 1):
        counter.send(use(counter, number))
        for again in VERBS.values():
            assert counter.refuse(again(counter, number)) == used_by(verb)
    if base + WINDOW_NUMBERS < 2**64:
        assert counter.refuse(use(counter, base + WINDOW_NUMBERS)) == "SequenceTooFar"
        assert counter.refuse(use(counter, 2**64 - 1)) == "SequenceTooFar"


@pytest.mark.parametrize("base", BASES)
def test_a_mask_over_either_edge_burns_nothing(base: int) -> None:
    counter = new_counter()
    counter.base_at(base)
    before = counter.payouts
    assert counter.refuse(counter.skip(base - 1, 0b11)) == "SequenceTooOld"
    assert counter.refuse(counter.skip(base - 63, ALL_64)) == "SequenceTooOld"
    last = base + WINDOW_NUMBERS - 1
    assert counter.refuse(counter.skip(last, 0b11)) == "SequenceTooFar"
    assert counter.refuse(counter.skip(last - 62, ALL_64)) == "SequenceTooFar"
    assert counter.payouts == before
    # Only bits that are set count: a mask may begin below and reach beyond.
    counter.send(counter.skip(base - 1, 0b10), counter.skip(last - 62, ALL_64 >> 1))
    assert counter.payouts.is_used(base)
    assert counter.payouts.is_used(last)


@pytest.mark.parametrize("first", [0, 2**64 - 64, 2**64 - 1])
def test_a_mask_of_nothing(first: int) -> None:
    counter = new_counter()
    assert counter.refuse(counter.skip(first, 0)) == "InvalidInstruction"


def test_a_mask_over_two_words() -> None:
    counter = new_counter()
    counter.send(counter.skip(100, ALL_64))
    used = [number for number in range(256) if counter.payouts.is_used(number)]
    assert used == list(range(100, 164))
    counter.send(counter.pay(164))
    assert counter.refuse(counter.skip(101, ALL_64)) == "AlreadyPaid"
    assert counter.refuse(counter.skip(99, ALL_64 - 1)) == "AlreadySkipped"
    counter.send(counter.skip(99, ALL_64))


# --- around the ring


def test_the_window_waits_for_its_first_hole_and_then_goes_on_by_four_words() -> None:
    counter = new_counter()
    counter.burn_words(64, RING_WORDS - 1)
    assert counter.payouts.base == 0
    assert counter.refuse(counter.pay(WINDOW_NUMBERS)) == "SequenceTooFar"
    counter.send(counter.skip(0, ALL_64 - 1))
    assert counter.payouts.first_free == 0
    counter.send(counter.pay(0))
    for words in range(4, RING_WORDS, 4):
        assert counter.payouts.base == words * 64
        # Any later use moves it on: these are numbers the last step made room for.
        counter.send(counter.skip(WINDOW_NUMBERS + words * 64 - 1))
    assert counter.payouts.base == WINDOW_NUMBERS


def test_every_number_stays_used_after_the_window_has_moved_past_it() -> None:
    counter = new_counter()
    for number in (5, 4_100, 8_191):
        counter.send(counter.pay(number))
    for word in range(RING_WORDS):
        mask = ALL_64
        for number in (5, 4_100, 8_191):
            if number // 64 == word:
                mask &= ~(1 << number % 64)
        counter.send(counter.skip(word * 64, mask))
    assert counter.payouts.base == WINDOW_NUMBERS
    for verb, number in product(VERBS.values(), SAMPLE):
        assert counter.refuse(verb(counter, number)) == "SequenceTooOld"
    assert counter.paid_out == 3


def test_on_the_way_every_number_is_old_or_used_and_never_free() -> None:
    counter = new_counter()
    for word in range(RING_WORDS):
        counter.send(counter.skip(word * 64, ALL_64))
        base = counter.payouts.base
        assert base == (word + 1) * 64
        assert counter.refuse(counter.pay(word * 64)) == "SequenceTooOld"
        assert counter.refuse(counter.skip(base - 1)) == "SequenceTooOld"
        assert counter.refuse(counter.pay(base + WINDOW_NUMBERS)) == "SequenceTooFar"


def test_the_places_of_old_numbers_are_fresh_for_new_ones() -> None:
    counter = new_counter()
    for first in range(0, 64, 8):
        counter.send(*(counter.pay(number) for number in range(first, first + 8)))
    assert counter.payouts.base == 64
    for number in range(WINDOW_NUMBERS, WINDOW_NUMBERS + 64):
        assert not counter.payouts.is_used(number)
    counter.send(counter.pay(WINDOW_NUMBERS), counter.skip(WINDOW_NUMBERS + 63))
    assert counter.refuse(counter.pay(0)) == "SequenceTooOld"
    assert counter.refuse(counter.pay(WINDOW_NUMBERS)) == "AlreadyPaid"
    assert counter.refuse(counter.pay(WINDOW_NUMBERS + 63)) == "AlreadySkipped"
    assert counter.payouts.paid_count == 65


@pytest.mark.parametrize("verb", VERBS)
def test_after_a_whole_walk_both_edges_are_as_at_first(verb: str) -> None:
    counter = new_counter()
    counter.burn_words(0, RING_WORDS + 1)
    base = WINDOW_NUMBERS + 64
    assert counter.payouts.base == base
    use = VERBS[verb]
    assert counter.refuse(use(counter, base - 1)) == "SequenceTooOld"
    assert counter.refuse(use(counter, 64)) == "SequenceTooOld"
    assert counter.refuse(use(counter, base + WINDOW_NUMBERS)) == "SequenceTooFar"
    counter.send(use(counter, base), use(counter, base + WINDOW_NUMBERS - 1))
    assert counter.refuse(use(counter, base)) == used_by(verb)


# --- the end of all numbers


def test_the_last_window_can_be_used_up_but_for_its_last_number() -> None:
    counter = new_counter()
    counter.base_at(LAST_BASE)
    counter.send(counter.skip(LAST_BASE, ALL_64 >> 1))
    # A window beyond the last number cannot be written: refused, not wrapped around.
    for verb in VERBS.values():
        assert counter.refuse(verb(counter, 2**64 - 1)) == "Overflow"
    assert counter.refuse(counter.pay(0)) == "SequenceTooOld"
    assert counter.payouts.base == LAST_BASE


@pytest.mark.parametrize("first", [2**64 - 1, 2**64 - 32])
def test_a_mask_beyond_the_last_number(first: int) -> None:
    counter = new_counter()
    for base in (0, LAST_BASE):
        counter.base_at(base)
        assert counter.refuse(counter.skip(first, ALL_64)) == "SequenceTooFar"
        assert counter.refuse(counter.skip(first, 1 << 63)) == "SequenceTooFar"


# --- two senders


@pytest.mark.parametrize(("first", "second"), list(product(VERBS, VERBS)))
def test_of_two_senders_racing_for_a_number_one_wins(first: str, second: str) -> None:
    counter = new_counter()
    mine, theirs = VERBS[first](counter, 7), VERBS[second](counter, 7)
    counter.send(mine)
    assert counter.refuse(theirs) == used_by(first)
    # A bond says that it is there before its number is looked at.
    again = "AlreadyInitialized" if first == "fund_bond" else used_by(first)
    assert counter.refuse(mine) == again
    paid = 0 if first == "skip" else 1
    assert counter.payouts.paid_count == paid


@pytest.mark.parametrize(("first", "second"), list(product(VERBS, VERBS)))
def test_in_one_transaction_neither_lands(first: str, second: str) -> None:
    counter = new_counter()
    before = counter.payouts
    both = (VERBS[first](counter, 7), VERBS[second](counter, 7))
    assert counter.refuse(*both) == used_by(first)
    assert counter.payouts == before
    assert counter.world.till == 10_000 * USDC


def test_payments_to_different_people_under_one_number() -> None:
    counter = new_counter()
    other = counter.world.ata(counter.world.wallet().pubkey())
    first, second = counter.pay(7, 5), counter.pay(7, 5, destination=other)
    counter.send(second)
    assert counter.refuse(first) == "AlreadyPaid"
    assert (counter.paid_out, counter.world.balance(other)) == (0, 5)


def test_an_old_and_a_new_payer_share_the_numbers() -> None:
    counter, successor = new_counter(), Keypair()
    counter.send(counter.pay(7))
    counter.world.patch(
        counter.world.deployment.config, ROLE_AT["payer"], bytes(successor.pubkey())
    )
    assert counter.refuse(counter.pay(8)) == "Unauthorized"
    assert counter.refuse(counter.pay(7, by=successor)) == "AlreadyPaid"
    assert counter.refuse(counter.skip(7, by=successor)) == "AlreadyPaid"
    counter.send(counter.pay(8, by=successor))


@pytest.mark.parametrize("by", ["payer", "admin"])
def test_skipping_by_either_hand_is_final_for_both(by: str) -> None:
    counter = new_counter()
    hands = {"payer": counter.world.payer, "admin": counter.world.admin}
    counter.send(counter.skip(7, by=hands[by]))
    for hand in hands.values():
        assert counter.refuse(counter.skip(7, by=hand)) == "AlreadySkipped"
    assert counter.refuse(counter.pay(7)) == "AlreadySkipped"


def test_what_failed_used_no_number() -> None:
    counter = new_counter(till_microusdc=10)
    assert counter.refuse(counter.pay(7, 11)) == "InsufficientVault"
    assert counter.refuse(counter.fund(7)) == "InsufficientVault"
    assert counter.refuse(counter.pay(7, 0)) == "WrongAmount"
    assert not counter.payouts.is_used(7)
    counter.send(counter.pay(7, 10))


def paid_numbers(counter: Counter) -> list[int]:
    base = counter.payouts.base
    return [number for number in range(base, base + 256) if counter.payouts.is_paid(number)]


def test_in_any_order() -> None:
    counter = new_counter()
    for number in (90, 65, 128, 64, 200):
        counter.send(counter.pay(number))
    assert paid_numbers(counter) == [64, 65, 90, 128, 200]
    assert counter.payouts.first_free == 0
