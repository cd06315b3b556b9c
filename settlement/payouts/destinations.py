"""Whether an address can be paid, from what stands there on chain. Pure.

The same rules are asked twice: when a withdrawal is requested, before anything is held, and again
before a message is built. What is wrong has a reason in words; the program checks it all once more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from solders.pubkey import Pubkey

from settlement.chain.answers import Account
from settlement.chain.program import SYSTEM_PROGRAM, TOKEN_PROGRAM, Deployment
from settlement.chain.tokens import (
    MINT_SIZE,
    TOKEN_2022_PROGRAM,
    NotATokenAccount,
    TokenAccount,
    TokenState,
    token_account,
)
from settlement.payouts.intent import DestinationKind, arrives_at, is_ours

# A wallet that keeps closing its token account would harvest our rent (chain.md P19).
ACCOUNTS_OPENED_FOR_ONE_WALLET: Final = 2


@dataclass(frozen=True, kw_only=True)
class Payable:
    """It can be paid; the wallet's token account has to be opened first, or not."""

    creates_account: bool


@dataclass(frozen=True, kw_only=True)
class Unpayable:
    """It can never be paid like this: burn the number and give the money back."""

    reason: str


Verdict = Payable | Unpayable


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What stands on chain where a payment would go, and who must not get one."""

    address: Pubkey
    account: Account | None  # at the address itself
    canonical: Account | None  # at its canonical token account
    holder: Account | None  # at the owner that a token account names; None where nobody asked
    payer: Pubkey  # our own fee payer


def addresses(address: Pubkey, deployment: Deployment) -> Sequence[Pubkey]:
    """What to read for a destination: itself, and the canonical token account it would have."""
    return address, arrives_at(address, DestinationKind.WALLET, deployment)


def named_owner(account: Account | None) -> Pubkey | None:
    """Who owns the token account that stands there; None when none does."""
    token = _token(account)
    return None if token is None else token.owner


def kind_of(account: Account | None) -> DestinationKind:
    """What a person who writes this address means by it."""
    if account is not None and account.owner == TOKEN_PROGRAM:
        return DestinationKind.TOKEN_ACCOUNT
    return DestinationKind.WALLET


def verdict(
    standing: Standing, kind: DestinationKind, *, deployment: Deployment, opened: int
) -> Verdict:
    """Whether it can be paid; `opened` token accounts were paid for this wallet before."""
    if standing.address == standing.payer:
        return Unpayable(reason="the destination is our own fee payer")
    if kind is DestinationKind.TOKEN_ACCOUNT:
        return _token_account(standing, deployment)
    reason = _no_wallet(standing.address, standing.account)
    if reason is not None:
        return Unpayable(reason=reason)
    return _wallet(standing, deployment, opened)


def _no_wallet(address: Pubkey, account: Account | None) -> str | None:
    if account is not None and account.executable:
        return "the destination is a program, not a wallet"
    if account is not None and account.owner == TOKEN_PROGRAM:
        return "the destination is a token account or a mint, not a wallet"
    if account is not None and account.owner == TOKEN_2022_PROGRAM:
        return "the destination is an account of another token program"
    if not address.is_on_curve():
        return "no key can sign for the destination: name its USDC token account instead"
    if account is not None and (account.owner != SYSTEM_PROGRAM or account.data):
        return "the destination is an account of a program, not a wallet"
    return None


def _wallet(standing: Standing, deployment: Deployment, opened: int) -> Verdict:
    account = standing.canonical
    if account is None or (account.owner == SYSTEM_PROGRAM and not account.data):
        if opened >= ACCOUNTS_OPENED_FOR_ONE_WALLET:
            return Unpayable(reason="the wallet keeps closing the token account we opened")
        return Payable(creates_account=True)
    token = _token(account)
    if token is None:
        return Unpayable(reason="what stands at the wallet's token account is none")
    if token.owner != standing.address:
        return Unpayable(reason="the wallet's token account was given to another owner")
    if token.mint != deployment.mint:
        return Unpayable(reason="the wallet's token account is of another mint")
    if token.state is TokenState.FROZEN:
        return Unpayable(reason="the wallet's token account is frozen")
    return Payable(creates_account=False)


def _token_account(standing: Standing, deployment: Deployment) -> Verdict:
    account = standing.account
    if account is not None and account.owner == TOKEN_PROGRAM and len(account.data) == MINT_SIZE:
        return Unpayable(reason="the destination is a mint")
    token = _token(account)
    if token is None:
        return Unpayable(reason="there is no initialized token account at the destination")
    if token.mint != deployment.mint:
        return Unpayable(reason="the destination is a token account of another mint, not of USDC")
    if _is_one_of_ours(token.owner, standing, deployment):
        return Unpayable(reason="the destination is a token account of our own")
    if token.state is TokenState.FROZEN:
        return Unpayable(reason="the destination is frozen by the issuer of USDC")
    return Payable(creates_account=False)


def _is_one_of_ours(owner: Pubkey, standing: Standing, deployment: Deployment) -> bool:
    held_by_program = standing.holder is not None and standing.holder.owner == deployment.program_id
    return is_ours(owner, deployment) or owner == standing.payer or held_by_program


def _token(account: Account | None) -> TokenAccount | None:
    if account is None:
        return None
    try:
        return token_account(account)
    except NotATokenAccount:
        return None
