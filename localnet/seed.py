"""What a new chain starts with: key files, funded wallets, the mint, the program."""

import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from localnet.engine import LOADER, Engine
from localnet.records import Genesis, store
from localnet.settings import FAUCET, Settings, SettingsError
from localnet.tokens import (
    TOKEN_PROGRAM,
    Mint,
    associated_address,
    mint_data,
    token_account_data,
)

SYSTEM_PROGRAM: Final = Pubkey.default()
FAUCET_LAMPORTS: Final = 5_000_000 * 10**9  # JavaScript reads no more than 2^53 exactly
_KEY_BYTES: Final = 64
_CODE_OFFSET: Final = 45  # where the code begins in a program data account


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The keypairs of the named wallets, and of the faucet."""

    wallets: dict[str, Keypair]
    faucet: Keypair


def load_or_create_keys(directory: Path, settings: Settings) -> Keys:
    """Read the key files of the named wallets, making the missing ones (mode 0600)."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    named = [wallet.name for wallet in settings.wallets if wallet.name is not None]
    wallets = {name: _load_or_create(directory / f"{name}.json") for name in named}
    return Keys(wallets=wallets, faucet=_load_or_create(directory / f"{FAUCET}.json"))


def _load_or_create(path: Path) -> Keypair:
    if not path.exists():
        _write_keypair(path, Keypair())
    try:
        numbers = json.loads(path.read_text())
        return Keypair.from_bytes(bytes(numbers))
    except (ValueError, TypeError):
        raise SettingsError(f"{path}: not a Solana key file ({_KEY_BYTES} numbers)") from None


def _write_keypair(path: Path, keypair: Keypair) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(list(bytes(keypair))))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def genesis(settings: Settings, keys: Keys) -> Genesis:
    """The first record of a new chain."""
    engine = Engine()
    accounts: dict[Pubkey, Account] = {keys.faucet.pubkey(): _wallet_account(FAUCET_LAMPORTS)}
    _add_program(accounts, engine, settings, keys)
    _add_wallets(accounts, engine, settings, keys)
    return Genesis(
        seed=secrets.token_bytes(32),
        created_ms=int(time.time() * 1000),
        skipped_slot_every=settings.embedded.skipped_slot_every,
        accounts=[(bytes(address), store(account)) for address, account in accounts.items()],
    )


def differences(settings: Settings, account_of: Callable[[Pubkey], Account | None]) -> list[str]:
    """What the settings say about the start that this chain, started earlier, does not have."""
    found: list[str] = []
    if account_of(settings.mint.address) is None:
        found.append(f"mint.address: {settings.mint.address} is not on this chain")
    program = settings.program
    if program is None or not program.path.exists():
        return found
    data_address = Pubkey.find_program_address([bytes(program.id)], LOADER)[0]
    deployed = account_of(data_address)
    if deployed is None:
        found.append(f"program.id: {program.id} is not on this chain")
    elif bytes(deployed.data)[_CODE_OFFSET:] != program.path.read_bytes():
        found.append(f"program.path: {program.path} is not the code on this chain")
    return found


def _add_program(
    accounts: dict[Pubkey, Account], engine: Engine, settings: Settings, keys: Keys
) -> None:
    program = settings.program
    if program is None:
        return
    try:
        code = program.path.read_bytes()
    except OSError as error:
        raise SettingsError(f"program.path: {program.path}: {error.strerror}") from None
    authority = keys.wallets[program.upgrade_authority].pubkey()
    accounts.update(engine.program_accounts(program.id, code, authority))


def _add_wallets(
    accounts: dict[Pubkey, Account], engine: Engine, settings: Settings, keys: Keys
) -> None:
    mint = settings.mint
    supply = 0
    for wallet in settings.wallets:
        address = wallet.address
        if address is None:
            assert wallet.name is not None
            address = keys.wallets[wallet.name].pubkey()
        if wallet.lamports:
            accounts[address] = _wallet_account(wallet.lamports)
        if wallet.token_units:
            data = token_account_data(mint.address, address, wallet.token_units)
            token_address = associated_address(address, mint.address)
            accounts[token_address] = _token_program_account(engine, data)
            supply += wallet.token_units
    authority = keys.wallets.get(mint.authority)
    data = mint_data(
        Mint(
            mint_authority=authority.pubkey() if authority else None,
            supply=supply,
            decimals=mint.decimals,
            freeze_authority=authority.pubkey() if authority else None,
        )
    )
    accounts[mint.address] = _token_program_account(engine, data)


def _wallet_account(lamports: int) -> Account:
    return Account(lamports, b"", SYSTEM_PROGRAM)


def _token_program_account(engine: Engine, data: bytes) -> Account:
    return Account(engine.rent_exempt_minimum(len(data)), data, TOKEN_PROGRAM)
