"""What movements mean: claims by our program's instructions, memos, and everything else."""

from dataclasses import replace

import pytest
from solders.pubkey import Pubkey

from indexer.attribution import SECOND_HALF, events_of
from indexer.decode import decode
from indexer.events import (
    BondFunded,
    BondPosted,
    BondReleased,
    BondRetired,
    Deposit,
    Event,
    Outflow,
    Paid,
    Quarantined,
    Skipped,
    Unrecognized,
)
from indexer.memo import only_code
from settlement.chain import program
from settlement.chain.movement import Vault
from settlement.money import MicroUsdc
from tests.pure.transactions import (
    ALICE,
    ALICE_ATA,
    BOND,
    DEPLOYMENT,
    TILL,
    WATCH,
    Answer,
    Call,
    answer,
    batch,
    call,
    checked,
    deposit,
    key,
    memo,
    transfer,
)

CODE = bytes.fromhex("bcb1d3eaddb99251")
CODE_TEXT = "bcb1d3eaddb99251"
BOND_CODE = b"K7Qm2xZp"
HOST = key("host")
BOND_AMOUNT = 50_000_000


def events(made: Answer) -> list[Event]:
    transaction = decode(made.json(), signature=made.signature, watch=WATCH)
    return list(events_of(transaction, WATCH))


def only_deposit(made: Answer) -> Deposit:
    (found,) = events(made)
    assert isinstance(found, Deposit)
    return found


def post_bond(*, beneficiary: Pubkey = HOST) -> Call:
    built = program.post_bond(
        DEPLOYMENT, depositor=ALICE, funder=ALICE, code=BOND_CODE, beneficiary=beneficiary
    )
    return call(built, checked(ALICE_ATA, BOND, BOND_AMOUNT))


def pay(sequence: int, amount: int, *children: Call) -> Call:
    built = program.pay(
        DEPLOYMENT,
        payer=ALICE,
        sequence=sequence,
        amount_microusdc=MicroUsdc(amount),
        code=BOND_CODE,
        reference=bytes(range(16)),
        destination=ALICE_ATA,
    )
    return call(built, *children)


def test_a_coded_deposit() -> None:
    found = only_deposit(answer(deposit(CODE, 25), till=25))
    assert (found.vault, found.amount_microusdc, found.code) == (Vault.TILL, 25, CODE)
    assert found.source == ALICE_ATA
    assert (found.key.outer, found.key.inner) == (0, 0)


def test_a_coded_deposit_through_another_program() -> None:
    router = Call(key("router"), [], b"", [memo("hello"), deposit(CODE, 25)])
    assert only_deposit(answer(router, till=25)).code == CODE


def test_two_equal_coded_deposits_are_two_events() -> None:
    other = bytes.fromhex("0011223344556677")
    found = events(answer(deposit(CODE, 5), deposit(CODE, 5), deposit(other, 5), till=15))
    assert [(one.key.outer, one.code) for one in found if isinstance(one, Deposit)] == [
        (0, CODE),
        (1, CODE),
        (2, other),
    ]


def test_an_unknown_code_is_still_the_depositors_word() -> None:
    assert only_deposit(answer(deposit(b"\0" * 8, 5), till=5)).code == b"\0" * 8


def test_a_claimed_deposit_that_moved_something_else_is_uncoded() -> None:
    built = deposit(CODE, 25)
    for child in (
        checked(ALICE_ATA, TILL, 24),
        checked(key("someone else's"), TILL, 25),
        Call(key("nested"), [], b"", [checked(ALICE_ATA, TILL, 25)]),
    ):
        made = answer(Call(built.program, built.accounts, built.data, [child]), till=0)
        till = 24 if child.data[1:2] == b"\x18" else 25
        made.balances = [(TILL, DEPLOYMENT.mint, 0, till)]
        found = events(made)
        assert {type(one) for one in found} == {Unrecognized, Deposit}
        assert all(one.code is None for one in found if isinstance(one, Deposit))


def test_an_instruction_with_two_transfers_that_fit_claims_neither() -> None:
    built = deposit(CODE, 25)
    found = events(answer(replace(built, calls=[*built.calls, *built.calls]), till=50))
    assert [type(one) for one in found] == [Unrecognized, Deposit, Deposit]
    assert [one.code for one in found if isinstance(one, Deposit)] == [None, None]


@pytest.mark.parametrize("change", [b"", b"\0", b"cut"])
def test_program_data_of_the_wrong_length_is_not_guessed(change: bytes) -> None:
    built = deposit(CODE, 25)
    data = built.data[:-1] if change == b"cut" else built.data + change
    found = events(answer(Call(built.program, built.accounts, data, built.calls), till=25))
    coded = [one.code for one in found if isinstance(one, Deposit)]
    assert coded == [CODE if change == b"" else None]


def test_a_look_alike_of_our_program_names_nobody() -> None:
    built = deposit(CODE, 25)
    found = only_deposit(answer(replace(built, program=key("imitation")), till=25))
    assert found.code is None


