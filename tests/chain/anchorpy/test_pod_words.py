"""The whole life typed as `pod … --client anchorpy`: the other client signs and sends every step.

That it was the other one is seen from the line that only it prints before its bytes leave.
"""

from pathlib import Path

import pytest
from solders.pubkey import Pubkey

from localnet.embedded import RunningChain
from settlement.chain.program import associated_token_address
from tests.chain.cli.admin_terminal import Terminal, initialized
from tests.chain.localnet.calls import Rpc

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(300)]

CODE = "POD-BOND-a1B2c3D4"
USER = "00ff" * 4
BOND = 50_000_000
COOLDOWN = 90 * 86_400


@pytest.fixture
async def terminal(localnet: RunningChain, rpc: Rpc, tmp_path: Path) -> Terminal:
    """The program set up."""
    terminal = Terminal(chain=localnet, rpc=rpc, keys=tmp_path / "keys")
    await initialized(terminal)
    return terminal


async def typed(terminal: Terminal, name: str, *words: str | Pubkey) -> None:
    """It is done, and by anchorpy."""
    said = await terminal.as_(name, *words, "--client", "anchorpy")
    assert said.exit_code == 0, said.out + said.err
    assert said.json["status"] == "done"
    assert f"{said.json['signature']}  (by anchorpy)" in said.err


async def bond_of(terminal: Terminal) -> dict[str, object]:
    where = ("--rpc", terminal.chain.rpc_url, "--program", str(terminal.chain.program_id))
    said = await terminal.pod("bond", "status", CODE, *where, "--json")
    [bond] = said.json["bonds"]
    return bond


async def usdc_of(terminal: Terminal, name: str) -> int:
    account = associated_token_address(terminal.address(name), terminal.chain.mint)
    value = await terminal.rpc.value(
        "getTokenAccountBalance", str(account), {"commitment": "processed"}
    )
    return int(value["amount"])


async def test_from_the_post_to_the_release(terminal: Terminal) -> None:
    before = await usdc_of(terminal, "operator")
    await typed(terminal, "user", "deposit", "--code", USER, "--amount", "25.5")
    await typed(terminal, "operator", "bond", "post", CODE)
    assert await usdc_of(terminal, "operator") == before - BOND
    address = Pubkey.from_string(str((await bond_of(terminal))["address"]))
    evidence = ("--reason", "7", "--evidence-hash", "ab" * 32)
    await typed(terminal, "proposer", "admin", "seizure", "propose", address, *evidence)
    await typed(terminal, "operator", "bond", "contest", CODE, "--reply-hash", "cd" * 32)
    await typed(terminal, "arbiter", "admin", "seizure", "dismiss", address)
    await typed(terminal, "operator", "bond", "retire", CODE)
    await typed(terminal, "operator", "bond", "cancel", CODE)
    await typed(terminal, "operator", "bond", "retire", CODE)
    await terminal.pass_time(COOLDOWN)
    await typed(terminal, "operator", "bond", "release", CODE)
    assert (await bond_of(terminal))["state"] == "released"
    assert await usdc_of(terminal, "operator") == before


async def test_handed_over_with_two_key_files(terminal: Terminal) -> None:
    await typed(terminal, "operator", "bond", "post", CODE)
    cosigner = ("--cosigner", str(terminal.keys / "user.json"))
    await typed(
        terminal, "operator", "bond", "hand-over", CODE, terminal.address("user"), *cosigner
    )
    assert (await bond_of(terminal))["beneficiary"] == str(terminal.address("user"))


async def test_a_refusal_is_told_as_ours_is(terminal: Terminal) -> None:
    """The trial refuses first; nothing reaches the other client."""
    await typed(terminal, "operator", "bond", "post", CODE)
    await typed(terminal, "operator", "bond", "retire", CODE)
    said = await terminal.as_("operator", "bond", "release", CODE, "--client", "anchorpy")
    ours = await terminal.as_("operator", "bond", "release", CODE)
    assert said.exit_code == ours.exit_code == 1
    assert said.json.get("error") == ours.json.get("error")
    assert "by anchorpy" not in said.err


async def test_a_dry_run_and_an_unknown_client(terminal: Terminal) -> None:
    post = ("operator", "bond", "post", CODE)
    tried = await terminal.as_(*post, "--client", "anchorpy", "--dry-run")
    assert (tried.exit_code, tried.json["status"]) == (0, "dry_run")
    opinion, ours = tried.json["second_opinion"], tried.json["simulation"]
    assert opinion["succeeds"] is True
    # Ours is tried without a price and with the largest limit: the same instructions otherwise.
    assert opinion["units"] == ours["units"]
    assert f"by anchorpy      would succeed, {opinion['units']} units" in tried.err
    assert (await terminal.rpc.value("getAccountInfo", tried.json["bond"])) is None
    unknown = await terminal.as_(*post, "--client", "somebody")
    assert unknown.exit_code == 2
