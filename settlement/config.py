"""Settlement's settings, read once from the environment and the settings file."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from solders.pubkey import Pubkey

from settlement.chain.program import Deployment
from settlement.cranks.send import CrankPolicy
from settlement.money import LARGEST_AMOUNT_MICROUSDC, Lamports, MicroUsdc
from settlement.payouts.policy import SigningPolicy
from settlement.payouts.send import SendPolicy
from settlement.settings import Address, SettingInvalid, SettingsReader

_ANY_PORT = "127.0.0.1:0"


@dataclass(frozen=True, kw_only=True)
class ReconcileSettings:
    """What comparing the books with the chain needs."""

    database_url: str
    rpc_urls: tuple[str, ...]
    cluster: str
    deployment: Deployment
    patience_seconds: int
    log_level: str


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """Everything the payout worker needs to know. It has no key."""

    reconcile: ReconcileSettings
    payer: Pubkey
    metrics: Address
    policy: SendPolicy
    lowest_payer_lamports: Lamports
    round_milliseconds: int
    bond_funding_milliseconds: int
    reconcile_every_seconds: int
    seal_every_seconds: int
    crank_milliseconds: int = 2_000
    crank_policy: CrankPolicy = field(default_factory=CrankPolicy)


@dataclass(frozen=True, kw_only=True)
class SignerSettings:
    """Everything the signer needs to know: no node, but the key."""

    database_url: str
    keyfile: Path
    payer: Pubkey | None  # when set, the key must be this one
    policy: SigningPolicy
    metrics: Address
    round_milliseconds: int
    log_level: str


def reconcile_settings(reader: SettingsReader) -> ReconcileSettings:
    """Raises `SettingInvalid` naming what is missing or wrong."""
    return ReconcileSettings(
        database_url=reader.text("DATABASE_URL"),
        rpc_urls=reader.words("POD_RPC_URLS"),
        cluster=reader.text("POD_CLUSTER", "localnet"),
        deployment=_deployment(reader),
        patience_seconds=reader.integer("POD_RECONCILE_PATIENCE_SECONDS", 60),
        log_level=_log_level(reader),
    )


def worker_settings(reader: SettingsReader) -> WorkerSettings:
    """Raises `SettingInvalid` naming what is missing or wrong."""
    resend = reader.integer("POD_SETTLEMENT_RESEND_MILLISECONDS", 2_000, least=100)
    price = reader.integer("POD_SETTLEMENT_COMPUTE_UNIT_PRICE_MICROLAMPORTS", 1_000)
    return WorkerSettings(
        reconcile=reconcile_settings(reader),
        payer=_pubkey(reader, "POD_PAYER_ADDRESS"),
        metrics=reader.address("POD_METRICS_LISTEN", _ANY_PORT),
        policy=SendPolicy(
            compute_unit_price_microlamports=price,
            resend_after=timedelta(milliseconds=resend),
        ),
        lowest_payer_lamports=Lamports(
            reader.integer("POD_SETTLEMENT_LOWEST_PAYER_LAMPORTS", 50_000_000)
        ),
        round_milliseconds=reader.integer("POD_SETTLEMENT_ROUND_MILLISECONDS", 250, least=10),
        bond_funding_milliseconds=reader.integer(
            "POD_SETTLEMENT_BOND_FUNDING_MILLISECONDS", 1_000, least=10
        ),
        reconcile_every_seconds=reader.integer("POD_RECONCILE_EVERY_SECONDS", 60, least=1),
        seal_every_seconds=reader.integer("POD_SEAL_SECONDS", 3_600, least=1),
        crank_milliseconds=reader.integer("POD_SETTLEMENT_CRANK_MILLISECONDS", 2_000, least=10),
        crank_policy=CrankPolicy(
            compute_unit_price_microlamports=price, resend_after=timedelta(milliseconds=resend)
        ),
    )


def signer_settings(reader: SettingsReader) -> SignerSettings:
    """Raises `SettingInvalid` naming what is missing or wrong."""
    return SignerSettings(
        database_url=reader.text("DATABASE_URL"),
        keyfile=reader.file("POD_PAYER_KEYFILE"),
        payer=None
        if reader.optional("POD_PAYER_ADDRESS") is None
        else _pubkey(reader, "POD_PAYER_ADDRESS"),
        policy=SigningPolicy(
            deployment=_deployment(reader),
            largest_payment_microusdc=MicroUsdc(
                reader.integer(
                    "POD_SIGNER_LARGEST_PAYMENT_MICROUSDC", LARGEST_AMOUNT_MICROUSDC, least=1
                )
            ),
            largest_priority_fee_lamports=Lamports(
                reader.integer("POD_SIGNER_LARGEST_PRIORITY_FEE_LAMPORTS", 100_000)
            ),
        ),
        metrics=reader.address("POD_METRICS_LISTEN", _ANY_PORT),
        round_milliseconds=reader.integer("POD_SIGNER_ROUND_MILLISECONDS", 200, least=10),
        log_level=_log_level(reader),
    )


def _deployment(reader: SettingsReader) -> Deployment:
    return Deployment(
        program_id=_pubkey(reader, "POD_PROGRAM_ID"), mint=_pubkey(reader, "POD_USDC_MINT")
    )


def _pubkey(reader: SettingsReader, name: str) -> Pubkey:
    found = reader.text(name)
    try:
        return Pubkey.from_string(found)
    except ValueError:
        raise SettingInvalid(setting=name, problem="not a base58 address", got=found) from None


def _log_level(reader: SettingsReader) -> str:
    level = reader.text("POD_LOG_LEVEL", "INFO").upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        raise SettingInvalid(setting="POD_LOG_LEVEL", problem="not a level", got=level)
    return level
