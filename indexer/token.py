"""What instructions of the classic token program move. Pure.

Accounts are taken by position, as the program takes them: wallets append reference keys and
multisig signers, so a longer list is normal. `Batch` carries several instructions in one, without
inner instructions or log lines, which is why a movement has a sub index. An instruction that is too
short to be what it claims moves nothing here: it cannot have succeeded on chain, and if it did
anyway the delta check of `decode` finds the difference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from solders.pubkey import Pubkey

_TRANSFER: Final = 3
_MINT_TO: Final = 7
_BURN: Final = 8
_TRANSFER_CHECKED: Final = 12
_MINT_TO_CHECKED: Final = 14
_BURN_CHECKED: Final = 15
_BATCH: Final = 255
_BATCH_HEADER: Final = 2  # number of accounts, number of data bytes
_MOST_PARTS: Final = 255  # each needs an account, and no call can name more
_AMOUNT_END: Final = 9
# 9 CloseAccount is not here: the program refuses to close an account that still holds tokens.
# 38 WithdrawExcessLamports and 45 UnwrapLamports move lamports only.


class MovementKind(StrEnum):
    """How tokens moved; `UNEXPLAINED` is a difference no instruction accounts for."""

    TRANSFER = "transfer"
    MINT = "mint"
    BURN = "burn"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, kw_only=True)
class TokenMove:
    """Tokens that left `source` and reached `destination`; None is the mint itself."""

    sub: int
    kind: MovementKind
    source: Pubkey | None
    destination: Pubkey | None
    amount: int


@dataclass(frozen=True)
class _Form:
    """Where an instruction keeps its parties: positions in the account list, None for the mint."""

    kind: MovementKind
    source: int | None
    destination: int | None
    accounts: int
    data: int


_FORMS: Final = {
    _TRANSFER: _Form(MovementKind.TRANSFER, 0, 1, 3, _AMOUNT_END),
    _TRANSFER_CHECKED: _Form(MovementKind.TRANSFER, 0, 2, 4, _AMOUNT_END + 1),
    _MINT_TO: _Form(MovementKind.MINT, None, 1, 3, _AMOUNT_END),
    _MINT_TO_CHECKED: _Form(MovementKind.MINT, None, 1, 3, _AMOUNT_END + 1),
    _BURN: _Form(MovementKind.BURN, 0, None, 3, _AMOUNT_END),
    _BURN_CHECKED: _Form(MovementKind.BURN, 0, None, 3, _AMOUNT_END + 1),
}


def token_moves(data: bytes, accounts: Sequence[Pubkey]) -> Iterator[TokenMove]:
    """What one instruction of the token program moved, in order; nothing for those that do not."""
    if data[:1] == bytes([_BATCH]):
        yield from _batch(data[1:], accounts)
    elif (move := _single(data, accounts, sub=0)) is not None:
        yield move


def _single(data: bytes, accounts: Sequence[Pubkey], *, sub: int) -> TokenMove | None:
    form = _FORMS.get(data[0]) if data else None
    if form is None or len(data) < form.data or len(accounts) < form.accounts:
        return None
    return TokenMove(
        sub=sub,
        kind=form.kind,
        source=None if form.source is None else accounts[form.source],
        destination=None if form.destination is None else accounts[form.destination],
        amount=int.from_bytes(data[1:_AMOUNT_END], "little"),
    )


def _batch(data: bytes, accounts: Sequence[Pubkey]) -> Iterator[TokenMove]:
    """Each part takes its accounts off the front; what is left over at the end is allowed."""
    sub = at = 0
    while len(data) >= _BATCH_HEADER and sub < _MOST_PARTS:
        count, length = data[0], data[1]
        part = data[_BATCH_HEADER : _BATCH_HEADER + length]
        taken = accounts[at : at + count]
        if len(part) < length or len(taken) < count:
            return
        if (move := _single(part, taken, sub=sub)) is not None:
            yield move
        data, at, sub = data[_BATCH_HEADER + length :], at + count, sub + 1
