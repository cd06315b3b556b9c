"""What the chain would refuse is said beforehand, in words, and nothing is signed for it."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from settlement.chain import program
from settlement.money import MicroUsdc
from tests.chain.indexer.conftest import World, plain_transfer
from tests.pure.faulty_node import Answer, error, hang_up, node, raw, result
from tests.wire.payment_requests.counter import Counter, counter_at

SOL = 1_000_000_000
USDC = 1_000_000
NINETY_DAYS = 90 * 86_400


async def funded(counter: Counter, *, lamports: int, usdc: int | None) -> Keypair:
    """A phone's wallet with this much; without a USDC account when that is None."""
    world, rich, phone = counter.world, counter.world.wallet("user"), Keypair()
    place = counter.place
    steps: list[Instruction] = []
    if lamports:
        to = TransferParams(from_pubkey=rich.pubkey(), to_pubkey=phone.pubkey(), lamports=lamports)
        steps.append(transfer(to))
    if usdc is not None:
        account = program.associated_token_address(phone.pubkey(), place.mint)
        steps.append(
            program.create_associated_token_account(
                funder=rich.pubkey(), owner=phone.pubkey(), mint=place.mint
            )
        )
        steps.append(plain_transfer(world.ata("user"), account, rich.pubkey(), usdc))
    await world.send(*steps)
    await counter.settled()
    return phone


async def freeze(counter: Counter, account: Pubkey, *, thaw: bool = False) -> None:
    """The issuer freezes (or thaws) a USDC account."""
    issuer = counter.world.wallet("mint-authority")
    named = [
        AccountMeta(account, is_signer=False, is_writable=True),
        AccountMeta(counter.place.mint, is_signer=False, is_writable=False),
        AccountMeta(issuer.pubkey(), is_signer=True, is_writable=False),
    ]
    data = bytes([11 if thaw else 10])
    await counter.world.send(Instruction(program.TOKEN_PROGRAM, data, named), signers=[issuer])
    await counter.settled()


async def pause(counter: Counter, bit: program.PauseBit) -> None:
    """The guardian pauses."""
    guardian = counter.world.wallet("guardian")
    instruction = program.Pause(signer=guardian.pubkey(), bit=bit)
    await counter.world.send(program.build(counter.place, instruction), signers=[guardian])
    await counter.settled()


async def test_money_that_is_not_there(counter: Counter) -> None:
    asked = {"code": await counter.code(), "amount": "25.5"}
    bond, _ = await counter.enrolled(counter.world.wallet("operator"))

    nothing = Keypair().pubkey()
    told = await counter.refused("deposit", nothing, 402, **asked)
    assert told["message"] == "this wallet has no USDC account: get USDC into it first"
    assert told["error"]["param"] == "account"

    poor = await funded(counter, lamports=SOL, usdc=20 * USDC)
    told = await counter.refused("deposit", poor.pubkey(), 402, **asked)
    assert told["message"] == "this wallet has 20 USDC, 25.5 is needed"
    assert told["error"]["details"]["required_microusdc"] == 25_500_000
    told = await counter.refused("bond", poor.pubkey(), 402, code=bond)
    assert told["message"] == "this wallet has 20 USDC, 50 is needed"

    dry = await funded(counter, lamports=0, usdc=60 * USDC)
    told = await counter.refused("deposit", dry.pubkey(), 402, **asked)
    assert told["message"] == "this wallet has 0 SOL, 0.00089648 is needed for fee and rent"
    assert len(told["message"]) <= 80


@pytest.mark.parametrize(("path", "extra"), [("deposit", 0), ("bond", 3_507_840)])
async def test_just_enough_sol_is_enough(counter: Counter, path: str, extra: int) -> None:
    """What we ask a wallet to have is what the network asks."""
    bond, _ = await counter.enrolled(counter.world.wallet("operator"))
    asked = {"code": bond} if path == "bond" else {"code": await counter.code(), "amount": "1"}
    fee = 6_000 if path == "bond" else 5_600
    least = fee + extra + 890_880
    short = await funded(counter, lamports=least - 1, usdc=60 * USDC)
    told = await counter.refused(path, short.pubkey(), 402, **asked)
    assert told["error"]["details"]["required_lamports"] == least
    phone = await funded(counter, lamports=least, usdc=60 * USDC)
    instruction = await counter.pay(path, phone, **asked)
    assert isinstance(instruction, program.PostBond | program.DepositUsdc)


async def test_accounts_that_are_no_wallets(counter: Counter) -> None:
    code = await counter.code()
    for account in (counter.place.mint, counter.place.till_authority, counter.world.ata("user")):
        told = await counter.refused("deposit", account, 400, code=code, amount="1")
        assert told["error"]["param"] == "account"


