"""Slots, commitment, blockhashes and history as a node shows them."""

import base64
import itertools
from typing import Any

from solders.hash import Hash
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature

from localnet.embedded import RunningChain, next_slot
from tests.chain.localnet.calls import (
    Rpc,
    encoded,
    message_of,
    send_sol,
    signed,
)

LEVELS = ("processed", "confirmed", "finalized")
SOL = 1_000_000_000


async def at_all(rpc: Rpc, method: str, *params: object) -> list[Any]:
    return [await rpc.call(method, *params, {"commitment": level}) for level in LEVELS]


async def test_slots_advance_and_commitments_differ(localnet: RunningChain, rpc: Rpc) -> None:
    slots = await at_all(rpc, "getSlot")
    assert slots[0] > slots[1] > slots[2]
    await localnet.advance(3)
    later = await at_all(rpc, "getSlot")
    assert all(new >= old + 2 for new, old in zip(later, slots, strict=True))
    heights = await at_all(rpc, "getBlockHeight")
    assert heights[0] > heights[1] > heights[2]


async def test_an_account_is_read_as_of_its_commitment(localnet: RunningChain, rpc: Rpc) -> None:
    """The money is there exactly from the slot on that the transaction is in."""
    someone = Keypair().pubkey()
    signature = await rpc.call("requestAirdrop", str(someone), SOL)
    entry = localnet.cluster.history.get(Signature.from_string(signature))
    assert entry is not None
    seen: set[tuple[bool, ...]] = set()
    while (True, True, True) not in seen:
        there: list[bool] = []
        for level in LEVELS:
            answer = await rpc.call("getBalance", str(someone), {"commitment": level})
            there.append(answer["context"]["slot"] >= entry.slot)
            assert answer["value"] == (SOL if there[-1] else 0)
        seen.add(tuple(there))
    assert len(seen) > 1


async def test_a_status_climbs_from_processed_to_finalized(
    localnet: RunningChain, rpc: Rpc
) -> None:
    signature = await rpc.call("requestAirdrop", str(Keypair().pubkey()), SOL)
    levels: list[str] = []
    while "finalized" not in levels:
        finalized = await rpc.call("getTransaction", signature, {"commitment": "finalized"})
        confirmed = await rpc.call("getTransaction", signature, {"commitment": "confirmed"})
        status = (await rpc.value("getSignatureStatuses", [signature]))[0]
        levels.append(status["confirmationStatus"])
        assert (status["confirmations"] is None) == (levels[-1] == "finalized")
        # Each answer is at least as new as the one before it.
        assert finalized is None or confirmed == finalized
        assert finalized is None or levels[-1] == "finalized"
        assert confirmed is None or levels[-1] != "processed"
        await next_slot(localnet.cluster)
    assert len(set(levels)) > 1
    assert levels == sorted(levels, key=LEVELS.index)


async def test_a_simulation_sees_the_bank_of_its_commitment(
    localnet: RunningChain, rpc: Rpc
) -> None:
    someone = Keypair()
    transaction = signed(
        [send_sol(someone, localnet.keys["user"].pubkey(), 1)],
        await rpc.blockhash("finalized"),
        someone,
    )
    airdrop = await rpc.call("requestAirdrop", str(someone.pubkey()), SOL)
    entry = localnet.cluster.history.get(Signature.from_string(airdrop))
    assert entry is not None
    seen: set[bool] = set()
    while True not in seen:
        config = {"encoding": "base64", "commitment": "finalized"}
        answer = await rpc.call("simulateTransaction", encoded(transaction), config)
        is_there = answer["context"]["slot"] >= entry.slot
        assert answer["value"]["err"] == (None if is_there else "AccountNotFound")
        seen.add(is_there)
    assert False in seen
    assert (await rpc.send(transaction)) == transaction.signatures[0]


async def test_unknown_signatures_have_no_status(rpc: Rpc) -> None:
    unknown = str(Signature.default())
    assert await rpc.value("getSignatureStatuses", [unknown]) == [None]
    assert await rpc.call("getTransaction", unknown) is None


async def test_old_statuses_need_a_search_of_the_history(localnet: RunningChain, rpc: Rpc) -> None:
    signature = await rpc.call("requestAirdrop", str(Keypair().pubkey()), SOL)
    await rpc.call("localnet_advanceClock", 1)
    for _ in range(60):
        await rpc.call("localnet_advanceClock", 1)
    assert await rpc.value("getSignatureStatuses", [signature]) == [None]
    search = {"searchTransactionHistory": True}
    found = (await rpc.value("getSignatureStatuses", [signature], search))[0]
    assert found["confirmationStatus"] == "finalized"
    assert localnet.cluster.slot > found["slot"] + 300


async def test_min_context_slot_is_honoured(rpc: Rpc) -> None:
    slot = await rpc.call("getSlot", {"commitment": "finalized"})
    key = str(Pubkey.default())
    for method, before in (
        ("getAccountInfo", [key]),
        ("getSignaturesForAddress", [key]),
        ("getLatestBlockhash", []),
        ("getSlot", []),
        ("getBlocks", [0]),
    ):
        await rpc.call(method, *before, {"minContextSlot": slot})
        failed = await rpc.error(method, *before, {"minContextSlot": slot + 1_000})
        assert failed.code == -32016, method
        assert failed.message == "Minimum context slot has not been reached"
        assert slot <= failed.data["contextSlot"] < slot + 1_000


