"""The processes of a system besides the chain: what each is started with and how it is asked.

Settings pass by environment under the names each package's `config.py` reads; a secret passes only
as the path of its file, and only to the role that needs it.
"""

import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from cli.supervisor.chain import Chain
from cli.supervisor.child import CannotStart, Role, spawn
from cli.supervisor.ports import ChosenPorts, FixedPort
from cli.supervisor.probe import Probe, database_at, health_of
from cli.workspace import Workspace
from localnet import postgres
from settlement.settings import Address

DATABASE = "podledger"
_HOST = "127.0.0.1"
_LONGEST_SOCKET_PATH = 104  # of any system's
_CHANGE_COORDINATOR = "set POD_COORDINATOR_LISTEN to another address"


@dataclass(frozen=True, kw_only=True)
class DatabasePlace:
    """Where the database is; `role` and `cluster` are None when somebody else runs it."""

    dsn: str
    role: Role | None
    cluster: postgres.Cluster | None


async def plan_database(
    workspace: Workspace, ports: ChosenPorts, given: str | None
) -> DatabasePlace:
    """The database that `DATABASE_URL` names, or the embedded one (created if missing)."""
    if given is not None:
        return DatabasePlace(dsn=given, role=None, cluster=None)
    cluster = postgres.Cluster(directory=workspace.postgres, port=await ports.take("postgres"))
    try:
        postgres.create(cluster)
    except (postgres.PostgresFailed, OSError) as error:
        raise CannotStart(f"PostgreSQL cannot be created: {error}") from error

    def start(log: Path) -> subprocess.Popen[bytes]:
        try:
            return postgres.start(cluster, log=log)
        except postgres.PostgresFailed as error:
            raise CannotStart(str(error)) from error

    role = Role(
        name="postgres",
        start=start,
        probe=database_at(cluster.dsn()),
        url=cluster.dsn(DATABASE),
        stop_signal=signal.SIGINT,  # a "fast" shutdown: clients are disconnected
    )
    return DatabasePlace(dsn=cluster.dsn(DATABASE), role=role, cluster=cluster)


@dataclass(frozen=True, kw_only=True)
class Services:
    """The roles that need a migrated database and an initialized program."""

    coordinator_url: str
    provider_url: str
    roles: tuple[Role, ...]
    fixed_ports: tuple[FixedPort, ...]


async def plan_services(
    http: aiohttp.ClientSession,
    workspace: Workspace,
    ports: ChosenPorts,
    chain: Chain,
    database: DatabasePlace,
    listen: Address,
) -> Services:
    """Everything of ours: settlement's worker and signer, indexer, coordinator, provider."""
    fixed = FixedPort(
        host=listen.host, port=listen.port, used_by="coordinator", change=_CHANGE_COORDINATOR
    )
    if listen.port == 0:
        listen = Address(host=listen.host, port=await ports.take("coordinator", listen.host))
    coordinator_url = f"http://{listen}"
    common = {
        "DATABASE_URL": database.dsn,
        "POD_RPC_URLS": chain.rpc,
        "POD_WS_URL": chain.ws,
        "POD_CLUSTER": chain.name,
        "POD_PROGRAM_ID": str(chain.program.id),
        "POD_USDC_MINT": str(chain.mint),
        "POD_PAYER_ADDRESS": str(chain.wallet("payer").pubkey()),
    }
    others = {
        f"POD_{role.upper()}_ADDRESS": str(chain.wallets[role].pubkey())
        for role in ("admin", "proposer", "arbiter", "guardian")
        if role in chain.wallets
    }
    nudged = _signer_socket(workspace)
    payer = {"POD_PAYER_KEY": f"file:{workspace.keys / 'payer.json'}"}
    public = {"POD_COORDINATOR_LISTEN": str(listen), "POD_PUBLIC_URL": coordinator_url}
    provider_listen = Address(host=_HOST, port=await ports.take("provider"))
    provider = ["localnet.provider", "--coordinator", coordinator_url]
    provider += ["--directory", str(workspace.provider), "--listen", str(provider_listen)]
    roles = (
        await _with_status(http, ports, "indexer", ["indexer", "follow"], common),
        await _with_status(http, ports, "settlement", ["settlement", "work"], common | nudged),
        await _with_status(
            *(http, ports, "signer", ["settlement", "sign"], common | others | nudged | payer)
        ),
        _at(http, "coordinator", ["coordinator"], {**common, **public}, coordinator_url),
        _at(http, "provider", provider, {}, f"http://{provider_listen}"),
    )
    return Services(
        coordinator_url=coordinator_url,
        provider_url=f"http://{provider_listen}",
        roles=roles,
        fixed_ports=(fixed,) if fixed.port else (),
    )


def _signer_socket(workspace: Workspace) -> dict[str, str]:
    """Where the worker tells the signer that something waits; nowhere if the path is too long."""
    path = workspace.signer.absolute() / "nudge.sock"
    return {"POD_SIGNER_SOCKET": str(path)} if len(str(path)) < _LONGEST_SOCKET_PATH else {}


async def _with_status(
    http: aiohttp.ClientSession,
    ports: ChosenPorts,
    name: str,
    module: list[str],
    environment: dict[str, str],
) -> Role:
    """A role that serves nothing but its own /health and /metrics."""
    listen = Address(host=_HOST, port=await ports.take(name))
    settings = {**environment, "POD_METRICS_LISTEN": str(listen)}
    return _at(http, name, module, settings, f"http://{listen}")


def _at(
    http: aiohttp.ClientSession,
    name: str,
    module: list[str],
    environment: dict[str, str],
    url: str,
) -> Role:
    command = [sys.executable, "-P", "-m", *module]
    probe: Probe = health_of(http, f"{url}/health")
    return Role(
        name=name,
        start=lambda log: spawn(command, environment, log),
        probe=probe,
        url=url,
        metrics=f"{url}/metrics",
    )
