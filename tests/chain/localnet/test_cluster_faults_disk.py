"""Forks and the disk: every crash leaves what was finalized; old directories still open."""

import asyncio
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature

from localnet.adversary.cluster_faults import (
    Alpenglow,
    ClusterFault,
    Fork,
    Halt,
    Skip,
    SlotTime,
    cluster_faults,
)
from localnet.cluster import Cluster
from localnet.journal import Journal
from localnet.recovery import _MARK
from tests.chain.localnet.by_hand import ByHand, chain_by_hand, settings_by_hand
from tests.chain.localnet.calls import send_sol, signed

SOL = 1_000_000_000
CALM = Path(__file__).parent / "calm_chain"


def landed(cluster: Cluster, up_to: int) -> list[tuple[Signature, int, bytes]]:
    """Every transaction up to a slot: where it is, and its record as it is on the disk."""
    return [
        (entry.signature, entry.slot, cluster._state.journal.read(entry.journal_offset))
        for slot in range(up_to + 1)
        for entry in cluster.history.in_slot(slot)
    ]


def accounts(cluster: Cluster, slot: int) -> dict[Pubkey, Account]:
    """Every account that was ever written, in the bank of a slot."""
    state = cluster._state.accounts
    read = {address: state.at(address, slot) for address, _ in state.all_versions()}
    return {address: account for address, account in read.items() if account is not None}


