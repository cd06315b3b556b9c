"""`docs/worked-entries.md` as data, and for each of its entries the call that must give it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final
from uuid import UUID

from settlement.chain.movement import ChainMoment, MovementKey, Vault
from settlement.ledger import accounts, postings
from settlement.ledger.operations import AccountName, Charge, Post, Transfer
from settlement.ledger.postings import Refund, Voucher
from settlement.money import USDC_DECIMALS, Lamports, MicroUsdc, Slot
from tests import factories

PAGE: Final = Path(__file__).parents[2] / "docs" / "worked-entries.md"
CHARGE: Final = "charge"  # a paid request is no transaction but a compact row

KEY = MovementKey(cluster="localnet", signature="5sig", outer=2)
MOMENT = ChainMoment(slot=Slot(77), block_time=datetime(2026, 11, 2, tzinfo=UTC))
VOUCHER = Voucher(actor="ada", event_at=datetime(2026, 11, 3, tzinfo=UTC), reason="found out")
REQUEST = UUID("0192f3a4-5b6c-7d8e-9f00-112233445566")
CASE = UUID("0192f3a4-5b6c-7d8e-9f00-aabbccddeeff")
ALICE, BOB = accounts.user(UUID(int=1)), accounts.user(UUID(int=2))
OSCAR, PENDING, BOND = [
    named(UUID(int=3)) for named in (accounts.host, accounts.bond_pending, accounts.bond)
]
UNENROLLED = accounts.bond_unenrolled(factories.bond_address("unenrolled"))
PAYER = factories.bond_address("payer")
BANK = accounts.external("bank")
COORDINATOR, SETTLEMENT = accounts.treasury("coordinator"), accounts.treasury("settlement")
SHORT: Final = {
    "user:alice": ALICE,
    "user:bob": BOB,
    "host:oscar": OSCAR,
    "bond-pending:oscar": PENDING,
    "bond:oscar": BOND,
    "bond-unenrolled:address": UNENROLLED,
    "chain:sol:payer": accounts.chain_sol(PAYER),
}

Given = Mapping[str, int]
Row = tuple[AccountName, AccountName, int]


@dataclass(frozen=True, kw_only=True)
class WorkedEntry:
    """One entry of the page: what happened, in which numbers, and what the books write."""

    title: str
    kind: str
    given: Given
    rows: list[Row]
    units: list[str]  # of each row's amount, as written


_ENTRY: Final = re.compile(
    r"^### (?P<title>.+)\n(?P<words>(?:\n(?!Booked|#).*)*)\n"
    r"Booked as `(?P<kind>\w+)`, given (?P<given>.+)\.\n\n"
    r"\| Debit \| Credit \| Amount \| In words \|\n\|---\|---\|---\|---\|\n(?P<rows>(?:\|.*\n)+)",
    re.MULTILINE,
)
_GIVEN: Final = re.compile(r"(?P<name>[a-z ]+) (?P<amount>\S+) (?P<unit>USDC|lamports)")
_ROW: Final = re.compile(
    r"\| `(?P<debit>\S+)` \| `(?P<credit>\S+)` \| (?P<amount>\S+) (?P<unit>USDC|lamports) \| \w.*\|"
)


def page() -> list[WorkedEntry]:
    """The entries in their order."""
    return [_entry(found) for found in _ENTRY.finditer(PAGE.read_text())]


def _entry(found: re.Match[str]) -> WorkedEntry:
    given = [_matched(_GIVEN, part) for part in found["given"].split("; ")]
    rows = [_matched(_ROW, line) for line in found["rows"].splitlines()]
    return WorkedEntry(
        title=found["title"],
        kind=found["kind"],
        given={each["name"]: _amount(each) for each in given},
        rows=[(_name(row["debit"]), _name(row["credit"]), _amount(row)) for row in rows],
        units=[f"{row['amount']} {row['unit']}" for row in rows],
    )


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    assert found is not None, f"the page has {text!r}"
    return found


def _name(short: str) -> AccountName:
    return SHORT.get(short, AccountName(short))


def _amount(found: re.Match[str]) -> int:
    """The amount in the smallest unit of its asset."""
    number = Decimal(found["amount"].replace(",", ""))
    scaled = number.scaleb(USDC_DECIMALS if found["unit"] == "USDC" else 0)
    assert scaled == int(scaled), f"{found[0]} is no whole number of the smallest unit"
    return int(scaled)


def usdc(given: Given, name: str = "amount") -> MicroUsdc:
    return MicroUsdc(given[name])


def sol(given: Given, name: str = "amount") -> Lamports:
    return Lamports(given[name])


def charge(given: Given) -> Charge:
    return factories.charge(REQUEST, ALICE, OSCAR, given["gross"])


def refund(given: Given, operator: AccountName | None) -> Post:
    asked = Refund(
        request_id=REQUEST,
        user=ALICE,
        operator=operator,
        gross_microusdc=usdc(given, "gross"),
        refunded_before_microusdc=usdc(given, "refunded before"),
        amount_microusdc=usdc(given),
    )
    return postings.request_refunded(VOUCHER, asked, SETTLEMENT)


def upstream_served(given: Given) -> Post:
    return postings.upstream_served(
        VOUCHER,
        REQUEST,
        ALICE,
        "openai",
        writer_name="coordinator",
        gross_microusdc=usdc(given, "gross"),
        cost_microusdc=usdc(given, "cost"),
    )


def reversed_refund(given: Given) -> Post:
    amount = given["amount"]
    wrong = refund({"gross": amount, "refunded before": 0, "amount": amount}, None)
    return postings.reversal(VOUCHER, wrong.transaction_id, wrong.transfers)


def shares(given: Given) -> dict[AccountName, MicroUsdc]:
    return {BOB: usdc(given, "bob"), ALICE: usdc(given, "alice")}


Call = Callable[[Given], Post | tuple[Transfer, ...]]

_IN: Final[dict[str, Call]] = {
    "Deposit by code": lambda given: postings.deposit_credited(
        KEY, MOMENT, Vault.TILL, ALICE, usdc(given)
    ),
    "Deposit that names nobody": lambda given: postings.deposit_suspended(
        KEY, MOMENT, Vault.TILL, usdc(given)
    ),
    "Owner of a deposit found": lambda given: postings.suspense_assigned(
        VOUCHER, KEY.reference, ALICE, usdc(given)
    ),
    "Vault grew for reasons we cannot read": lambda given: postings.quarantined(
        KEY, MOMENT, Vault.TILL, given["change"]
    ),
    "Vault shrank for reasons we cannot read": lambda given: postings.quarantined(
        KEY, MOMENT, Vault.TILL, given["change"]
    ),
    "Quarantine resolved": lambda given: postings.quarantine_assigned(
        VOUCHER, KEY.reference, shares(given)
    ),
    "Money between our vaults": lambda given: postings.vaults_moved(
        KEY, MOMENT, Vault.BOND, Vault.TILL, usdc(given)
    ),
    "Card top-up": lambda given: postings.card_topped_up(VOUCHER, "ch_1", ALICE, usdc(given)),
    "Card company pays out": lambda given: postings.card_settled(
        VOUCHER, "po_1", BANK, usdc(given, "gross"), usdc(given, "fee")
    ),
}
_REQUESTS: Final[dict[str, Call]] = {
    "Paid request": lambda given: postings.charge_transfers(charge(given), COORDINATOR),
    "Late capture beyond what the user has": lambda given: postings.late_capture(
        VOUCHER, charge(given), SETTLEMENT, usdc(given, "borne by user")
    ),
    "Bad debt collected": lambda given: postings.debt_collected(
        VOUCHER,
        REQUEST,
        ALICE,
        collected_before_microusdc=usdc(given, "collected before"),
        amount_microusdc=usdc(given),
    ),
    "Refund of a part of a request": lambda given: refund(given, OSCAR),
    "Refund of the rest of it": lambda given: refund(given, OSCAR),
    "Refund at our own cost": lambda given: refund(given, None),
    "Upstream served a request": upstream_served,
    "Upstream's invoice paid": lambda given: postings.upstream_paid(
        VOUCHER, "2026-11", "openai", BANK, usdc(given)
    ),
    "Invoice is higher than what was booked": lambda given: postings.upstream_cost_corrected(
        VOUCHER, "2026-11", "openai", given["difference"]
    ),
    "Invoice is lower than what was booked": lambda given: postings.upstream_cost_corrected(
        VOUCHER, "2026-12", "openai", given["difference"]
    ),
}
_OUT: Final[dict[str, Call]] = {
    "Operator withdraws": lambda given: postings.withdrawal_paid(KEY, MOMENT, OSCAR, usdc(given)),
    "User takes the balance out": lambda given: postings.withdrawal_paid(
        KEY, MOMENT, ALICE, usdc(given)
    ),
    "Deposit that names nobody is sent back": lambda given: postings.withdrawal_paid(
        KEY, MOMENT, accounts.SUSPENSE, usdc(given)
    ),
    "Rest of a bond deposit is sent back": lambda given: postings.withdrawal_paid(
        KEY, MOMENT, PENDING, usdc(given)
    ),
    "Owner draws": lambda given: postings.drawings_paid(KEY, MOMENT, usdc(given)),
    "Outflow that no account can bear": lambda given: postings.outflow_unexplained(
        KEY, MOMENT, Vault.TILL, usdc(given)
    ),
    "Outflow explained": lambda given: postings.outflow_explained(
        VOUCHER, KEY.reference, OSCAR, usdc(given)
    ),
    "Outflow written off": lambda given: postings.outflow_written_off(
        VOUCHER, KEY.reference, usdc(given)
    ),
    "Outflow recovered": lambda given: postings.recovered(
        VOUCHER, KEY.reference, written_off=False, amount_microusdc=usdc(given)
    ),
    "Recovered after it was written off": lambda given: postings.recovered(
        VOUCHER, KEY.reference, written_off=True, amount_microusdc=usdc(given)
    ),
}
_BONDS: Final[dict[str, Call]] = {
    "Bond money arrives in the till": lambda given: postings.bond_received(
        KEY, MOMENT, PENDING, usdc(given)
    ),
    "Bond is funded from the till": lambda given: postings.bond_funded(
        KEY, MOMENT, PENDING, BOND, usdc(given)
    ),
    "Bond is posted": lambda given: postings.bond_posted(KEY, MOMENT, BOND, usdc(given)),
    "Bond of a wallet that nobody enrolled": lambda given: postings.bond_posted(
        KEY, MOMENT, UNENROLLED, usdc(given)
    ),
    "Bond is handed over": lambda given: postings.bond_handed_over(
        KEY, MOMENT, UNENROLLED, BOND, usdc(given)
    ),
    "Bond is released": lambda given: postings.bond_released(KEY, MOMENT, BOND, usdc(given)),
    "Bond is seized": lambda given: postings.bond_seized(KEY, MOMENT, BOND, usdc(given)),
    "Who was harmed is credited": lambda given: postings.refund_pool_paid(
        VOUCHER, CASE, REQUEST, ALICE, usdc(given)
    ),
    "Treasury backs the refund pool": lambda given: postings.refund_pool_backed(
        VOUCHER, CASE, usdc(given)
    ),
}
_SOL: Final[dict[str, Call]] = {
    "Fee payer is funded": lambda given: postings.payer_funded(KEY, MOMENT, PAYER, sol(given)),
    "Transaction's fee": lambda given: postings.network_fee_paid(
        KEY, MOMENT, PAYER, sol(given, "fee"), sol(given, "priority")
    ),
    "Rent for a recipient's account": lambda given: postings.rent_paid(
        KEY, MOMENT, PAYER, sol(given)
    ),
    "Rent comes back": lambda given: postings.rent_returned(KEY, MOMENT, PAYER, sol(given)),
    "Owner takes SOL back": lambda given: postings.payer_drawn(KEY, MOMENT, PAYER, sol(given)),
}
_CORRECTIONS: Final[dict[str, Call]] = {
    "Writer's treasury is swept": lambda given: postings.child_swept(
        VOUCHER, COORDINATOR, given["net"]
    ),
    "Writer's costs are swept": lambda given: postings.child_swept(
        VOUCHER, accounts.upstream_cost("openai", "coordinator"), given["net"]
    ),
    "Entry that was wrong is reversed": reversed_refund,
    "Adjustment by a person": lambda given: postings.adjustment(
        VOUCHER, "7", [Transfer(debit=BOB, credit=ALICE, amount_microusdc=usdc(given))]
    ),
}
CALLS: Final = {**_IN, **_REQUESTS, **_OUT, **_BONDS, **_SOL, **_CORRECTIONS}


def transfers_of(made: Post | tuple[Transfer, ...]) -> tuple[Transfer, ...]:
    """What an entry's call moves."""
    return made.transfers if isinstance(made, Post) else made
