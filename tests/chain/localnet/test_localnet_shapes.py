"""Every shape of a transaction, read as getTransaction, getBlock and the listing give it."""

import random
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import base58
import pytest
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0, MessageV1, TransactionConfig
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from localnet.adversary.cluster_faults import Fork
from localnet.rpc_params import MAX_V1_BYTES
from localnet.tokens import TOKEN_PROGRAM, associated_address
from settlement.chain.program import Deployment, InitialParameters, InitialRoles, deposit_usdc
from settlement.chain.program import initialize as initialized
from settlement.money import MicroUsdc
from tests.chain.localnet.by_hand import ByHand, chain_by_hand, settings_by_hand
from tests.chain.localnet.calls import encoded, message_of, send_sol, signed
from tests.chain.recordings.tokens import (
    MEMO,
    OLD_MEMO,
    batch,
    checked,
    memo,
    plain,
    read,
    table_created,
    table_extended,
)
from tests.program.calls.build import CALLER
from tests.program.calls.foreign import Foreign

CEILING_1 = {"maxSupportedTransactionVersion": 1}
CEILING_0 = {"maxSupportedTransactionVersion": 0}
FEE = 5_000


@dataclass(kw_only=True)
class Place:
    """A chain with the bond program ready and a foreign program that calls what it is told."""

    chain: ByHand
    deployment: Deployment
    foreign: Foreign

    @property
    def user(self) -> Keypair:
        return self.chain.keys["user"]

    @property
    def tokens(self) -> Pubkey:
        return associated_address(self.user.pubkey(), self.chain.mint)

    def transfer(self, amount: int) -> Instruction:
        """From the user to the operator."""
        to = associated_address(self.chain.keys["operator"].pubkey(), self.chain.mint)
        return plain(self.tokens, to, self.user.pubkey(), amount)

    def deposit(self, amount: int) -> Instruction:
        return deposit_usdc(
            self.deployment,
            depositor=self.user.pubkey(),
            code=b"abcd1234",
            amount_microusdc=MicroUsdc(amount),
        )

    async def final(self, *instructions: Instruction, version: int | None = None) -> Signature:
        """Land and finalize."""
        blockhash = await self.chain.rpc.blockhash("processed")
        transaction = signed(instructions, blockhash, self.user, version=version)
        signature = await self.chain.rpc.send(transaction)
        await self.chain.until_finalized(signature)
        return signature

    async def answer(self, signature: Signature, **how: object) -> dict[str, Any]:
        """What getTransaction says; the block says the same of it."""
        config = {**CEILING_1, **how}
        answer = await self.chain.rpc.call("getTransaction", str(signature), config)
        block = await self.chain.rpc.call("getBlock", answer["slot"], config)
        in_block = block["transactions"][answer["transactionIndex"]]
        assert in_block == {key: answer[key] for key in ("transaction", "meta", "version")}
        return answer


@pytest.fixture
async def place(tmp_path: Path) -> AsyncGenerator[Place]:
    settings = settings_by_hand(with_program=True)
    assert settings.program is not None
    with chain_by_hand(tmp_path, settings) as chain:
        deployment = Deployment(settings.program.id, chain.mint)
        foreign = Foreign(program_id=Pubkey.new_unique())
        authority = chain.keys["upgrade-authority"]
        chain.cluster.engine.program_accounts(
            foreign.program_id, CALLER.read_bytes(), authority.pubkey()
        )
        roles = ("admin", "proposer", "arbiter", "guardian", "payer")
        start = initialized(
            deployment,
            upgrade_authority=authority.pubkey(),
            funder=authority.pubkey(),
            roles=InitialRoles(**{name: chain.keys[name].pubkey() for name in roles}),
            parameters=InitialParameters(),
        )
        await chain.until_finalized(await chain.rpc.execute([start], authority))
        yield Place(chain=chain, deployment=deployment, foreign=foreign)


def token_change(answer: dict[str, Any], address: Pubkey) -> int:
    """How much an account has more than before, by the meta alone."""
    message, loaded = answer["transaction"]["message"], answer["meta"]["loadedAddresses"]
    keys = [*message["accountKeys"], *loaded["writable"], *loaded["readonly"]]
    index = keys.index(str(address))
    before, after = (
        {one["accountIndex"]: int(one["uiTokenAmount"]["amount"]) for one in answer["meta"][key]}
        for key in ("preTokenBalances", "postTokenBalances")
    )
    return after.get(index, 0) - before.get(index, 0)


async def table_of(place: Place, addresses: Sequence[Pubkey]) -> AddressLookupTableAccount:
    """A lookup table that can be used."""
    slot, authority = place.chain.cluster.tip.complete, place.user.pubkey()
    table, created = table_created(authority, slot)
    await place.final(created, table_extended(table, authority, addresses))
    return AddressLookupTableAccount(key=table, addresses=list(addresses))


