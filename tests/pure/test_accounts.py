"""The chart: every name has one kind, and a name that has none is refused."""

from re import fullmatch
from uuid import UUID, uuid4

import pytest

from settlement.chain.movement import Vault
from settlement.ledger import accounts
from settlement.ledger.accounts import CHART, AccountKind, InvalidAccount, Side, describe
from settlement.ledger.operations import AccountName
from tests import factories

ID = UUID("0192f3a4-5b6c-7d8e-9f00-112233445566")
NAMES = {
    accounts.chain_vault(Vault.TILL): AccountKind.CHAIN_VAULT,
    accounts.chain_vault(Vault.BOND): AccountKind.CHAIN_VAULT,
    accounts.UNEXPLAINED_OUT: AccountKind.UNEXPLAINED_OUT,
    accounts.BAD_DEBT: AccountKind.BAD_DEBT,
    accounts.user(ID): AccountKind.USER,
    accounts.host(ID): AccountKind.HOST,
    accounts.bond(ID): AccountKind.BOND,
    accounts.bond_pending(ID): AccountKind.BOND_PENDING,
    accounts.bond_unenrolled(factories.bond_address("one")): AccountKind.BOND_UNENROLLED,
    accounts.SUSPENSE: AccountKind.SUSPENSE,
    accounts.QUARANTINE: AccountKind.QUARANTINE,
    accounts.REFUND_POOL: AccountKind.REFUND_POOL,
    accounts.TREASURY: AccountKind.TREASURY,
    accounts.treasury("coordinator"): AccountKind.TREASURY_CHILD,
}


@pytest.mark.parametrize(("name", "kind"), NAMES.items())
def test_every_name_has_its_kind(name: AccountName, kind: AccountKind) -> None:
    assert describe(name).kind is kind


def test_the_chart_has_every_kind_once() -> None:
    kinds = [spec.kind for spec in CHART]
    assert sorted(kinds) == sorted(AccountKind)
    assert set(NAMES.values()) == set(AccountKind)


@pytest.mark.parametrize(
    "name",
    [
        *("", "user", "user:", f"user:{ID} ", f" user:{ID}", f"user:{ID}\n", f"USER:{ID}"),
        *(f"user:{str(ID).upper()}", f"host:{ID}x", "chain:other", "treasury:", "treasury:A"),
        *("bond-unenrolled:0OIl", "suspense ", "wallet:x", "user:" + "0" * 37),
    ],
)
def test_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidAccount):
        describe(AccountName(name))


def test_names_are_what_the_books_call_them() -> None:
    assert accounts.user(ID) == f"user:{ID}"
    assert accounts.host(ID) == f"host:{ID}"
    assert accounts.bond_pending(ID) == f"bond-pending:{ID}"
    assert accounts.chain_vault(Vault.TILL) == "chain:till"


def test_what_we_owe_has_a_floor_and_what_is_on_chain_has_none() -> None:
    for spec in CHART:
        assert spec.floored == (spec.side is Side.LIABILITY), spec.kind


def test_a_name_fits_one_kind_only() -> None:
    for name in (*NAMES, accounts.user(uuid4())):
        assert sum(fullmatch(spec.pattern, name) is not None for spec in CHART) == 1
