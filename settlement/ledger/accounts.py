"""The chart of accounts: how accounts are called and what each kind may do. Pure.

An account's name says its kind and whose it is (`user:<uuid>`); what the kind may do stands here
and, the same, in the table `settlement.account_kind` (a test compares the two). A liability or
revenue account grows by credits, an asset or expense by debits. A floored account never goes below
zero, holds included: the database refuses it. Every account holds one asset, and a transfer never
has two. Amounts are whole units of the asset's smallest: microunits of USDC, lamports of SOL. What
a bank or a card company holds for us is booked at par, one dollar one USDC.
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
    RECOVERY = "recovery"
    UPSTREAM = "upstream"
    UPSTREAM_COST = "upstream_cost"
    UPSTREAM_COST_CHILD = "upstream_cost_child"
    EXTERNAL = "external"
    RECEIVABLE_CARD = "receivable_card"
    CARD_FEES = "card_fees"
    DRAWINGS = "drawings"
    CHAIN_SOL = "chain_sol"
    FUNDING_SOL = "funding_sol"
    RENT = "rent"
    NETWORK_FEES = "network_fees"


class Asset(StrEnum):
    """What an account is counted in."""

    USDC = "USDC"  # in microunits
    SOL = "SOL"  # in lamports


@dataclass(frozen=True, kw_only=True)
class AccountSpec:
    """What an account may do and where reports put it."""

    kind: AccountKind
    pattern: str  # what names of this kind look like
    side: Side
    floored: bool  # credits − debits − holds stays at or above zero
    gl_code: str
    asset: Asset = Asset.USDC
    # What reports add accounts of this kind up under: the replacement for what `pattern` matched,
    # so `\1` is its first group (Postgres: `regexp_replace(name, pattern, parent)`).
    parent: str | None = None


SUSPENSE: Final = AccountName("suspense")
QUARANTINE: Final = AccountName("quarantine")
UNEXPLAINED_OUT: Final = AccountName("unexplained-out")
BAD_DEBT: Final = AccountName("bad-debt")
REFUND_POOL: Final = AccountName("refund-pool")
TREASURY: Final = AccountName("treasury")
RECOVERY: Final = AccountName("recovery")
RECEIVABLE_CARD: Final = AccountName("receivable:card")
CARD_FEES: Final = AccountName("fees:card")
DRAWINGS: Final = AccountName("drawings")
FUNDING_SOL: Final = AccountName("funding:sol")
RENT: Final = AccountName("rent")
NETWORK_FEES: Final = AccountName("fees:network")

_UUID = "[0-9a-f-]{36}"
_ADDRESS = "[1-9A-HJ-NP-Za-km-z]{32,44}"
_WORD = "[a-z][a-z0-9_-]*"


def _liability(kind: AccountKind, pattern: str, gl_code: str) -> AccountSpec:
    return AccountSpec(
        kind=kind, pattern=pattern, side=Side.LIABILITY, floored=True, gl_code=gl_code
    )


def _unfloored(
    kind: AccountKind,
    pattern: str,
    side: Side,
    gl_code: str,
    *,
    asset: Asset = Asset.USDC,
    parent: str | None = None,
) -> AccountSpec:
    return AccountSpec(
        kind=kind,
        pattern=pattern,
        side=side,
        floored=False,
        gl_code=gl_code,
        asset=asset,
        parent=parent,
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
    _liability(AccountKind.BOND_UNENROLLED, f"^bond-unenrolled:{_ADDRESS}$", "2050"),
    _liability(AccountKind.SUSPENSE, "^suspense$", "2060"),
    _liability(AccountKind.QUARANTINE, "^quarantine$", "2070"),
    _liability(AccountKind.REFUND_POOL, "^refund-pool$", "2080"),
    _unfloored(AccountKind.TREASURY, "^treasury$", Side.REVENUE, "4010"),
    _unfloored(
        AccountKind.TREASURY_CHILD, f"^treasury:{_WORD}$", Side.REVENUE, "4010", parent=TREASURY
    ),
    # Income, not less bad debt: what was lost in one period and got back in another shows in both.
    _unfloored(AccountKind.RECOVERY, "^recovery$", Side.REVENUE, "4090"),
    # What we owe an upstream. The one liability without a floor: it can be paid in advance, and
    # then the upstream owes us service.
    _unfloored(AccountKind.UPSTREAM, f"^upstream:{_WORD}$", Side.LIABILITY, "2090"),
    _unfloored(AccountKind.UPSTREAM_COST, f"^cost:upstream:{_WORD}$", Side.EXPENSE, "5010"),
    _unfloored(
        AccountKind.UPSTREAM_COST_CHILD,
        rf"^(cost:upstream:{_WORD}):{_WORD}$",
        Side.EXPENSE,
        "5010",
        parent=r"\1",
    ),
    _unfloored(AccountKind.EXTERNAL, f"^external:{_WORD}$", Side.ASSET, "1110"),
    _unfloored(AccountKind.RECEIVABLE_CARD, "^receivable:card$", Side.ASSET, "1120"),
    _unfloored(AccountKind.CARD_FEES, "^fees:card$", Side.EXPENSE, "5130"),
    _unfloored(AccountKind.DRAWINGS, "^drawings$", Side.EQUITY, "3010"),
    _unfloored(
        AccountKind.CHAIN_SOL, f"^chain:sol:{_ADDRESS}$", Side.ASSET, "1020", asset=Asset.SOL
    ),
    _unfloored(AccountKind.FUNDING_SOL, "^funding:sol$", Side.EQUITY, "3020", asset=Asset.SOL),
    _unfloored(AccountKind.RENT, "^rent$", Side.EXPENSE, "5110", asset=Asset.SOL),
    _unfloored(AccountKind.NETWORK_FEES, "^fees:network$", Side.EXPENSE, "5120", asset=Asset.SOL),
)


def describe(name: AccountName) -> AccountSpec:
    """What the account of this name may do. Raises `InvalidAccount`."""
    for spec in CHART:
        if re.fullmatch(spec.pattern, name):
            return spec
    raise InvalidAccount(account=name)


def parent_of(name: AccountName) -> AccountName | None:
    """The account that reports add this one up under, if there is one. Raises `InvalidAccount`."""
    spec = describe(name)
    return None if spec.parent is None else AccountName(re.sub(spec.pattern, spec.parent, name))


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


def upstream(upstream_name: str) -> AccountName:
    """What we owe a centralized upstream; below zero when it was paid in advance."""
    return AccountName(f"upstream:{upstream_name}")


def upstream_cost(upstream_name: str, writer_name: str | None = None) -> AccountName:
    """What an upstream costs us; with a writer, that writer's child of it."""
    child = "" if writer_name is None else f":{writer_name}"
    return AccountName(f"cost:upstream:{upstream_name}{child}")


def external(name: str) -> AccountName:
    """What a bank or card account of ours holds, off the chain."""
    return AccountName(f"external:{name}")


def chain_sol(payer_address: str) -> AccountName:
    """The lamports of one of our fee payers."""
    return AccountName(f"chain:sol:{payer_address}")
