"""What the chain says of a step before it is built: whether it would be carried out now.

Reads only, everything at one finalized slot. The program checks all of it again; here it is found
as a plain reason, before a fee is spent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol, assert_never

from solders.pubkey import Pubkey
from solders.sysvar import CLOCK

from settlement.chain.answers import Account, AccountAt, LatestBlockhash
from settlement.chain.layouts import PauseRecord
from settlement.chain.program import (
    SYSTEM_PROGRAM,
    Bond,
    BondState,
    Config,
    Deployment,
    SeizureState,
    UnknownAccount,
    associated_token_address,
    decode_account,
)
from settlement.chain.tokens import NotATokenAccount, TokenState, token_account
from settlement.cranks.step import BookedBond, CrankKind
from settlement.errors import Unavailable
from settlement.money import BlockHeight, Lamports
from settlement.payouts.destinations import ACCOUNTS_OPENED_FOR_ONE_WALLET

_TIME_AT: Final = 32
_CLOCK_SIZE: Final = 40


class CrankChain(Protocol):
    """What cranks need of a node; `RpcClient` is one."""

    async def latest_blockhash(self) -> LatestBlockhash: ...

    async def block_height(self) -> BlockHeight: ...

    async def accounts(self, addresses: Sequence[Pubkey]) -> tuple[AccountAt, ...]: ...

    async def balance(self, address: Pubkey) -> Lamports: ...

    async def send(self, transaction: bytes) -> str: ...


class ProgramUnreadable(Unavailable):
    """The program or the chain's clock is not shown by the node."""


@dataclass(frozen=True, kw_only=True)
class Possible:
    """It would be carried out; the beneficiary's token account has to be opened first, or not."""

    creates_account: bool


@dataclass(frozen=True, kw_only=True)
class NotNow:
    """It would be refused now; look again later."""

    reason: str


Verdict = Possible | NotNow
_POSSIBLE: Final = Possible(creates_account=False)


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """Everything a step touches, at one slot."""

    now: int
    config: Config
    bond: Bond | None
    vault: Account | None
    till: Account | None
    wallet: Account | None
    purse: Account | None


async def chain_time(chain: CrankChain) -> datetime:
    """The chain's own time at its newest finalized slot. Raises `ProgramUnreadable`."""
    (found,) = await chain.accounts([CLOCK])
    return datetime.fromtimestamp(_clock(found), UTC)


async def judge(
    chain: CrankChain, kind: CrankKind, bond: BookedBond, *, deployment: Deployment, opened: int
) -> Verdict:
    """Whether the chain would carry this step out now; `opened` accounts were paid for before."""
    seen = await _read(chain, bond, deployment)
    if seen.bond is None or seen.bond.state in (BondState.RELEASED, BondState.SEIZED):
        return NotNow(reason="it is over on chain; the books have not read that yet")
    match kind:
        case CrankKind.RELEASE:
            return _release(seen, seen.bond, bond, deployment, opened)
        case CrankKind.EXECUTE_SEIZURE:
            return _execution(seen, seen.bond)
        case CrankKind.LAPSE:
            return _lapse(seen, seen.bond)
        case _:
            assert_never(kind)


async def _read(chain: CrankChain, bond: BookedBond, deployment: Deployment) -> _Seen:
    purse = associated_token_address(bond.beneficiary, deployment.mint)
    asked = [CLOCK, deployment.config, bond.address, deployment.bond_vault]
    asked += [deployment.till_vault, bond.beneficiary, purse]
    found = await chain.accounts(asked)
    config = _decoded(found[1].account, deployment)
    if not isinstance(config, Config) or config.mint != deployment.mint:
        raise ProgramUnreadable(program=str(deployment.program_id))
    shown = _decoded(found[2].account, deployment)
    return _Seen(
        now=_clock(found[0]),
        config=config,
        bond=shown if isinstance(shown, Bond) else None,
        vault=found[3].account,
        till=found[4].account,
        wallet=found[5].account,
        purse=found[6].account,
    )


def _decoded(account: Account | None, deployment: Deployment) -> object:
    if account is None or account.owner != deployment.program_id:
        return None
    try:
        return decode_account(account.data)
    except UnknownAccount:
        return None