async def test_addresses_from_a_lookup_table_come_last_writable_first(place: Place) -> None:
    till, mint = place.deployment.till_vault, place.chain.mint
    noise = [Keypair().pubkey() for _ in range(3)]
    addresses = [mint, noise[0], till, noise[1], place.tokens, noise[2]]
    table, in_table = await table_of(place, addresses), [str(one) for one in addresses]
    instruction = checked(place.tokens, mint, till, place.user.pubkey(), 500, read(noise[0]))
    blockhash = await place.chain.rpc.blockhash("processed")
    message = MessageV0.try_compile(place.user.pubkey(), [instruction], [table], blockhash)
    signature = await place.chain.rpc.send(VersionedTransaction(message, [place.user]))
    await place.chain.until_finalized(signature)

    answer = await place.answer(signature)
    assert answer["version"] == 0
    static = [str(place.user.pubkey()), str(TOKEN_PROGRAM)]
    assert answer["transaction"]["message"]["accountKeys"] == static
    (lookup,) = answer["transaction"]["message"]["addressTableLookups"]
    assert lookup["accountKey"] == str(table.key)
    assert set(lookup["writableIndexes"]) == {2, 4}
    assert set(lookup["readonlyIndexes"]) == {0, 1}
    loaded = answer["meta"]["loadedAddresses"]
    for role in ("writable", "readonly"):
        assert loaded[role] == [in_table[index] for index in lookup[f"{role}Indexes"]]
    assert len(answer["meta"]["postBalances"]) == 6
    keys = [*static, *loaded["writable"], *loaded["readonly"]]
    (moved,) = answer["transaction"]["message"]["instructions"]
    named = [keys[index] for index in moved["accounts"]]
    assert named == [str(meta.pubkey) for meta in instruction.accounts]
    assert token_change(answer, till) == 500
    assert token_change(answer, place.tokens) == -500
    parsed = await place.answer(signature, encoding="jsonParsed")
    sources = [one["source"] for one in parsed["transaction"]["message"]["accountKeys"]]
    assert sources == ["transaction"] * 2 + ["lookupTable"] * 4
    listed = await place.chain.rpc.call("getSignaturesForAddress", str(till), {"limit": 1})
    assert listed[0]["signature"] == str(signature)
    failed = await place.chain.rpc.error("getTransaction", str(signature))
    assert failed.code == -32015


async def test_a_table_that_a_fork_took_away_takes_its_users_along(place: Place) -> None:
    """What was signed for a table on the dead fork is dropped, not executed with something else."""
    chain, user = place.chain, place.user.pubkey()
    blockhash = await chain.rpc.blockhash("finalized")
    table, created = table_created(user, chain.cluster.tip.complete)
    extended = table_extended(table, user, [place.deployment.till_vault, place.tokens])
    made = signed([created, extended], blockhash, place.user)
    await chain.rpc.send(made)
    await chain.end_slots(2)
    known = AddressLookupTableAccount(
        key=table, addresses=[place.deployment.till_vault, place.tokens]
    )
    instruction = plain(place.tokens, place.deployment.till_vault, user, 600)
    message = MessageV0.try_compile(user, [instruction], [known], blockhash)
    using = await chain.rpc.send(VersionedTransaction(message, [place.user]))
    await chain.end_slots(1)
    seed = next(one for one in range(1_000) if _lands_only_the_second(one))
    chain.does(Fork(at_slot=0, depth_slots=5, relands_percent=50, within_slots=1, seed=seed))
    dropped = chain.cluster.counters.dropped
    await chain.end_slots(12)
    assert chain.cluster.history.get(made.signatures[0]) is None
    assert chain.cluster.history.get(using) is None
    assert chain.cluster.counters.dropped == dropped + 1


def _lands_only_the_second(seed: int) -> bool:
    chance = random.Random(seed)
    return [chance.randrange(100) < 50 for _ in range(2)] == [False, True]


async def test_version_1_needs_a_ceiling_of_1_everywhere(place: Place) -> None:
    signature = await place.final(place.transfer(700), version=1)
    rpc = place.chain.rpc
    slot = place.chain.entry(signature).slot
    for config in ({}, CEILING_0):
        assert (await rpc.error("getTransaction", str(signature), config)).code == -32015
        for details in ("full", "accounts"):
            failed = await rpc.error("getBlock", slot, {**config, "transactionDetails": details})
            assert failed.code == -32015
            assert '"maxSupportedTransactionVersion": 1' in failed.message
        only = await rpc.call("getBlock", slot, {**config, "transactionDetails": "signatures"})
        assert only["signatures"] == [str(signature)]
    answer = await place.answer(signature)
    assert answer["version"] == 1
    assert "addressTableLookups" not in answer["transaction"]["message"]
    assert answer["meta"]["loadedAddresses"] == {"writable": [], "readonly": []}
    assert token_change(answer, place.tokens) == -700
    listed = await rpc.call("getSignaturesForAddress", str(place.tokens), {"limit": 1})
    assert listed[0]["signature"] == str(signature)


