"""What `pod admin show` tells: everything, what waits with its time, no address shortened."""

import json
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
import typer
from solders.pubkey import Pubkey

from cli.admin import facts
from cli.admin.overview import (
    NotInitialized,
    Overview,
    StrangeAccount,
    read_overview,
    upgrade_authority,
)
from cli.admin.tables import Section, sections
from cli.admin.words import bond_word, cap, time_length, usdc
from settlement.chain.answers import Account, AccountAt
from settlement.chain.layouts import NO_CAP, VACANT, Parameters, PauseRecord, account_discriminator
from settlement.chain.program import Role
from settlement.chain.rpc import RpcClient
from settlement.money import Lamports, MicroUsdc, Slot
from tests.pure.cli.admin_scene import (
    ADMIN,
    AUTHORITY,
    DAY,
    DEPLOYMENT,
    GUARDIAN,
    NOBODY_KNOWN,
    NOW,
    overview,
    payouts,
)

BUSY: dict[str, Any] = {
    "pending_admin": NOBODY_KNOWN,
    "pending_admin_ready_at": NOW + DAY,
    "pending_admin_expires_at": NOW + 13 * DAY,
    "pending_role": Role.ARBITER.value,
    "pending_role_key": AUTHORITY,
    "pending_role_ready_at": NOW,
    "pending_parameters": Parameters(bond_amount_microusdc=MicroUsdc(60_000_000)),
    "pending_parameters_ready_at": NOW + 2 * DAY,
}


def section(title: str, shown: Overview) -> Section:
    return next(one for one in sections(shown) if one.title == title)


def test_a_quiet_deployment_shows_nothing_waiting() -> None:
    assert [one.title for one in sections(overview())] == [
        "deployment",
        "roles",
        "parameters",
        "pauses",
        "vaults",
        "payouts",
    ]
    assert facts.as_json(overview())["pending"] == {
        "admin": None,
        "role": None,
        "parameters": None,
    }


def test_what_waits_is_shown_with_its_time() -> None:
    shown = overview(**BUSY)
    rows = {row[0]: row[1:] for row in section("waiting", shown).rows}
    assert set(rows) == {"admin", "arbiter", "bond amount"}
    assert rows["admin"][0] == str(NOBODY_KNOWN)
    assert "can accept from" in rows["admin"][1]
    assert "in 13 days" in rows["admin"][1]
    assert rows["arbiter"] == (
        str(AUTHORITY),
        "can be applied from 2027-01-15 08:00:00 UTC (now)",
    )
    assert rows["bond amount"][0] == "50.000000 USDC → 60.000000 USDC"
    assert "in 2 days" in rows["bond amount"][1]
    pending = cast("dict[str, dict[str, object]]", facts.as_json(shown)["pending"])
    assert pending["admin"] == {
        "nominee": str(NOBODY_KNOWN),
        "can_be_accepted_at": NOW + DAY,
        "expires_at": NOW + 13 * DAY,
        "ready": False,
    }
    assert pending["role"]["ready"] is True
    assert pending["parameters"]["bond_amount_microusdc"] == 60_000_000
    assert pending["parameters"]["can_be_applied_at"] == NOW + 2 * DAY
    assert pending["parameters"]["ready"] is False


@pytest.mark.parametrize(
    ("at", "ready"), [(0, False), (DAY, True), (13 * DAY - 1, True), (13 * DAY, False)]
)
def test_a_nomination_is_ready_between_its_times(at: int, ready: bool) -> None:
    shown = replace(overview(**BUSY), now=NOW + at)
    pending = cast("dict[str, dict[str, object]]", facts.as_json(shown)["pending"])
    assert pending["admin"]["ready"] is ready
    told = section("waiting", shown).rows[0][2]
    assert told.startswith("did not accept" if at == 13 * DAY else "can accept")


def test_a_pause_is_shown_while_it_lasts_and_when_it_can_be_repeated() -> None:
    record = PauseRecord(paused_until=NOW + DAY, not_before=NOW + 4 * DAY, by=GUARDIAN)
    fresh = overview().config.pauses
    shown = overview(pauses=replace(fresh, releases=record))
    *_, releases = section("pauses", shown).rows
    assert releases[2].startswith("paused until ")
    assert "in 4 days" in releases[3]
    assert releases[4] == str(GUARDIAN)
    told = cast("dict[str, dict[str, object]]", facts.as_json(shown)["pauses"])
    assert told["releases"]["paused"] is True
    assert told["deposits"] == {"paused": False, "paused_until": 0, "not_before": 0, "by": None}
    over = replace(shown, now=NOW + DAY)
    assert section("pauses", over).rows[-1][2] == "open"
    assert section("pauses", replace(shown, now=NOW + 4 * DAY)).rows[-1][3] == ""
    told = cast("dict[str, dict[str, object]]", facts.as_json(over)["pauses"])
    assert told["releases"]["paused"] is False


