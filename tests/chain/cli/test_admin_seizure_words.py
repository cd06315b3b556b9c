"""`pod admin seizure` typed against the embedded chain: both ways a seizure goes, and its ends."""

import hashlib
from pathlib import Path

import pytest

from localnet.embedded import RunningChain
from tests.chain.cli.admin_terminal import Terminal, initialized
from tests.chain.cli.test_bond_words import BOND, CODE, DAY, funded, status
from tests.chain.localnet.calls import Rpc

_SEIZURE = ("admin", "seizure")


@pytest.fixture
async def terminal(localnet: RunningChain, rpc: Rpc, tmp_path: Path) -> Terminal:
    """The program set up, and a bond posted by the operator."""
    terminal = Terminal(chain=localnet, rpc=rpc, keys=tmp_path / "keys")
    await initialized(terminal)
    await terminal.done("operator", "bond", "post", CODE)
    return terminal


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    """What the proposer has written down."""
    path = tmp_path / "evidence.txt"
    path.write_text("what happened")
    return path


async def test_nobody_contests_and_the_bond_is_seized(terminal: Terminal, evidence: Path) -> None:
    told = ("--reason", "3", "--evidence-file", str(evidence))
    said = await terminal.done("proposer", *_SEIZURE, "propose", CODE, *told)
    assert said["evidence_hash"] == hashlib.sha256(b"what happened").hexdigest()
    again = await terminal.refused("proposer", *_SEIZURE, "propose", CODE, *told)
    assert again["error"] == "seizure_is_open"
    early = await terminal.refused("user", *_SEIZURE, "execute", CODE)
    assert (early["status"], early["simulation"]["error"]) == ("refused", "WindowNotOver")
    await terminal.pass_time(7 * DAY)
    done = await terminal.done("user", *_SEIZURE, "execute", CODE)
    assert done["amount_microusdc"] == BOND
    shown = await terminal.shown()
    assert (shown["till"]["amount_microusdc"], shown["bonds"]["amount_microusdc"]) == (BOND, 0)
    over = await terminal.refused("user", *_SEIZURE, "lapse", CODE)
    assert over["error"] == "bond_over"


async def test_the_arbiter_decides_what_is_contested(terminal: Terminal, evidence: Path) -> None:
    told = ("--reason", "3", "--evidence-file", str(evidence))
    reply = ("--reply-hash", "11" * 32)
    await terminal.done("proposer", *_SEIZURE, "propose", CODE, *told)
    await terminal.done("operator", "bond", "contest", CODE, *reply)
    wrong = await terminal.refused("proposer", *_SEIZURE, "uphold", CODE)
    assert wrong["error"] == "not_the_holder"
    await terminal.done("arbiter", *_SEIZURE, "dismiss", CODE)
    [bond] = await status(terminal)
    assert bond["seizure"] is None
    used = await terminal.refused("proposer", *_SEIZURE, "propose", CODE, *told)
    assert used["simulation"]["error"] == "EvidenceReused"
    other = ("--reason", "3", "--evidence-hash", "22" * 32)
    await terminal.done("proposer", *_SEIZURE, "propose", CODE, *other)
    await terminal.done("operator", "bond", "contest", CODE, *reply)
    await terminal.done("arbiter", *_SEIZURE, "uphold", CODE)
    [bond] = await status(terminal)
    assert bond["seizure"]["state"] == "upheld"


async def test_withdrawn_or_lapsed_nothing_is_open_any_more(terminal: Terminal) -> None:
    for number, word in ((1, "withdraw"), (2, "lapse")):
        told = ("--reason", "1", "--evidence-hash", f"{number:064x}")
        await terminal.done("proposer", *_SEIZURE, "propose", CODE, *told)
        if word == "lapse":
            await terminal.pass_time(21 * DAY)
        await terminal.done("proposer", *_SEIZURE, word, CODE)
        nothing = await terminal.refused("proposer", *_SEIZURE, word, CODE)
        assert nothing["error"] == "no_open_seizure"


async def test_which_bond_is_meant(terminal: Terminal, evidence: Path) -> None:
    told = ("--reason", "3", "--evidence-file", str(evidence))
    other = await funded(terminal, "other", usdc=BOND)
    await terminal.done("other", "bond", "post", CODE)
    several = await terminal.refused("proposer", *_SEIZURE, "propose", CODE, *told)
    assert several["error"] == "several_bonds"
    said = await terminal.done(
        "proposer", *_SEIZURE, "propose", CODE, *told, "--beneficiary", other
    )
    assert said["beneficiary"] == str(other)
    nowhere = await terminal.refused("proposer", *_SEIZURE, "withdraw", other)
    assert nowhere["error"] == "no_such_bond"
    by_address = await terminal.done("proposer", *_SEIZURE, "withdraw", said["bond"])
    assert by_address["bond"] == said["bond"]


async def test_evidence_that_cannot_be_used(terminal: Terminal, evidence: Path) -> None:
    file, hashed = ("--evidence-file", str(evidence)), ("--evidence-hash", "ab")
    for told in ((), (*file, *hashed), hashed):
        propose = ("propose", CODE, "--reason", "1", *told)
        refused = await terminal.refused("proposer", *_SEIZURE, *propose)
        assert refused["error"] == "invalid_evidence"
    missing = ("propose", CODE, "--reason", "1", "--evidence-file", str(evidence) + ".no")
    assert (await terminal.as_("proposer", *_SEIZURE, *missing)).exit_code == 2
    reason = ("propose", CODE, "--reason", "65536", *file)
    assert (await terminal.as_("proposer", *_SEIZURE, *reason)).exit_code == 2
