"""`pod admin` and the till, and its transactions for keys that are elsewhere."""

import base64
from pathlib import Path

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account
from solders.transaction import Transaction

from localnet.embedded import RunningChain
from settlement.chain import program
from settlement.chain.program import (
    TOKEN_PROGRAM,
    associated_token_address,
    create_associated_token_account,
)
from settlement.money import MicroUsdc
from tests.chain.cli.admin_terminal import Terminal, initialized
from tests.chain.cli.test_bond_words import DAY, deployment_of, held, usdc_of
from tests.chain.localnet.calls import Rpc, RpcFailed, token_transfer

_REFERENCE = bytes(range(16))
_FIVE = MicroUsdc(5_000_000)


@pytest.fixture
async def terminal(localnet: RunningChain, rpc: Rpc, tmp_path: Path) -> Terminal:
    """The program set up, and 20 USDC in the till."""
    terminal = Terminal(chain=localnet, rpc=rpc, keys=tmp_path / "keys")
    await initialized(terminal)
    await terminal.done("user", "deposit", "--code", "00ff" * 4, "--amount", "20")
    return terminal


async def pay(terminal: Terminal, sequence: int) -> None:
    """What the signer does: five USDC to the user."""
    payer = terminal.chain.keys["payer"]
    instruction = program.pay(
        deployment_of(terminal),
        payer=payer.pubkey(),
        sequence=sequence,
        amount_microusdc=_FIVE,
        code=bytes(8),
        reference=_REFERENCE,
        destination=associated_token_address(terminal.address("user"), terminal.chain.mint),
    )
    sent = await terminal.rpc.execute([instruction], payer)
    await terminal.chain.until(sent, "confirmed")


async def test_a_payment_above_the_caps_takes_two_keys(terminal: Terminal) -> None:
    await terminal.done("admin", "admin", "params", "set", "--single-cap", "1")
    with pytest.raises(RpcFailed, match="custom program error: 0x1796"):
        await pay(terminal, 4)
    account = associated_token_address(terminal.address("user"), terminal.chain.mint)
    approve = ("admin", "approve-pay", "4", "5", account, _REFERENCE.hex())
    assert (await terminal.refused("payer", *approve))["error"] == "not_the_holder"
    await terminal.done("admin", *approve)
    approval = (await terminal.shown())["payouts"]["approval"]
    assert (approval["sequence"], approval["amount_microusdc"]) == (4, _FIVE)
    assert approval["open"]
    before = await usdc_of(terminal, terminal.address("user"))
    await pay(terminal, 4)
    assert await usdc_of(terminal, terminal.address("user")) == before + _FIVE
    assert (await terminal.shown())["payouts"]["approval"] is None
    gone = await terminal.refused("admin", *approve)
    assert gone["error"] == "number_gone"


async def test_an_approval_that_was_typed_wrongly(terminal: Terminal) -> None:
    account = terminal.address("user")
    short = await terminal.refused("admin", "admin", "approve-pay", "4", "5", account, "00")
    assert short["error"] == "invalid_reference"
    for number, amount, to in (("-1", "5", account), ("4", "0", account), ("4", "5", "nowhere")):
        words = ("admin", "approve-pay", number, amount, to, _REFERENCE.hex())
        assert (await terminal.as_("admin", *words)).exit_code == 2


async def test_numbers_are_burned_for_ever(terminal: Terminal) -> None:
    await pay(terminal, 1)
    paid = await terminal.refused("payer", "admin", "skip", "0", "1")
    assert paid["error"] == "number_gone"
    said = await terminal.done("payer", "admin", "skip", "0", "2", "3")
    assert said["numbers"] == [0, 2, 3]
    assert (await terminal.shown())["payouts"]["first_free"] == 4
    with pytest.raises(RpcFailed, match="custom program error: 0x1793"):
        await pay(terminal, 2)
    again = await terminal.as_("admin", "admin", "skip", "2")
    assert (again.exit_code, again.json["status"]) == (0, "nothing_to_do")
    far = await terminal.refused("admin", "admin", "skip", "4", "68")
    assert far["error"] == "invalid_numbers"


async def test_a_surplus_is_swept_into_the_till(terminal: Terminal) -> None:
    nothing = await terminal.as_("user", "admin", "sweep")
    assert (nothing.exit_code, nothing.json["status"]) == (0, "nothing_to_do")
    await send_to(terminal, deployment_of(terminal).escrow)
    said = await terminal.done("user", "admin", "sweep")
    assert said["amount_microusdc"] == _FIVE
    assert await held(terminal, deployment_of(terminal).till_vault) == 20_000_000 + _FIVE


async def test_money_sent_to_the_wrong_account_is_recovered(terminal: Terminal) -> None:
    deployment = deployment_of(terminal)
    await open_and_send(terminal, deployment.config)
    stray = associated_token_address(deployment.config, terminal.chain.mint)
    wrong = await terminal.refused("user", "admin", "recover", stray)
    assert wrong["error"] == "not_the_holder"
    vault = await terminal.refused("admin", "admin", "recover", deployment.till_vault)
    assert vault["error"] == "is_a_vault"
    missing = await terminal.refused("admin", "admin", "recover", Pubkey.new_unique())
    assert missing["error"] == "not_a_token_account"
    elsewhere = associated_token_address(terminal.address("user"), terminal.chain.mint)
    stolen = await terminal.refused("admin", "admin", "recover", stray, "--to", elsewhere)
    assert stolen["simulation"]["error"] == "WrongAddress"
    said = await terminal.done("admin", "admin", "recover", stray)
    assert said["amount"] == _FIVE
    assert await held(terminal, deployment.till_vault) == 20_000_000 + _FIVE
    again = await terminal.as_("admin", "admin", "recover", stray)
    assert again.json["status"] == "nothing_to_do"


