"""Which chain the system runs on, as `localnet.toml` says, and how its process is started.

The embedded chain takes the file itself. A `solana-test-validator` or `surfpool` on PATH starts
from the very same accounts, handed over as files. Any other cluster is only an address: nothing is
started, and its program and mint must be there.
"""

import base64
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from cli.supervisor.child import CannotStart, Role, spawn
from cli.supervisor.ports import ChosenPorts, FixedPort, free_port
from cli.supervisor.probe import chain_at
from cli.workspace import Workspace
from localnet import seed
from localnet.settings import ProgramSettings, Settings

_LOADERS = ("BPFLoaderUpgradeab1e11111111111111111111111",)
CHANGE_PORT = "choose another `embedded.rpc_port` in localnet.toml"


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Where the chain is, what of ours lives on it, and the keys we hold there."""

    name: str
    rpc: str
    ws: str
    program: ProgramSettings
    mint: Pubkey
    wallets: dict[str, Keypair]
    role: Role | None
    fixed_ports: tuple[FixedPort, ...] = ()

    def wallet(self, name: str) -> Keypair:
        """The key of a named wallet. Raises `CannotStart` when localnet.toml does not name it."""
        if name not in self.wallets:
            raise CannotStart(f"localnet.toml names no wallet {name!r}")
        return self.wallets[name]


async def plan_chain(
    http: aiohttp.ClientSession,
    workspace: Workspace,
    ports: ChosenPorts,
    path: Path,
    settings: Settings,
    *,
    name: str,
) -> Chain:
    """Decide what to start and where it will listen; makes missing key files."""
    if settings.program is None:
        raise CannotStart(f"{path} has no [program]: which program holds the money?")
    if settings.chain.kind != "rpc" and not settings.program.path.is_file():
        raise CannotStart(f"{path}: program.path: there is no file {settings.program.path}")
    keys = seed.load_or_create_keys(workspace.keys, settings)
    port = settings.embedded.rpc_port or await ports.take("localnet", settings.embedded.host)
    rpc, ws, role, fixed = _place(http, workspace, path, settings, port)
    return Chain(
        name=name,
        rpc=rpc,
        ws=ws,
        program=settings.program,
        mint=settings.mint.address,
        wallets=keys.wallets,
        role=role,
        fixed_ports=fixed,
    )


def _place(
    http: aiohttp.ClientSession, workspace: Workspace, path: Path, settings: Settings, port: int
) -> tuple[str, str, Role | None, tuple[FixedPort, ...]]:
    kind = settings.chain.kind
    if kind == "rpc":
        rpc = settings.chain.rpc_url
        assert rpc is not None
        return rpc, settings.chain.ws_url or _websocket_of(rpc), None, ()
    host = settings.embedded.host
    match kind:
        case "embedded":
            command = [sys.executable, "-P", "-m", "localnet", "--config", str(path.absolute())]
            command += ["--data", str(workspace.chain), "--keys", str(workspace.keys)]
            command += ["--rpc-port", str(port)]
        case "solana-test-validator":
            command = _test_validator(workspace, settings, port)
        case "surfpool":
            command = _surfpool(workspace, settings, port)
        case _:
            assert_never(kind)
    rpc = f"http://{host}:{port}"
    role = Role(
        name="localnet",
        start=lambda log: spawn(command, {}, log),
        probe=chain_at(http, rpc),
        url=rpc,
        metrics=f"{rpc}/metrics" if kind == "embedded" else None,
    )
    fixed = [
        FixedPort(host=host, port=wanted, used_by="localnet", change=CHANGE_PORT)
        for wanted in (port, port + 1)
    ]
    return rpc, f"ws://{host}:{port + 1}", role, tuple(fixed)


def _websocket_of(rpc: str) -> str:
    """Where a node's websocket usually is: the next port, or the same host where none is named."""
    parts = urlsplit(rpc)
    scheme = "wss" if parts.scheme == "https" else "ws"
    host = parts.netloc if parts.port is None else f"{parts.hostname}:{parts.port + 1}"
    return urlunsplit((scheme, host, parts.path, parts.query, ""))


def _test_validator(workspace: Workspace, settings: Settings, port: int) -> list[str]:
    """An existing ledger is continued: its accounts then come from it, not from the files."""
    program, keys = settings.program, seed.load_or_create_keys(workspace.keys, settings)
    assert program is not None
    accounts = workspace.chain / "accounts"
    accounts.mkdir(parents=True, exist_ok=True)
    for address, account in _accounts(settings, keys):
        text = json.dumps({"pubkey": address, "account": {**account, "space": account["space"]}})
        (accounts / f"{address}.json").write_text(text)
    authority = str(keys.wallets[program.upgrade_authority].pubkey())
    return [
        _on_path("solana-test-validator"),
        *("--ledger", str(workspace.chain / "ledger"), "--quiet"),
        *("--bind-address", settings.embedded.host, "--rpc-port", str(port)),
        *("--faucet-port", str(free_port()), "--account-dir", str(accounts)),
        *("--upgradeable-program", str(program.id), str(program.path), authority),
    ]


def _surfpool(workspace: Workspace, settings: Settings, port: int) -> list[str]:
    keys = seed.load_or_create_keys(workspace.keys, settings)
    snapshot = workspace.chain / "surfpool.json"
    accounts = _accounts(settings, keys, with_program=True)
    plain = {address: {**account, "data": account["data"][0]} for address, account in accounts}
    snapshot.write_text(json.dumps(plain))
    return [
        *(_on_path("surfpool"), "start", "--offline", "--no-tui", "--no-deploy", "--yes"),
        *("--host", settings.embedded.host, "--port", str(port), "--ws-port", str(port + 1)),
        *("--slot-time", str(settings.embedded.slot_time_ms), "--snapshot", str(snapshot)),
    ]


def _accounts(
    settings: Settings, keys: seed.Keys, *, with_program: bool = False
) -> list[tuple[str, dict[str, Any]]]:
    """The accounts the embedded chain would start with, in the JSON form nodes print."""
    found: list[tuple[str, dict[str, Any]]] = []
    for address, stored in seed.genesis(settings, keys).accounts:
        assert stored is not None
        owner = str(Pubkey(stored.owner))
        if owner in _LOADERS and not with_program:
            continue
        account = {
            "lamports": stored.lamports,
            "data": [base64.b64encode(stored.data).decode(), "base64"],
            "owner": owner,
            "executable": stored.executable,
            "rentEpoch": stored.rent_epoch,
            "space": len(stored.data),
        }
        found.append((str(Pubkey(address)), account))
    return found


def _on_path(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise CannotStart(
            f"{program} is not on PATH: install it, or set `chain.kind` in localnet.toml to"
            ' "embedded"'
        )
    return found
