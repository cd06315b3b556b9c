"""`pod deposit`, and the ways every transaction can be carried out, against the embedded chain."""

import asyncio
import base64
import os
import pty
import sys
from pathlib import Path
from typing import Any

import base58
import pytest
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from cli.workspace import ROOT, Running, Workspace
from localnet.embedded import RunningChain
from tests.chain.cli.admin_terminal import Said, Terminal, initialized
from tests.chain.cli.test_bond_words import CODE, deployment_of, funded, held, set_frozen
from tests.chain.localnet.calls import Rpc

USER = "00ff00ff00ff00ff"
_MONEY = ("deposit", "--code", USER, "--amount", "25.5")


@pytest.fixture
async def terminal(localnet: RunningChain, rpc: Rpc, tmp_path: Path) -> Terminal:
    """The program set up."""
    terminal = Terminal(chain=localnet, rpc=rpc, keys=tmp_path / "keys")
    await initialized(terminal)
    return terminal


def where(terminal: Terminal) -> tuple[str, ...]:
    return ("--rpc", terminal.chain.rpc_url, "--program", str(terminal.chain.program_id))


async def till(terminal: Terminal) -> int:
    return await held(terminal, deployment_of(terminal).till_vault)


def unsigned(said: Said) -> dict[str, Any]:
    assert said.exit_code == 0, said.out + said.err
    assert said.json["status"] == "unsigned"
    return said.json["unsigned"]


async def test_dollars_arrive_exactly(terminal: Terminal) -> None:
    said = await terminal.done("user", *_MONEY)
    assert said["amount_microusdc"] == 25_500_000
    await terminal.done("user", "deposit", "--code", CODE, "--amount", "0.000001")
    assert await till(terminal) == 25_500_001
    one = await terminal.rpc.call(
        "getTransaction", said["signature"], {"commitment": "finalized", "encoding": "json"}
    )
    data = base58.b58decode(one["transaction"]["message"]["instructions"][-1]["data"])
    assert data[8:] == bytes.fromhex(USER) + (25_500_000).to_bytes(8, "little")


async def test_deposits_are_refused_in_words(terminal: Terminal) -> None:
    much = await terminal.refused("user", "deposit", "--code", USER, "--amount", "100000.000001")
    assert much["error"] == "not_enough_usdc"
    await funded(terminal, "poor")
    assert (await terminal.refused("poor", *_MONEY))["error"] == "no_usdc_account"
    vault = deployment_of(terminal).till_vault
    await set_frozen(terminal, vault, frozen=True)
    assert (await terminal.refused("user", *_MONEY))["error"] == "frozen_by_issuer"
    await set_frozen(terminal, vault, frozen=False)
    await terminal.done("guardian", "admin", "pause", "deposits")
    assert (await terminal.refused("user", *_MONEY))["error"] == "paused_for_now"
    assert await till(terminal) == 0


async def test_nobody_is_asked_without_a_terminal(terminal: Terminal) -> None:
    key = ("--keypair", str(terminal.keys / "user.json"))
    said = await terminal.pod(*_MONEY, *where(terminal), *key)
    assert said.exit_code == 1
    assert "--yes" in said.err
    assert await till(terminal) == 0


