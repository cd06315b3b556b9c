"""The chart of accounts: how accounts are called and what each kind may do. Pure.

An account's name says its kind and whose it is (`user:<uuid>`); what the kind may do stands here
and, the same, in the table `settlement.account_kind` (a test compares the two). A liability or
revenue account grows by credits, an asset or expense by debits. A floored account never goes below
zero, holds included: the database refuses it.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from settlement.chain.movement import Vault
from settlement.errors import Refused
from settlement.ledger.operations import AccountName


class InvalidAccount(Refused):
    """The chart has no account of that name."""


class Side(StrEnum):
    """Which part of the balance sheet or income statement an account belongs to."""

    ASSET = "asset"
    LIABILITY = "liability"
    EQUITY = "equity"
    REVENUE = "revenue"
    EXPENSE = "expense"


class AccountKind(StrEnum):
    """Every kind of account there is."""

    CHAIN_VAULT = "chain_vault"
    UNEXPLAINED_OUT = "unexplained_out"
    BAD_DEBT = "bad_debt"
    USER = "user"
    HOST = "host"
    BOND = "bond"
    BOND_PENDING = "bond_pending"
    BOND_UNENROLLED = "bond_unenrolled"
    SUSPENSE = "suspense"
    QUARANTINE = "quarantine"
    REFUND_POOL = "refund_pool"
    TREASURY = "treasury"
    TREASURY_CHILD = "treasury_child"


@dataclass(frozen=True, kw_only=True)
class AccountSpec:
    """What an account may do and where reports put it."""

    kind: AccountKind
    pattern: str  # what names of this kind look like
    side: Side
    floored: bool  # credits − debits − holds stays at or above zero
    gl_code: str
    asset: str = "USDC"
    parent: AccountName | None = None  # reports add its children up


SUSPENSE: Final = AccountName("suspense")
QUARANTINE: Final = AccountName("quarantine")
UNEXPLAINED_OUT: Final = AccountName("unexplained-out")
BAD_DEBT: Final = AccountName("bad-debt")
REFUND_POOL: Final = AccountName("refund-pool")
TREASURY: Final = AccountName("treasury")

_UUID = "[0-9a-f-]{36}"


def _liability(kind: AccountKind, pattern: str, gl_code: str) -> AccountSpec:
    return AccountSpec(
        kind=kind, pattern=pattern, side=Side.LIABILITY, floored=True, gl_code=gl_code
    )


def _unfloored(
    kind: AccountKind, pattern: str, side: Side, gl_code: str, parent: AccountName | None = None
) -> AccountSpec:
    return AccountSpec(
        kind=kind, pattern=pattern, side=side, floored=False, gl_code=gl_code, parent=parent
    )


CHART: Final = (
    _unfloored(AccountKind.CHAIN_VAULT, "^chain:(till|bond)$", Side.ASSET, "1010"),
    # What left a vault and no account can bear: finalized movements are always bookable.
    _unfloored(AccountKind.UNEXPLAINED_OUT, "^unexplained-out$", Side.ASSET, "1090"),
    _unfloored(AccountKind.BAD_DEBT, "^bad-debt$", Side.EXPENSE, "5090"),
    _liability(AccountKind.USER, f"^user:{_UUID}$", "2010"),
    _liability(AccountKind.HOST, f"^host:{_UUID}$", "2020"),
    _liability(AccountKind.BOND, f"^bond:{_UUID}$", "2030"),
    _liability(AccountKind.BOND_PENDING, f"^bond-pending:{_UUID}$", "2040"),
    _liability(
        AccountKind.BOND_UNENROLLED, "^bond-unenrolled:[1-9A-HJ-NP-Za-km-z]{32,44}$", "2050"
    ),
    _liability(AccountKind.SUSPENSE, "^suspense$", "2060"),
    _liability(AccountKind.QUARANTINE, "^quarantine$", "2070"),
    _liability(AccountKind.REFUND_POOL, "^refund-pool$", "2080"),
    _unfloored(AccountKind.TREASURY, "^treasury$", Side.REVENUE, "4010"),
    _unfloored(
        AccountKind.TREASURY_CHILD, "^treasury:[a-z][a-z0-9_-]*$", Side.REVENUE, "4010", TREASURY
    ),
)


def describe(name: AccountName) -> AccountSpec:
    """What the account of this name may do. Raises `InvalidAccount`."""
    for spec in CHART:
        if re.fullmatch(spec.pattern, name):
            return spec
    raise InvalidAccount(account=name)


def chain_vault(vault: Vault) -> AccountName:
    """What one of our token accounts holds."""
    return AccountName(f"chain:{vault.value}")


def user(user_id: UUID) -> AccountName:
    """What we owe a user: never named by the token, which is a credential."""
    return AccountName(f"user:{user_id}")


def host(provider_id: UUID) -> AccountName:
    """What an operator has earned and not withdrawn."""
    return AccountName(f"host:{provider_id}")


def bond(provider_id: UUID) -> AccountName:
    """An operator's bond in the bond vault."""
    return AccountName(f"bond:{provider_id}")


def bond_pending(provider_id: UUID) -> AccountName:
    """Bond money that came into the till by code and is not escrowed yet."""
    return AccountName(f"bond-pending:{provider_id}")


def bond_unenrolled(address: str) -> AccountName:
    """A bond on chain whose beneficiary is nobody's enrolled wallet, by its account's address."""
    return AccountName(f"bond-unenrolled:{address}")


def treasury(writer_name: str) -> AccountName:
    """The treasury child of one writer, so that writers never meet on one row."""
    return AccountName(f"treasury:{writer_name}")
