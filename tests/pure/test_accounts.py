"""The chart: every name has one kind, and a name that has none is refused."""

from re import fullmatch
from uuid import UUID, uuid4

import pytest

from settlement.chain.movement import Vault
from settlement.ledger import accounts
from settlement.ledger.accounts import (
    CHART,
    AccountKind,
    Asset,
    InvalidAccount,
    Side,
    describe,
    parent_of,
)
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
    accounts.RECOVERY: AccountKind.RECOVERY,
    accounts.upstream("openai"): AccountKind.UPSTREAM,
    accounts.upstream_cost("openai"): AccountKind.UPSTREAM_COST,
    accounts.upstream_cost("openai", "coordinator"): AccountKind.UPSTREAM_COST_CHILD,
    accounts.external("bank"): AccountKind.EXTERNAL,
    accounts.RECEIVABLE_CARD: AccountKind.RECEIVABLE_CARD,
    accounts.CARD_FEES: AccountKind.CARD_FEES,
    accounts.DRAWINGS: AccountKind.DRAWINGS,
    accounts.chain_sol(factories.bond_address("payer")): AccountKind.CHAIN_SOL,
    accounts.FUNDING_SOL: AccountKind.FUNDING_SOL,
    accounts.RENT: AccountKind.RENT,
    accounts.NETWORK_FEES: AccountKind.NETWORK_FEES,
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
        *("chain:sol:", "chain:sol:0OIl", "upstream:", "upstream:a:b", "cost:upstream:a:b:c"),
        *("cost:upstream:a:", "external:", "receivable:bank", "fees:", "funding:usdc"),
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


def test_what_we_owe_has_a_floor_but_an_upstream_that_was_paid_in_advance() -> None:
    for spec in CHART:
        may_be_owed_to_us = spec.kind is AccountKind.UPSTREAM
        assert spec.floored == (spec.side is Side.LIABILITY and not may_be_owed_to_us), spec.kind


def test_lamports_are_counted_apart() -> None:
    assert {spec.kind for spec in CHART if spec.asset is Asset.SOL} == {
        AccountKind.CHAIN_SOL,
        AccountKind.FUNDING_SOL,
        AccountKind.RENT,
        AccountKind.NETWORK_FEES,
    }


def test_children_are_added_up_under_their_parent() -> None:
    parents = {name: parent_of(name) for name in NAMES}
    assert {name: parent for name, parent in parents.items() if parent is not None} == {
        accounts.treasury("coordinator"): accounts.TREASURY,
        accounts.upstream_cost("openai", "coordinator"): accounts.upstream_cost("openai"),
    }
    for child, parent in parents.items():
        if parent is not None:
            parts = [describe(name) for name in (child, parent)]
            assert len({(part.side, part.asset, part.gl_code) for part in parts}) == 1
            assert parent_of(parent) is None


def test_a_name_fits_one_kind_only() -> None:
    for name in (*NAMES, accounts.user(uuid4())):
        assert sum(fullmatch(spec.pattern, name) is not None for spec in CHART) == 1