@pytest.mark.parametrize(("answer", "code", "moved"), [("n", 1, 0), ("y", 0, 25_500_000)])
async def test_a_person_is_asked(terminal: Terminal, answer: str, code: int, moved: int) -> None:
    ours, theirs = pty.openpty()
    key = ("--keypair", str(terminal.keys / "user.json"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", *_MONEY, *where(terminal), *key),
        cwd=ROOT,
        stdin=theirs,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    os.write(ours, f"{answer}\n".encode())
    out, err = await process.communicate()
    os.close(ours)
    os.close(theirs)
    assert process.returncode == code, err.decode()
    assert b"Sign and send? [y/N]" in err
    assert (b"sent as" in out) == (moved > 0)
    assert await till(terminal) == moved


@pytest.mark.parametrize("encoding", ["base64", "base58"])
async def test_unsigned_bytes_are_signed_elsewhere(terminal: Terminal, encoding: str) -> None:
    user = terminal.chain.keys["user"]
    keyless = ("--wallet", user.pubkey(), "--unsigned", "--encoding", encoding)
    said = await terminal.pod(*_MONEY, *where(terminal), *keyless, "--json")
    made = unsigned(said)
    decode = base64.b64decode if encoding == "base64" else base58.b58decode
    transaction = Transaction.from_bytes(decode(made["transaction"]))
    assert not any(bytes(signature).strip(b"\0") for signature in transaction.signatures)
    assert bytes(transaction.message) == decode(made["message"])
    assert made["must_sign"] == [str(user.pubkey())]
    transaction.sign([user], transaction.message.recent_blockhash)
    config = {"encoding": "base64", "preflightCommitment": "confirmed"}
    signature = await terminal.rpc.call(
        "sendTransaction", base64.b64encode(bytes(transaction)).decode(), config
    )
    assert signature
    assert await till(terminal) == 25_500_000


async def test_unsigned_bytes_stand_alone_on_stdout(terminal: Terminal) -> None:
    keyless = ("--wallet", terminal.address("user"), "--unsigned")
    said = await terminal.pod(*_MONEY, *where(terminal), *keyless)
    assert said.exit_code == 0
    assert Transaction.from_bytes(base64.b64decode(said.out)).message.instructions
    assert "25.500000 USDC" in said.err
    assert "a minute or two" in said.err


async def test_a_key_that_is_elsewhere_signs_nothing_here(terminal: Terminal) -> None:
    keyless = ("--wallet", terminal.address("user"), "--yes", "--json")
    said = await terminal.pod(*_MONEY, *where(terminal), *keyless)
    assert (said.exit_code, said.json["error"]) == (1, "key_missing")
    other = ("--keypair", str(terminal.keys / "operator.json"))
    said = await terminal.pod(*_MONEY, *where(terminal), *keyless, *other)
    assert (said.exit_code, said.json["error"]) == (1, "key_missing")
    assert await till(terminal) == 0


async def test_somebody_else_pays_the_fee(terminal: Terminal) -> None:
    sponsor = terminal.address("operator")
    both = ("--fee-payer", sponsor, "--cosigner", str(terminal.keys / "operator.json"))
    said = await terminal.done("user", *_MONEY, *both)
    assert said["signers"] == [str(sponsor), str(terminal.address("user"))]
    assert said["simulation"]["fee_lamports"] == 10_000


async def test_another_deployment_is_not_taken_for_this_one(terminal: Terminal) -> None:
    rpc = ("--rpc", terminal.chain.rpc_url)
    key = ("--keypair", str(terminal.keys / "user.json"), "--yes", "--json")
    nowhere = await terminal.pod(*_MONEY, *rpc, "--program", Pubkey.new_unique(), *key)
    assert (nowhere.exit_code, nowhere.json["error"]) == (1, "not_deployed")
    wrong = ("--mint", Pubkey.new_unique())
    other = await terminal.pod(*_MONEY, *where(terminal), *wrong, *key)
    assert (other.exit_code, other.json["error"]) == (1, "other_mint")
    half = await terminal.pod(*_MONEY, *rpc, *key)
    assert (half.exit_code, half.json["error"]) == (2, "target_incomplete")


async def test_a_running_system_is_named_by_its_directory(
    terminal: Terminal, tmp_path: Path
) -> None:
    key = ("--keypair", str(terminal.keys / "user.json"), "--yes", "--json")
    workspace = Workspace(directory=tmp_path / "pod")
    here = ("--directory", str(workspace.directory))
    said = await terminal.pod(*_MONEY, *here, *key)
    assert (said.exit_code, said.json["error"]) == (1, "no_target")
    lock = workspace.own()
    assert lock is not None
    with lock:
        workspace.publish(running(terminal))
        said = await terminal.pod(*_MONEY, *here, *key)
        assert (said.exit_code, said.json["status"]) == (0, "done")
        shown = await terminal.pod("bond", "post", CODE, *here, "--qr", "--json")
        assert "127.0.0.1" in shown.json["link"]
    assert await till(terminal) == 25_500_000


def running(terminal: Terminal) -> Running:
    """What a system that runs on this chain says of itself."""
    return Running(
        supervisor=os.getpid(),
        coordinator="http://127.0.0.1:8402",
        rpc=terminal.chain.rpc_url,
        ws=terminal.chain.ws_url,
        database="",
        provider="",
        cluster="localnet",
        program_id=str(terminal.chain.program_id),
        usdc_mint=str(terminal.chain.mint),
        keys=str(terminal.keys),
        roles={},
    )
