"""The coordinator's settings, read once from the environment and the settings file."""

from dataclasses import dataclass, field

from solders.pubkey import Pubkey

from coordinator.agent import Timing
from coordinator.api.desk import Shop
from coordinator.limits import HttpLimits
from coordinator.order import Limits
from settlement.chain.program import Deployment
from settlement.charges import LeaseTerms
from settlement.config import withdrawal_limits
from settlement.ledger.writer import BATCH_SIZE
from settlement.settings import Address, SettingInvalid, SettingsReader
from settlement.withdrawals import WithdrawalLimits

DEFAULT_LISTEN = "127.0.0.1:8402"


@dataclass(frozen=True, kw_only=True)
class CoordinatorSettings:
    """Everything a coordinator process needs to know."""

    database_url: str
    rpc_urls: tuple[str, ...] = ()  # none: payment requests are not offered
    listen: Address
    log_level: str
    shop: Shop
    http: HttpLimits
    limits: Limits
    timing: Timing
    leases: LeaseTerms = field(default_factory=LeaseTerms)
    withdrawals: WithdrawalLimits = field(default_factory=WithdrawalLimits)
    books_batch: int = BATCH_SIZE  # operations a commit at most; 1: each its own transaction
    pool_size: int
    grace_seconds: int


def read(reader: SettingsReader) -> CoordinatorSettings:
    """Raises `SettingInvalid` naming what is missing or wrong."""
    listen = reader.address("POD_COORDINATOR_LISTEN", DEFAULT_LISTEN)
    public_url = reader.text("POD_PUBLIC_URL", f"http://{listen}").rstrip("/")
    return CoordinatorSettings(
        database_url=reader.text("DATABASE_URL"),
        rpc_urls=_rpc_urls(reader),
        listen=listen,
        log_level=reader.text("POD_LOG_LEVEL", "INFO").upper(),
        shop=_shop(reader, public_url),
        http=_http(reader),
        limits=_limits(reader),
        timing=_timing(reader),
        leases=_leases(reader),
        withdrawals=withdrawal_limits(reader),
        books_batch=reader.integer("POD_COORDINATOR_BOOKS_BATCH", BATCH_SIZE, least=1),
        pool_size=reader.integer("POD_COORDINATOR_POOL_SIZE", 12, least=6),
        grace_seconds=reader.integer("POD_COORDINATOR_GRACE_SECONDS", 5),
    )


def _rpc_urls(reader: SettingsReader) -> tuple[str, ...]:
    named = reader.optional("POD_RPC_URLS")
    return () if named is None else reader.words("POD_RPC_URLS")


def _shop(reader: SettingsReader, public_url: str) -> Shop:
    return Shop(
        public_url=public_url,
        dashboard_url=reader.text("DASHBOARD_BASE_URL", public_url).rstrip("/"),
        deployment=Deployment(
            program_id=_pubkey(reader, "POD_PROGRAM_ID"), mint=_pubkey(reader, "POD_USDC_MINT")
        ),
        cluster=reader.text("POD_CLUSTER", "localnet"),
        default_input_per_1m_microusdc=reader.integer(
            "POD_COORDINATOR_DEFAULT_INPUT_PER_1M", 300_000, least=1
        ),
        default_output_per_1m_microusdc=reader.integer(
            "POD_COORDINATOR_DEFAULT_OUTPUT_PER_1M", 600_000, least=1
        ),
    )


def _pubkey(reader: SettingsReader, name: str) -> Pubkey:
    text = reader.text(name)
    try:
        return Pubkey.from_string(text)
    except ValueError:
        raise SettingInvalid(setting=name, problem="not a base58 address", got=text) from None


def _http(reader: SettingsReader) -> HttpLimits:
    return HttpLimits(
        register_per_minute=reader.integer("POD_COORDINATOR_REGISTER_PER_MINUTE", 10, least=1),
        payments_per_minute=reader.integer("POD_COORDINATOR_PAYMENTS_PER_MINUTE", 120, least=1),
        withdrawals_per_minute=reader.integer(
            "POD_COORDINATOR_WITHDRAWALS_PER_MINUTE", 30, least=1
        ),
        requests_per_minute=reader.integer("POD_COORDINATOR_REQUESTS_PER_MINUTE", 60_000, least=1),
        requests_at_once=reader.integer("POD_COORDINATOR_REQUESTS_AT_ONCE", 512, least=1),
    )


def _limits(reader: SettingsReader) -> Limits:
    return Limits(
        default_output_tokens=reader.integer("POD_COORDINATOR_DEFAULT_TOKENS", 4_096, least=1),
        attempts=reader.integer("POD_COORDINATOR_ATTEMPTS", 3, least=1),
        buffer_bytes=reader.integer("POD_COORDINATOR_BUFFER_BYTES", 1_048_576, least=4_096),
    )


def _leases(reader: SettingsReader) -> LeaseTerms:
    return LeaseTerms(
        # The most that is set aside for one user ahead of need, and how long it is.
        cap_microusdc=reader.integer("POD_COORDINATOR_LEASE_MICROUSDC", 5_000_000, least=1),
        lifetime_seconds=reader.integer("POD_COORDINATOR_LEASE_SECONDS", 600, least=10),
    )


def _timing(reader: SettingsReader) -> Timing:
    return Timing(
        silence_seconds=reader.integer("POD_COORDINATOR_SILENCE_SECONDS", 60, least=1),
        first_chunk_seconds=reader.integer("POD_COORDINATOR_FIRST_CHUNK_SECONDS", 60, least=1),
        idle_seconds=reader.integer("POD_COORDINATOR_IDLE_SECONDS", 120, least=1),
        deadline_seconds=reader.integer("POD_COORDINATOR_DEADLINE_SECONDS", 300, least=1),
    )
