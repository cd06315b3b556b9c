"""`pod bond` typed against the embedded chain: the life of a bond, and everything it refuses."""

from pathlib import Path
from typing import Any

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from localnet.embedded import RunningChain
from settlement.chain.program import (
    TOKEN_PROGRAM,
    Deployment,
    associated_token_address,
    create_associated_token_account,
)
from tests.chain.cli.admin_terminal import Terminal, initialized
from tests.chain.localnet.calls import Rpc, token_transfer

DAY = 86_400
CODE = "POD-BOND-a1B2c3D4"
BOND = 50_000_000
SOL = 1_000_000_000


@pytest.fixture
async def terminal(localnet: RunningChain, rpc: Rpc, tmp_path: Path) -> Terminal:
    """The program set up, and nothing posted."""
    terminal = Terminal(chain=localnet, rpc=rpc, keys=tmp_path / "keys")
    await initialized(terminal)
    return terminal


def deployment_of(terminal: Terminal) -> Deployment:
    assert terminal.chain.program_id is not None
    return Deployment(terminal.chain.program_id, terminal.chain.mint)


async def status(terminal: Terminal, *typed: str | Pubkey) -> list[dict[str, Any]]:
    """What `pod bond status` says of the code."""
    where = ("--rpc", terminal.chain.rpc_url, "--program", str(terminal.chain.program_id))
    said = await terminal.pod("bond", "status", CODE, *where, "--json", *typed)
    assert said.exit_code == 0, said.out + said.err
    assert said.json["code"] == CODE
    return said.json["bonds"]


async def held(terminal: Terminal, account: Pubkey) -> int:
    """What a token account holds."""
    config = {"commitment": "processed"}
    value = await terminal.rpc.value("getTokenAccountBalance", str(account), config)
    return int(value["amount"])


async def usdc_of(terminal: Terminal, owner: Pubkey) -> int:
    return await held(terminal, associated_token_address(owner, terminal.chain.mint))


async def set_frozen(terminal: Terminal, account: Pubkey, *, frozen: bool) -> None:
    """Circle freezes a token account, or thaws it."""
    issuer = terminal.chain.keys["mint-authority"]
    metas = [
        AccountMeta(account, is_signer=False, is_writable=True),
        AccountMeta(terminal.chain.mint, is_signer=False, is_writable=False),
        AccountMeta(issuer.pubkey(), is_signer=True, is_writable=False),
    ]
    done = Instruction(TOKEN_PROGRAM, b"\x0a" if frozen else b"\x0b", metas)
    await terminal.chain.until(await terminal.rpc.execute([done], issuer), "confirmed")


async def funded(terminal: Terminal, name: str, *, usdc: int = 0) -> Pubkey:
    """A stranger with SOL, and with USDC if any is asked for."""
    stranger = terminal.stranger(name).pubkey()
    await terminal.rpc.call("requestAirdrop", str(stranger), SOL)
    if usdc:
        user, mint = terminal.chain.keys["user"], terminal.chain.mint
        account = create_associated_token_account(funder=user.pubkey(), owner=stranger, mint=mint)
        sent = await terminal.rpc.execute(
            [account, token_transfer(mint, user.pubkey(), stranger, usdc)], user
        )
        await terminal.chain.until(sent, "confirmed")
    await terminal.chain.advance(8)
    return stranger


async def test_a_bond_is_posted_once(terminal: Terminal) -> None:
    said = await terminal.done("operator", "bond", "post", CODE)
    assert said["amount_microusdc"] == BOND
    assert said["simulation"]["units"] > 0
    assert said["simulation"]["rent_lamports"] > 0
    assert said["signers"] == [str(terminal.address("operator"))]
    assert await held(terminal, deployment_of(terminal).bond_vault) == BOND
    [bond] = await status(terminal)
    assert (bond["state"], bond["amount_microusdc"]) == ("posted", BOND)
    assert bond["beneficiary"] == str(terminal.address("operator"))
    assert [step["verb"] for step in bond["steps"]] == ["retire", "hand-over"]
    again = await terminal.as_("operator", "bond", "post", CODE)
    assert (again.exit_code, again.json["status"]) == (0, "nothing_to_do")
    assert await held(terminal, deployment_of(terminal).bond_vault) == BOND


