"""The indexer's settings, read once from the environment and the settings file."""

from dataclasses import dataclass

from solders.pubkey import Pubkey

from indexer.follow import Pace
from settlement.chain.program import Deployment
from settlement.settings import Address, SettingInvalid, SettingsReader


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


def read(reader: SettingsReader) -> IndexerSettings:
    """Raises `SettingInvalid` naming what is missing or wrong."""
    usual = Pace()
    return IndexerSettings(
        database_url=reader.text("DATABASE_URL"),
        rpc_urls=reader.words("POD_RPC_URLS"),
        ws_url=reader.optional("POD_WS_URL"),
        cluster=reader.text("POD_CLUSTER", "localnet"),
        deployment=Deployment(_key(reader, "POD_PROGRAM_ID"), _key(reader, "POD_USDC_MINT")),
        payer=_key(reader, "POD_PAYER_ADDRESS"),
        status=reader.address("POD_METRICS_LISTEN", "127.0.0.1:0"),
        log_level=reader.text("POD_LOG_LEVEL", "INFO"),
        pace=Pace(
            poll_seconds=reader.integer("POD_INDEXER_POLL_MS", 1_000, least=1) / 1_000,
            overlap_slots=reader.integer("POD_INDEXER_OVERLAP_SLOTS", usual.overlap_slots),
            settle_slots=reader.integer("POD_INDEXER_SETTLE_SLOTS", usual.settle_slots),
            fetch_at_once=reader.integer("POD_INDEXER_FETCHES", usual.fetch_at_once, least=1),
        ),
    )


def _key(reader: SettingsReader, name: str) -> Pubkey:
    found = reader.text(name)
    try:
        return Pubkey.from_string(found)
    except ValueError:
        problem = "not an address (32 bytes in base58)"
        raise SettingInvalid(setting=name, problem=problem, got=found) from None
