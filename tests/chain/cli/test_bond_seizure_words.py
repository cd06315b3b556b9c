"""`pod bond` when a bond is to be taken: contest, lapse, execute, each in its time."""

import hashlib
from pathlib import Path

import pytest
from solders.pubkey import Pubkey

from localnet.embedded import RunningChain
from tests.chain.cli.admin_terminal import Terminal, initialized
from tests.chain.cli.test_bond_words import BOND, CODE, DAY, deployment_of, held, status, usdc_of
from tests.chain.localnet.calls import Rpc

_EVIDENCE = "ab" * 32


@pytest.fixture
async def terminal(localnet: RunningChain, rpc: Rpc, tmp_path: Path) -> Terminal:
    """The program set up, and a bond posted by the operator."""
    terminal = Terminal(chain=localnet, rpc=rpc, keys=tmp_path / "keys")
    await initialized(terminal)
    await terminal.done("operator", "bond", "post", CODE)
    return terminal


async def propose(terminal: Terminal, evidence: str = _EVIDENCE) -> None:
    """The proposer accuses the operator."""
    [bond] = await status(terminal)
    told = ("--reason", "7", "--evidence-hash", evidence)
    address = Pubkey.from_string(bond["address"])
    await terminal.done("proposer", "admin", "seizure", "propose", address, *told)


async def test_a_reply_is_hashed_and_told_once(terminal: Terminal, tmp_path: Path) -> None:
    reply = tmp_path / "reply.txt"
    reply.write_text("we were there")
    told = ("--reply-file", str(reply))
    nothing = await terminal.refused("operator", "bond", "contest", CODE, *told)
    assert nothing["error"] == "no_seizure_open"
    await propose(terminal)
    stranger = await terminal.refused("user", "bond", "contest", CODE, *told)
    assert stranger["error"] == "not_the_beneficiary"
    await terminal.done("operator", "bond", "contest", CODE, *told)
    [bond] = await status(terminal)
    assert bond["seizure"]["state"] == "contested"
    assert bond["seizure"]["reply_hash"] == hashlib.sha256(b"we were there").hexdigest()
    assert bond["seizure"]["reason"] == 7
    again = await terminal.as_("operator", "bond", "contest", CODE, *told)
    assert (again.exit_code, again.json["status"]) == (0, "nothing_to_do")
    other = ("--reply-hash", "00" * 32)
    otherwise = await terminal.refused("operator", "bond", "contest", CODE, *other)
    assert otherwise["error"] == "contested_otherwise"
    waits = await terminal.refused("user", "bond", "execute", CODE)
    assert waits["error"] == "waits_for_the_arbiter"
    for neither in ((), (*told, *other), ("--reply-hash", "abc")):
        said = await terminal.as_("operator", "bond", "contest", CODE, *neither)
        assert said.exit_code == 2


async def test_what_nobody_contests_is_carried_out_in_its_time(terminal: Terminal) -> None:
    none = await terminal.refused("user", "bond", "execute", CODE)
    assert none["error"] == "no_seizure_open"
    await propose(terminal)
    assert (await terminal.refused("user", "bond", "execute", CODE))["error"] == "too_early"
    await terminal.pass_time(7 * DAY)
    late = await terminal.refused("operator", "bond", "contest", CODE, "--reply-hash", "cd" * 32)
    assert late["error"] == "too_late"
    await terminal.done("guardian", "admin", "pause", "seizures")
    paused = await terminal.refused("user", "bond", "execute", CODE)
    assert paused["error"] == "paused_for_now"
    [bond] = await status(terminal)
    [execute] = [step for step in bond["steps"] if step["verb"] == "execute"]
    assert execute["paused_until"]
    await terminal.pass_time(3 * DAY)
    said = await terminal.done("user", "bond", "execute", CODE)
    assert said["bond"] == bond["address"]
    assert await held(terminal, deployment_of(terminal).till_vault) == BOND
    again = await terminal.as_("user", "bond", "execute", CODE)
    assert (again.exit_code, again.json["status"]) == (0, "nothing_to_do")
    [bond] = await status(terminal)
    assert bond["state"] == "seized"


async def test_what_nobody_carries_out_lapses(terminal: Terminal) -> None:
    idle = await terminal.as_("user", "bond", "lapse", CODE)
    assert idle.json["status"] == "nothing_to_do"
    await propose(terminal)
    assert (await terminal.refused("user", "bond", "lapse", CODE))["error"] == "too_early"
    heir = terminal.address("user")
    busy = await terminal.refused("operator", "bond", "hand-over", CODE, heir)
    assert busy["error"] == "seizure_is_open"
    await terminal.pass_time(21 * DAY)
    assert (await terminal.refused("user", "bond", "execute", CODE))["error"] == "too_late"
    await terminal.done("user", "bond", "lapse", CODE)
    [bond] = await status(terminal)
    assert bond["seizure"] is None


async def test_a_release_clears_what_is_past_its_time(terminal: Terminal) -> None:
    before = await usdc_of(terminal, terminal.address("operator"))
    await terminal.done("operator", "bond", "retire", CODE)
    await terminal.pass_time(80 * DAY)
    await propose(terminal)
    await terminal.pass_time(10 * DAY)
    waits = await terminal.refused("user", "bond", "release", CODE)
    assert waits["error"] == "seizure_is_open"
    [bond] = await status(terminal)
    [release] = [step for step in bond["steps"] if step["verb"] == "release"]
    assert release["opens_at"] == bond["seizure"]["dies_at"]
    await terminal.pass_time(11 * DAY)
    said = await terminal.done("user", "bond", "release", CODE)
    assert [one["name"] for one in said["instructions"]] == ["lapse", "release"]
    assert await usdc_of(terminal, terminal.address("operator")) == before + BOND