async def test_a_token_account_that_was_given_away_is_not_the_wallets(counter: Counter) -> None:
    phone = await funded(counter, lamports=SOL, usdc=5 * USDC)
    account = program.associated_token_address(phone.pubkey(), counter.place.mint)
    named = [
        AccountMeta(account, is_signer=False, is_writable=True),
        AccountMeta(phone.pubkey(), is_signer=True, is_writable=False),
    ]
    to = bytes([6, 2, 1]) + bytes(counter.world.wallet("operator").pubkey())
    await counter.world.send(Instruction(program.TOKEN_PROGRAM, to, named), signers=[phone])
    await counter.settled()
    told = await counter.refused(
        "deposit", phone.pubkey(), 402, code=await counter.code(), amount="1"
    )
    assert "no USDC account" in told["message"]


async def test_frozen_accounts(counter: Counter) -> None:
    wallet = counter.world.wallet("operator")
    bond, _ = await counter.enrolled(wallet)
    deposit = {"code": await counter.code(), "amount": "1"}
    await freeze(counter, counter.world.ata("operator"))
    for path, asked in (("deposit", deposit), ("bond", {"code": bond})):
        told = await counter.refused(path, wallet.pubkey(), 402, **asked)
        assert "frozen" in told["message"]
    await freeze(counter, counter.world.ata("operator"), thaw=True)
    for path, asked, vault in (
        ("deposit", deposit, counter.place.till_vault),
        ("bond", {"code": bond}, counter.place.bond_vault),
    ):
        await freeze(counter, vault)
        told = await counter.refused(path, wallet.pubkey(), 503, **asked)
        assert "frozen" in told["message"]
        await freeze(counter, vault, thaw=True)
        await counter.pay(path, wallet, **asked)


async def test_while_deposits_are_paused(counter: Counter) -> None:
    wallet = counter.world.wallet("operator")
    bond, _ = await counter.enrolled(wallet)
    deposit = {"code": await counter.code(), "amount": "1"}
    await pause(counter, program.PauseBit.DEPOSITS)
    for path, asked in (("deposit", deposit), ("bond", {"code": bond})):
        told = await counter.refused(path, wallet.pubkey(), 503, **asked)
        assert told["message"].startswith("this is paused on chain")
        assert 0 < told["error"]["details"]["retry_after_seconds"] <= 72 * 3_600
    await counter.world.rpc.call("localnet_advanceClock", 72 * 3_600)
    await counter.settled()
    for path, asked in (("deposit", deposit), ("bond", {"code": bond})):
        await counter.pay(path, wallet, **asked)


async def test_a_release_that_cannot_be(counter: Counter) -> None:
    owner, friend = counter.world.wallet("operator"), counter.world.wallet("user")
    code, _ = await counter.enrolled(owner)
    for step in ("retire", "cancel", "release"):
        told = await counter.refused(f"bond/{step}", owner.pubkey(), 404, code=code)
        assert told["message"] == "there is no bond of this code on chain"
    await counter.pay("bond", friend, code=code)
    await counter.settled()
    told = await counter.refused("bond/release", owner.pubkey(), 409, code=code)
    assert told["message"] == "the bond is posted, not retiring"
    await counter.pay("bond/retire", owner, code=code)
    await counter.settled()
    told = await counter.refused("bond/cancel", friend.pubkey(), 403, code=code)
    assert told["error"]["param"] == "account"

    proposer = counter.world.wallet("proposer")
    seizure = program.ProposeSeizure(
        proposer=proposer.pubkey(),
        bond=counter.place.bond(code.removeprefix("POD-BOND-").encode(), owner.pubkey()),
        code=code.removeprefix("POD-BOND-").encode(),
        evidence_hash=bytes([7]) * 32,
        reason=1,
    )
    await counter.world.send(program.build(counter.place, seizure), signers=[proposer])
    await counter.world.rpc.call("localnet_advanceClock", NINETY_DAYS)
    await counter.settled()
    told = await counter.refused("bond/release", owner.pubkey(), 409, code=code)
    assert told["error"]["code"] == "seizure_open"
    bond = counter.place.bond(code.removeprefix("POD-BOND-").encode(), owner.pubkey())
    lapse = program.Lapse(bond=bond, code=code.removeprefix("POD-BOND-").encode())
    await counter.world.send(program.build(counter.place, lapse))

    await pause(counter, program.PauseBit.RELEASES)
    told = await counter.refused("bond/release", owner.pubkey(), 503, code=code)
    assert told["message"].startswith("this is paused on chain")
    await counter.world.rpc.call("localnet_advanceClock", 72 * 3_600)
    await freeze(counter, counter.place.bond_vault)
    await counter.refused("bond/release", owner.pubkey(), 503, code=code)
    await freeze(counter, counter.place.bond_vault, thaw=True)
    await freeze(counter, counter.world.ata("operator"))
    told = await counter.refused("bond/release", friend.pubkey(), 402, code=code)
    assert "frozen" in told["message"]
    await freeze(counter, counter.world.ata("operator"), thaw=True)
    told = await counter.refused("bond/release", Keypair().pubkey(), 402, code=code)
    assert "0 SOL" in told["message"]
    await counter.pay("bond/release", owner, code=code)
    await counter.settled()
    told = await counter.refused("bond/release", owner.pubkey(), 409, code=code)
    assert told["message"] == "the bond is released, not retiring"


