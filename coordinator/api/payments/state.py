"""What is true on chain just now, for one wallet that wants to pay: one read at one slot.

Only public routes for people come here, never a paid request. Whatever a node does, an answer takes
a few seconds at most: few reads at once, few tries, one limit over all of it; then it is said that
the chain does not answer. Nothing is decided here that the program does not decide again: what is
read only lets us say beforehand, in words, what would fail.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog
from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.sysvar import CLOCK

from coordinator.api.payments.refusals import (
    ChainUnavailable,
    PaymentsNotOffered,
    ProgramNotReady,
)
from coordinator.order import monotonic
from settlement.chain.answers import Account, AccountAt, Commitment
from settlement.chain.layouts import UnknownAccount
from settlement.chain.program import (
    SYSTEM_PROGRAM,
    Bond,
    Config,
    Deployment,
    associated_token_address,
    decode_account,
)
from settlement.chain.rpc import RetryPolicy, RpcClient, RpcRefused, RpcUnavailable, open_rpc
from settlement.chain.tokens import NotATokenAccount, TokenAccount, TokenState, token_account
from settlement.deposits import InvalidWallet
from settlement.money import Lamports

log = structlog.get_logger()

_PATIENCE_SECONDS: Final = 6.0
_READS_AT_ONCE: Final = 16
# A wallet has a minute to sign; a second less of it saves a read for each of many.
_BLOCKHASH_AGE_SECONDS: Final = 1.0
_RENT_AGE_SECONDS: Final = 600.0
_IMPATIENT: Final = RetryPolicy(attempts=3, longest_pause_seconds=0.5, total_seconds=4.0)
# The Clock sysvar: slot, epoch start, epoch, leader schedule epoch, then the time.
_CLOCK_TIME: Final = slice(32, 40)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The chain at one slot, as far as one wallet's payment is concerned."""

    now: int  # the chain's time, Unix seconds
    config: Config
    account: Pubkey
    lamports: Lamports
    least_lamports: Lamports  # what a wallet must keep, unless it keeps nothing
    usdc: TokenAccount | None  # at the wallet's canonical address, and still its own
    till_vault_frozen: bool
    bond_vault_frozen: bool
    bond: Bond | None


