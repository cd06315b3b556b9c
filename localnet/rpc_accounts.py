"""RPC methods that read accounts."""

import base64
import binascii
from collections.abc import Callable
from typing import Final

import base58
from solders.account import Account
from solders.pubkey import Pubkey

from localnet.cluster import Bank, Cluster
from localnet.encode import Json, account_json
from localnet.rpc_errors import invalid_params
from localnet.rpc_params import (
    ACCOUNT_ENCODINGS,
    Config,
    Params,
    as_list,
    as_map,
    as_pubkey,
    as_string,
    as_u64,
    one_of,
)
from localnet.sysvars import account_at
from localnet.tokens import TOKEN_PROGRAMS, Mint, read_mint, read_token_account, ui_amount

MAX_ADDRESSES: Final = 100
MAX_FILTERS: Final = 4
MAX_FILTER_BYTES: Final = 128
Filter = Callable[[Account], bool]


def answer(bank: Bank, value: object) -> Json:
    """A value with the slot it was read at."""
    return {"context": {"slot": bank.slot, "apiVersion": "4.0.0"}, "value": value}


def encode(
    cluster: Cluster, account: Account | None, config: Config, slot: int, default: str
) -> Json | None:
    """An account as the caller's `encoding` and `dataSlice` ask for it."""
    encoding = config.encoding(ACCOUNT_ENCODINGS, default)
    slice_ = config.data_slice()
    if account is None:
        return None
    return account_json(account, encoding, slice_, lambda mint: mint_at(cluster, mint, slot))


def mint_at(cluster: Cluster, address: Pubkey, slot: int) -> Mint | None:
    """The mint in the bank of a slot."""
    return read_mint(cluster.account(address, slot))


def get_account_info(cluster: Cluster, params: Params) -> object:
    """One account."""
    address, config = as_pubkey(params[0]), params.config(1)
    bank = config.bank(cluster)
    account = account_at(cluster, address, bank.slot)
    return answer(bank, encode(cluster, account, config, bank.slot, "binary"))


def get_multiple_accounts(cluster: Cluster, params: Params) -> object:
    """Many accounts at one slot."""
    values, config = as_list(params[0]), params.config(1)
    if len(values) > MAX_ADDRESSES:
        raise invalid_params(f"Too many inputs provided; max {MAX_ADDRESSES}")
    addresses = [as_pubkey(value) for value in values]
    bank = config.bank(cluster)
    accounts = [account_at(cluster, address, bank.slot) for address in addresses]
    return answer(
        bank, [encode(cluster, account, config, bank.slot, "base64") for account in accounts]
    )


def get_balance(cluster: Cluster, params: Params) -> object:
    """Lamports of an account; 0 when there is none."""
    address = as_pubkey(params[0])
    bank = params.config(1).bank(cluster)
    account = account_at(cluster, address, bank.slot)
    return answer(bank, account.lamports if account else 0)


def get_token_account_balance(cluster: Cluster, params: Params) -> object:
    """The amount in a token account."""
    address = as_pubkey(params[0])
    bank = params.config(1).bank(cluster)
    account = cluster.account(address, bank.slot)
    if account is None:
        raise invalid_params("Invalid param: could not find account")
    token = read_token_account(account)
    if token is None:
        raise invalid_params("Invalid param: not a Token account")
    mint = mint_at(cluster, token.mint, bank.slot)
    if mint is None:
        raise invalid_params("Invalid param: could not find mint")
    return answer(bank, ui_amount(token.amount, mint.decimals))


def get_token_supply(cluster: Cluster, params: Params) -> object:
    """The supply of a mint."""
    address = as_pubkey(params[0])
    bank = params.config(1).bank(cluster)
    if cluster.account(address, bank.slot) is None:
        raise invalid_params("Invalid param: could not find account")
    mint = mint_at(cluster, address, bank.slot)
    if mint is None:
        raise invalid_params("Invalid param: not a Token mint")
    return answer(bank, ui_amount(mint.supply, mint.decimals))


