"""The chains that are not embedded: what is started for them, and what is only an address."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cli.supervisor.chain import Chain, plan_chain
from cli.supervisor.child import CannotStart
from cli.supervisor.ports import ChosenPorts
from cli.workspace import ROOT, Workspace
from localnet.settings import parse_settings

_WALLETS = [
    {"name": "upgrade-authority", "sol": 100},
    {"name": "mint-authority", "sol": 1},
    {"name": "user", "sol": 1, "usdc": 25},
]


async def _plan(place: Path, **chain: str) -> Chain:
    program = place / "bond.so"
    program.write_bytes((ROOT / "programs/bond/bond.so").read_bytes())
    document = {
        "chain": chain,
        "program": {"id": "Bond111111111111111111111111111111111111111", "path": "bond.so"},
        "wallets": _WALLETS,
    }
    workspace = Workspace(directory=place / "pod")
    workspace.prepare()
    async with aiohttp.ClientSession() as http:
        return await plan_chain(
            http,
            workspace,
            ChosenPorts(place / "ports.json"),
            place / "localnet.toml",
            parse_settings(document, place),
            name="test",
        )


@pytest.mark.parametrize(
    ("rpc", "ws"),
    [
        ("http://127.0.0.1:8899", "ws://127.0.0.1:8900"),
        ("https://rpc.example", "wss://rpc.example"),
        ("https://rpc.example/?key=1", "wss://rpc.example/?key=1"),
    ],
)
async def test_a_cluster_is_only_an_address(tmp_path: Path, rpc: str, ws: str) -> None:
    chain = await _plan(tmp_path, kind="rpc", rpc_url=rpc)
    assert (chain.rpc, chain.ws) == (rpc, ws)
    assert chain.role is None
    assert not chain.fixed_ports
    given = await _plan(tmp_path, kind="rpc", rpc_url=rpc, ws_url="ws://elsewhere")
    assert given.ws == "ws://elsewhere"


async def test_a_test_validator_starts_with_the_same_accounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = _stand_in(tmp_path, monkeypatch, "solana-test-validator")
    chain = await _plan(tmp_path, kind="solana-test-validator")
    assert chain.role is not None
    process = chain.role.start(tmp_path / "log")
    assert process.wait() == 0
    words = told.read_text().splitlines()
    assert words[words.index("--upgradeable-program") + 1] == str(chain.program.id)
    authority = str(chain.wallet("upgrade-authority").pubkey())
    assert words[words.index("--upgradeable-program") + 3] == authority
    assert chain.rpc.endswith(words[words.index("--rpc-port") + 1])
    accounts = _json_files(words[words.index("--account-dir") + 1])
    assert str(chain.mint) in accounts
    assert str(chain.program.id) not in accounts
    for address, account in accounts.items():
        assert account["pubkey"] == address
        assert set(account["account"]) >= {"lamports", "data", "owner", "executable", "rentEpoch"}


async def test_surfpool_starts_with_the_same_accounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = _stand_in(tmp_path, monkeypatch, "surfpool")
    chain = await _plan(tmp_path, kind="surfpool")
    assert chain.role is not None
    assert chain.role.start(tmp_path / "log").wait() == 0
    words = told.read_text().splitlines()
    assert words[0] == "start"
    assert "--offline" in words
    snapshot = _json_file(words[words.index("--snapshot") + 1])
    assert {str(chain.mint), str(chain.program.id)} <= set(snapshot)


@pytest.mark.parametrize("kind", ["solana-test-validator", "surfpool"])
async def test_what_is_not_on_path_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotStart, match=f"{kind} is not on PATH"):
        await _plan(tmp_path, kind=kind)


async def test_a_wallet_that_is_not_named_is_missed(tmp_path: Path) -> None:
    chain = await _plan(tmp_path, kind="rpc", rpc_url="http://127.0.0.1:8899")
    with pytest.raises(CannotStart, match="'payer'"):
        chain.wallet("payer")


def _json_file(path: str) -> dict[str, Any]:
    return json.loads(Path(path).read_text())


def _json_files(folder: str) -> dict[str, Any]:
    return {path.stem: _json_file(str(path)) for path in Path(folder).glob("*.json")}


def _stand_in(place: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> Path:
    """Put a program of this name on PATH that only writes down what it was told."""
    folder, told = place / "bin", place / "told"
    folder.mkdir()
    script = folder / program
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{told}"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return told
