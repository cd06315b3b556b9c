"""`localnet.toml` as frozen values. A wrong or unknown key is named with the whole path to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from solders.pubkey import Pubkey

from localnet.toml_table import SettingsError, Table, read_document

ChainKind = Literal["embedded", "solana-test-validator", "surfpool", "rpc"]

DEFAULT_MINT: Final = Pubkey.from_string("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v")
FAUCET: Final = "faucet"
_LAMPORT_DIGITS: Final = 9


@dataclass(frozen=True, kw_only=True)
class ChainSettings:
    """Which chain the system runs against. The URLs are only for kind "rpc"."""

    kind: ChainKind = "embedded"
    rpc_url: str | None = None
    ws_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class EmbeddedSettings:
    """How the embedded chain behaves. Port 0: any two free neighbouring ports."""

    slot_time_ms: int = 200
    confirmed_lag_slots: int = 2
    finalized_lag_slots: int = 8
    skipped_slot_every: int = 64
    host: str = "127.0.0.1"
    rpc_port: int = 8899
    snapshot_every_records: int = 1_000


@dataclass(frozen=True, kw_only=True)
class ProgramSettings:
    """The program that the chain starts with; `upgrade_authority` is a wallet's name."""

    id: Pubkey
    path: Path
    upgrade_authority: str = "upgrade-authority"


@dataclass(frozen=True, kw_only=True)
class MintSettings:
    """The USDC-like mint; `authority` is a wallet's name."""

    address: Pubkey = DEFAULT_MINT
    decimals: int = 6
    authority: str = "mint-authority"


@dataclass(frozen=True, kw_only=True)
class Wallet:
    """Who holds what at the start. A named wallet has a key file; one by address has not."""

    name: str | None = None
    address: Pubkey | None = None
    lamports: int = 0
    token_units: int = 0


@dataclass(frozen=True, kw_only=True)
class ModelPrice:
    """What the scripted provider asks for models whose id starts so: µUSDC per million tokens."""

    model_id: str
    input_per_1m: int
    output_per_1m: int