def test_a_bond_posted() -> None:
    (found,) = events(answer(post_bond(), bond=BOND_AMOUNT))
    assert found == BondPosted(
        key=found.key,
        address=DEPLOYMENT.bond(BOND_CODE, HOST),
        code=BOND_CODE,
        beneficiary=HOST,
        amount_microusdc=MicroUsdc(BOND_AMOUNT),
        funder=ALICE,
    )


def test_a_bond_funded_from_the_till_is_one_event() -> None:
    built = program.fund_bond(
        DEPLOYMENT, payer=ALICE, funder=ALICE, sequence=7, code=BOND_CODE, beneficiary=HOST
    )
    made = answer(call(built, checked(TILL, BOND, 50)), till=-50, bond=50)
    (found,) = events(made)
    assert isinstance(found, BondFunded)
    assert (found.sequence, found.amount_microusdc, found.beneficiary) == (7, 50, HOST)


def test_a_bond_retired_and_released() -> None:
    retire = program.retire(DEPLOYMENT, signer=HOST, code=BOND_CODE, beneficiary=HOST)
    release = program.release(DEPLOYMENT, code=BOND_CODE, beneficiary=HOST, rent_payer=ALICE)
    back = program.associated_token_address(HOST, DEPLOYMENT.mint)
    made = answer(call(retire), call(release, checked(BOND, back, 50)), bond=-50)
    retired, released = events(made)
    assert isinstance(retired, BondRetired)
    assert retired.address == DEPLOYMENT.bond(BOND_CODE, HOST)
    assert isinstance(released, BondReleased)
    assert (released.destination, released.amount_microusdc) == (back, 50)


def test_a_payment() -> None:
    (found,) = events(answer(pay(3, 9, checked(TILL, ALICE_ATA, 9)), till=-9))
    assert isinstance(found, Paid)
    assert (found.sequence, found.amount_microusdc, found.destination) == (3, 9, ALICE_ATA)
    assert (found.code, found.reference) == (BOND_CODE, bytes(range(16)))


@pytest.mark.parametrize(
    ("till", "child"),
    [(-9, checked(TILL, key("elsewhere"), 9)), (-8, checked(TILL, ALICE_ATA, 8))],
)
def test_a_payment_that_went_elsewhere_or_of_another_amount_is_not_that_payment(
    till: int, child: Call
) -> None:
    told, outflow = events(answer(pay(3, 9, child), till=till))
    assert isinstance(told, Unrecognized)
    assert isinstance(outflow, Outflow)
    assert outflow.amount_microusdc == -till


def test_a_bond_released_to_somewhere_else_is_not_that_release() -> None:
    release = program.release(DEPLOYMENT, code=BOND_CODE, beneficiary=HOST, rent_payer=ALICE)
    made = answer(call(release, checked(BOND, key("elsewhere"), 50)), bond=-50)
    assert [type(one) for one in events(made)] == [Unrecognized, Outflow]


def test_two_payments_of_one_amount_claim_their_own_transfers() -> None:
    one, two = (pay(number, 9, checked(TILL, ALICE_ATA, 9)) for number in (3, 4))
    found = events(answer(one, two, till=-18))
    assert [(event.sequence, event.key.outer) for event in found if isinstance(event, Paid)] == [
        (3, 0),
        (4, 1),
    ]


def test_numbers_skipped() -> None:
    (found,) = events(answer(call(program.skip(DEPLOYMENT, signer=ALICE, first=64, mask=0b1001))))
    assert isinstance(found, Skipped)
    assert found.sequences == (64, 67)


def test_money_that_leaves_without_a_number() -> None:
    (found,) = events(answer(transfer(TILL, ALICE_ATA, 5), till=-5))
    assert isinstance(found, Outflow)
    assert (found.vault, found.destination) == (Vault.TILL, ALICE_ATA)


def test_an_instruction_of_ours_we_do_not_know_yet_is_booked_by_its_movements() -> None:
    seize = Call(DEPLOYMENT.program_id, [], b"seizures", [checked(BOND, TILL, 50)])
    found = events(answer(seize, bond=-50, till=50))
    assert {type(one) for one in found} == {Unrecognized, Outflow, Deposit}
    outflow = next(one for one in found if isinstance(one, Outflow))
    inflow = next(one for one in found if isinstance(one, Deposit))
    assert (outflow.vault, inflow.vault, inflow.code) == (Vault.BOND, Vault.TILL, None)
    assert inflow.key.sub == outflow.key.sub + SECOND_HALF


