"""Gaps, halts, restarts, other slot times, congestion, another consensus."""

import asyncio
import itertools
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair
from solders.signature import Signature

from localnet.adversary.cluster_faults import (
    Alpenglow,
    Congestion,
    Fork,
    Halt,
    Skip,
    SlotTime,
)
from localnet.adversary.faults import Script
from localnet.embedded import cluster_server
from localnet.records import Anchor
from localnet.timeline import Blockhashes, Timeline
from tests.chain.localnet.by_hand import ByHand, chain_by_hand, settings_by_hand
from tests.chain.localnet.calls import send_sol, signed

SOL = 1_000_000_000
PROCESSED = {"commitment": "processed"}
CONFIRMED = {"commitment": "confirmed"}


async def send(chain: ByHand) -> Signature:
    """A transfer to somebody new, signed with a finalized blockhash."""
    user = chain.keys["user"]
    blockhash = await chain.rpc.blockhash("finalized")
    transfer = send_sol(user, Keypair().pubkey(), SOL // 100)
    return await chain.rpc.send(signed([transfer], blockhash, user))


async def test_skipped_slots_are_a_pause_and_a_gap(tmp_path: Path) -> None:
    with chain_by_hand(tmp_path) as chain:
        await chain.end_slots(20)
        slot, height = chain.cluster.slot, await chain.rpc.call("getBlockHeight", PROCESSED)
        chain.does(Skip(at_slot=0, slots=3))
        await chain.end_slots(1)
        waiting = await send(chain)
        for _ in range(2):
            assert await chain.rpc.call("getSlot", PROCESSED) == slot
            assert chain.cluster.history.get(waiting) is None
            await chain.end_slots(1)
        await chain.end_slots(1)
        assert await chain.rpc.call("getSlot", PROCESSED) == slot + 4
        assert chain.entry(waiting).slot == slot + 4
        assert await chain.rpc.call("getBlockHeight", PROCESSED) == height + 1
        await chain.end_slots(12)
        assert await chain.rpc.call("getBlocks", slot - 1, slot + 5) == [
            slot - 1,
            slot,
            slot + 4,
            slot + 5,
        ]
        for missing in (slot + 1, slot + 2, slot + 3):
            assert (await chain.rpc.error("getBlock", missing)).code == -32007
            assert await chain.rpc.call("getBlockTime", missing) is None
        block = await chain.rpc.call("getBlock", slot + 4)
        assert block["parentSlot"] == slot
        assert block["blockHeight"] == height + 1
        assert block["blockTime"] >= await chain.rpc.call("getBlockTime", slot)


async def test_a_halted_cluster_answers_as_of_the_halt(tmp_path: Path) -> None:
    with chain_by_hand(tmp_path) as chain:
        await chain.end_slots(20)
        await chain.end_slots(2)
        chain.does(Halt(at_slot=0, lasts_slots=50, jump_slots=1_000))
        questions = ("getSlot", "getBlockHeight", "getEpochInfo", "getTransactionCount")
        await chain.end_slots(1)
        during = [await chain.rpc.call(one, PROCESSED) for one in questions]
        blockhash = await chain.rpc.blockhash("finalized")
        waiting = await send(chain)
        for _ in range(49):
            await chain.end_slots(1)
            assert [await chain.rpc.call(one, PROCESSED) for one in questions] == during
            assert await chain.rpc.blockhash("finalized") == blockhash
        assert await chain.rpc.value("getSignatureStatuses", [str(waiting)]) == [None]
        await chain.end_slots(1)
        assert chain.cluster.slot == during[0] + 1_001
        assert chain.entry(waiting).slot == chain.cluster.slot
        assert await chain.rpc.value("isBlockhashValid", str(blockhash), PROCESSED)
        await chain.until_finalized(waiting)


async def test_equal_airdrops_during_a_halt_are_two(tmp_path: Path) -> None:
    with chain_by_hand(tmp_path) as chain:
        await chain.end_slots(20)
        someone = str(Keypair().pubkey())
        chain.does(Halt(at_slot=0, lasts_slots=3))
        await chain.end_slots(1)
        sent = {await chain.rpc.call("requestAirdrop", someone, SOL) for _ in range(3)}
        assert len(sent) == 3
        await chain.end_slots(3)
        assert await chain.rpc.value("getBalance", someone, PROCESSED) == 3 * SOL


async def test_a_restart_ages_the_blockhashes(tmp_path: Path) -> None:
    """What waited is refused after 151 blocks, and height says so as well."""
    with chain_by_hand(tmp_path) as chain:
        await chain.end_slots(20)
        latest = await chain.rpc.value("getLatestBlockhash", {"commitment": "finalized"})
        chain.does(Halt(at_slot=0, lasts_slots=2, empty_blocks=160))
        await chain.end_slots(1)
        waiting = await send(chain)
        await chain.end_slots(12)
        assert chain.cluster.history.get(waiting) is None
        assert not await chain.rpc.value("isBlockhashValid", latest["blockhash"], PROCESSED)
        height = await chain.rpc.call("getBlockHeight")
        assert height > latest["lastValidBlockHeight"]
        blocks = await chain.rpc.call("getBlocks", 0)
        assert [await chain.rpc.call("getBlockTime", slot) for slot in blocks] == sorted(
            [await chain.rpc.call("getBlockTime", slot) for slot in blocks]
        )


async def test_a_restart_from_an_older_block_drops_what_was_confirmed(tmp_path: Path) -> None:
    with chain_by_hand(tmp_path) as chain:
        await chain.end_slots(20)
        before = chain.cluster.slot
        await send(chain)
        await chain.end_slots(3)
        chain.does(
            Halt(at_slot=0, lasts_slots=5, jump_slots=100),
            Fork(at_slot=0, depth_slots=4, relands_percent=0),
        )
        await chain.end_slots(6)
        assert chain.cluster.slot == before + 3 + 101
        assert len(chain.cluster.history) == 0
        await chain.end_slots(12)
        blocks = await chain.rpc.call("getBlocks", before - 1)
        assert blocks[:2] == [before - 1, before + 104]


async def test_slots_take_another_time_from_the_middle_of_a_run(tmp_path: Path) -> None:
    with chain_by_hand(tmp_path) as chain:
        await chain.end_slots(20)
        slot, line = chain.cluster.slot, chain.cluster.timeline
        chain.does(SlotTime(at_slot=2, slot_time_ms=50))
        await chain.end_slots(10)
        times = [line.time_ms(one) for one in range(slot, slot + 10)]
        assert [b - a for a, b in itertools.pairwise(times)] == [200] * 3 + [50] * 6
        assert chain.cluster.slot_time_ms == 50
    with chain_by_hand(tmp_path) as chain:
        assert [chain.cluster.timeline.time_ms(one) for one in range(slot, slot + 10)] == times
        assert chain.cluster.slot_time_ms == 200  # the settings say so


async def test_a_served_chain_ticks_at_the_new_slot_time(tmp_path: Path) -> None:
    """A hundred slots of a second would take longer than this waits."""
    settings = settings_by_hand(slot_time_ms=1_000, rpc_port=0)
    script = Script(faults=(SlotTime(at_slot=0, slot_time_ms=5),))
    places = {"data": tmp_path / "chain", "keys": tmp_path / "keys"}
    async with cluster_server(settings, **places, script=script) as chain, asyncio.timeout(30):
        await chain.advance(100)
        line = chain.cluster.timeline
        assert line.time_ms(chain.cluster.slot) - line.time_ms(chain.cluster.slot - 1) == 5


async def test_under_congestion_things_land_late_or_never(tmp_path: Path) -> None:
    with chain_by_hand(tmp_path) as chain:
        await chain.end_slots(20)
        chain.does(Congestion(at_slot=0, slots=5, delay_slots=8, drops_percent=30, seed=3))
        await chain.end_slots(1)
        sent = {(await send(chain)): chain.cluster.slot for _ in range(30)}
        assert all(chain.cluster.history.get(one) is None for one in sent)
        await chain.end_slots(9)
        landed = {one: entry for one in sent if (entry := chain.cluster.history.get(one))}
        delays = [entry.slot - sent[one] for one, entry in landed.items()]
        assert 10 < len(landed) < 30
        assert set(delays) <= set(range(1, 9))
        assert len(set(delays)) > 3
        assert chain.entry(await send(chain)).slot == chain.cluster.slot


async def test_under_alpenglow_confirmed_is_final(tmp_path: Path) -> None:
    with chain_by_hand(tmp_path) as chain:
        await chain.end_slots(20)
        signature = await send(chain)
        chain.does(Alpenglow(at_slot=3))
        await chain.end_slots(3)
        assert chain.cluster.tip.finalized < chain.entry(signature).slot
        await chain.end_slots(1)
        tip = chain.cluster.tip
        assert tip.confirmed == tip.finalized == chain.cluster.slot - 2
        told = (await chain.rpc.value("getSignatureStatuses", [str(signature)]))[0]
        assert told["confirmationStatus"] == "finalized"
        chain.does(Fork(at_slot=0, depth_slots=30, relands_percent=0))
        await chain.end_slots(1)
        assert chain.entry(signature).slot <= chain.cluster.tip.finalized
        finalized = chain.cluster.tip.finalized
    with chain_by_hand(tmp_path) as chain:
        assert chain.cluster.tip.finalized >= finalized
        assert chain.cluster.tip.confirmed == chain.cluster.tip.finalized


async def test_a_chain_may_be_set_up_so_from_the_start(tmp_path: Path) -> None:
    """The same lag for both is a cluster whose confirmed blocks are final."""
    settings = settings_by_hand(confirmed_lag_slots=2, finalized_lag_slots=2)
    with chain_by_hand(tmp_path, settings) as chain:
        for _ in range(20):
            assert chain.cluster.tip.confirmed == chain.cluster.tip.finalized
            await chain.end_slots(1)


STEPS = st.lists(st.tuples(st.sampled_from(["block", "gap", "fork"]), st.integers(1, 40)))


@given(every=st.sampled_from([0, 2, 3, 64]), steps=STEPS)
def test_a_timeline_with_gaps_counts_the_blocks(every: int, steps: list[tuple[str, int]]) -> None:
    """Against a plain list of the slots that have blocks."""
    line = Timeline(bytes(32), every)
    line.add(Anchor(slot=0, time_ms=1_000_000, slot_ms=200, offset_ms=0))
    hashes = Blockhashes(line, 0)
    blocks, slot = [0], line.next(0)  # complete ones, and the open one
    for what, count in steps:
        first, last = slot + 1, slot + count
        if what == "block":
            last = slot
        elif what == "fork":
            kept = [one for one in blocks if one <= line.at_or_before(slot - count)]
            first, last = kept[-1] + 1, slot
        if first <= last:
            line.skip(first, last)
            hashes.forget_after(first - 1)
        blocks = [one for one in blocks if one < first]
        if first > slot:
            blocks.append(slot)
            hashes.register(slot)
        slot = line.next(slot)
    assert [one for one in range(slot) if line.has_block(one)] == blocks
    for index, block in enumerate(blocks):
        assert line.height(block) == index
        assert line.parent(block) == blocks[max(index - 1, 0)]
        until = blocks[index + 1] if index + 1 < len(blocks) else slot
        assert line.next(block) == until
        for one in range(block, until):
            assert line.at_or_before(one) == block
            assert line.height(one) == index
        assert hashes.is_valid(line.blockhash(block), blocks[-1]) == (len(blocks) - index <= 151)
    lost = set(range(slot)) - set(blocks)
    assert not any(hashes.is_valid(line.blockhash(one), blocks[-1]) for one in lost)


def test_other_blocks_of_the_same_slots_have_other_hashes() -> None:
    line = Timeline(bytes(32), 0)
    hashes: list[list[bytes]] = []
    for first, last in ((5, 9), (7, 8), (9, 9)):
        hashes.append([line.blockhash(slot) for slot in range(12)])
        line.replace(first, last)
        now = [line.blockhash(slot) for slot in range(12)]
        changed = [slot for slot in range(12) if now[slot] != hashes[-1][slot]]
        assert changed == list(range(first, last + 1))
        assert not set(now[first : last + 1]) & {one for known in hashes for one in known}
        assert line.height(9) == 9