def test_vaults_approval_and_spending_are_shown() -> None:
    busy = payouts(
        paid_count=3,
        half_window_started_at=NOW - DAY,
        half_window_spent_microusdc=MicroUsdc(2_000_000),
        previous_half_window_spent_microusdc=MicroUsdc(1_000_000),
        approved_sequence=9,
        approved_amount_microusdc=MicroUsdc(5_000_000),
        approved_destination=NOBODY_KNOWN,
        approval_expires_at=NOW + 60,
    )
    till = replace(overview().till, frozen=True)
    bonds = replace(overview().bonds, amount_microusdc=MicroUsdc(51_000_000))
    shown = overview(payouts=busy, till=till, bonds=bonds)
    rows = {row[0]: row[1:] for row in section("vaults", shown).rows}
    assert rows["till"][1] == "9.000000 (frozen)"
    assert rows["bonds"][2] == "50.000000 in 1 bond, surplus 1.000000"
    rows = {row[0]: row[1:] for row in section("payouts", shown).rows}
    assert rows["counted in the window"][0].startswith("3.000000 USDC")
    approved = rows["approved above the caps"][0]
    assert approved.startswith(f"number 9, 5.000000 USDC to {NOBODY_KNOWN}")
    assert "until" in approved
    late = replace(shown, now=NOW + 60)
    assert (
        "over since"
        in dict((row[0], row[1]) for row in section("payouts", late).rows)[
            "approved above the caps"
        ]
    )
    told = cast("dict[str, dict[str, Any]]", facts.as_json(shown))
    assert told["payouts"]["approval"]["open"] is True
    assert cast("dict[str, Any]", facts.as_json(late)["payouts"])["approval"]["open"] is False
    assert cast("dict[str, Any]", facts.as_json(overview())["payouts"])["approval"] is None
    assert told["till"]["frozen"] is True


def test_the_json_is_json_and_vacant_is_null() -> None:
    shown = overview(payer=VACANT, upgrade_authority=None)
    told = json.loads(json.dumps(facts.as_json(shown)))
    assert (told["roles"]["payer"], told["roles"]["admin"]) == (None, str(ADMIN))
    assert told["upgrade_authority"] is None
    assert ("payer", "vacant") in section("roles", shown).rows
    assert ("upgrade authority", "nobody") in section("deployment", shown).rows


@dataclass
class FakeNode(RpcClient):
    """Holds the accounts it is given, in the order they are asked for."""

    held: list[Account | None]

    async def accounts(self, *_asked: object, **_options: object) -> tuple[AccountAt, ...]:
        return tuple(AccountAt(slot=Slot(1), account=account) for account in self.held)


def account(owner: Pubkey, data: bytes = b"") -> Account:
    return Account(owner=owner, lamports=Lamports(1), data=data, executable=False)


async def test_a_program_that_is_not_set_up() -> None:
    with pytest.raises(NotInitialized):
        await read_overview(FakeNode([None] * 7), DEPLOYMENT)


async def test_accounts_that_are_not_what_they_must_be() -> None:
    clock = account(VACANT, bytes(40))
    strange = [account(NOBODY_KNOWN)] * 5
    with pytest.raises(StrangeAccount, match="Config"):
        await read_overview(FakeNode([*strange, clock, account(VACANT)]), DEPLOYMENT)
    escrow = account_discriminator("Escrow") + b"\x01" + bytes(23)
    other = [account(DEPLOYMENT.program_id, escrow)] * 5
    with pytest.raises(StrangeAccount, match="found=Escrow"):
        await read_overview(FakeNode([*other, clock, account(VACANT)]), DEPLOYMENT)


def program_data(option: bytes, rest: bytes = b"") -> AccountAt:
    data = b"\x03" + bytes(11) + option + bytes(AUTHORITY) + rest
    return AccountAt(slot=Slot(1), account=account(VACANT, data))


def test_the_upgrade_authority_and_nobody_once_it_is_burned() -> None:
    assert upgrade_authority(program_data(b"\x01")) == AUTHORITY
    assert upgrade_authority(program_data(b"\x01", b"code")) == AUTHORITY
    # The loader leaves the old key's bytes behind the option it clears.
    assert upgrade_authority(program_data(b"\x00")) is None
    for found in (None, account(VACANT, bytes(44))):
        with pytest.raises(StrangeAccount, match="ProgramData"):
            upgrade_authority(AccountAt(slot=Slot(1), account=found))


@pytest.mark.parametrize(
    ("text", "amount"),
    [("none", NO_CAP), ("NONE", NO_CAP), ("0", 0), ("0.0", 0), ("100", 100_000_000)],
)
def test_caps_as_they_are_typed(text: str, amount: int) -> None:
    assert cap(text) == amount


@pytest.mark.parametrize("text", ["", "-1", "nan", "no", "0.0000001", "1e30"])
def test_amounts_that_are_none(text: str) -> None:
    for parse in (cap, usdc):
        with pytest.raises(typer.BadParameter):
            parse(text)


def test_words_that_are_typed_wrongly() -> None:
    assert time_length("7d") == 7 * DAY
    for parse in (usdc, time_length, bond_word):
        with pytest.raises(typer.BadParameter):
            parse("0")


def test_a_bond_by_code_or_address() -> None:
    assert bond_word("POD-BOND-Enroll01").code == bond_word("Enroll01").code == b"Enroll01"
    address = Pubkey.new_unique()
    assert bond_word(str(address)).address == address