def test_a_stray_transfer_into_the_bond_vault_is_uncoded_even_with_a_memo() -> None:
    found = only_deposit(answer(memo(CODE_TEXT), transfer(ALICE_ATA, BOND, 5), bond=5))
    assert (found.vault, found.code) == (Vault.BOND, None)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (CODE_TEXT, CODE),
        (CODE_TEXT.upper(), CODE),
        (f"  {CODE_TEXT}\n", CODE),
        (f"invoice 12 {CODE_TEXT} thanks", CODE),
        (f"{CODE_TEXT} {CODE_TEXT}", CODE),
        ("POD-BOND-K7Qm2xZp", BOND_CODE),
        ("pod-bond-K7Qm2xZp", None),
        ("K7Qm2xZp", None),
        (BOND_CODE.hex(), None),  # hex digits that spell a bond code
        (f"{CODE_TEXT} 0011223344556677", None),
        (f"{CODE_TEXT} POD-BOND-K7Qm2xZp", None),
        (CODE_TEXT[:-1], None),
        (CODE_TEXT + "0", None),
        (f"0x{CODE_TEXT}", None),
        (CODE_TEXT.replace("1", "１"), None),  # noqa: RUF001 a full-width digit, on purpose
        (f"\u200b{CODE_TEXT}", None),
        (f"\u00a0{CODE_TEXT}", None),
        ("", None),
        (b"\xff\xfe" + CODE_TEXT.encode(), None),
    ],
)
def test_codes_in_memos(text: str | bytes, code: bytes | None) -> None:
    made = answer(transfer(ALICE_ATA, TILL, 5), memo(text), till=5)
    assert only_deposit(made).code == code


def test_both_memo_programs_count_and_imitations_do_not() -> None:
    old = memo(CODE_TEXT, by="Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo")
    imitation = memo(CODE_TEXT, by=str(key("imitation")))
    assert only_deposit(answer(old, transfer(ALICE_ATA, TILL, 5), till=5)).code == CODE
    assert only_deposit(answer(imitation, transfer(ALICE_ATA, TILL, 5), till=5)).code is None


def test_a_memo_inside_a_call_does_not_count() -> None:
    router = Call(key("router"), [], b"", [memo(CODE_TEXT)])
    assert only_deposit(answer(router, transfer(ALICE_ATA, TILL, 5), till=5)).code is None


def test_one_memo_names_all_transfers_of_one_payer() -> None:
    made = answer(batch(transfer(ALICE_ATA, TILL, 5), transfer(ALICE_ATA, TILL, 6)), till=11)
    made.calls = [*made.calls, memo(CODE_TEXT)]
    assert [one.code for one in events(made) if isinstance(one, Deposit)] == [CODE, CODE]


def test_a_memo_names_nobody_when_two_pay() -> None:
    made = answer(
        transfer(ALICE_ATA, TILL, 5), transfer(key("bob's"), TILL, 5), memo(CODE_TEXT), till=10
    )
    assert [one.code for one in events(made) if isinstance(one, Deposit)] == [None, None]


def test_a_memo_names_nobody_when_others_are_paid_too() -> None:
    made = answer(
        transfer(ALICE_ATA, TILL, 5),
        transfer(ALICE_ATA, key("bob's"), 7),
        memo(CODE_TEXT),
        till=5,
        balances=[(key("bob's"), DEPLOYMENT.mint, 0, 7)],
    )
    assert only_deposit(made).code is None


def test_a_memo_does_not_rename_a_coded_deposit() -> None:
    other = "0011223344556677"
    assert only_deposit(answer(deposit(CODE, 5), memo(other), till=5)).code == CODE


def test_money_minted_into_the_till_is_uncoded_whatever_the_memo() -> None:
    mint = Call(
        program.TOKEN_PROGRAM,
        [DEPLOYMENT.mint, TILL, ALICE],
        bytes([7]) + (5).to_bytes(8, "little"),
    )
    found = only_deposit(answer(mint, memo(CODE_TEXT), till=5))
    assert (found.code, found.source) == (None, None)


@pytest.mark.parametrize("amount", [2**63 - 1, 2**63, 2**64 - 1])
def test_amounts_the_books_cannot_hold_are_quarantined(amount: int) -> None:
    made = Answer(calls=[deposit(CODE, amount)], balances=[(TILL, DEPLOYMENT.mint, 0, amount)])
    found = events(made)
    if amount < 2**63:
        assert [one.code for one in found if isinstance(one, Deposit)] == [CODE]
        return
    (quarantined,) = [one for one in found if isinstance(one, Quarantined)]
    assert (quarantined.vault, quarantined.delta_microusdc) == (Vault.TILL, amount)
    assert not [one for one in found if isinstance(one, Deposit)]


def test_a_difference_is_quarantined_and_names_nobody() -> None:
    made = answer(deposit(CODE, 5), post_bond(), till=6, bond=BOND_AMOUNT)
    found = [one for one in events(made) if not isinstance(one, Unrecognized)]
    assert [(one.vault, one.delta_microusdc) for one in found if isinstance(one, Quarantined)] == [
        (Vault.TILL, 6),
        (Vault.BOND, BOND_AMOUNT),
    ]
    assert len(found) == 2


def test_a_difference_outward_is_negative() -> None:
    (found,) = events(answer(till=-6))
    assert isinstance(found, Quarantined)
    assert found.delta_microusdc == -6


def test_a_failed_transaction_means_nothing() -> None:
    assert events(answer(deposit(CODE, 5), failed=True)) == []


def test_no_memos_no_code() -> None:
    assert only_code([]) is None