async def some_sends(chain: ByHand, chance: random.Random) -> None:
    user = chain.keys["user"]
    blockhash = await chain.rpc.blockhash(chance.choice(["processed", "confirmed", "finalized"]))
    for _ in range(chance.randint(0, 3)):
        amount = chance.randint(1_000_000, 2_000_000)
        transaction = signed([send_sol(user, Keypair().pubkey(), amount)], blockhash, user)
        await chain.rpc.send(transaction, skip_preflight=True)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a reader knew when the synced journal had this length."""

    journal_end: int
    slot: int
    finalized: int
    history: list[tuple[Signature, int, bytes]]
    accounts: dict[Pubkey, Account]


async def run_and_listen(place: Path, seed: int, *, slots: int) -> tuple[list[Told], Path]:
    """A run with forks and snapshots; each told state, and the directory."""
    chance = random.Random(seed)
    told: list[Told] = []
    settings = settings_by_hand(snapshot_every_records=20)
    with chain_by_hand(place, settings) as chain:
        cluster = chain.cluster
        await chain.end_slots(12)
        chain.does(*cluster_faults(seed, first_slot=0, last_slot=slots, mean_gap_slots=5))
        for _ in range(slots):
            await some_sends(chain, chance)
            await chain.end_slots(1)
            finalized = cluster.tip.finalized
            told.append(
                Told(
                    journal_end=cluster._state.journal._synced,
                    slot=cluster.slot,
                    finalized=finalized,
                    history=landed(cluster, finalized),
                    accounts=accounts(cluster, finalized),
                )
            )
        await cluster.sync()
        if cluster._snapshotting is not None:
            await cluster._snapshotting
    return told, place / "chain"


def cut_at(directory: Path, place: Path, end: int, marked_slot: int) -> None:
    """The directory as a crash of the machine leaves it: not all of the journal, an old mark."""
    shutil.rmtree(place, ignore_errors=True)
    (place / "chain").mkdir(parents=True)
    (place / "chain" / "journal").write_bytes((directory / "journal").read_bytes()[:end])
    (place / "chain" / "slot").write_bytes(_MARK.pack(marked_slot, b"the boot before".ljust(36)))


def record_ends(path: Path) -> list[int]:
    journal = Journal(path)
    offsets = [offset for offset, _ in journal.records()]
    return [*offsets[3:], journal.end]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_any_cut_of_the_journal_has_what_was_finalized(tmp_path: Path, seed: int) -> None:
    """Also torn in the middle of a record; without the snapshot, which it may be older than."""
    told, directory = await run_and_listen(tmp_path / "run", seed, slots=60)
    assert any(one.history for one in told)
    chance = random.Random(seed)
    ends = record_ends(directory / "journal")
    for end in chance.sample(ends, 25) + [chance.choice(ends) - 7 for _ in range(5)]:
        known = [one for one in told if one.journal_end <= end]
        cut_at(directory, tmp_path / "cut", end, told[0].slot)
        with chain_by_hand(tmp_path / "cut") as chain:
            if known:
                last = known[-1]
                assert chain.cluster.tip.finalized >= last.finalized
                assert landed(chain.cluster, last.finalized) == last.history
                check_accounts(chain, last)


def check_accounts(chain: ByHand, told: Told) -> None:
    """The finalized state, as of then: of what nobody finalized changed since."""
    state = chain.cluster._state
    finalized = chain.cluster.tip.finalized
    later = {
        key
        for slot in range(told.finalized + 1, finalized + 1)
        for entry in chain.cluster.history.in_slot(slot)
        for key, _ in state.landed(entry).writes
    }
    for address, account in told.accounts.items():
        if bytes(address) not in later:
            assert chain.cluster.account(address, finalized) == account, address


@pytest.mark.parametrize("seed", [4, 5])
async def test_the_snapshot_and_the_journal_tell_the_same(tmp_path: Path, seed: int) -> None:
    """Wherever the snapshot fell among forks, rebuilding with and without it is one state."""
    _, directory = await run_and_listen(tmp_path / "run", seed, slots=80)
    assert (directory / "snapshot").exists()
    read: list[tuple[object, ...]] = []
    for _ in range(2):
        with chain_by_hand(tmp_path / "run") as chain:
            cluster = chain.cluster
            engine = {one: cluster.engine.account(one) for one in accounts(cluster, cluster.slot)}
            read.append((engine, landed(cluster, cluster.slot)))
            assert engine == accounts(cluster, cluster.slot)
        (directory / "snapshot").unlink(missing_ok=True)
    assert read[0] == read[1]


FAULTS: dict[str, ClusterFault] = {
    "fork": Fork(at_slot=0, depth_slots=3, relands_percent=0),
    "other blocks": Fork(at_slot=0, depth_slots=3, within_slots=1, reuses_slots=True),
    "skip": Skip(at_slot=0, slots=5),
    "halt": Halt(at_slot=0, lasts_slots=1, jump_slots=9, empty_blocks=3),
    "alpenglow": Alpenglow(at_slot=0),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_killed_while_a_decision_is_written(tmp_path: Path, fault: str) -> None:
    """The process dies between the journal and everything else: the decision stands."""
    with chain_by_hand(tmp_path) as chain:
        await chain.end_slots(20)
        user = chain.keys["user"]
        kept = await chain.rpc.execute([send_sol(user, Keypair().pubkey(), SOL)], user)
        await chain.end_slots(3)
        recent = await chain.rpc.execute([send_sol(user, Keypair().pubkey(), SOL)], user)
        chain.does(FAULTS[fault])
        journal, slot, append = chain.cluster._state.journal, chain.cluster.slot, Journal.append
        tip = chain.cluster.tip

        def append_and_die(payload: bytes) -> int:
            append(journal, payload)
            raise KeyboardInterrupt

        journal.append = append_and_die
        with pytest.raises(KeyboardInterrupt):
            await chain.end_slots(9)
    with chain_by_hand(tmp_path) as chain:
        assert chain.cluster.slot > slot
        assert chain.cluster.tip.finalized >= tip.finalized
        assert chain.entry(kept).slot > 0
        is_there = chain.cluster.history.get(recent) is not None
        assert is_there == (fault not in ("fork", "other blocks"))
        await chain.until_finalized(kept)


@pytest.mark.parametrize("fault", FAULTS)
async def test_nobody_is_told_of_a_decision_that_is_not_on_the_disk(
    tmp_path: Path, fault: str
) -> None:
    with chain_by_hand(tmp_path) as chain:
        await chain.end_slots(20)
        user, journal = chain.keys["user"], chain.cluster._state.journal
        await chain.rpc.execute([send_sol(user, Keypair().pubkey(), SOL)], user)
        chain.does(FAULTS[fault])
        start, lengths = journal.end, list[tuple[int, int]]()
        chain.cluster.listeners.append(
            lambda _before, _after: lengths.append((journal._synced, journal.end))
        )
        await chain.end_slots(9)
        synced, end = next(one for one in lengths if one[1] > start)
        assert synced == end


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_is_sent_while_a_decision_is_written_lands_after_it(
    tmp_path: Path, fault: str
) -> None:
    with chain_by_hand(tmp_path) as chain:
        await chain.end_slots(20)
        user, slot = chain.keys["user"], chain.cluster.slot
        blockhash = await chain.rpc.blockhash("finalized")
        transaction = signed([send_sol(user, Keypair().pubkey(), SOL)], blockhash, user)
        chain.does(FAULTS[fault])
        journal = chain.cluster._state.journal
        start = journal.end
        ending = asyncio.create_task(chain.end_slots(6))
        while True:
            await asyncio.sleep(0)
            if journal.end > start:
                break
        assert chain.cluster.slot == slot, "the decision is written before it is carried out"
        await chain.rpc.send(transaction, skip_preflight=True)
        await ending
        entry = chain.entry(transaction.signatures[0])
        assert entry.slot > slot
        assert chain.cluster.timeline.has_block(entry.slot)


async def test_a_dropped_slot_is_not_used_again_even_without_a_mark(tmp_path: Path) -> None:
    with chain_by_hand(tmp_path) as chain:
        await chain.end_slots(20)
        user = chain.keys["user"]
        await chain.rpc.execute([send_sol(user, Keypair().pubkey(), SOL)], user)
        await chain.end_slots(5)
        chain.does(Fork(at_slot=0, depth_slots=3))
        await chain.end_slots(1)
        slot = chain.cluster.slot
    (tmp_path / "chain" / "slot").unlink()
    with chain_by_hand(tmp_path) as chain:
        assert chain.cluster.slot == slot


async def test_an_old_mark_is_read_at_the_quickest_slot_time(tmp_path: Path) -> None:
    """A mark that is a minute old may have missed 3,000 slots of 20 ms, not 300 of 200 ms."""
    with chain_by_hand(tmp_path) as chain:
        await chain.end_slots(20)
        chain.does(SlotTime(at_slot=0, slot_time_ms=20))
        await chain.end_slots(1)
        mark = chain.cluster.slot
        await chain.end_slots(400)
        slot = chain.cluster.slot
    (tmp_path / "chain" / "slot").write_bytes(_MARK.pack(mark, b"the boot before".ljust(36)))
    with chain_by_hand(tmp_path) as chain:
        assert chain.cluster.slot > slot


async def test_a_directory_of_the_calm_chain_still_opens(tmp_path: Path) -> None:
    """Written before there were forks: four transactions, a snapshot after the second."""
    (tmp_path / "chain").mkdir()
    for file in CALM.iterdir():
        shutil.copy(file, tmp_path / "chain")
    someone = Pubkey.from_bytes(bytes([7]) * 32)
    with chain_by_hand(tmp_path, settings_by_hand(skipped_slot_every=64)) as chain:
        assert len(chain.cluster.history) == 4
        assert chain.cluster.account(someone, chain.cluster.slot) == Account(
            4_000_000_012, b"", Pubkey.default()
        )
        line = chain.cluster.timeline
        assert line.blockhash(81).hex() == (
            "adce52393f19b6c0c52b3ceacfbadb7691d33743127fb4bb99bccce0723996a2"
        )
        assert not line.has_block(63)
        assert line.height(88) == 87
        chain.does(Fork(at_slot=0, depth_slots=3))
        await chain.end_slots(20)
        history = await chain.rpc.call("getSignaturesForAddress", str(someone))
        assert [entry["slot"] for entry in history] == [88, 77, 74, 71]