async def test_a_blockhash_expires_after_150_blocks(localnet: RunningChain, rpc: Rpc) -> None:
    user = localnet.keys["user"]
    latest = await rpc.value("getLatestBlockhash", {"commitment": "finalized"})
    blockhash = Hash.from_string(latest["blockhash"])
    before = signed([send_sol(user, Keypair().pubkey())], blockhash, user)
    await rpc.send(before)
    processed = {"commitment": "processed"}
    while True:
        height = await rpc.call("getBlockHeight", processed)
        valid = await rpc.value("isBlockhashValid", latest["blockhash"], processed)
        after = await rpc.call("getBlockHeight", processed)
        if height == after:
            # The tip may still take it in the block after the last valid height, as Agave does.
            assert valid == (height <= latest["lastValidBlockHeight"] + 1)
        if not valid:
            break
        await next_slot(localnet.cluster)
    late = signed([send_sol(user, Keypair().pubkey())], blockhash, user)
    config = {"encoding": "base64", "preflightCommitment": "processed"}
    failed = await rpc.error("sendTransaction", encoded(late), config)
    assert failed.code == -32002
    assert failed.message == "Transaction simulation failed: Blockhash not found"
    assert failed.data["err"] == "BlockhashNotFound"
    assert failed.data["logs"] == []
    # Without preflight a node takes it, and it never lands.
    dropped = await rpc.send(late, skip_preflight=True)
    await localnet.advance(8)
    assert await rpc.call("getTransaction", str(dropped)) is None
    assert await rpc.value("getFeeForMessage", message_of(late), processed) is None


async def test_a_blockhash_too_new_for_the_preflight_bank_is_unknown_there(
    localnet: RunningChain, rpc: Rpc
) -> None:
    user = localnet.keys["user"]
    transaction = signed(
        [send_sol(user, Keypair().pubkey())], await rpc.blockhash("processed"), user
    )
    config = {"encoding": "base64", "preflightCommitment": "finalized"}
    failed = await rpc.error("sendTransaction", encoded(transaction), config)
    assert failed.data["err"] == "BlockhashNotFound"


async def test_history_is_paged_newest_first(localnet: RunningChain, rpc: Rpc) -> None:
    someone = str(Keypair().pubkey())
    sent = [await rpc.call("requestAirdrop", someone, SOL + i) for i in range(5)]
    await localnet.until_finalized(Signature.from_string(sent[-1]))

    async def page(**config: object) -> list[str]:
        entries = await rpc.call("getSignaturesForAddress", someone, config)
        return [entry["signature"] for entry in entries]

    newest_first = sent[::-1]
    assert await page() == newest_first
    assert await page(limit=2) == newest_first[:2]
    assert await page(before=newest_first[1]) == newest_first[2:]
    assert await page(until=newest_first[3]) == newest_first[:3]
    assert await page(before=newest_first[0], until=newest_first[4], limit=2) == newest_first[1:3]
    for cursor in ("before", "until"):
        failed = await rpc.error(
            "getSignaturesForAddress", someone, {cursor: str(Signature.default())}
        )
        assert failed.code == -32020


async def test_blocks_are_a_chain_and_some_slots_are_skipped(
    localnet: RunningChain, rpc: Rpc
) -> None:
    signature = await rpc.call("requestAirdrop", str(Keypair().pubkey()), SOL)
    while await rpc.call("getSlot") < 70:
        await next_slot(localnet.cluster)
    slots = await rpc.call("getBlocks", 0)
    assert 62 in slots
    assert 63 not in slots
    assert 64 in slots
    failed = await rpc.error("getBlock", 63)
    assert failed.code == -32007
    assert "Slot 63 was skipped" in failed.message
    blocks = [await rpc.call("getBlock", slot) for slot in slots[55:68]]
    for parent, block in itertools.pairwise(blocks):
        assert block["previousBlockhash"] == parent["blockhash"]
        assert block["blockHeight"] == parent["blockHeight"] + 1
        assert block["blockTime"] >= parent["blockTime"]
    landed = (await rpc.call("getTransaction", signature))["slot"]
    with_it = await rpc.call("getBlock", landed, {"transactionDetails": "signatures"})
    assert with_it["signatures"] == [signature]
    assert "transactions" not in with_it
    bare = await rpc.call("getBlock", landed, {"transactionDetails": "none", "rewards": False})
    assert "signatures" not in bare
    assert "rewards" not in bare
    accounts = await rpc.call("getBlock", landed, {"transactionDetails": "accounts"})
    assert accounts["transactions"][0]["transaction"]["accountKeys"][0]["signer"]


async def test_a_block_of_the_future_is_not_available(rpc: Rpc) -> None:
    failed = await rpc.error("getBlock", 10_000_000)
    assert failed.code == -32004
    assert await rpc.call("getBlockTime", 10_000_000) is None
    assert await rpc.call("getBlocks", 10_000_000) == []
    assert await rpc.call("getBlocksWithLimit", 0, 2) == [0, 1]


async def test_the_clock_moves_when_told(localnet: RunningChain, rpc: Rpc) -> None:
    clock = "SysvarC1ock11111111111111111111111111111111"

    async def read() -> tuple[int, int]:
        account = await rpc.value("getAccountInfo", clock, {"encoding": "base64"})
        raw = base64.b64decode(account["data"][0])
        return int.from_bytes(raw[:8], "little"), int.from_bytes(raw[32:], "little")

    slot, before = await read()
    told = await rpc.call("localnet_advanceClock", 1_000_000)
    later, after = await read()
    assert later > slot
    assert 1_000_000 <= after - before < 1_000_010
    assert told["unixTimestamp"] - before >= 1_000_000
    await localnet.advance(3)
    assert (await read())[1] >= after
