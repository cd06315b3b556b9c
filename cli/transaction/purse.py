"""What a wallet holds in USDC, and whether it could pay: asked before anybody signs.

The program would refuse the same things with a number; here they are told with the amounts.
"""

from dataclasses import dataclass

from solders.pubkey import Pubkey

from settlement.chain.answers import AccountAt
from settlement.chain.program import Deployment, associated_token_address
from settlement.chain.tokens import (
    NotATokenAccount,
    TokenAccount,
    TokenState,
    token_account_at,
)
from settlement.errors import NotFound, Refused
from settlement.money import MicroUsdc, format_usdc


class NoUsdcAccount(NotFound):
    """The wallet has no USDC token account on this chain: send some USDC to the wallet first."""


class NotEnoughUsdc(Refused):
    """The wallet's USDC token account holds too little."""


class FrozenByIssuer(Refused):
    """A token account is frozen by the issuer of USDC; try again once it is thawed."""


class GivenAway(Refused):
    """The wallet's canonical token account belongs to somebody else now."""


@dataclass(frozen=True, kw_only=True)
class Purse:
    """A wallet's canonical USDC token account; `account` is None where there is none."""

    owner: Pubkey
    address: Pubkey
    account: TokenAccount | None

    @property
    def has_microusdc(self) -> MicroUsdc:
        """What it holds."""
        return MicroUsdc(0 if self.account is None else self.account.amount)


def purse_address(deployment: Deployment, owner: Pubkey) -> Pubkey:
    """Where a wallet keeps its USDC."""
    return associated_token_address(owner, deployment.mint)


def purse_of(deployment: Deployment, owner: Pubkey, found: AccountAt) -> Purse:
    """Read what stands at the wallet's canonical address; anything else there counts as none."""
    try:
        account = token_account_at(found).account
    except NotATokenAccount:
        account = None
    return Purse(owner=owner, address=purse_address(deployment, owner), account=account)


def check_can_receive(purse: Purse) -> None:
    """Raises `GivenAway` or `FrozenByIssuer`. A missing account can be created, and is no error."""
    if purse.account is None:
        return
    if purse.account.owner != purse.owner:
        raise GivenAway(token_account=str(purse.address), owner=str(purse.account.owner))
    _check_thawed(purse.address, purse.account)


def check_can_pay(purse: Purse, amount_microusdc: MicroUsdc) -> None:
    """Raises `NoUsdcAccount`, `NotEnoughUsdc`, `GivenAway` or `FrozenByIssuer`."""
    if purse.account is None:
        raise NoUsdcAccount(wallet=str(purse.owner), token_account=str(purse.address))
    check_can_receive(purse)
    if purse.account.amount < amount_microusdc:
        raise NotEnoughUsdc(
            has=format_usdc(purse.account.amount),
            needs=format_usdc(amount_microusdc),
            token_account=str(purse.address),
        )


def check_vault(found: AccountAt, address: Pubkey) -> None:
    """Raises `FrozenByIssuer` (or `NotATokenAccount` where there is no vault)."""
    _check_thawed(address, token_account_at(found).account)


def _check_thawed(address: Pubkey, account: TokenAccount) -> None:
    if account.state is TokenState.FROZEN:
        raise FrozenByIssuer(token_account=str(address))
