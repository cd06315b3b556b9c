"""`pod admin` typed against the embedded chain: each subject once round, with its refusals."""

from pathlib import Path

import pytest
from solders.pubkey import Pubkey

from localnet.embedded import RunningChain
from tests.chain.cli.admin_terminal import Terminal, initialized
from tests.chain.localnet.calls import Rpc

DAY = 86_400


@pytest.fixture
async def terminal(localnet: RunningChain, rpc: Rpc, tmp_path: Path) -> Terminal:
    """The program set up by `pod admin initialize`."""
    terminal = Terminal(chain=localnet, rpc=rpc, keys=tmp_path / "keys")
    await initialized(terminal)
    return terminal


async def test_initialize_sets_up_what_show_shows(terminal: Terminal) -> None:
    shown = await terminal.shown()
    roles = ("admin", "proposer", "arbiter", "guardian", "payer")
    assert shown["roles"] == {role: str(terminal.address(role)) for role in roles}
    assert shown["upgrade_authority"] == str(terminal.address("upgrade-authority"))
    assert shown["parameters"]["cooldown_seconds"] == 90 * DAY
    assert shown["pending"] == {"admin": None, "role": None, "parameters": None}
    again = ("admin", "initialize", "--admin", terminal.address("admin"))
    mint = ("--mint", terminal.chain.mint)
    said = await terminal.as_("upgrade-authority", *again, *mint)
    assert (said.exit_code, said.json["status"]) == (0, "nothing_to_do")


async def test_initialize_names_what_is_missing(terminal: Terminal) -> None:
    words = ("admin", "initialize", "--admin", terminal.address("admin"))
    where = ("--rpc", terminal.chain.rpc_url, "--program", Pubkey.new_unique())
    who = ("--keypair", str(terminal.keys / "upgrade-authority.json"), "--json")
    said = await terminal.pod(*words, *where, *who)
    assert (said.exit_code, said.json["error"]) == (1, "mint_missing")
    said = await terminal.pod(*words, *where, *who, "--mint", terminal.chain.mint)
    assert (said.exit_code, said.json["error"]) == (1, "no_program")
    said = await terminal.as_("upgrade-authority", *words, "--cooldown", "7")
    assert said.exit_code == 2


async def test_parameters_must_be_named(terminal: Terminal) -> None:
    assert (await terminal.as_("admin", "admin", "params", "set")).exit_code == 2
    for change in (("--cooldown", "1.5d"), ("--bond-amount", "0"), ("--single-cap", "-1")):
        assert (await terminal.as_("admin", "admin", "params", "set", *change)).exit_code == 2
    outside = ("admin", "params", "set", "--cooldown", "91d")
    assert (await terminal.refused("admin", *outside))["error"] == "out_of_bounds"


async def test_a_role_is_granted_after_two_days_and_revoked_at_once(terminal: Terminal) -> None:
    newcomer = terminal.stranger("newcomer").pubkey()
    await terminal.done("admin", "admin", "role", "grant", "payer", newcomer)
    waits = (await terminal.shown())["pending"]["role"]
    assert (waits["role"], waits["holder"], waits["ready"]) == ("payer", str(newcomer), False)
    early = await terminal.refused("user", "admin", "role", "apply")
    assert early["error"] == "too_early"
    await terminal.pass_time(2 * DAY)
    assert (await terminal.shown())["pending"]["role"]["ready"]
    await terminal.done("user", "admin", "role", "apply")
    assert (await terminal.shown())["roles"]["payer"] == str(newcomer)
    await terminal.done("guardian", "admin", "role", "revoke", "payer")
    assert (await terminal.shown())["roles"]["payer"] is None
    said = await terminal.as_("guardian", "admin", "role", "revoke", "payer")
    assert said.json["status"] == "nothing_to_do"


async def test_the_hand_over_takes_two_steps(terminal: Terminal) -> None:
    heir = terminal.stranger("heir").pubkey()
    await terminal.rpc.call("requestAirdrop", str(heir), 1_000_000_000)
    await terminal.done("admin", "admin", "handover", "nominate", heir)
    early = await terminal.refused("heir", "admin", "handover", "accept")
    assert early["error"] == "too_early"
    await terminal.pass_time(2 * DAY)
    other = await terminal.refused("user", "admin", "handover", "accept")
    assert other["error"] == "not_the_holder"
    await terminal.done("heir", "admin", "handover", "accept")
    assert (await terminal.shown())["roles"]["admin"] == str(heir)
    late = await terminal.refused("admin", "admin", "pause", "deposits")
    assert late["error"] == "not_the_holder"


async def test_parameters_hold_at_once_or_after_seven_days(terminal: Terminal) -> None:
    change = ("--dispute", "14d", "--single-cap", "100", "--bond-amount", "60")
    said = await terminal.done("admin", "admin", "params", "set", *change)
    told = {one["parameter"]: one["holds"] for one in said["changes"]}
    assert told == {
        "bond_amount_microusdc": "later",
        "dispute_seconds": "at once",
        "payout_single_cap_microusdc": "at once",
    }
    shown = await terminal.shown()
    assert shown["parameters"]["dispute_seconds"] == 14 * DAY
    assert shown["parameters"]["payout_single_cap_microusdc"] == 100_000_000
    assert shown["parameters"]["bond_amount_microusdc"] == 50_000_000
    assert shown["pending"]["parameters"]["bond_amount_microusdc"] == 60_000_000
    another = ("admin", "params", "set", "--single-cap", "none")
    assert (await terminal.refused("admin", *another))["error"] == "set_waiting"
    await terminal.pass_time(7 * DAY)
    await terminal.done("user", "admin", "params", "apply")
    shown = await terminal.shown()
    assert shown["parameters"]["bond_amount_microusdc"] == 60_000_000
    assert shown["pending"]["parameters"] is None


async def test_a_pause_ends_and_cannot_follow_itself(terminal: Terminal) -> None:
    await terminal.done("guardian", "admin", "pause", "deposits")
    pause = (await terminal.shown())["pauses"]["deposits"]
    assert (pause["paused"], pause["by"]) == (True, str(terminal.address("guardian")))
    assert (await terminal.refused("guardian", "admin", "unpause", "deposits"))["error"] == (
        "not_the_holder"
    )
    await terminal.done("admin", "admin", "unpause", "deposits")
    assert not (await terminal.shown())["pauses"]["deposits"]["paused"]
    soon = await terminal.refused("admin", "admin", "pause", "deposits")
    assert soon["error"] == "too_soon"
    said = await terminal.as_("admin", "admin", "unpause", "deposits")
    assert said.json["status"] == "nothing_to_do"


async def test_nobody_else_and_no_strange_address(terminal: Terminal) -> None:
    refused = await terminal.refused("user", "admin", "pause", "deposits")
    assert refused["error"] == "not_the_holder"
    said = await terminal.as_("admin", "admin", "role", "grant", "payer", "not-an-address")
    assert said.exit_code == 2
    holder = terminal.address("guardian")
    refused = await terminal.refused("admin", "admin", "role", "grant", "payer", holder)
    assert refused["error"] == "already_holds"
    zero = await terminal.refused("admin", "admin", "handover", "nominate", Pubkey.default())
    assert zero["error"] == "no_place_for_it"
