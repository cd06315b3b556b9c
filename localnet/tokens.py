"""Reading token accounts and mints, and the JSON shapes a node gives them."""

import struct
from dataclasses import dataclass
from typing import Final

from solders.account import Account
from solders.pubkey import Pubkey

TOKEN_PROGRAM: Final = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_2022_PROGRAM: Final = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
ATA_PROGRAM: Final = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
TOKEN_PROGRAMS: Final = {TOKEN_PROGRAM: "spl-token", TOKEN_2022_PROGRAM: "spl-token-2022"}

_TOKEN_ACCOUNT: Final = struct.Struct("<32s32sQI32sBIQQI32s")
_MINT: Final = struct.Struct("<I32sQBBI32s")
_STATES: Final = {1: "initialized", 2: "frozen"}
_ACCOUNT_TYPE_MINT: Final = 1
_ACCOUNT_TYPE_ACCOUNT: Final = 2


@dataclass(frozen=True, kw_only=True)
class TokenAccount:
    """An initialized token account."""

    mint: Pubkey
    owner: Pubkey
    amount: int
    delegate: Pubkey | None
    state: str
    native_reserve: int | None
    delegated_amount: int
    close_authority: Pubkey | None


@dataclass(frozen=True, kw_only=True)
class Mint:
    """An initialized mint."""

    mint_authority: Pubkey | None
    supply: int
    decimals: int
    freeze_authority: Pubkey | None


def associated_address(owner: Pubkey, mint: Pubkey) -> Pubkey:
    """The associated token account of the classic token program."""
    seeds = [bytes(owner), bytes(TOKEN_PROGRAM), bytes(mint)]
    return Pubkey.find_program_address(seeds, ATA_PROGRAM)[0]


def token_account_data(mint: Pubkey, owner: Pubkey, amount: int) -> bytes:
    """The bytes of an initialized token account without delegate and close authority."""
    nobody = bytes(32)
    return _TOKEN_ACCOUNT.pack(bytes(mint), bytes(owner), amount, 0, nobody, 1, 0, 0, 0, 0, nobody)


def mint_data(mint: Mint) -> bytes:
    """The bytes of an initialized mint."""
    authority, freeze = mint.mint_authority, mint.freeze_authority
    return _MINT.pack(
        int(authority is not None),
        bytes(authority or bytes(32)),
        mint.supply,
        mint.decimals,
        1,
        int(freeze is not None),
        bytes(freeze or bytes(32)),
    )


def read_token_account(account: Account | None) -> TokenAccount | None:
    """The token account in an account, or None when it is not one."""
    data = _token_bytes(account, _TOKEN_ACCOUNT.size, _ACCOUNT_TYPE_ACCOUNT)
    if data is None:
        return None
    fields = _TOKEN_ACCOUNT.unpack(data)
    mint, owner, amount, has_delegate, delegate, state, is_native, reserve, delegated = fields[:9]
    has_close, close = fields[9:]
    if state not in _STATES:
        return None
    return TokenAccount(
        mint=Pubkey.from_bytes(mint),
        owner=Pubkey.from_bytes(owner),
        amount=amount,
        delegate=Pubkey.from_bytes(delegate) if has_delegate else None,
        state=_STATES[int(state)],
        native_reserve=reserve if is_native else None,
        delegated_amount=delegated,
        close_authority=Pubkey.from_bytes(close) if has_close else None,
    )


def read_mint(account: Account | None) -> Mint | None:
    """The mint in an account, or None when it is not one."""
    data = _token_bytes(account, _MINT.size, _ACCOUNT_TYPE_MINT)
    if data is None:
        return None
    has_authority, authority, supply, decimals, is_ready, has_freeze, freeze = _MINT.unpack(data)
    if not is_ready:
        return None
    return Mint(
        mint_authority=Pubkey.from_bytes(authority) if has_authority else None,
        supply=supply,
        decimals=decimals,
        freeze_authority=Pubkey.from_bytes(freeze) if has_freeze else None,
    )


def ui_amount(amount: int, decimals: int, *, zero_as_null: bool = False) -> dict[str, object]:
    """A node's token amount. Transaction metas show a zero `uiAmount` as null, accounts as 0."""
    whole, fraction = divmod(amount, 10**decimals)
    digits = f"{fraction:0{decimals}d}".rstrip("0") if decimals else ""
    text = f"{whole}.{digits}" if digits else str(whole)
    return {
        "amount": str(amount),
        "decimals": decimals,
        "uiAmount": None if zero_as_null and amount == 0 else float(text),
        "uiAmountString": text,
    }


def parsed_account(account: Account, mint: Mint | None) -> dict[str, object] | None:
    """The `jsonParsed` data of a token account or mint; None: show it as base64."""
    program = TOKEN_PROGRAMS.get(account.owner)
    if program is None:
        return None
    token, own_mint = read_token_account(account), read_mint(account)
    if token is not None and mint is not None:
        parsed: dict[str, object] = {"type": "account", "info": _token_info(token, mint)}
    elif own_mint is not None:
        parsed = {"type": "mint", "info": _mint_info(own_mint)}
    else:
        return None
    return {"program": program, "parsed": parsed, "space": len(account.data)}


def _token_info(token: TokenAccount, mint: Mint) -> dict[str, object]:
    info: dict[str, object] = {
        "isNative": token.native_reserve is not None,
        "mint": str(token.mint),
        "owner": str(token.owner),
        "state": token.state,
        "tokenAmount": ui_amount(token.amount, mint.decimals),
    }
    if token.delegate is not None:
        info["delegate"] = str(token.delegate)
        info["delegatedAmount"] = ui_amount(token.delegated_amount, mint.decimals)
    if token.native_reserve is not None:
        info["rentExemptReserve"] = ui_amount(token.native_reserve, mint.decimals)
    if token.close_authority is not None:
        info["closeAuthority"] = str(token.close_authority)
    return info


def _mint_info(mint: Mint) -> dict[str, object]:
    return {
        "decimals": mint.decimals,
        "freezeAuthority": str(mint.freeze_authority) if mint.freeze_authority else None,
        "isInitialized": True,
        "mintAuthority": str(mint.mint_authority) if mint.mint_authority else None,
        "supply": str(mint.supply),
    }


def _token_bytes(account: Account | None, size: int, account_type: int) -> bytes | None:
    """The base state of a token program account: extended ones name their type after it."""
    if account is None or account.owner not in TOKEN_PROGRAMS:
        return None
    data = bytes(account.data)
    if len(data) == size:
        return data
    extended = account.owner == TOKEN_2022_PROGRAM and len(data) > _TOKEN_ACCOUNT.size
    if extended and data[_TOKEN_ACCOUNT.size] == account_type:
        return data[:size]
    return None
