"""Damaged seizures, sums and terms stop the step that would build on them; nothing of it is kept.

No instruction leads here: the bytes are written from outside. (Bonds, Escrow and Payouts as the
first instructions use them are in tests/program/test_invariants.py.)
"""

import pytest

from tests.program.bonds.life import Life, contested, new_life, post_again, proposed, upheld
from tests.program.cases import CASES
from tests.program.till.counter import new_counter

BOND = {
    "state": 10,
    "proposals": 12,
    "amount": 120,
    "retiring_at": 136,
    "release_at": 144,
    "cooldown": 152,
    "dispute": 160,
    "decision": 168,
    "execution": 176,
    "proposed_at": 184,
    "execute_after": 192,
    "decide_by": 200,
    "dies_at": 208,
    "evidence": 216,
}
TOTAL_BONDED_AT, OPEN_COUNT_AT = 16, 24
BASE_AT, PAID_COUNT_AT, PAID_TOTAL_AT = 16, 2_072, 2_080


def word(value: int) -> bytes:
    return value.to_bytes(8, "little", signed=value < 0)


def damage(life: Life, field: str, value: int) -> None:
    life.world.patch(life.address, BOND[field], word(value))


@pytest.mark.parametrize("field", ["dispute", "decision", "execution"])
@pytest.mark.parametrize("value", [0, -1, -(10**9)])
def test_a_seizure_without_a_window(field: str, value: int) -> None:
    life = new_life()
    damage(life, field, value)
    assert life.refuse(life.propose()) == "WrongState"


@pytest.mark.parametrize("field", ["dispute", "decision", "execution"])
def test_a_window_beyond_all_time(field: str) -> None:
    life = new_life()
    damage(life, field, 2**63 - 1)
    assert life.refuse(life.propose()) == "Overflow"


def test_contested_times_out_of_order() -> None:
    life = proposed()
    damage(life, "execution", 0)
    assert life.refuse(life.contest()) == "WrongState"
    damage(life, "execution", 2**63 - 1)
    assert life.refuse(life.contest()) == "Overflow"


@pytest.mark.parametrize("field", ["execute_after", "proposed_at"])
def test_a_verdict_on_times_out_of_order(field: str) -> None:
    life = contested()
    damage(life, field, life.bond.dies_at + 1)
    assert life.refuse(life.uphold()) == "WrongState"


def test_a_verdict_on_a_seizure_that_dies_before_it_is_decided() -> None:
    life = contested()
    damage(life, "dies_at", life.bond.decide_by)
    assert life.refuse(life.uphold()) == "WrongState"


def test_a_seizure_of_no_evidence() -> None:
    life = proposed()
    life.world.patch(life.address, BOND["evidence"], bytes(32))
    assert life.refuse(life.contest()) == "WrongState"


def test_a_bond_of_nothing() -> None:
    life = new_life()
    damage(life, "amount", 0)
    assert life.refuse(life.retire()) == "WrongState"
    assert life.refuse(life.propose()) == "WrongState"


def test_posted_with_a_release_time() -> None:
    for field in ("retiring_at", "release_at"):
        life = new_life()
        damage(life, field, 1)
        assert life.refuse(life.propose()) == "WrongState"


def test_released_before_it_retires() -> None:
    life = new_life()
    damage(life, "cooldown", -1)
    assert life.refuse(life.retire()) == "WrongState"


@pytest.mark.parametrize("state", [0, 3, 4, 5, 255])
def test_a_state_that_is_none(state: int) -> None:
    life = proposed()
    life.world.patch(life.address, BOND["state"], bytes([state]))
    for step in (life.retire(), life.cancel_retire(), life.release(), life.withdraw()):
        assert life.refuse(step) == "WrongState"


@pytest.mark.parametrize("seizure", [4, 255])
def test_a_seizure_that_is_none(seizure: int) -> None:
    life = proposed()
    life.world.patch(life.address, BOND["state"] + 1, bytes([seizure]))
    assert life.refuse(life.propose(1)) == "SeizureOpen"
    assert life.refuse(life.contest()) == "AlreadyContested"
    assert life.refuse(life.uphold()) == "WrongState"
    assert life.refuse(life.dismiss()) == "WrongState"


def test_more_proposals_than_there_can_be() -> None:
    life = new_life()
    life.send(life.retire())
    life.world.patch(life.address, BOND["proposals"], b"\xff")
    assert life.refuse(life.propose()) == "SeizureLimit"


# --- sums


@pytest.mark.parametrize(("at", "value"), [(TOTAL_BONDED_AT, 1), (OPEN_COUNT_AT, 0)])
def test_a_seizure_of_more_than_is_owed(at: int, value: int) -> None:
    life = upheld()
    life.until(life.bond.execute_after)
    life.world.patch(life.world.deployment.escrow, at, word(value))
    assert life.refuse(life.execute()) == "Overflow"


@pytest.mark.parametrize("at", [TOTAL_BONDED_AT, OPEN_COUNT_AT])
def test_a_bond_more_than_can_be_counted(at: int) -> None:
    life = new_life()
    life.world.patch(life.world.deployment.escrow, at, b"\xff" * 8)
    other = Life(world=life.world, owner=life.owner, first=life.first, code=b"Another1")
    assert life.refuse(post_again(other)) == "Overflow"


@pytest.mark.parametrize("at", [PAID_COUNT_AT, PAID_TOTAL_AT])
@pytest.mark.parametrize("approved", [False, True])
def test_payments_more_than_can_be_counted(at: int, *, approved: bool) -> None:
    counter = new_counter()
    if approved:
        counter.cap(single=0)
        counter.send(counter.approve(7, 5))
    counter.world.patch(counter.world.deployment.payouts, at, b"\xff" * 8)
    assert counter.refuse(counter.pay(7, 5)) == "Overflow"
    assert counter.refuse(counter.fund(8)) == ("CapExceeded" if approved else "Overflow")


def test_spending_more_than_can_be_counted() -> None:
    counter = new_counter()
    counter.send(counter.pay(0))
    spent_at = PAID_TOTAL_AT + 16
    counter.world.patch(counter.world.deployment.payouts, spent_at, b"\xff" * 8)
    assert counter.refuse(counter.pay(1)) == "CapExceeded"
    counter.world.patch(counter.world.deployment.payouts, spent_at + 8, b"\xff" * 8)
    assert counter.refuse(counter.pay(1)) == "Overflow"


@pytest.mark.parametrize("base", [1, 63, 65])
@pytest.mark.parametrize("name", ["approve_pay", "pay", "skip", "fund_bond"])
def test_a_window_inside_a_word(name: str, base: int) -> None:
    case = CASES[name]()
    case.world.patch(case.world.deployment.payouts, BASE_AT, word(base))
    counter = new_counter()
    counter.world, counter.destination = case.world, case.world.ata(case.world.wallet().pubkey())
    steps = {
        "approve_pay": counter.approve(100, 1),
        "pay": counter.pay(100),
        "skip": counter.skip(100),
        "fund_bond": counter.fund(100),
    }
    assert counter.refuse(steps[name]) == "Overflow"
