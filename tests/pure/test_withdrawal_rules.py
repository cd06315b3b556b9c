"""The pure side of withdrawals: the one table of states, the rules, what an address is."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain import program
from settlement.chain.answers import Account
from settlement.chain.program import Deployment, associated_token_address
from settlement.chain.tokens import MINT_SIZE, TOKEN_2022_PROGRAM
from settlement.money import Lamports, MicroUsdc
from settlement.payouts.destinations import Payable, Standing, Unpayable, kind_of, verdict
from settlement.payouts.intent import DestinationKind
from settlement.payouts.states import FINAL, PayoutState
from settlement.withdrawals.rules import (
    DailyLimitReached,
    Past,
    UserWithdrawalsOff,
    WithdrawalLimits,
    WithdrawalTooSmall,
    admit_operator,
    admit_user,
    day_began,
)
from settlement.withdrawals.visible import (
    OVER,
    VISIBLE,
    WITH_SIGNATURE,
    Notes,
    Progress,
    WithdrawalStatus,
    reasons,
    shown,
)
from tests.database.payouts.chain import token_bytes

USDC = 1_000_000
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=400)
WALLET, OTHER = (str(Keypair.from_seed(bytes([n]) * 32).pubkey()) for n in (1, 2))


def test_the_table_is_total() -> None:
    assert set(VISIBLE) == set(PayoutState)
    assert all(set(row) == set(Progress) for row in VISIBLE.values())
    reached = {status for row in VISIBLE.values() for status in row.values()}
    assert reached == set(WithdrawalStatus)


TOLD = {
    PayoutState.AWAITING_APPROVAL: "requested requested requested",
    PayoutState.REQUESTED: "approved approved approved",
    PayoutState.NUMBERED: "approved broadcast confirmed",
    PayoutState.SIGNED: "approved broadcast confirmed",
    PayoutState.SENT: "approved broadcast confirmed",
    PayoutState.PAID: "final final final",
    PayoutState.SKIPPED: "failed failed failed",
    PayoutState.CANCELLED: "cancelled cancelled cancelled",
}


@pytest.mark.parametrize("state", PayoutState)
def test_what_an_owner_is_told(state: PayoutState) -> None:
    told = " ".join(shown(state, progress).value for progress in Progress)
    assert told == TOLD[state]


@pytest.mark.parametrize(("state", "progress"), list(product(PayoutState, Progress)))
def test_ends_are_ends(state: PayoutState, progress: Progress) -> None:
    assert (shown(state, progress) in OVER) == (state in FINAL)


def test_no_signature_of_what_is_not_on_its_way() -> None:
    without = {WithdrawalStatus.REQUESTED, WithdrawalStatus.APPROVED, WithdrawalStatus.CANCELLED}
    assert set(WithdrawalStatus) - WITH_SIGNATURE == without


def said(state: PayoutState, **notes: object) -> list[tuple[str, str]]:
    known = Notes(**notes)  # pyright: ignore[reportArgumentType] # each case knows
    return [(each.code, each.text) for each in reasons(state, known)]


def test_the_reasons() -> None:
    waits = {"not_before": NOW, "delay_reason": "it is new"}
    until = ("delayed", "not before 2026-11-20T12:00:00+00:00: it is new")
    assert said(PayoutState.REQUESTED) == []
    assert said(PayoutState.REQUESTED, **waits) == [until]
    first = said(PayoutState.AWAITING_APPROVAL, **waits)
    assert [code for code, _ in first] == ["approval", "delayed"]
    two = said(PayoutState.AWAITING_APPROVAL, second_approval=True)
    assert two[0][1].endswith("none of them has yet")
    one = said(PayoutState.AWAITING_APPROVAL, second_approval=True, approvals=1)
    assert one[0][1].endswith("one of them has")
    assert said(PayoutState.CANCELLED, cancel_reason="no")[0] == (
        "cancelled",
        "no",
    )
    refused = said(PayoutState.CANCELLED, cancel_reason="no", refused_by="Ann")
    assert refused[0][0] == "refused"
    assert said(PayoutState.SKIPPED, skip_reason="frozen") == [
        ("unpayable", "frozen: the money is back")
    ]
    assert said(PayoutState.SKIPPED)[0][1].endswith("the money is back")
    for state in (PayoutState.NUMBERED, PayoutState.SIGNED, PayoutState.SENT):
        assert said(state, **waits) == []
        assert said(state, skip_reason="frozen")[0][0] == "giving_up"
    assert said(PayoutState.PAID, skip_reason="too late") == []


def past(day: int = 0, *, paid_here: bool = False, last: str | None = None) -> Past:
    return Past(day_microusdc=MicroUsdc(day * USDC), paid_here=paid_here, last_paid_to=last)


def approvals(amount: int, before: Past, *, enrolled_at: datetime = NOW) -> int:
    return admit_operator(
        MicroUsdc(amount * USDC),
        WALLET,
        before,
        wallet=WALLET,
        enrolled_at=enrolled_at,
        now=NOW,
        limits=WithdrawalLimits(),
    ).approvals


def test_how_many_people_approve() -> None:
    assert approvals(1_000, past()) == 0
    assert approvals(1_001, past()) == 1
    assert approvals(501, past(500)) == 1
    assert approvals(5_000, past()) == 1
    assert approvals(5_001, past()) == 2
    assert approvals(2_000, past(4_000)) == 2
    assert approvals(9_000, past(), enrolled_at=LONG_AGO) == 0
    assert approvals(1_001, past(), enrolled_at=NOW - timedelta(days=30)) == 0
    assert approvals(1_001, past(), enrolled_at=NOW - timedelta(days=30, seconds=-1)) == 1


def test_too_little_and_too_much() -> None:
    with pytest.raises(WithdrawalTooSmall):
        approvals(4, past())
    with pytest.raises(DailyLimitReached) as told:
        approvals(10, past(9_995), enrolled_at=LONG_AGO)
    assert told.value.details["left_microusdc"] == 5 * USDC
    assert approvals(10, past(9_990), enrolled_at=LONG_AGO) == 0
    with pytest.raises(DailyLimitReached) as told:
        approvals(10, past(20_000), enrolled_at=LONG_AGO)
    assert told.value.details["left_microusdc"] == 0


@pytest.mark.parametrize(
    ("destination", "before", "seconds"),
    [
        (WALLET, past(), 0),
        (WALLET, past(last=WALLET), 0),
        (WALLET, past(last=OTHER), 60),
        (OTHER, past(), 3_600),
        (OTHER, past(last=WALLET), 3_600),
        (OTHER, past(paid_here=True, last=WALLET), 60),
        (OTHER, past(paid_here=True, last=OTHER), 0),
    ],
)
def test_new_and_changed_destinations_wait(destination: str, before: Past, seconds: int) -> None:
    limits = WithdrawalLimits(
        first_use_delay=timedelta(hours=1), changed_delay=timedelta(minutes=1)
    )
    found = admit_operator(
        MicroUsdc(10 * USDC),
        destination,
        before,
        wallet=WALLET,
        enrolled_at=LONG_AGO,
        now=NOW,
        limits=limits,
    )
    expected = NOW + timedelta(seconds=seconds) if seconds else None
    assert found.not_before == expected
    assert (found.delay_reason is None) == (expected is None)


def test_users_have_a_day_of_their_own() -> None:
    limits = WithdrawalLimits()
    assert admit_user(MicroUsdc(1_000 * USDC), past(), limits=limits).not_before is None
    with pytest.raises(DailyLimitReached):
        admit_user(MicroUsdc(1_000 * USDC), past(1), limits=limits)
    with pytest.raises(WithdrawalTooSmall):
        admit_user(MicroUsdc(4 * USDC), past(), limits=limits)
    with pytest.raises(UserWithdrawalsOff):
        admit_user(
            MicroUsdc(5 * USDC),
            past(),
            limits=WithdrawalLimits(user_daily_microusdc=MicroUsdc(0)),
        )


ZONES = ["UTC", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu"]


@given(
    st.integers(0, 63_072_000).map(lambda s: LONG_AGO + timedelta(seconds=s)),
    st.sampled_from(ZONES).map(ZoneInfo)
    | st.integers(-840, 840).map(lambda m: timezone(timedelta(minutes=m))),
)
def test_a_day_is_as_long_everywhere(moment: datetime, zone: ZoneInfo | timezone) -> None:
    there = moment.astimezone(zone)
    assert day_began(there) == day_began(moment) == moment - timedelta(hours=24)
    assert moment.timestamp() - day_began(there).timestamp() == 86_400


PLACE = Deployment(program_id=Keypair().pubkey(), mint=Keypair().pubkey())
PAYER = Keypair().pubkey()


def account(owner: Pubkey, data: bytes = b"", *, executable: bool = False) -> Account:
    return Account(owner=owner, lamports=Lamports(1), data=data, executable=executable)


def token(owner: Pubkey, *, mint: Pubkey = PLACE.mint, frozen: bool = False) -> Account:
    return account(program.TOKEN_PROGRAM, token_bytes(mint, owner, 0, frozen=frozen))


def uninitialized() -> Account:
    return account(program.TOKEN_PROGRAM, bytes(165))


ME = Keypair().pubkey()
SYSTEM = account(program.SYSTEM_PROGRAM)
MULTISIG = Pubkey.find_program_address([b"squad"], Keypair().pubkey())[0]
NOT_ON_CURVE = associated_token_address(ME, PLACE.mint)
BOND = PLACE.bond(b"OPERATOR", ME)


def judged(
    address: Pubkey,
    there: Account | None,
    canonical: Account | None = None,
    *,
    holder: Account | None = None,
    opened: int = 0,
) -> Payable | Unpayable:
    standing = Standing(
        address=address, account=there, canonical=canonical, holder=holder, payer=PAYER
    )
    return verdict(standing, kind_of(there), deployment=PLACE, opened=opened)


def test_what_can_be_paid() -> None:
    opens, there = Payable(creates_account=True), Payable(creates_account=False)
    assert judged(ME, None) == opens
    assert judged(ME, SYSTEM) == opens
    assert judged(ME, SYSTEM, SYSTEM) == opens  # lamports were sent to the token account's address
    assert judged(ME, None, opened=1) == opens
    assert judged(ME, SYSTEM, token(ME)) == there
    assert judged(ME, SYSTEM, token(ME), opened=2) == there
    assert judged(NOT_ON_CURVE, token(ME), holder=SYSTEM) == there
    assert judged(NOT_ON_CURVE, token(MULTISIG), holder=None) == there
    assert kind_of(token(ME)) is DestinationKind.TOKEN_ACCOUNT
    assert kind_of(SYSTEM) is kind_of(None) is DestinationKind.WALLET


UNFIT: dict[str, tuple[Pubkey, Account | None, Account | None, Account | None]] = {
    "our own fee payer": (PAYER, SYSTEM, None, None),
    "a program,": (ME, account(Keypair().pubkey(), executable=True), None, None),
    "a mint": (ME, account(program.TOKEN_PROGRAM, bytes(MINT_SIZE)), None, None),
    "another token program": (ME, account(TOKEN_2022_PROGRAM, bytes(165)), None, None),
    "an account of a program": (ME, account(Keypair().pubkey(), b"x"), None, None),
    "no key can sign": (MULTISIG, SYSTEM, None, None),
    "no key can sign for": (NOT_ON_CURVE, None, None, None),
    "no initialized token account": (NOT_ON_CURVE, uninitialized(), None, None),
    "of another mint, not": (NOT_ON_CURVE, token(ME, mint=ME), None, None),
    "is frozen by the issuer": (NOT_ON_CURVE, token(ME, frozen=True), None, None),
    "of our own": (NOT_ON_CURVE, token(PLACE.till_authority), None, None),
    "a token account of our own": (NOT_ON_CURVE, token(PAYER), None, SYSTEM),
    "account of our own": (NOT_ON_CURVE, token(BOND), None, account(PLACE.program_id, b"bond")),
    "token account is frozen": (ME, SYSTEM, token(ME, frozen=True), None),
    "given to another owner": (ME, SYSTEM, token(MULTISIG), None),
    "token account is none": (ME, SYSTEM, uninitialized(), None),
    "token account is of another mint": (ME, SYSTEM, token(ME, mint=ME), None),
}


@pytest.mark.parametrize("why", UNFIT)
def test_what_cannot_be_paid_and_why(why: str) -> None:
    address, there, canonical, holder = UNFIT[why]
    found = judged(address, there, canonical, holder=holder)
    assert isinstance(found, Unpayable)
    assert why in found.reason


def test_a_wallet_that_keeps_closing_its_account() -> None:
    assert isinstance(judged(ME, SYSTEM, opened=2), Unpayable)
