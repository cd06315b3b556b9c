"""Everything the owners govern, read at one slot: Config, Payouts, Escrow, both vaults, the time.

Times are the chain's own (the Clock sysvar), because that is what the program compares with.
"""

from dataclasses import dataclass
from typing import Final, TypeVar

from solders.pubkey import Pubkey
from solders.sysvar import CLOCK

from cli.transaction.moments import chain_now
from settlement.chain.answers import AccountAt, Commitment
from settlement.chain.program import Config, Deployment, Escrow, Payouts, decode_account
from settlement.chain.rpc import RpcClient
from settlement.chain.tokens import TokenState, token_account_at
from settlement.errors import NotFound, Refused
from settlement.money import MicroUsdc, Slot

T = TypeVar("T", Config, Escrow, Payouts)
# ProgramData: a tag of four bytes, the slot of the deployment, then an optional key.
_AUTHORITY_AT: Final = 12
_PROGRAM_DATA_HEADER: Final = 45


class NotInitialized(NotFound):
    """The program is not set up here: nobody has initialized it, or it is another program."""


class StrangeAccount(Refused):
    """An account of the deployment is not what it has to be; nothing is shown that may be false."""


@dataclass(frozen=True, kw_only=True)
class VaultAt:
    """What a vault holds, and whether Circle has frozen it."""

    address: Pubkey
    amount_microusdc: MicroUsdc
    frozen: bool


@dataclass(frozen=True, kw_only=True)
class Overview:
    """One deployment at one slot; `now` is the chain's time there, in seconds."""

    deployment: Deployment
    slot: Slot
    now: int
    config: Config
    payouts: Payouts
    escrow: Escrow
    till: VaultAt
    bonds: VaultAt
    upgrade_authority: Pubkey | None


async def read_overview(rpc: RpcClient, deployment: Deployment) -> Overview:
    """Read everything at one confirmed slot.

    Raises `NotInitialized`, `StrangeAccount`, `NoClock`, or `UnknownAccount` for a layout that is
    not known.
    """
    asked = (
        deployment.config,
        deployment.payouts,
        deployment.escrow,
        deployment.till_vault,
        deployment.bond_vault,
        CLOCK,
        deployment.program_data,
    )
    found = await rpc.accounts(asked, commitment=Commitment.CONFIRMED)
    config, payouts, escrow, till, bonds, clock, program_data = found
    if config.account is None:
        raise NotInitialized(program=str(deployment.program_id), config=str(deployment.config))
    return Overview(
        deployment=deployment,
        slot=config.slot,
        now=chain_now(clock),
        config=_ours(config, deployment, Config),
        payouts=_ours(payouts, deployment, Payouts),
        escrow=_ours(escrow, deployment, Escrow),
        till=_vault(till, deployment.till_vault),
        bonds=_vault(bonds, deployment.bond_vault),
        upgrade_authority=upgrade_authority(program_data),
    )


def upgrade_authority(found: AccountAt) -> Pubkey | None:
    """Who may replace the program's code; None once nobody can. Raises `StrangeAccount`."""
    if found.account is None or len(found.account.data) < _PROGRAM_DATA_HEADER:
        raise StrangeAccount(account="ProgramData")
    data = found.account.data
    if not data[_AUTHORITY_AT]:
        return None
    return Pubkey(data[_AUTHORITY_AT + 1 : _PROGRAM_DATA_HEADER])


def _ours(found: AccountAt, deployment: Deployment, kind: type[T]) -> T:
    if found.account is None or found.account.owner != deployment.program_id:
        raise StrangeAccount(account=kind.__name__)
    account = decode_account(found.account.data)
    if not isinstance(account, kind):
        raise StrangeAccount(account=kind.__name__, found=type(account).__name__)
    return account


def _vault(found: AccountAt, address: Pubkey) -> VaultAt:
    token = token_account_at(found).account
    return VaultAt(
        address=address,
        amount_microusdc=MicroUsdc(token.amount),
        frozen=token.state is TokenState.FROZEN,
    )
