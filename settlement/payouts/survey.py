"""What the chain says before anything is paid: the till, the program's numbers, the recipient.

Reads only. Every answer that would make a payment fail, or pay the wrong one, is found here as a
plain reason, before a fee is spent. The program checks all of it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, assert_never

from solders.pubkey import Pubkey

from settlement.chain.answers import Account, AccountAt, LatestBlockhash
from settlement.chain.program import (
    SYSTEM_PROGRAM,
    TOKEN_PROGRAM,
    Config,
    Deployment,
    Payouts,
    UnknownAccount,
    decode_account,
)
from settlement.chain.tokens import NotATokenAccount, TokenAccount, TokenState, token_account
from settlement.errors import Unavailable
from settlement.money import BlockHeight, Lamports, MicroUsdc
from settlement.payouts.intent import Intent, destination_account
from settlement.payouts.states import PayoutKind

# A wallet that keeps closing its token account would harvest our rent (chain.md P19).
ACCOUNTS_OPENED_FOR_ONE_WALLET: Final = 2


class AccountReader(Protocol):
    """Tells accounts at one slot, in the order asked."""

    async def accounts(self, addresses: Sequence[Pubkey]) -> tuple[AccountAt, ...]: ...


class PayoutChain(AccountReader, Protocol):
    """What the road to the chain needs of a node; `RpcClient` is one."""

    async def latest_blockhash(self) -> LatestBlockhash: ...

    async def block_height(self) -> BlockHeight: ...

    async def balance(self, address: Pubkey) -> Lamports: ...

    async def send(self, transaction: bytes) -> str: ...


class TillUnreadable(Unavailable):
    """The program is not set up at this address, or the node does not show it."""


@dataclass(frozen=True, kw_only=True)
class Till:
    """The program's own accounts at one finalized slot."""

    config: Config
    payouts: Payouts
    vault: TokenAccount

    @property
    def bond_amount_microusdc(self) -> MicroUsdc:
        """What a bond costs now."""
        return self.config.parameters.bond_amount_microusdc


@dataclass(frozen=True, kw_only=True)
class Payable:
    """It can be paid; the wallet's token account has to be opened first, or not."""

    creates_account: bool


@dataclass(frozen=True, kw_only=True)
class Unpayable:
    """It can never be paid like this: burn the number and give the money back."""

    reason: str


Verdict = Payable | Unpayable


async def read_till(chain: PayoutChain, deployment: Deployment) -> Till:
    """Read the three accounts together. Raises `TillUnreadable`."""
    found = await chain.accounts([deployment.config, deployment.payouts, deployment.till_vault])
    try:
        config, payouts = (_owned(at, deployment.program_id) for at in found[:2])
        vault = found[2].account
        if not isinstance(config, Config) or not isinstance(payouts, Payouts) or vault is None:
            raise TillUnreadable(program=str(deployment.program_id))
        read = Till(config=config, payouts=payouts, vault=token_account(vault))
    except (UnknownAccount, NotATokenAccount) as error:
        raise TillUnreadable(program=str(deployment.program_id), problem=str(error)) from error
    if config.mint != deployment.mint or config.ops_wallet != deployment.till_authority:
        raise TillUnreadable(program=str(deployment.program_id), problem="another mint or till")
    return read


def _owned(found: AccountAt, program_id: Pubkey) -> object:
    if found.account is None or found.account.owner != program_id:
        return None
    return decode_account(found.account.data)


async def judge(
    chain: AccountReader, intent: Intent, *, deployment: Deployment, till: Till, opened: int
) -> Verdict:
    """Whether this intent can be paid; `opened` token accounts were paid for this wallet before."""
    target = destination_account(intent, deployment)
    if intent.destination == till.config.payer:
        return Unpayable(reason="the destination is our own fee payer")
    wallet, account = await chain.accounts([intent.destination, target])
    match intent.kind:
        case PayoutKind.PAY:
            return _payment(intent, wallet.account, account.account, deployment, opened)
        case PayoutKind.FUND_BOND:
            if account.account is not None and account.account.owner == deployment.program_id:
                return Unpayable(reason="there is a bond of this code and wallet already")
            if till.bond_amount_microusdc != intent.amount_microusdc:
                return Unpayable(reason="a bond has another price now")
            return Payable(creates_account=False)
        case _:
            assert_never(intent.kind)


def _payment(
    intent: Intent,
    wallet: Account | None,
    account: Account | None,
    deployment: Deployment,
    opened: int,
) -> Verdict:
    if wallet is not None and (wallet.executable or wallet.owner == TOKEN_PROGRAM):
        return Unpayable(reason="the destination is a program or a token account, not a wallet")
    if account is None or (account.owner == SYSTEM_PROGRAM and not account.data):
        if opened >= ACCOUNTS_OPENED_FOR_ONE_WALLET:
            return Unpayable(reason="the wallet keeps closing the token account we opened")
        return Payable(creates_account=True)
    try:
        token = token_account(account)
    except NotATokenAccount:
        return Unpayable(reason="what stands at the wallet's token account is none")
    if token.owner != intent.destination:
        return Unpayable(reason="the wallet's token account was given to another owner")
    if token.mint != deployment.mint:
        return Unpayable(reason="the wallet's token account is of another mint")
    if token.state is TokenState.FROZEN:
        return Unpayable(reason="the wallet's token account is frozen")
    return Payable(creates_account=False)
