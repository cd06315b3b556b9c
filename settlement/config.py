"""Settlement's settings, read once from the environment and the settings file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from solders.pubkey import Pubkey

from settlement.chain.program import Deployment
from settlement.cranks.send import CrankPolicy
from settlement.keys.choice import KeyKind, KeyPlace
from settlement.keys.protocol import KeyRefused
from settlement.money import LARGEST_AMOUNT_MICROUSDC, Lamports, MicroUsdc
from settlement.payouts import policy
from settlement.payouts.payer import PayerPolicy
from settlement.payouts.policy import SigningPolicy
from settlement.payouts.priority import FeePolicy
from settlement.payouts.road import SendPolicy
from settlement.settings import Address, SettingInvalid, SettingsReader
from settlement.withdrawals import WithdrawalLimits

_ANY_PORT = "127.0.0.1:0"
_WHOLE_PERCENT = 100
_MOST_DAYS = 36_500  # a hundred years: far beyond, dates end


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
    payer_policy: PayerPolicy | None  # None: what follows from the lowest
    round_milliseconds: int
    bond_funding_milliseconds: int
    reconcile_every_seconds: int
    seal_every_seconds: int
    crank_milliseconds: int = 2_000
    crank_policy: CrankPolicy = field(default_factory=CrankPolicy)
    withdrawals: WithdrawalLimits = field(default_factory=WithdrawalLimits)
    signer: Path | None = None  # the socket where the signer is told that something waits


@dataclass(frozen=True, kw_only=True)
class SignerSettings:
    """Everything the signer needs to know: no node, but where the key is."""

    database_url: str
    key: KeyPlace
    payer: Pubkey | None  # when set, the key must be this one
    other_roles: Mapping[str, Pubkey]  # whose keys it must not be
    policy: SigningPolicy
    metrics: Address
    round_milliseconds: int
    log_level: str
    socket: Path | None = None  # where it may be told that something waits


@dataclass(frozen=True, kw_only=True)
class HolderSettings:
    """What a process that only holds the key needs to know."""

    key: KeyPlace
    socket: Path
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
    lowest = Lamports(reader.integer("POD_SETTLEMENT_LOWEST_PAYER_LAMPORTS", 50_000_000))
    return WorkerSettings(
        reconcile=reconcile_settings(reader),
        payer=_pubkey(reader, "POD_PAYER_ADDRESS"),
        metrics=reader.address("POD_METRICS_LISTEN", _ANY_PORT),
        policy=_send_policy(reader, timedelta(milliseconds=resend), price),
        lowest_payer_lamports=lowest,
        payer_policy=_payer_policy(reader, lowest),
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
        withdrawals=withdrawal_limits(reader),
        signer=_path(reader, "POD_SIGNER_SOCKET"),
    )


def _send_policy(reader: SettingsReader, resend_after: timedelta, floor: int) -> SendPolicy:
    watch = reader.integer("POD_SETTLEMENT_WATCH_MILLISECONDS", 500, least=10)
    percentile = reader.integer("POD_SETTLEMENT_FEE_PERCENTILE", 75)
    if percentile > _WHOLE_PERCENT:
        raise SettingInvalid(
            setting="POD_SETTLEMENT_FEE_PERCENTILE", problem="above 100", got=percentile
        )
    largest_name = "POD_SETTLEMENT_LARGEST_COMPUTE_UNIT_PRICE_MICROLAMPORTS"
    return SendPolicy(
        fees=FeePolicy(
            floor_microlamports=floor,
            cap_microlamports=reader.integer(largest_name, max(100_000, floor), least=floor),
            percentile=percentile,
            raise_percent=reader.integer("POD_SETTLEMENT_FEE_RAISE_PERCENT", 50),
        ),
        resend_after=resend_after,
        watch_every=timedelta(milliseconds=watch),
        largest_batch=reader.integer("POD_SETTLEMENT_LARGEST_BATCH", 8, least=1),
        batch_from=reader.integer("POD_SETTLEMENT_BATCH_FROM", 8, least=1),
        most_rejections=reader.integer("POD_SETTLEMENT_MOST_REJECTIONS", 10, least=1),
    )


def _payer_policy(reader: SettingsReader, lowest: Lamports) -> PayerPolicy:
    usual = PayerPolicy.above(lowest)
    resume_name, low_name = (f"POD_SETTLEMENT_{w}_PAYER_LAMPORTS" for w in ("RESUME", "LOW"))
    return PayerPolicy(
        lowest=lowest,
        resume=Lamports(reader.integer(resume_name, usual.resume, least=lowest)),
        low_water=Lamports(reader.integer(low_name, usual.low_water)),
    )


def signer_settings(reader: SettingsReader) -> SignerSettings:
    """Raises `SettingInvalid` naming what is missing or wrong."""
    return SignerSettings(
        database_url=reader.text("DATABASE_URL"),
        key=_payer_key(reader),
        payer=_optional_pubkey(reader, "POD_PAYER_ADDRESS"),
        other_roles=_other_roles(reader),
        policy=_signing_policy(reader),
        metrics=reader.address("POD_METRICS_LISTEN", _ANY_PORT),
        round_milliseconds=reader.integer("POD_SIGNER_ROUND_MILLISECONDS", 200, least=10),
        log_level=_log_level(reader),
        socket=_path(reader, "POD_SIGNER_SOCKET"),
    )


def holder_settings(reader: SettingsReader) -> HolderSettings:
    """Raises `SettingInvalid` naming what is missing or wrong."""
    key = _key(reader, "POD_KEY")
    if key.kind is KeyKind.REMOTE:
        raise SettingInvalid(setting="POD_KEY", problem="whoever holds a key has it")
    return HolderSettings(
        key=key, socket=Path(reader.text("POD_KEY_SOCKET")), log_level=_log_level(reader)
    )


def _signing_policy(reader: SettingsReader) -> SigningPolicy:
    def most(name: str, otherwise: int, least: int = 0) -> int:
        return reader.integer(f"POD_SIGNER_{name}", otherwise, least=least)

    return SigningPolicy(
        deployment=_deployment(reader),
        largest_payment_microusdc=MicroUsdc(
            most("LARGEST_PAYMENT_MICROUSDC", LARGEST_AMOUNT_MICROUSDC, least=1)
        ),
        largest_priority_fee_lamports=Lamports(
            most("LARGEST_PRIORITY_FEE_LAMPORTS", policy.LARGEST_PRIORITY_FEE)
        ),
        largest_hour_microusdc=MicroUsdc(most("LARGEST_HOUR_MICROUSDC", policy.LARGEST_HOUR)),
        largest_day_microusdc=MicroUsdc(most("LARGEST_DAY_MICROUSDC", policy.LARGEST_DAY)),
        most_openings_an_hour=most("MOST_OPENINGS_AN_HOUR", policy.MOST_OPENINGS_AN_HOUR),
    )


def _payer_key(reader: SettingsReader) -> KeyPlace:
    if reader.optional("POD_PAYER_KEY") is None:
        return KeyPlace(kind=KeyKind.FILE, where=str(reader.file("POD_PAYER_KEYFILE")))
    if reader.optional("POD_PAYER_KEYFILE") is not None:
        problem = "POD_PAYER_KEYFILE is set too; set one of them"
        raise SettingInvalid(setting="POD_PAYER_KEY", problem=problem)
    return _key(reader, "POD_PAYER_KEY")


def _key(reader: SettingsReader, name: str) -> KeyPlace:
    try:
        place = KeyPlace.of(reader.text(name))
    except KeyRefused as error:
        raise SettingInvalid(None, setting=name, **error.details) from None
    if place.kind is KeyKind.ENV:
        return KeyPlace(kind=KeyKind.FILE, where=str(reader.file(place.where)))
    return place


def _other_roles(reader: SettingsReader) -> dict[str, Pubkey]:
    named = {
        role: _optional_pubkey(reader, f"POD_{role.upper()}_ADDRESS")
        for role in ("admin", "proposer", "arbiter", "guardian")
    }
    return {role: address for role, address in named.items() if address is not None}


def _path(reader: SettingsReader, name: str) -> Path | None:
    found = reader.optional(name)
    return None if found is None else Path(found)


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


def _optional_pubkey(reader: SettingsReader, name: str) -> Pubkey | None:
    return None if reader.optional(name) is None else _pubkey(reader, name)


def _log_level(reader: SettingsReader) -> str:
    level = reader.text("POD_LOG_LEVEL", "INFO").upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        raise SettingInvalid(setting="POD_LOG_LEVEL", problem="not a level", got=level)
    return level


def withdrawal_limits(reader: SettingsReader) -> WithdrawalLimits:
    """What an operator and a user may take out; docs/withdrawals.md tells what each is for.

    The coordinator and the worker read the same settings. Raises `SettingInvalid`.
    """

    def amount(name: str, default: MicroUsdc, *, least: int = 1) -> MicroUsdc:
        return MicroUsdc(reader.integer(f"POD_WITHDRAWAL_{name}_MICROUSDC", default, least=least))

    def seconds(name: str) -> timedelta:
        most = _MOST_DAYS * 86_400
        return timedelta(seconds=reader.integer(f"POD_WITHDRAWAL_{name}_SECONDS", 0, most=most))

    usual = WithdrawalLimits()
    usual_days = usual.newcomer_for.days
    days = reader.integer("POD_WITHDRAWAL_NEWCOMER_DAYS", usual_days, most=_MOST_DAYS)
    return WithdrawalLimits(
        smallest_microusdc=amount("SMALLEST", usual.smallest_microusdc),
        daily_microusdc=amount("DAILY", usual.daily_microusdc),
        newcomer_daily_microusdc=amount("NEWCOMER_DAILY", usual.newcomer_daily_microusdc, least=0),
        newcomer_for=timedelta(days=days),
        second_approval_microusdc=amount("SECOND_APPROVAL", usual.second_approval_microusdc),
        user_daily_microusdc=amount("USER_DAILY", usual.user_daily_microusdc, least=0),
        first_use_delay=seconds("FIRST_USE_DELAY"),
        changed_delay=seconds("CHANGED_DELAY"),
    )