async def test_version_1_may_fill_4096_bytes(place: Place) -> None:
    chain, user = place.chain, place.user
    blockhash = await chain.rpc.blockhash("processed")
    config = TransactionConfig(compute_unit_limit=1_400_000)

    def filled(letters: int) -> VersionedTransaction:
        parts = [memo("m" * 900), memo("m" * 900), memo("m" * 900), memo("m" * letters)]
        instructions = [*parts, place.transfer(800)]
        message = MessageV1.try_compile(user.pubkey(), instructions, blockhash, config)
        return VersionedTransaction(message, [user])

    room = MAX_V1_BYTES - len(bytes(filled(500)))
    full = filled(500 + room)
    assert len(bytes(full)) == MAX_V1_BYTES
    await chain.until_finalized(await chain.rpc.send(full))
    answer = await place.answer(full.signatures[0])
    assert answer["transaction"]["message"]["transactionConfig"]["computeUnitLimit"] == 1_400_000
    assert token_change(answer, place.tokens) == -800
    raw = await chain.rpc.call(
        "getTransaction", str(full.signatures[0]), {**CEILING_1, "encoding": "base64"}
    )
    assert raw["transaction"] == [encoded(full), "base64"]
    longer = await chain.rpc.error(
        "sendTransaction", encoded(filled(501 + room)), {"encoding": "base64"}
    )
    assert longer.code == -32602
    assert "too large" in longer.message


async def test_version_1_may_name_64_addresses(place: Place) -> None:
    someone = [Keypair().pubkey() for _ in range(61)]
    instruction = place.transfer(900)
    more = Instruction(
        TOKEN_PROGRAM, bytes(instruction.data), [*instruction.accounts, *map(read, someone[:60])]
    )
    signature = await place.final(more, version=1)
    answer = await place.answer(signature)
    assert len(answer["transaction"]["message"]["accountKeys"]) == 64
    assert token_change(answer, place.tokens) == -900
    one_more = [*more.accounts, AccountMeta(someone[60], is_signer=False, is_writable=False)]
    blockhash = await place.chain.rpc.blockhash("processed")
    refused = signed(
        [Instruction(TOKEN_PROGRAM, bytes(more.data), one_more)], blockhash, place.user, version=1
    )
    failed = await place.chain.rpc.error(
        "sendTransaction", encoded(refused), {"encoding": "base64"}
    )
    assert failed.code == -32602


async def test_version_1_pays_the_priority_fee_in_its_config(place: Place) -> None:
    """Foretold, tried, taken; also from who fails, and from nobody who cannot pay it."""
    chain, user = place.chain, place.user
    poor, nobody = Keypair(), Keypair()
    await place.final(send_sol(user, poor.pubkey(), 1_000_000))
    blockhash = await chain.rpc.blockhash("processed")

    async def balance() -> int:
        return await chain.rpc.value("getBalance", str(user.pubkey()), {"commitment": "processed"})

    def offering(fee: int, payer: Keypair, *instructions: Instruction) -> VersionedTransaction:
        config = TransactionConfig(priority_fee=fee, compute_unit_limit=200_000)
        message = MessageV1.try_compile(payer.pubkey(), list(instructions), blockhash, config)
        return VersionedTransaction(message, [payer])

    good = offering(777, user, place.transfer(1))
    bad = offering(888, user, place.transfer(10**15))
    for transaction, fee in ((good, FEE + 777), (bad, FEE + 888)):
        config = {"commitment": "processed"}
        asked = await chain.rpc.value("getFeeForMessage", message_of(transaction), config)
        tried = {"encoding": "base64", "commitment": "processed"}
        simulated = await chain.rpc.value("simulateTransaction", encoded(transaction), tried)
        before = await balance()
        await chain.rpc.send(transaction, skip_preflight=True)
        assert before - await balance() == fee == asked == simulated["fee"]
        await chain.until_finalized(transaction.signatures[0])
        meta = (await place.answer(transaction.signatures[0]))["meta"]
        assert meta["fee"] == fee
        assert meta["preBalances"][0] - meta["postBalances"][0] == fee
        assert (meta["err"] is None) == (transaction == good)
    for payer, err in ((poor, "InsufficientFundsForFee"), (nobody, "AccountNotFound")):
        too_much = offering(1_000_000, payer, memo("hello"))
        failed = await chain.rpc.error(
            "sendTransaction",
            encoded(too_much),
            {"encoding": "base64", "preflightCommitment": "processed"},
        )
        assert failed.data["err"] == err
        assert failed.data["fee"] is None
        await chain.rpc.send(too_much, skip_preflight=True)
        assert chain.cluster.history.get(too_much.signatures[0]) is None
    account = chain.cluster.engine.account(poor.pubkey())
    assert account is not None
    assert account.lamports == 1_000_000


