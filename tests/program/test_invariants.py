"""A damaged account stops the instruction that would build on it; nothing of it is kept.

No instruction leads to these states; they are written from outside.
"""

from tests.program.cases import pay_case, release_case, retire_case, skip_case
from tests.program.world import with_account

OPEN_COUNT_AT, TOTAL_BONDED_AT = 24, 16
BENEFICIARY_AT = 56
BASE_AT, PAID_COUNT_AT = 16, 2_072


def word(value: int) -> bytes:
    return value.to_bytes(8, "little")


def test_bonds_that_are_open_but_owed_nothing() -> None:
    case = release_case()
    case.world.patch(case.world.deployment.escrow, OPEN_COUNT_AT, word(2))
    assert case.refuse(case.instruction) == "Overflow"


def test_less_owed_than_the_bond_released() -> None:
    case = release_case()
    case.world.patch(case.world.deployment.escrow, TOTAL_BONDED_AT, word(1))
    assert case.refuse(case.instruction) == "Overflow"


def test_fewer_bonds_open_than_released() -> None:
    case = release_case()
    case.world.patch(case.world.deployment.escrow, OPEN_COUNT_AT, word(0))
    assert case.refuse(case.instruction) == "Overflow"


def test_a_bond_of_nobody() -> None:
    case = retire_case()
    case.world.patch(case.instruction.accounts[1].pubkey, BENEFICIARY_AT, bytes(32))
    proposer = case.world.proposer
    by_proposer = with_account(case.instruction, 0, pubkey=proposer.pubkey())
    assert case.refuse(by_proposer, proposer) == "WrongState"


def test_more_payments_than_microunits_paid() -> None:
    case = pay_case(amount_microusdc=1)
    case.world.patch(case.world.deployment.payouts, PAID_COUNT_AT, word(1))
    assert case.refuse(case.instruction) == "Overflow"
    case.world.patch(case.world.deployment.payouts, PAID_COUNT_AT, word(2**64 - 1))
    assert case.refuse(case.instruction) == "Overflow"


def test_a_window_that_starts_inside_a_word() -> None:
    for case in (pay_case(sequence=40), skip_case(first=40, mask=1)):
        case.world.patch(case.world.deployment.payouts, BASE_AT, word(33))
        assert case.refuse(case.instruction) == "Overflow"
