"""Any sends under any cluster faults: finalized is told once, adds up, and is on the disk."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from localnet.adversary.cluster_faults import cluster_faults
from localnet.tokens import TOKEN_PROGRAM, associated_address
from tests.chain.localnet.by_hand import ByHand, chain_by_hand, settings_by_hand
from tests.chain.localnet.calls import create_token_account, send_sol, signed, token_transfer
from tests.chain.recordings.tokens import batch, close, memo, plain

FULL = {"maxSupportedTransactionVersion": 1, "commitment": "finalized"}
SLOTS = 120


@dataclass(kw_only=True)
class Crowd:
    """People who send things, well or badly funded, some twice, some with an old blockhash."""

    chain: ByHand
    chance: random.Random
    people: list[Keypair] = field(default_factory=list)
    hashes: list[Hash] = field(default_factory=list)
    sent: list[VersionedTransaction] = field(default_factory=list)

    @property
    def everybody(self) -> list[Keypair]:
        return [self.chain.keys["user"], self.chain.keys["operator"], *self.people]

    async def act(self) -> None:
        level = self.chance.choice(["processed", "confirmed", "finalized"])
        self.hashes.append(await self.chain.rpc.blockhash(level))
        for _ in range(self.chance.choice([0, 0, 1, 2, 4])):
            again = self.sent and self.chance.random() < 0.2
            transaction = self.chance.choice(self.sent) if again else self._new()
            self.sent.append(transaction)
            await self.chain.rpc.send(transaction, skip_preflight=True)

    def _new(self) -> VersionedTransaction:
        payer = self.chance.choice(self.everybody)
        instructions = [self._instruction(payer) for _ in range(self.chance.choice([1, 1, 2, 3]))]
        version = self.chance.choice([None, 0, 1])
        blockhash = self.chance.choice(self.hashes[-6:])
        return signed(instructions, blockhash, payer, version=version)

    def _instruction(self, payer: Keypair) -> Instruction:
        other = self.chance.choice(self.everybody).pubkey()
        mint, own = self.chain.mint, payer.pubkey()
        amount = self.chance.choice([1, 1_000_000, 50_000_000])
        ours, theirs = associated_address(own, mint), associated_address(other, mint)
        match self.chance.randrange(8):
            case 0:
                someone = Keypair()
                self.people.append(someone)
                return send_sol(payer, someone.pubkey(), amount + 1_000_000)
            case 1 | 2:
                return send_sol(payer, other, amount)
            case 3:
                return create_token_account(own, other, mint)
            case 4:
                return token_transfer(mint, own, other, amount)
            case 5:
                one = plain(ours, theirs, own, self.chance.randrange(1, 9))
                return batch(one, one)
            case 6:
                return close(ours, own, own)
            case _:
                return memo("pod", own)


@dataclass(kw_only=True)
class Reader:
    """Follows the finalized blocks as they are told, and adds up what is in them."""

    blocks: dict[int, dict[str, Any]] = field(default_factory=dict)
    lamports: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    signatures: set[str] = field(default_factory=set)

    async def read_on(self, chain: ByHand) -> None:
        finalized = await chain.rpc.call("getSlot", {"commitment": "finalized"})
        newest = max(self.blocks, default=-1)
        assert finalized >= newest
        for slot in await chain.rpc.call("getBlocks", newest + 1, finalized):
            block = await chain.rpc.call("getBlock", slot, FULL)
            if self.blocks:
                parent = self.blocks[newest]
                assert block["parentSlot"] == newest
                assert block["previousBlockhash"] == parent["blockhash"]
                assert block["blockHeight"] == parent["blockHeight"] + 1
                assert block["blockTime"] >= parent["blockTime"]
            for transaction in block["transactions"]:
                self._add(transaction)
            self.blocks[slot] = block
            newest = slot

    def _add(self, transaction: dict[str, Any]) -> None:
        """Everything a transaction says was there before is what the ones before it left."""
        (signature,) = transaction["transaction"]["signatures"]
        assert signature not in self.signatures
        self.signatures.add(signature)
        keys, meta = transaction["transaction"]["message"]["accountKeys"], transaction["meta"]
        fold(self.lamports, keys, meta["preBalances"], meta["postBalances"])
        before, after = (
            {one["accountIndex"]: int(one["uiTokenAmount"]["amount"]) for one in meta[side]}
            for side in ("preTokenBalances", "postTokenBalances")
        )
        amounts = [[side.get(index, 0) for index in range(len(keys))] for side in (before, after)]
        fold(self.tokens, keys, *amounts)


def fold(
    known: dict[str, int], keys: Sequence[str], before: Sequence[int], after: Sequence[int]
) -> None:
    for key, old, new in zip(keys, before, after, strict=True):
        assert known.setdefault(key, old) == old, key
        known[key] = new


async def check_balances(chain: ByHand, reader: Reader) -> None:
    """What the fold says is what the finalized bank holds."""
    finalized = {"commitment": "finalized"}
    for address, lamports in reader.lamports.items():
        assert await chain.rpc.value("getBalance", address, finalized) == lamports
    state, slot = chain.cluster, chain.cluster.tip.finalized
    for address, amount in reader.tokens.items():
        account = state.account(Pubkey.from_string(address), slot)
        if account is not None and account.owner == TOKEN_PROGRAM and len(account.data) == 165:
            value = await chain.rpc.value("getTokenAccountBalance", address, finalized)
            assert int(value["amount"]) == amount
        else:
            assert amount == 0


async def history_of(chain: ByHand, address: Pubkey) -> list[dict[str, Any]]:
    return await chain.rpc.call("getSignaturesForAddress", str(address))


async def play(place: Path, seed: int) -> Reader:
    """One run with a restart in it; the checks are made as it goes."""
    chance = random.Random(seed)
    settings = settings_by_hand(snapshot_every_records=30, skipped_slot_every=chance.choice([0, 5]))
    reader = Reader()
    with chain_by_hand(place, settings) as chain:
        await chain.end_slots(12)
        chain.does(*cluster_faults(seed, first_slot=0, last_slot=SLOTS, mean_gap_slots=8))
        crowd = Crowd(chain=chain, chance=chance)
        for _ in range(SLOTS):
            await crowd.act()
            await chain.end_slots(1)
            await reader.read_on(chain)
            if chance.random() < 0.05:
                await check_balances(chain, reader)
        await check_balances(chain, reader)
        assert len(reader.signatures) > 5
        listed = [await history_of(chain, one.pubkey()) for one in crowd.everybody]
        newest = max(reader.blocks)
        for slot, block in reader.blocks.items():
            assert await chain.rpc.call("getBlock", slot, FULL) == block
        snapshotting = chain.cluster._snapshotting
        if snapshotting is not None:
            await snapshotting
    with chain_by_hand(place, settings) as chain:
        for slot, block in reader.blocks.items():
            assert await chain.rpc.call("getBlock", slot, FULL) == block
        assert [
            [one for one in await history_of(chain, who.pubkey()) if one["slot"] <= newest]
            for who in crowd.everybody
        ] == listed
        await reader.read_on(chain)
        await check_balances(chain, reader)
        chain.does(*cluster_faults(seed + 1, first_slot=0, last_slot=20, mean_gap_slots=4))
        crowd.chain = chain
        for _ in range(20):
            await crowd.act()
            await chain.end_slots(1)
            await reader.read_on(chain)
        await check_balances(chain, reader)
    return reader


@pytest.mark.parametrize("seed", range(8))
async def test_what_is_finalized_adds_up_and_stays(tmp_path: Path, seed: int) -> None:
    await play(tmp_path, seed)


def ending(transaction: dict[str, Any]) -> object:
    """How it ended, without what depends on the order of the keys."""
    err: object = transaction["meta"]["err"]
    return "rent" if "InsufficientFundsForRent" in str(err) else err


async def test_the_same_seed_does_the_same_to_the_same_sends(tmp_path: Path) -> None:
    """With other keys, other blockhashes, at another time."""
    runs = [await play(tmp_path / name, 11) for name in ("one", "other")]
    told = [
        [(slot, [ending(one) for one in block["transactions"]]) for slot, block in blocks]
        for blocks in (run.blocks.items() for run in runs)
    ]
    assert told[0] == told[1]
    assert not runs[0].signatures & runs[1].signatures


@pytest.mark.nightly
@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(1_000, 1_300))
async def test_what_is_finalized_adds_up_and_stays_for_many_seeds(
    tmp_path: Path, seed: int
) -> None:
    await play(tmp_path, seed)