async def test_a_batch_moves_tokens_without_inner_instructions(place: Place) -> None:
    signature = await place.final(batch(place.transfer(11), place.transfer(12)))
    answer = await place.answer(signature)
    assert answer["meta"]["innerInstructions"] == []
    assert not any("Transfer" in line for line in answer["meta"]["logMessages"])
    (top,) = answer["transaction"]["message"]["instructions"]
    assert base58.b58decode(top["data"])[0] == 255
    assert token_change(answer, place.tokens) == -23
    called = await place.final(place.foreign.forward(batch(place.transfer(13), place.transfer(14))))
    answer = await place.answer(called)
    (group,) = answer["meta"]["innerInstructions"]
    (inner,) = group["instructions"]
    assert base58.b58decode(inner["data"])[0] == 255
    assert inner["stackHeight"] == 2
    assert token_change(answer, place.tokens) == -27


@pytest.mark.parametrize("encoding", ["json", "jsonParsed"])
async def test_a_deposit_may_be_called_from_any_depth(place: Place, encoding: str) -> None:
    """Up to five programs deep: the vault's transfer is one deeper than our program."""
    called = place.deposit(100)
    for depth in range(1, 5):
        signature = await place.final(called)
        answer = await place.answer(signature, encoding=encoding)
        groups = answer["meta"]["innerInstructions"]
        inner = [one for group in groups for one in group["instructions"]]
        assert [group["index"] for group in groups] == [0]
        assert [one["stackHeight"] for one in inner] == list(range(2, depth + 2))
        assert [program_of(answer, one) for one in inner[-2:]] == [
            str(place.deployment.program_id),
            str(TOKEN_PROGRAM),
        ][-len(inner) :]
        if encoding == "json":
            assert token_change(answer, place.deployment.till_vault) == 100
        called = place.foreign.forward(called)
    blockhash = await place.chain.rpc.blockhash("processed")
    too_deep = signed([called], blockhash, place.user)
    await place.chain.rpc.send(too_deep, skip_preflight=True)
    assert place.chain.entry(too_deep.signatures[0]).err == {"InstructionError": [0, "CallDepth"]}


def program_of(answer: dict[str, Any], instruction: dict[str, Any]) -> str:
    """The program of a compiled or a parsed instruction."""
    if "programId" in instruction:
        return instruction["programId"]
    return answer["transaction"]["message"]["accountKeys"][instruction["programIdIndex"]]


@pytest.mark.parametrize("program", [MEMO, OLD_MEMO])
async def test_memos_are_listed_from_the_top_level_only(place: Place, program: Pubkey) -> None:
    text = memo("pod1", by=program)
    signature = await place.final(place.transfer(1), text, text)
    called = await place.final(place.transfer(2), place.foreign.forward(text))
    listed = await place.chain.rpc.call("getSignaturesForAddress", str(place.tokens), {"limit": 2})
    assert [one["signature"] for one in listed] == [str(called), str(signature)]
    assert [one["memo"] for one in listed] == [None, "[4] pod1; [4] pod1"]
    answer = await place.answer(called)
    (group,) = answer["meta"]["innerInstructions"]
    assert group["index"] == 1
    assert base58.b58decode(group["instructions"][0]["data"]) == b"pod1"
    assert any(f"Program {program} invoke [2]" in line for line in answer["meta"]["logMessages"])


async def test_all_shapes_in_one_block_are_a_chain(place: Place) -> None:
    """Legacy, version 0 and version 1 in one slot: one index each, one sum of all that moved."""
    chain = place.chain
    blockhash = await chain.rpc.blockhash("processed")
    sent: list[Signature] = []
    for amount, version in ((1, None), (2, 0), (4, 1), (8, None)):
        transaction = signed([place.transfer(amount)], blockhash, place.user, version=version)
        sent.append(await chain.rpc.send(transaction))
    await chain.until_finalized(*sent)
    answers = [await place.answer(one) for one in sent]
    assert [one["version"] for one in answers] == ["legacy", 0, 1, "legacy"]
    assert [one["transactionIndex"] for one in answers] == [0, 1, 2, 3]
    assert len({one["slot"] for one in answers}) == 1
    assert [token_change(one, place.tokens) for one in answers] == [-1, -2, -4, -8]
    failed = await chain.rpc.error("getBlock", answers[0]["slot"], CEILING_0)
    assert failed.code == -32015