class PaymentChain:
    """Reads what payment requests need. Without RPC nodes every read is refused."""

    def __init__(
        self,
        rpc: RpcClient | None,
        deployment: Deployment,
        *,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        self._rpc = rpc
        self._patience_seconds = patience_seconds
        self._deployment = deployment
        self._turn = asyncio.Semaphore(_READS_AT_ONCE)
        self._fetching = asyncio.Lock()
        self._blockhash: tuple[float, Hash] | None = None
        self._rents: dict[int, tuple[float, Lamports]] = {}

    async def see(self, account: Pubkey, bond: Pubkey | None = None) -> Seen:
        """The chain for this wallet, and the bond at this address.

        Raises `ChainUnavailable`, `PaymentsNotOffered`, `ProgramNotReady` when there is no program
        of ours that works with this deployment's mint, and `InvalidWallet` when the account is
        something that cannot pay fees.
        """
        place = self._deployment
        wanted = [
            CLOCK,
            place.config,
            place.till_vault,
            place.bond_vault,
            account,
            associated_token_address(account, place.mint),
            *([bond] if bond is not None else []),
        ]
        async with self._asking() as rpc:
            read = await rpc.accounts(wanted, commitment=Commitment.CONFIRMED)
        clock, config, till, escrowed, wallet, usdc = (each.account for each in read[:6])
        return Seen(
            now=_time(clock),
            config=_config(config, place),
            account=account,
            lamports=_lamports(wallet),
            least_lamports=await self.rent_lamports(0),
            usdc=_token(usdc, owner=account, mint=place.mint),
            till_vault_frozen=_is_frozen(till),
            bond_vault_frozen=_is_frozen(escrowed),
            bond=_bond(read[6:], place),
        )

    async def accounts(self, addresses: Sequence[Pubkey]) -> tuple[AccountAt, ...]:
        """These accounts as they are finalized: what a payout is checked by before it is sent.

        Raises as `usdc_of` does.
        """
        async with self._asking() as rpc:
            return await rpc.accounts(addresses, commitment=Commitment.FINALIZED)

    async def usdc_of(self, owner: Pubkey) -> TokenAccount | None:
        """The canonical USDC account of anybody; None when it is not there or not theirs.

        Raises `ChainUnavailable`, `PaymentsNotOffered`.
        """
        address = associated_token_address(owner, self._deployment.mint)
        async with self._asking() as rpc:
            found = await rpc.account(address, commitment=Commitment.CONFIRMED)
        return _token(found.account, owner=owner, mint=self._deployment.mint)

    async def rent_lamports(self, size_bytes: int) -> Lamports:
        """What an account of this size must hold. Raises as `usdc_of` does."""
        known = self._rents.get(size_bytes)
        if known is not None and monotonic() - known[0] < _RENT_AGE_SECONDS:
            return known[1]
        async with self._asking() as rpc:
            rent_lamports = await rpc.rent_exempt_minimum(size_bytes)
        self._rents[size_bytes] = (monotonic(), rent_lamports)
        return rent_lamports

    async def blockhash(self) -> Hash:
        """A confirmed blockhash at most about a second old. Raises as `usdc_of` does."""
        async with self._fetching:
            known = self._blockhash
            if known is not None and monotonic() - known[0] < _BLOCKHASH_AGE_SECONDS:
                return known[1]
            asked_at = monotonic()
            async with self._asking() as rpc:
                latest = await rpc.latest_blockhash(Commitment.CONFIRMED)
            self._blockhash = (asked_at, latest.blockhash)
            return latest.blockhash

    @asynccontextmanager
    async def _asking(self) -> AsyncGenerator[RpcClient]:
        if self._rpc is None:
            raise PaymentsNotOffered
        try:
            async with asyncio.timeout(self._patience_seconds), self._turn:
                yield self._rpc
        except (RpcUnavailable, RpcRefused, TimeoutError) as error:
            log.warning("payment_chain_unavailable", problem=str(error) or "timeout")
            raise ChainUnavailable(retry_after_seconds=2) from error


@asynccontextmanager
async def open_payment_chain(
    urls: Sequence[str], deployment: Deployment
) -> AsyncGenerator[PaymentChain]:
    """A reader with an HTTP session of its own, closed at the end; no URLs: it refuses."""
    if not urls:
        yield PaymentChain(None, deployment)
        return
    async with open_rpc(urls, retry=_IMPATIENT) as rpc:
        yield PaymentChain(rpc, deployment)


def _time(clock: Account | None) -> int:
    if clock is None or len(clock.data) < _CLOCK_TIME.stop:
        raise ChainUnavailable(problem="no clock")
    return int.from_bytes(clock.data[_CLOCK_TIME], "little", signed=True)


def _lamports(wallet: Account | None) -> Lamports:
    """What a wallet has; an address that nobody has used yet is one too."""
    if wallet is None:
        return Lamports(0)
    if wallet.owner != SYSTEM_PROGRAM or wallet.data:
        raise InvalidWallet(field="account")
    return wallet.lamports


def _config(found: Account | None, place: Deployment) -> Config:
    if found is None or found.owner != place.program_id:
        raise ProgramNotReady
    try:
        config = decode_account(found.data)
    except UnknownAccount as error:
        raise ProgramNotReady from error
    if not isinstance(config, Config) or config.mint != place.mint:
        raise ProgramNotReady
    return config


def _is_frozen(vault: Account | None) -> bool:
    if vault is None:
        raise ProgramNotReady
    try:
        return token_account(vault).state is TokenState.FROZEN
    except NotATokenAccount as error:
        raise ProgramNotReady from error


def _token(found: Account | None, *, owner: Pubkey, mint: Pubkey) -> TokenAccount | None:
    """The account if it can be used as the owner's: one that was given away is nobody's here."""
    if found is None:
        return None
    try:
        account = token_account(found)
    except NotATokenAccount:
        return None
    return account if (account.owner, account.mint) == (owner, mint) else None


def _bond(found: Sequence[AccountAt], place: Deployment) -> Bond | None:
    """The bond if it was asked for and is there; lamports sent to its address make none."""
    if not found or found[0].account is None or found[0].account.owner != place.program_id:
        return None
    try:
        bond = decode_account(found[0].account.data)
    except UnknownAccount as error:
        raise ProgramNotReady from error
    return bond if isinstance(bond, Bond) else None
