"""Instructions of the token programs, the memo programs and the lookup table program."""

from collections.abc import Sequence
from typing import Final

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from settlement.chain.program import SYSTEM_PROGRAM, TOKEN_PROGRAM

TOKEN_2022: Final = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
MEMO: Final = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
OLD_MEMO: Final = Pubkey.from_string("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo")
COMPUTE_BUDGET: Final = Pubkey.from_string("ComputeBudget111111111111111111111111111111")
LOOKUP_TABLES: Final = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")


def written(address: Pubkey) -> AccountMeta:
    """An account that is written to."""
    return AccountMeta(address, is_signer=False, is_writable=True)


def read(address: Pubkey) -> AccountMeta:
    """An account that is only read."""
    return AccountMeta(address, is_signer=False, is_writable=False)


def signs(address: Pubkey) -> AccountMeta:
    """A key that signs."""
    return AccountMeta(address, is_signer=True, is_writable=False)


def u64(value: int) -> bytes:
    """An amount as instructions have it."""
    return value.to_bytes(8, "little")


def token(data: bytes, *accounts: AccountMeta, by: Pubkey = TOKEN_PROGRAM) -> Instruction:
    """Any instruction of a token program."""
    return Instruction(by, data, list(accounts))


def plain(source: Pubkey, to: Pubkey, owner: Pubkey, amount: int) -> Instruction:
    """Transfer, as older programs write it."""
    return token(b"\x03" + u64(amount), written(source), written(to), signs(owner))


def checked(
    source: Pubkey, mint: Pubkey, to: Pubkey, owner: Pubkey, amount: int, *extra: AccountMeta
) -> Instruction:
    """TransferChecked, as wallets write it."""
    data = b"\x0c" + u64(amount) + b"\x06"
    return token(data, written(source), read(mint), written(to), signs(owner), *extra)


def mint_to(mint: Pubkey, to: Pubkey, authority: Pubkey, amount: int) -> Instruction:
    """MintTo, as a bridge's receiver makes it."""
    return token(b"\x07" + u64(amount), written(mint), written(to), signs(authority))


def burn(source: Pubkey, mint: Pubkey, owner: Pubkey, amount: int) -> Instruction:
    """Burn."""
    return token(b"\x08" + u64(amount), written(source), written(mint), signs(owner))


def close(account: Pubkey, to: Pubkey, owner: Pubkey) -> Instruction:
    """CloseAccount."""
    return token(b"\x09", written(account), written(to), signs(owner))


def freeze(account: Pubkey, mint: Pubkey, authority: Pubkey, *, thaw: bool = False) -> Instruction:
    """FreezeAccount, or ThawAccount."""
    data = b"\x0b" if thaw else b"\x0a"
    return token(data, written(account), read(mint), signs(authority))


def approve(account: Pubkey, delegate: Pubkey, owner: Pubkey, amount: int) -> Instruction:
    """Approve."""
    return token(b"\x04" + u64(amount), written(account), read(delegate), signs(owner))


def hand_over(account: Pubkey, owner: Pubkey, new_owner: Pubkey) -> Instruction:
    """SetAuthority of the account's owner."""
    data = b"\x06\x02\x01" + bytes(new_owner)
    return token(data, written(account), signs(owner))


def batch(*parts: Instruction, trailing: Sequence[AccountMeta] = ()) -> Instruction:
    """Batch."""
    data = b"\xff"
    accounts: list[AccountMeta] = []
    for part in parts:
        data += bytes([len(part.accounts), len(part.data)]) + bytes(part.data)
        accounts += part.accounts
    return token(data, *accounts, *trailing)


def memo(text: str, *signers: Pubkey, by: Pubkey = MEMO) -> Instruction:
    """A memo."""
    return Instruction(by, text.encode(), [signs(signer) for signer in signers])


def compute_limit(units: int) -> Instruction:
    """SetComputeUnitLimit."""
    return Instruction(COMPUTE_BUDGET, b"\x02" + units.to_bytes(4, "little"), [])


def table_created(authority: Pubkey, slot: int) -> tuple[Pubkey, Instruction]:
    """CreateLookupTable, and the table's address; `slot` is a recent one."""
    seeds = [bytes(authority), slot.to_bytes(8, "little")]
    table, bump = Pubkey.find_program_address(seeds, LOOKUP_TABLES)
    data = (0).to_bytes(4, "little") + u64(slot) + bytes([bump])
    accounts = [
        written(table),
        signs(authority),
        AccountMeta(authority, is_signer=True, is_writable=True),
        read(SYSTEM_PROGRAM),
    ]
    return table, Instruction(LOOKUP_TABLES, data, accounts)


def table_extended(table: Pubkey, authority: Pubkey, keys: Sequence[Pubkey]) -> Instruction:
    """ExtendLookupTable."""
    data = (2).to_bytes(4, "little") + u64(len(keys)) + b"".join(bytes(key) for key in keys)
    accounts = [
        written(table),
        signs(authority),
        AccountMeta(authority, is_signer=True, is_writable=True),
        read(SYSTEM_PROGRAM),
    ]
    return Instruction(LOOKUP_TABLES, data, accounts)


def with_fee(
    source: Pubkey, mint: Pubkey, to: Pubkey, owner: Pubkey, amount: int, fee: int
) -> Instruction:
    """TransferCheckedWithFee of the newer token program."""
    data = b"\x1a\x01" + u64(amount) + b"\x06" + u64(fee)
    accounts = (written(source), read(mint), written(to), signs(owner))
    return token(data, *accounts, by=TOKEN_2022)