def get_token_accounts_by_owner(cluster: Cluster, params: Params) -> object:
    """The token accounts of a wallet, of one mint or of one token program."""
    owner, wanted, config = as_pubkey(params[0]), as_map(params[1]), params.config(2)
    bank = config.bank(cluster)
    program, mint = _token_filter(cluster, wanted, bank)

    def is_wanted(account: Account) -> bool:
        token = read_token_account(account)
        return token is not None and token.owner == owner and mint in (None, token.mint)

    return answer(bank, _keyed(cluster, program, bank, config, [is_wanted]))


def _token_filter(
    cluster: Cluster, wanted: dict[str, object], bank: Bank
) -> tuple[Pubkey, Pubkey | None]:
    if "mint" in wanted:
        mint = as_pubkey(wanted["mint"])
        account = cluster.account(mint, bank.slot)
        if account is None or read_mint(account) is None:
            raise invalid_params("Invalid param: could not find mint")
        return account.owner, mint
    if "programId" not in wanted:
        raise invalid_params("Invalid params: expected one of `mint`, `programId`.")
    program = as_pubkey(wanted["programId"])
    if program not in TOKEN_PROGRAMS:
        raise invalid_params("Invalid param: unrecognized Token program id")
    return program, None


def get_program_accounts(cluster: Cluster, params: Params) -> object:
    """All accounts that a program owns and that pass every filter."""
    program, config = as_pubkey(params[0]), params.config(1)
    given = config.get("filters")
    filters = [] if given is None else [_filter(value) for value in as_list(given)]
    if len(filters) > MAX_FILTERS:
        raise invalid_params(f"Too many filters provided; max {MAX_FILTERS}")
    with_context = config.boolean("withContext")
    bank = config.bank(cluster)
    accounts = _keyed(cluster, program, bank, config, filters)
    return answer(bank, accounts) if with_context else accounts


def _keyed(
    cluster: Cluster, program: Pubkey, bank: Bank, config: Config, filters: list[Filter]
) -> list[Json]:
    return [
        {
            "pubkey": str(address),
            "account": encode(cluster, account, config, bank.slot, "binary"),
        }
        for address, account in cluster.accounts_of(program, bank.slot)
        if all(passes(account) for passes in filters)
    ]


def _filter(value: object) -> Filter:
    if value == "tokenAccountState":
        return lambda account: read_token_account(account) is not None
    given = as_map(value)
    if "dataSize" in given:
        size = as_u64(given["dataSize"])
        return lambda account: len(account.data) == size
    if "memcmp" in given:
        return _memcmp(as_map(given["memcmp"]))
    if "tokenAccountState" in given:
        return lambda account: read_token_account(account) is not None
    raise invalid_params(
        "Invalid params: unknown filter, expected one of `dataSize`, `memcmp`, `tokenAccountState`."
    )


def _memcmp(given: dict[str, object]) -> Filter:
    for key in ("offset", "bytes"):
        if key not in given:
            raise invalid_params(f"Invalid params: missing field `{key}`.")
    offset = as_u64(given["offset"])
    expected = _filter_bytes(given["bytes"], given.get("encoding"))
    if len(expected) > MAX_FILTER_BYTES:
        raise invalid_params("Invalid param: DataTooLarge")
    return lambda account: bytes(account.data)[offset : offset + len(expected)] == expected


def _filter_bytes(value: object, encoding: object) -> bytes:
    if not isinstance(value, str):
        numbers = [as_u64(number) for number in as_list(value)]
        if any(number > 255 for number in numbers):
            raise invalid_params("Invalid params: expected u8.")
        return bytes(numbers)
    text = as_string(value)
    try:
        if encoding is not None and one_of(encoding, ("base58", "base64")) == "base64":
            return base64.b64decode(text.encode("ascii"), validate=True)
        return base58.b58decode(text.encode("ascii"))
    except (ValueError, binascii.Error) as error:
        raise invalid_params(f"Invalid param: DecodeError({error})") from None


def get_minimum_balance_for_rent_exemption(cluster: Cluster, params: Params) -> object:
    """Lamports that an account of a size must hold."""
    size = as_u64(params[0])
    params.config(1).commitment()
    if size > 10 * 1024 * 1024:
        raise invalid_params("Invalid params: an account holds at most 10485760 bytes.")
    return cluster.engine.rent_exempt_minimum(size)