async def test_lamports_sent_to_a_bonds_address_are_no_bond(counter: Counter) -> None:
    wallet = counter.world.wallet("operator")
    code, _ = await counter.enrolled(wallet)
    address = counter.place.bond(code.removeprefix("POD-BOND-").encode(), wallet.pubkey())
    to = TransferParams(from_pubkey=wallet.pubkey(), to_pubkey=address, lamports=1_000_000)
    await counter.world.send(transfer(to), signers=[wallet])
    await counter.settled()
    await counter.pay("bond", wallet, code=code)


async def test_a_stranger_may_post_under_the_code_without_being_in_the_way(
    counter: Counter,
) -> None:
    owner, stranger = counter.world.wallet("operator"), counter.world.wallet("user")
    code, _ = await counter.enrolled(owner)
    posted = program.post_bond(
        counter.place,
        depositor=stranger.pubkey(),
        funder=stranger.pubkey(),
        code=code.removeprefix("POD-BOND-").encode(),
        beneficiary=stranger.pubkey(),
    )
    await counter.world.send(posted, signers=[stranger])
    await counter.settled()
    await counter.pay("bond", owner, code=code)


async def test_references_that_have_a_part_in_the_transaction(counter: Counter) -> None:
    phone = counter.world.wallet("user").pubkey()
    code = await counter.code()
    for key in (phone, counter.place.till_vault, counter.place.config, counter.place.program_id):
        told = await counter.refused(
            "deposit", phone, 400, code=code, amount="1", reference=str(key)
        )
        assert told["error"]["param"] == "reference"


async def test_before_the_program_is_set_up(uninitialized: World, tmp_path: Path) -> None:
    async with counter_at(uninitialized, tmp_path) as counter:
        phone = uninitialized.wallet("user").pubkey()
        told = await counter.refused("deposit", phone, 503, code=await counter.code(), amount="1")
        assert told["message"] == "the program of this deployment is not set up on its chain"


async def test_another_mint_than_the_programs(world: World, tmp_path: Path) -> None:
    settings = {"POD_USDC_MINT": str(Keypair().pubkey())}
    async with counter_at(world, tmp_path, **settings) as counter:
        phone = world.wallet("user").pubkey()
        told = await counter.refused("deposit", phone, 503, code=await counter.code(), amount="1")
        assert told["message"] == "the program of this deployment is not set up on its chain"


@pytest.mark.parametrize(
    "answers",
    [
        [hang_up],
        [error(-32005, "node is behind")],
        [error(-32602, "no such method, and my key is secret")],
        [raw("<html>")],
        [raw("", status=502)],
        [result(None)],
        [result({"context": {"slot": 1}, "value": []})],
        [result({"context": {"slot": 1}, "value": [None] * 6})],
    ],
    ids=["hangs up", "behind", "refuses", "html", "bad gateway", "null", "too few", "all missing"],
)
async def test_a_node_that_does_not_answer(
    world: World, tmp_path: Path, answers: Sequence[Answer]
) -> None:
    async with (
        node(*answers) as sick,
        counter_at(world, tmp_path, POD_RPC_URLS=sick.url) as counter,
    ):
        phone = world.wallet("user").pubkey()
        status, told = await counter.post("deposit", phone, code=await counter.code(), amount="1")
        assert status == 503
        assert told["message"] == "the Solana network does not answer us right now: try again"
        assert "secret" not in json.dumps(told)
        assert sick.asked


async def test_one_sick_node_of_two_does_no_harm(world: World, tmp_path: Path) -> None:
    async with node(hang_up) as sick:
        urls = f"{sick.url},{world.chain.rpc_url}"
        async with counter_at(world, tmp_path, POD_RPC_URLS=urls) as counter:
            deposit = await counter.pay(
                "deposit", world.wallet("user"), code=await counter.code(), amount="1"
            )
            assert isinstance(deposit, program.DepositUsdc)
            assert deposit.amount_microusdc == MicroUsdc(USDC)
        assert sick.asked