async def test_tokens_of_another_mint_go_where_they_are_told(terminal: Terminal) -> None:
    user = terminal.chain.keys["user"]
    mint = await other_mint(terminal, user, owner=deployment_of(terminal).escrow)
    stray = associated_token_address(deployment_of(terminal).escrow, mint)
    nowhere = await terminal.refused("admin", "admin", "recover", stray)
    assert nowhere["error"] == "destination_missing"
    back = associated_token_address(user.pubkey(), mint)
    await terminal.done("admin", "admin", "recover", stray, "--to", back)
    assert (await held(terminal, stray), await held(terminal, back)) == (0, 7)


async def other_mint(terminal: Terminal, user: Keypair, *, owner: Pubkey) -> Pubkey:
    """A mint of somebody's own, of which seven tokens were sent to an address of ours."""
    mint = Keypair()
    made = create_account(
        CreateAccountParams(
            from_pubkey=user.pubkey(),
            to_pubkey=mint.pubkey(),
            lamports=10_000_000,
            space=82,
            owner=TOKEN_PROGRAM,
        )
    )
    written = AccountMeta(mint.pubkey(), is_signer=False, is_writable=True)
    begun = Instruction(TOKEN_PROGRAM, b"\x14\x00" + bytes(user.pubkey()) + b"\x00", [written])
    accounts = [
        create_associated_token_account(funder=user.pubkey(), owner=each, mint=mint.pubkey())
        for each in (owner, user.pubkey())
    ]
    metas = [
        written,
        AccountMeta(associated_token_address(owner, mint.pubkey()), False, True),
        AccountMeta(user.pubkey(), is_signer=True, is_writable=False),
    ]
    seven = Instruction(TOKEN_PROGRAM, b"\x07" + (7).to_bytes(8, "little"), metas)
    sent = await terminal.rpc.execute([made, begun, *accounts, seven], user, mint)
    await terminal.chain.until(sent, "confirmed")
    return mint.pubkey()


async def send_to(terminal: Terminal, owner: Pubkey) -> None:
    """Somebody sends five USDC where they do not belong."""
    user = terminal.chain.keys["user"]
    lost = token_transfer(terminal.chain.mint, user.pubkey(), owner, _FIVE)
    await terminal.chain.until(await terminal.rpc.execute([lost], user), "confirmed")


async def open_and_send(terminal: Terminal, owner: Pubkey) -> None:
    user, mint = terminal.chain.keys["user"], terminal.chain.mint
    opened = create_associated_token_account(funder=user.pubkey(), owner=owner, mint=mint)
    await terminal.chain.until(await terminal.rpc.execute([opened], user), "confirmed")
    await send_to(terminal, owner)


async def test_a_multisig_signs_elsewhere_and_somebody_else_pays(terminal: Terminal) -> None:
    """The admin's key is not here, holds no SOL, and pays for nothing."""
    multisig = terminal.stranger("multisig")
    await terminal.done("admin", "admin", "handover", "nominate", multisig.pubkey())
    await terminal.pass_time(2 * DAY)
    user = terminal.chain.keys["user"]
    where = ("--rpc", terminal.chain.rpc_url, "--program", str(terminal.chain.program_id))
    who = ("--wallet", multisig.pubkey(), "--fee-payer", user.pubkey(), "--unsigned", "--json")
    for words in (("handover", "accept"), ("pause", "payouts")):
        said = await terminal.pod("admin", *words, *where, *who)
        assert said.exit_code == 0, said.out + said.err
        assert said.json["status"] == "unsigned"
        made = said.json["unsigned"]
        assert made["must_sign"] == [str(user.pubkey()), str(multisig.pubkey())]
        raw = Transaction.from_bytes(base64.b64decode(made["transaction"]))
        raw.sign([user, multisig], raw.message.recent_blockhash)
        config = {"encoding": "base64", "preflightCommitment": "confirmed"}
        wire = base64.b64encode(bytes(raw)).decode()
        sent = await terminal.rpc.call("sendTransaction", wire, config)
        assert sent == str(raw.signatures[0])
        await terminal.chain.until(raw.signatures[0], "finalized")
    shown = await terminal.shown()
    assert shown["roles"]["admin"] == str(multisig.pubkey())
    assert shown["pauses"]["payouts"]["by"] == str(multisig.pubkey())
    wrong = await terminal.pod("admin", "pause", "releases", *where, "--wallet", str(user.pubkey()))
    assert wrong.exit_code == 1
    assert "does not hold the place" in wrong.err


async def test_show_in_words_never_shortens_an_address(terminal: Terminal) -> None:
    where = ("--rpc", terminal.chain.rpc_url, "--program", str(terminal.chain.program_id))
    said = await terminal.pod("admin", "show", *where)
    assert said.exit_code == 0, said.err
    for name in ("admin", "proposer", "arbiter", "guardian", "payer", "upgrade-authority"):
        assert str(terminal.address(name)) in said.out
    assert "…" not in said.out.replace(" … ", "")
    assert all(line == line.rstrip() for line in said.out.splitlines())
    nothing = await terminal.pod("admin", "show", *where[:2], "--program", Pubkey.new_unique())
    assert nothing.exit_code == 1
