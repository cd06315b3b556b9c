"""Token accounts of the classic token program, read from raw bytes. Pure.

Owner, mint, balance, state, delegate and close authority come from one read at one slot, so none
of them can belong to another moment than the others.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from solders.pubkey import Pubkey

from settlement.chain.answers import Account, AccountAt
from settlement.chain.program import TOKEN_PROGRAM
from settlement.errors import Refused
from settlement.money import Slot

TOKEN_2022_PROGRAM: Final = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
TOKEN_ACCOUNT_SIZE: Final = 165
MINT_SIZE: Final = 82
_STATE_AT: Final = 108


class NotATokenAccount(Refused):
    """There is no initialized account of the classic token program at this address."""


class TokenState(IntEnum):
    """Whether the account can send and receive."""

    INITIALIZED = 1
    FROZEN = 2


@dataclass(frozen=True, kw_only=True)
class TokenAccount:
    """What the token program knows of one account; the amount is a plain u64."""

    mint: Pubkey
    owner: Pubkey
    amount: int
    state: TokenState
    delegate: Pubkey | None
    close_authority: Pubkey | None


@dataclass(frozen=True, kw_only=True)
class TokenAccountAt:
    """A token account as a node held it at `slot`."""

    slot: Slot
    account: TokenAccount


def token_account(account: Account) -> TokenAccount:
    """Read the account's bytes; raises `NotATokenAccount` for anything else."""
    data = account.data
    if account.owner != TOKEN_PROGRAM or len(data) != TOKEN_ACCOUNT_SIZE:
        raise NotATokenAccount(owner=str(account.owner), length=len(data))
    try:
        state = TokenState(data[_STATE_AT])
    except ValueError:
        raise NotATokenAccount(state=data[_STATE_AT]) from None
    return TokenAccount(
        mint=Pubkey.from_bytes(data[0:32]),
        owner=Pubkey.from_bytes(data[32:64]),
        amount=int.from_bytes(data[64:72], "little"),
        state=state,
        delegate=_optional_key(data, 72),
        close_authority=_optional_key(data, 129),
    )


def token_account_at(found: AccountAt) -> TokenAccountAt:
    """The same with its slot; an account that is not there raises `NotATokenAccount` too."""
    if found.account is None:
        raise NotATokenAccount(slot=found.slot)
    return TokenAccountAt(slot=found.slot, account=token_account(found.account))


def _optional_key(data: bytes, at: int) -> Pubkey | None:
    """A COption: a little-endian tag of four bytes, 1 when the key that follows counts."""
    present = int.from_bytes(data[at : at + 4], "little") == 1
    return Pubkey.from_bytes(data[at + 4 : at + 36]) if present else None
