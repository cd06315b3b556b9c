"""What the chain says before anything is paid: the till, the program's numbers, the recipient.

Reads only. Every answer that would make a payment fail, or pay the wrong one, is found here as a
plain reason, before a fee is spent. The program checks all of it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, assert_never

from solders.pubkey import Pubkey

from settlement.chain.answers import AccountAt, Commitment, LatestBlockhash, SignatureStatus
from settlement.chain.program import Config, Deployment, Payouts, UnknownAccount, decode_account
from settlement.chain.tokens import NotATokenAccount, TokenAccount, token_account
from settlement.errors import Unavailable
from settlement.money import BlockHeight, Lamports, MicroUsdc
from settlement.payouts.destinations import (
    ACCOUNTS_OPENED_FOR_ONE_WALLET,
    Payable,
    Standing,
    Unpayable,
    Verdict,
    addresses,
    named_owner,
    verdict,
)
from settlement.payouts.intent import Intent, destination_account
from settlement.payouts.states import PayoutKind

__all__ = [
    "ACCOUNTS_OPENED_FOR_ONE_WALLET",
    "AccountReader",
    "Payable",
    "PayoutChain",
    "Till",
    "TillUnreadable",
    "Unpayable",
    "Verdict",
    "judge",
    "look_at",
    "read_payer",
    "read_till",
]


class AccountReader(Protocol):
    """Tells accounts at one slot, in the order asked."""

    async def accounts(self, addresses: Sequence[Pubkey]) -> tuple[AccountAt, ...]: ...


class PayoutChain(AccountReader, Protocol):
    """What the road to the chain needs of a node; `RpcClient` is one."""

    async def latest_blockhash(
        self, commitment: Commitment = Commitment.CONFIRMED
    ) -> LatestBlockhash: ...

    async def block_height(self) -> BlockHeight: ...

    async def balance(self, address: Pubkey) -> Lamports: ...

    async def send(self, transaction: bytes) -> str: ...

    async def signature_statuses(
        self, signatures: Sequence[str]
    ) -> tuple[SignatureStatus | None, ...]: ...

    async def recent_priority_fees(self, written: Sequence[Pubkey]) -> tuple[int, ...]: ...


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


async def read_payer(chain: AccountReader, deployment: Deployment) -> Pubkey:
    """Who holds the payer role on chain. Raises `TillUnreadable`."""
    (found,) = await chain.accounts([deployment.config])
    try:
        config = _owned(found, deployment.program_id)
    except UnknownAccount as error:
        raise TillUnreadable(program=str(deployment.program_id), problem=str(error)) from error
    if not isinstance(config, Config):
        raise TillUnreadable(program=str(deployment.program_id))
    return config.payer


def _owned(found: AccountAt, program_id: Pubkey) -> object:
    if found.account is None or found.account.owner != program_id:
        return None
    return decode_account(found.account.data)


async def judge(
    chain: AccountReader, intent: Intent, *, deployment: Deployment, till: Till, opened: int
) -> Verdict:
    """Whether this intent can be paid; `opened` token accounts were paid for this wallet before."""
    match intent.kind:
        case PayoutKind.PAY:
            standing = await look_at(
                chain, intent.destination, deployment=deployment, payer=till.config.payer
            )
            return verdict(standing, intent.destination_kind, deployment=deployment, opened=opened)
        case PayoutKind.FUND_BOND:
            return await _bond(chain, intent, deployment=deployment, till=till)
        case _:
            assert_never(intent.kind)


async def look_at(
    chain: AccountReader, address: Pubkey, *, deployment: Deployment, payer: Pubkey
) -> Standing:
    """What stands at a destination; whoever owns a token account there is looked at, too."""
    account, canonical = await chain.accounts(addresses(address, deployment))
    owner = named_owner(account.account)
    holder = None if owner is None else (await chain.accounts([owner]))[0].account
    return Standing(
        address=address,
        account=account.account,
        canonical=canonical.account,
        holder=holder,
        payer=payer,
    )


async def _bond(
    chain: AccountReader, intent: Intent, *, deployment: Deployment, till: Till
) -> Verdict:
    if intent.destination == till.config.payer:
        return Unpayable(reason="the destination is our own fee payer")
    (bond,) = await chain.accounts([destination_account(intent, deployment)])
    if bond.account is not None and bond.account.owner == deployment.program_id:
        return Unpayable(reason="there is a bond of this code and wallet already")
    if till.bond_amount_microusdc != intent.amount_microusdc:
        return Unpayable(reason="a bond has another price now")
    return Payable(creates_account=False)
