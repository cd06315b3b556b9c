"""What the chain holds of a bond: found by its code, read together with the clock at one slot.

A code can be bonded by several people, each for a beneficiary of their own, at an address of its
own; a bond that was handed over stays at the address of its first beneficiary. So the wallet's own
address is looked at first, and only then is the node asked for every bond of the code.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from solders.pubkey import Pubkey
from solders.sysvar import CLOCK

from cli.transaction.codes import told_code
from cli.transaction.moments import chain_now
from cli.transaction.purse import Purse, check_vault, purse_address, purse_of
from cli.transaction.target import NotDeployed, Target
from settlement.chain.answers import Account, AccountAt
from settlement.chain.layouts import SeizureState, UnknownAccount
from settlement.chain.program import Bond, BondState, Config, Deployment, decode_account
from settlement.chain.rpc import Commitment, RpcRefused
from settlement.errors import NotFound, Refused

# Every account of a bond, tombstones too, holds its code here.
_CODE_AT = 16


class NoSuchBond(NotFound):
    """No bond stands under this code here: `pod bond post` opens one."""


class SeveralBonds(Refused):
    """Several people bonded this code: say which bond is meant with --beneficiary ADDRESS."""


class CannotList(Refused):
    """This node does not list accounts: say which bond is meant with --beneficiary ADDRESS (the
    one it was opened for)."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """One bond and where it stands."""

    address: Pubkey
    bond: Bond

    @property
    def is_over(self) -> bool:
        """Whether only its tombstone is left."""
        return self.bond.state in (BondState.RELEASED, BondState.SEIZED)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A bond (None: nothing stands at the address), a purse and the chain's time, at one slot."""

    deployment: Deployment
    config: Config
    now: int
    code: bytes
    address: Pubkey
    bond: Bond | None
    purse: Purse
    bond_vault: AccountAt

    def check_vault(self) -> None:
        """Raises `FrozenByIssuer`."""
        check_vault(self.bond_vault, self.deployment.bond_vault)


async def read_facts(target: Target, code: bytes, address: Pubkey, purse_of_whom: Pubkey) -> Facts:
    """Everything a plan needs, at one confirmed slot. Raises `NotDeployed`, `NoClock`."""
    deployment = target.deployment
    asked = [
        deployment.config,
        address,
        purse_address(deployment, purse_of_whom),
        deployment.bond_vault,
        CLOCK,
    ]
    found = await target.rpc.accounts(asked, commitment=Commitment.CONFIRMED)
    config = None if found[0].account is None else decode_account(found[0].account.data)
    if not isinstance(config, Config):
        raise NotDeployed(program=str(deployment.program_id))
    return Facts(
        deployment=deployment,
        config=config,
        now=chain_now(found[4]),
        code=code,
        address=address,
        bond=_bond(deployment, found[1].account),
        purse=purse_of(deployment, purse_of_whom, found[2]),
        bond_vault=found[3],
    )


async def locate(
    target: Target, code: bytes, beneficiary: Pubkey | None, wallet: Pubkey | None
) -> Found:
    """The bond that is meant: of the beneficiary named, else of the wallet, else the only one.

    Raises `NoSuchBond`, `SeveralBonds` or `CannotList`.
    """
    whose = beneficiary or wallet
    if whose is not None:
        address = target.deployment.bond(code, whose)
        found = await target.rpc.account(address, commitment=Commitment.CONFIRMED)
        bond = _bond(target.deployment, found.account)
        if bond is not None:
            return Found(address=address, bond=bond)
    every = await all_of(target, code)
    mine = [one for one in every if one.bond.beneficiary == whose]
    if beneficiary is not None or mine:
        every = mine
    if not every:
        raise NoSuchBond(code=told_code(code), beneficiary=None if whose is None else str(whose))
    return _only(every, code)


def _only(every: Sequence[Found], code: bytes) -> Found:
    """The one bond meant: those that are over step back behind those that live."""
    living = [one for one in every if not one.is_over]
    chosen = living or every
    if len(chosen) > 1:
        raise SeveralBonds(
            code=told_code(code),
            beneficiaries=", ".join(sorted(str(one.bond.beneficiary) for one in chosen)),
        )
    return chosen[0]


async def all_of(target: Target, code: bytes) -> tuple[Found, ...]:
    """Every bond of this code, those that live first. Raises `CannotList`."""
    try:
        listed = await target.rpc.program_accounts(
            target.deployment.program_id, offset=_CODE_AT, equals=code
        )
    except RpcRefused as refusal:
        raise CannotList(node_says=refusal.text) from refusal
    found = [
        Found(address=one.address, bond=bond)
        for one in listed
        if (bond := _bond(target.deployment, one.account)) is not None and bond.code == code
    ]
    return tuple(sorted(found, key=lambda one: (one.is_over, one.bond.posted_at, one.address)))


def _bond(deployment: Deployment, account: Account | None) -> Bond | None:
    """The bond in an account; None where there is none (somebody may have sent lamports there)."""
    if account is None or account.owner != deployment.program_id:
        return None
    try:
        read = decode_account(account.data)
    except UnknownAccount:
        return None
    return read if isinstance(read, Bond) else None


def has_expired(bond: Bond, now: int) -> bool:
    """Whether an open seizure is past its time, so that anybody may clear it (`lapse`)."""
    if bond.seizure_state is SeizureState.NONE:
        return False
    ends = bond.decide_by if bond.seizure_state is SeizureState.CONTESTED else bond.dies_at
    return now >= ends