@dataclass(frozen=True, kw_only=True)
class ProviderSettings:
    """The scripted provider: what it offers and how many requests it takes at once."""

    max_concurrent: int = 4
    models: tuple[ModelPrice, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The whole file."""

    chain: ChainSettings = ChainSettings()
    embedded: EmbeddedSettings = EmbeddedSettings()
    program: ProgramSettings | None = None
    mint: MintSettings = MintSettings()
    wallets: tuple[Wallet, ...] = ()
    provider: ProviderSettings = ProviderSettings()


def load_settings(path: Path) -> Settings:
    """Read a file; relative paths in it start at its directory. Raises `SettingsError`."""
    return parse_settings(read_document(path), path.parent)


def parse_settings(document: Mapping[str, Any], directory: Path) -> Settings:
    """The settings in a parsed document. Raises `SettingsError`."""
    top = Table("", document)
    mint = _mint(top.table("mint"))
    wallets = tuple(_wallet(table, mint) for table in top.tables("wallets"))
    settings = Settings(
        chain=_chain(top.table("chain")),
        embedded=_embedded(top.table("embedded")),
        program=_program(top.table("program"), directory) if "program" in document else None,
        mint=mint,
        wallets=wallets,
        provider=_provider(top.table("provider")),
    )
    top.end()
    _check_names(settings)
    return settings


def _chain(table: Table) -> ChainSettings:
    kind = table.string("kind", "embedded")
    if kind not in get_args(ChainKind):
        raise table.fail("kind", f"expected one of {', '.join(get_args(ChainKind))}")
    chain = ChainSettings(
        kind=cast("ChainKind", kind),
        rpc_url=table.string("rpc_url"),
        ws_url=table.string("ws_url"),
    )
    if kind == "rpc" and chain.rpc_url is None:
        raise table.fail("rpc_url", 'missing, but kind is "rpc"')
    table.end()
    return chain


def _embedded(table: Table) -> EmbeddedSettings:
    default = EmbeddedSettings()
    embedded = EmbeddedSettings(
        slot_time_ms=table.integer("slot_time_ms", default.slot_time_ms, 5, 60_000),
        confirmed_lag_slots=table.integer(
            "confirmed_lag_slots", default.confirmed_lag_slots, 2, 64
        ),
        finalized_lag_slots=table.integer(
            "finalized_lag_slots", default.finalized_lag_slots, 2, 128
        ),
        skipped_slot_every=table.integer(
            "skipped_slot_every", default.skipped_slot_every, 0, 1_000_000
        ),
        host=table.string("host", default.host) or default.host,
        rpc_port=table.integer("rpc_port", default.rpc_port, 0, 65_534),
        snapshot_every_records=table.integer(
            "snapshot_every_records", default.snapshot_every_records, 1, 1_000_000
        ),
    )
    if embedded.finalized_lag_slots < embedded.confirmed_lag_slots:
        raise table.fail("finalized_lag_slots", "must not be less than confirmed_lag_slots")
    if embedded.skipped_slot_every == 1:
        raise table.fail("skipped_slot_every", "1 would skip every slot; 0 skips none")
    table.end()
    return embedded


def _program(table: Table, directory: Path) -> ProgramSettings:
    address = table.address("id")
    if address is None:
        raise table.fail("id", "missing")
    program = ProgramSettings(
        id=address,
        path=directory / table.required("path"),
        upgrade_authority=table.string("upgrade_authority") or ProgramSettings.upgrade_authority,
    )
    table.end()
    return program


def _mint(table: Table) -> MintSettings:
    address = table.address("address") or DEFAULT_MINT
    mint = MintSettings(
        address=address,
        decimals=table.integer("decimals", MintSettings.decimals, 0, 18),
        authority=table.string("authority") or MintSettings.authority,
    )
    table.end()
    return mint


def _wallet(table: Table, mint: MintSettings) -> Wallet:
    name, address = table.string("name"), table.address("address")
    if (name is None) == (address is None):
        raise table.fail("name", "give a wallet either a name or an address")
    if name is not None and not all(part.isalnum() for part in name.split("-")):
        raise table.fail("name", f"{name!r}: use letters, digits and single dashes")
    wallet = Wallet(
        name=name,
        address=address,
        lamports=table.amount("sol", _LAMPORT_DIGITS),
        token_units=table.amount("usdc", mint.decimals),
    )
    table.end()
    return wallet


def _provider(table: Table) -> ProviderSettings:
    models: list[ModelPrice] = []
    for model in table.tables("models"):
        price = ModelPrice(
            model_id=model.required("model_id"),
            input_per_1m=model.integer("input_per_1m", 0, 0, 10**15),
            output_per_1m=model.integer("output_per_1m", 0, 0, 10**15),
        )
        models.append(price)
        model.end()
    max_concurrent = table.integer("max_concurrent", ProviderSettings.max_concurrent, 1, 10_000)
    table.end()
    return ProviderSettings(max_concurrent=max_concurrent, models=tuple(models))


def _check_names(settings: Settings) -> None:
    names = [wallet.name for wallet in settings.wallets if wallet.name is not None]
    for name in names:
        if names.count(name) > 1 or name == FAUCET:
            raise SettingsError(f"wallets: the name {name!r} is taken")
    if sum(wallet.token_units for wallet in settings.wallets) >= 2**64:
        raise SettingsError("wallets: together they hold more tokens than a mint can count")
    addresses = [wallet.address for wallet in settings.wallets if wallet.address is not None]
    if len(set(addresses)) < len(addresses):
        raise SettingsError("wallets: an address is given twice")
    if settings.wallets and settings.mint.authority not in names:
        raise SettingsError(f"mint.authority: no wallet is named {settings.mint.authority!r}")
    program = settings.program
    if program is not None and program.upgrade_authority not in names:
        raise SettingsError(
            f"program.upgrade_authority: no wallet is named {program.upgrade_authority!r}"
        )
