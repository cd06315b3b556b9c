"""The indexer's settings, read once from the environment and the settings file."""

import ipaddress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from solders.pubkey import Pubkey

from indexer.checkpoint import CheckpointPace
from indexer.follow import Pace
from indexer.hydration import Rules
from indexer.shadow import ShadowPace
from settlement.chain.node import NodeLimits
from settlement.chain.program import Deployment
from settlement.money import MicroUsdc, Slot
from settlement.settings import Address, SettingInvalid, SettingsReader

LOCALNET: Final = "localnet"
_MICRO: Final = 1_000_000
_BREAKER_FAULTS: Final = 5
# What public nodes allow (100 requests in 10 seconds); paid ones say what they do.
_REQUESTS_PER_SECOND: Final = 10


@dataclass(frozen=True, kw_only=True)
class IndexerSettings:
    """Everything an indexer process needs to know."""

    database_url: str
    rpc_urls: tuple[str, ...]
    ws_url: str | None
    cluster: str
    deployment: Deployment
    payer: Pubkey
    status: Address
    log_level: str
    pace: Pace
    rules: Rules
    checkpoints: CheckpointPace = field(default_factory=CheckpointPace)
    shadow: ShadowPace = field(default_factory=ShadowPace)
    requests_per_second: int | None = None  # of each provider; None: what is usual
    genesis_hash: str | None = None

    def limits_of(self, url: str) -> NodeLimits:
        """How a provider may be asked; nodes of this machine as fast as we can."""
        rate = self.requests_per_second
        if rate is None and not _is_loopback(url):
            rate = _REQUESTS_PER_SECOND
        return NodeLimits(
            requests_per_second=rate,
            burst=max(1, 2 * (rate or 1)),
            breaker_faults=_BREAKER_FAULTS,
        )


def read(reader: SettingsReader) -> IndexerSettings:
    """Raises `SettingInvalid` naming what is missing or wrong."""
    usual = Pace()
    cluster = reader.text("POD_CLUSTER", LOCALNET)
    per_second = reader.optional("POD_RPC_REQUESTS_PER_SECOND")
    return IndexerSettings(
        database_url=reader.text("DATABASE_URL"),
        rpc_urls=_rpc_urls(reader, cluster),
        ws_url=reader.optional("POD_WS_URL"),
        cluster=cluster,
        deployment=Deployment(_key(reader, "POD_PROGRAM_ID"), _key(reader, "POD_USDC_MINT")),
        payer=_key(reader, "POD_PAYER_ADDRESS"),
        status=reader.address("POD_METRICS_LISTEN", "127.0.0.1:0"),
        log_level=reader.text("POD_LOG_LEVEL", "INFO"),
        pace=Pace(
            poll_seconds=_seconds(reader, "POD_INDEXER_POLL_MS", usual.poll_seconds),
            quiet_poll_seconds=_seconds(
                reader, "POD_INDEXER_QUIET_POLL_MS", usual.quiet_poll_seconds
            ),
            verify_seconds=_seconds(reader, "POD_INDEXER_VERIFY_MS", usual.verify_seconds),
            overlap_slots=reader.integer("POD_INDEXER_OVERLAP_SLOTS", usual.overlap_slots),
            settle_slots=reader.integer("POD_INDEXER_SETTLE_SLOTS", usual.settle_slots),
            patience_slots=reader.integer("POD_INDEXER_PATIENCE_SLOTS", usual.patience_slots),
            start_slot=Slot(reader.integer("POD_START_SLOT", 0)),
            fetch_at_once=reader.integer("POD_INDEXER_FETCHES", usual.fetch_at_once, least=1),
        ),
        rules=Rules(
            quorum_above_microusdc=MicroUsdc(
                reader.integer("POD_INDEXER_QUORUM_USDC", 1_000) * _MICRO
            ),
            single_source=_single_source(reader, cluster),
        ),
        checkpoints=_checkpoints(reader, cluster),
        shadow=ShadowPace(
            poll_seconds=_seconds(reader, "POD_INDEXER_SHADOW_MS", ShadowPace().poll_seconds)
        ),
        requests_per_second=None
        if per_second is None
        else reader.integer("POD_RPC_REQUESTS_PER_SECOND", least=1),
        genesis_hash=reader.optional("POD_GENESIS_HASH"),
    )


def _checkpoints(reader: SettingsReader, cluster: str) -> CheckpointPace:
    """Where one source is not enough, two have to agree with the movements."""
    usual = CheckpointPace()
    every = reader.integer("POD_INDEXER_CHECKPOINT_SECONDS", int(usual.every_seconds), least=1)
    stale = reader.integer("POD_INDEXER_CHECKPOINT_STALE_SECONDS", int(usual.stale_seconds))
    return CheckpointPace(
        every_seconds=every,
        stale_seconds=max(stale, every),
        quorum=1 if _single_source(reader, cluster) else 2,
    )


def _rpc_urls(reader: SettingsReader, cluster: str) -> tuple[str, ...]:
    """Where one source is not enough, two URLs at least."""
    urls = reader.words("POD_RPC_URLS")
    if len(set(urls)) < len(urls):
        raise SettingInvalid(setting="POD_RPC_URLS", problem="it names a URL twice")
    if len(urls) == 1 and not _single_source(reader, cluster):
        problem = (
            f"one provider is not enough on {cluster}: name another one, or set"
            " POD_RPC_SINGLE_SOURCE=allow to take one provider's word for everything"
        )
        raise SettingInvalid(setting="POD_RPC_URLS", problem=problem)
    return urls


def _single_source(reader: SettingsReader, cluster: str) -> bool:
    chosen = reader.text("POD_RPC_SINGLE_SOURCE", "allow" if cluster == LOCALNET else "refuse")
    if chosen not in ("allow", "refuse"):
        problem = "write allow or refuse"
        raise SettingInvalid(setting="POD_RPC_SINGLE_SOURCE", problem=problem, got=chosen)
    return chosen == "allow"


def _seconds(reader: SettingsReader, name: str, usual_seconds: float) -> float:
    return reader.integer(name, int(usual_seconds * 1_000), least=1) / 1_000


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _key(reader: SettingsReader, name: str) -> Pubkey:
    found = reader.text(name)
    try:
        return Pubkey.from_string(found)
    except ValueError:
        problem = "not an address (32 bytes in base58)"
        raise SettingInvalid(setting=name, problem=problem, got=found) from None