def _clock(found: AccountAt) -> int:
    if found.account is None or len(found.account.data) != _CLOCK_SIZE:
        raise ProgramUnreadable(account="the clock", slot=found.slot)
    return int.from_bytes(found.account.data[_TIME_AT:_CLOCK_SIZE], "little", signed=True)


def _release(
    seen: _Seen, bond: Bond, booked: BookedBond, deployment: Deployment, opened: int
) -> Verdict:
    if bond.beneficiary != booked.beneficiary:
        return NotNow(reason="it was handed over; the books have not read that yet")
    if bond.state is not BondState.RETIRING:
        return NotNow(reason="its retirement was cancelled; the books have not read that yet")
    if bond.seizure_state is not SeizureState.NONE:
        return NotNow(reason="a seizure is open; the books have not read that yet")
    if seen.now < bond.release_at:
        return NotNow(reason=f"its cooldown runs until {_moment(bond.release_at)}")
    stopped = _paused("releases", seen.config.pauses.releases, seen.now)
    stopped = stopped or _frozen("the bond vault", seen.vault)
    return NotNow(reason=stopped) if stopped else _purse(seen, booked, deployment, opened)


def _purse(seen: _Seen, booked: BookedBond, deployment: Deployment, opened: int) -> Verdict:
    if seen.wallet is not None and seen.wallet.executable:
        return NotNow(reason="the beneficiary is a program, not a wallet")
    if seen.purse is None or (seen.purse.owner == SYSTEM_PROGRAM and not seen.purse.data):
        if booked.provider_id is None:
            return NotNow(reason="the beneficiary has no USDC account, and is no operator of ours")
        if opened >= ACCOUNTS_OPENED_FOR_ONE_WALLET:
            return NotNow(reason="the beneficiary keeps closing the USDC account we opened")
        return Possible(creates_account=True)
    try:
        token = token_account(seen.purse)
    except NotATokenAccount:
        return NotNow(reason="what stands at the beneficiary's USDC account is none")
    if token.owner != booked.beneficiary or token.mint != deployment.mint:
        return NotNow(reason="the beneficiary's USDC account was given to another owner")
    if token.state is TokenState.FROZEN:
        return NotNow(reason="the beneficiary's USDC account is frozen by its issuer")
    return _POSSIBLE


def _execution(seen: _Seen, bond: Bond) -> Verdict:
    if bond.seizure_state not in (SeizureState.PROPOSED, SeizureState.UPHELD):
        return NotNow(reason="the seizure is not to be executed; the books have not read that yet")
    if not bond.execute_after <= seen.now < bond.dies_at:
        until = f"{_moment(bond.execute_after)} to {_moment(bond.dies_at)}"
        return NotNow(reason=f"it can be executed from {until}")
    stopped = _paused("seizures", seen.config.pauses.seizures, seen.now)
    stopped = stopped or _frozen("the bond vault", seen.vault) or _frozen("the till", seen.till)
    return NotNow(reason=stopped) if stopped else _POSSIBLE


def _lapse(seen: _Seen, bond: Bond) -> Verdict:
    if bond.seizure_state is SeizureState.NONE:
        return NotNow(reason="no seizure is open; the books have not read that yet")
    contested = bond.seizure_state is SeizureState.CONTESTED
    ends = bond.decide_by if contested else bond.dies_at
    if seen.now < ends:
        return NotNow(reason=f"the seizure's time runs until {_moment(ends)}")
    return _POSSIBLE


def _paused(what: str, record: PauseRecord, now: int) -> str | None:
    if now >= record.paused_until:
        return None
    return f"{what} are paused until {_moment(record.paused_until)}"


def _frozen(what: str, vault: Account | None) -> str | None:
    if vault is None:
        raise ProgramUnreadable(account=what)
    return f"{what} is frozen by its issuer" if _state(vault) is TokenState.FROZEN else None


def _state(vault: Account) -> TokenState:
    try:
        return token_account(vault).state
    except NotATokenAccount as error:
        raise ProgramUnreadable(problem=str(error)) from error


def _moment(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