async def test_a_dry_run_tells_and_does_nothing(terminal: Terminal) -> None:
    said = await terminal.as_("operator", "bond", "post", CODE, "--dry-run", "--price", "1000")
    assert (said.exit_code, said.json["status"]) == (0, "dry_run")
    trial = said.json["simulation"]
    assert trial["succeeds"]
    assert trial["fee_lamports"] == 5_000 + -(-trial["limit_units"] * 1_000 // 1_000_000)
    assert trial["units"] < trial["limit_units"] < 20_000
    assert await held(terminal, deployment_of(terminal).bond_vault) == 0
    keyless = ("--rpc", terminal.chain.rpc_url, "--program", str(terminal.chain.program_id))
    wallet = ("--wallet", terminal.address("operator"), "--dry-run")
    said = await terminal.pod("bond", "post", CODE, *keyless, *wallet)
    assert said.exit_code == 0, said.err
    assert "would succeed" in said.out
    assert "50.000000 USDC" in said.out
    assert "nothing was signed or sent" in said.out


async def test_who_cannot_pay_is_told_before_signing(terminal: Terminal) -> None:
    await funded(terminal, "poor")
    assert (await terminal.refused("poor", "bond", "post", CODE))["error"] == "no_usdc_account"
    await funded(terminal, "short", usdc=BOND - 1)
    short = await terminal.refused("short", "bond", "post", CODE)
    assert short["error"] == "not_enough_usdc"
    assert "has=49.999999, needs=50.000000" in short["message"]
    penniless = terminal.stranger("penniless").pubkey()
    told = await terminal.refused(
        "operator", "bond", "post", CODE, "--fee-payer", penniless,
        "--cosigner", str(terminal.keys / "penniless.json"),
    )  # fmt: skip
    assert told["error"] == "not_enough_sol"


async def test_a_pause_says_until_when(terminal: Terminal) -> None:
    await terminal.done("guardian", "admin", "pause", "deposits")
    paused = await terminal.refused("operator", "bond", "post", CODE)
    assert paused["error"] == "paused_for_now"
    assert "UTC (in " in paused["message"]
    await terminal.pass_time(3 * DAY)
    await terminal.done("operator", "bond", "post", CODE)
    await terminal.done("operator", "bond", "retire", CODE)
    await terminal.pass_time(90 * DAY)
    await terminal.done("guardian", "admin", "pause", "releases")
    assert (await terminal.refused("user", "bond", "release", CODE))["error"] == "paused_for_now"
    [bond] = await status(terminal)
    [release] = [step for step in bond["steps"] if step["verb"] == "release"]
    assert not release["open"]
    assert release["paused_until"] > bond["now"]


async def test_the_whole_life(terminal: Terminal) -> None:
    before = await usdc_of(terminal, terminal.address("operator"))
    await terminal.done("operator", "bond", "post", CODE)
    assert (await terminal.refused("user", "bond", "release", CODE))["error"] == "not_retiring"
    stranger = await terminal.refused("user", "bond", "retire", CODE)
    assert stranger["error"] == "not_the_beneficiary"
    idle = await terminal.as_("operator", "bond", "cancel", CODE)
    assert idle.json["status"] == "nothing_to_do"
    await terminal.done("operator", "bond", "retire", CODE)
    again = await terminal.as_("operator", "bond", "retire", CODE)
    assert (again.exit_code, again.json["status"]) == (0, "nothing_to_do")
    stranger = await terminal.refused("user", "bond", "cancel", CODE)
    assert stranger["error"] == "not_the_beneficiary"
    await terminal.done("operator", "bond", "cancel", CODE)
    await terminal.done("operator", "bond", "retire", CODE)
    assert (await terminal.refused("user", "bond", "release", CODE))["error"] == "cooldown_runs"
    await terminal.pass_time(90 * DAY)
    said = await terminal.done("user", "bond", "release", CODE)
    assert said["amount_microusdc"] == BOND
    assert await usdc_of(terminal, terminal.address("operator")) == before
    again = await terminal.as_("user", "bond", "release", CODE)
    mine = await terminal.as_("operator", "bond", "release", CODE)
    assert (again.json["status"], mine.json["status"]) == ("nothing_to_do", "nothing_to_do")
    [bond] = await status(terminal)
    assert (bond["state"], bond["steps"]) == ("released", [])
    for verb in ("post", "retire", "cancel"):
        used = await terminal.refused("operator", "bond", verb, CODE)
        assert used["error"] == "code_is_used_up"


async def test_a_release_goes_where_the_beneficiary_says(terminal: Terminal) -> None:
    await terminal.done("operator", "bond", "post", CODE)
    await terminal.done("operator", "bond", "retire", CODE)
    await terminal.pass_time(90 * DAY)
    fresh = terminal.stranger("fresh").pubkey()
    thief = await terminal.refused("user", "bond", "release", CODE, "--to", fresh)
    assert thief["error"] == "not_the_beneficiary"
    own = deployment_of(terminal).till_vault
    assert (await terminal.refused("operator", "bond", "release", CODE, "--to", own))["simulation"][
        "error"
    ] == "ForbiddenAddress"
    said = await terminal.done("operator", "bond", "release", CODE, "--to", fresh)
    names = [one["name"] for one in said["instructions"]]
    assert names == ["create token account (if missing)", "release"]
    assert await usdc_of(terminal, fresh) == BOND


async def test_a_missing_account_of_the_beneficiary_is_made(terminal: Terminal) -> None:
    absent = await funded(terminal, "absent")
    await terminal.done("operator", "bond", "post", CODE, "--beneficiary", absent)
    await terminal.done("absent", "bond", "retire", CODE)
    await terminal.pass_time(90 * DAY)
    await terminal.done("user", "bond", "release", CODE)
    assert await usdc_of(terminal, absent) == BOND


async def test_frozen_accounts_are_named_and_can_be_tried_again(terminal: Terminal) -> None:
    deployment = deployment_of(terminal)
    own = associated_token_address(terminal.address("operator"), terminal.chain.mint)
    for account in (own, deployment.bond_vault):
        await set_frozen(terminal, account, frozen=True)
        refused = await terminal.refused("operator", "bond", "post", CODE)
        assert refused["error"] == "frozen_by_issuer"
        assert str(account) in refused["message"]
        await set_frozen(terminal, account, frozen=False)
    await terminal.done("operator", "bond", "post", CODE)
    await terminal.done("operator", "bond", "retire", CODE)
    await terminal.pass_time(90 * DAY)
    for account in (own, deployment.bond_vault):
        await set_frozen(terminal, account, frozen=True)
        refused = await terminal.refused("user", "bond", "release", CODE)
        assert refused["error"] == "frozen_by_issuer"
        await set_frozen(terminal, account, frozen=False)
    await terminal.done("user", "bond", "release", CODE)


async def test_a_wrong_code(terminal: Terminal) -> None:
    where = ("--rpc", terminal.chain.rpc_url, "--program", str(terminal.chain.program_id))
    said = await terminal.pod("bond", "status", "POD-BOND-00000000", *where, "--json")
    assert (said.exit_code, said.json["error"]) == (1, "no_such_bond")
    assert (await terminal.refused("operator", "bond", "retire", CODE))["error"] == "no_such_bond"
    for typed in (
        "POD-BOND-short",
        "a1B2c3D",
        "POD-BOND-a1B2c3D45",
        "pod-bond-a1B2c3D4",
        "a1B2-3D4",
    ):
        for verb in ("post", "retire", "status"):
            said = await terminal.pod("bond", verb, typed, *where)
            assert said.exit_code == 2, typed


async def test_strangers_may_bond_the_same_code(terminal: Terminal) -> None:
    await terminal.done("operator", "bond", "post", "a1B2c3D4")
    await terminal.done("user", "bond", "post", CODE)
    bonds = await status(terminal)
    owners = {str(terminal.address("operator")), str(terminal.address("user"))}
    assert {bond["beneficiary"] for bond in bonds} == owners
    await terminal.done("operator", "bond", "retire", CODE)
    [mine] = await status(terminal, "--beneficiary", terminal.address("operator"))
    [other] = await status(terminal, "--beneficiary", terminal.address("user"))
    assert (mine["state"], other["state"]) == ("retiring", "posted")
    whose = await terminal.refused("guardian", "bond", "release", CODE)
    assert whose["error"] == "several_bonds"
    named = ("--beneficiary", terminal.address("operator"))
    early = await terminal.refused("guardian", "bond", "release", CODE, *named)
    assert early["error"] == "cooldown_runs"
    nobody = ("--beneficiary", terminal.address("guardian"))
    assert (await terminal.refused("user", "bond", "retire", CODE, *nobody))["error"] == (
        "no_such_bond"
    )


async def test_a_bond_is_handed_over_by_both(terminal: Terminal) -> None:
    await terminal.done("operator", "bond", "post", CODE)
    heir = await funded(terminal, "heir")
    missing = await terminal.refused("operator", "bond", "hand-over", CODE, heir)
    assert missing["error"] == "key_missing"
    assert str(heir) in missing["message"]
    both = ("--cosigner", str(terminal.keys / "heir.json"))
    await terminal.done("operator", "bond", "hand-over", CODE, heir, *both)
    again = await terminal.as_("operator", "bond", "hand-over", CODE, heir, *both)
    assert again.json["status"] == "nothing_to_do"
    refused = await terminal.refused("operator", "bond", "retire", CODE)
    assert refused["error"] == "not_the_beneficiary"
    assert (await terminal.refused("operator", "bond", "post", CODE))["error"] == "handed_on"
    await terminal.done("heir", "bond", "retire", CODE)
    [bond] = await status(terminal, "--beneficiary", heir)
    assert bond["first_beneficiary"] == str(terminal.address("operator"))
    await terminal.pass_time(90 * DAY)
    await terminal.done("user", "bond", "release", CODE)
    assert await usdc_of(terminal, heir) == BOND
