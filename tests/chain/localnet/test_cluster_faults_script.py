"""Cluster faults as data: drawn by a seed, refused when wrong, done in the order they say."""

import typing
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localnet.adversary.cluster_adversary import ClusterAdversary
from localnet.adversary.cluster_faults import (
    CLUSTER_FAULTS,
    Alpenglow,
    ClusterFault,
    Congestion,
    Fork,
    Halt,
    Skip,
    SlotTime,
    cluster_faults,
)
from localnet.consensus import MAX_WAITING, SlotEnd, Waiting
from localnet.engine import decode_transaction
from localnet.records import Landed
from tests.chain.localnet.test_cluster_faults_forks import reordering_seed

CALM = SlotEnd()


def ends(adversary: ClusterAdversary, slot: int, count: int) -> list[SlotEnd | None]:
    """How the slots from this one on end; a cluster that stands still stays in its slot."""
    told: list[SlotEnd | None] = []
    for _ in range(count):
        end = adversary.at_slot_end(slot)
        if end is not None:
            if end.drops_slots:
                adversary.relands([])
            slot += 1 + end.jumps_slots + end.empty_blocks
        told.append(end)
    return told


@given(seed=st.integers(0, 2**64), first=st.integers(0, 10**6), length=st.integers(0, 500))
def test_a_seed_draws_the_same_faults_in_order_and_in_range(
    seed: int, first: int, length: int
) -> None:
    drawn = cluster_faults(seed, first_slot=first, last_slot=first + length)
    assert drawn == cluster_faults(seed, first_slot=first, last_slot=first + length)
    over = first
    for fault in drawn:
        assert fault.at_slot >= over
        over = fault.at_slot
        match fault:
            case Skip():
                over += fault.slots
            case Halt():
                over += fault.jump_slots + fault.empty_blocks
            case Fork():
                assert fault.at_slot + fault.within_slots <= first + length
            case Congestion():
                assert fault.at_slot + fault.slots + fault.delay_slots <= first + length
            case _:
                pass
    assert over <= first + length


def test_seeds_draw_every_kind_but_another_consensus() -> None:
    runs = [cluster_faults(seed, first_slot=0, last_slot=2_000) for seed in range(20)]
    drawn = [fault for run in runs for fault in run]
    assert {type(one) for one in drawn} == {Fork, Skip, Halt, SlotTime, Congestion}
    forks = [one for one in drawn if isinstance(one, Fork)]
    assert {one.reorders for one in forks} == {False, True}
    assert {one.reuses_slots for one in forks} == {False, True}
    assert {0, 100} < {one.relands_percent for one in forks}
    assert all(50 < len(run) < 150 for run in runs)


def test_every_kind_has_a_name_for_scripts() -> None:
    assert set(CLUSTER_FAULTS.values()) == set(typing.get_args(ClusterFault))


WRONG: list[tuple[Callable[[], ClusterFault], str]] = [
    (lambda: Fork(at_slot=-1, depth_slots=1), "fork.at_slot"),
    (lambda: Fork(at_slot=0, depth_slots=0), "fork.depth_slots"),
    (lambda: Fork(at_slot=0, depth_slots=1, relands_percent=101), "fork.relands_percent"),
    (lambda: Fork(at_slot=0, depth_slots=1, within_slots=0), "fork.within_slots"),
    (lambda: Skip(at_slot=0, slots=0), "skip.slots"),
    (lambda: Halt(at_slot=0, lasts_slots=0), "halt.lasts_slots"),
    (lambda: Halt(at_slot=0, lasts_slots=1, jump_slots=-1), "halt.jump_slots"),
    (lambda: Halt(at_slot=0, lasts_slots=1, empty_blocks=1_001), "halt.empty_blocks"),
    (lambda: SlotTime(at_slot=0, slot_time_ms=4), "slot-time.slot_time_ms"),
    (lambda: Congestion(at_slot=0, slots=0, delay_slots=1), "congestion.slots"),
    (lambda: Congestion(at_slot=0, slots=1, delay_slots=0), "congestion.delay_slots"),
    (
        lambda: Congestion(at_slot=0, slots=1, delay_slots=1, drops_percent=-1),
        "congestion.drops_percent",
    ),
    (lambda: Alpenglow(at_slot=-1), "alpenglow.at_slot"),
]


@pytest.mark.parametrize(("make", "field"), WRONG, ids=[field for _, field in WRONG])
def test_a_wrong_fault_names_its_field(make: Callable[[], ClusterFault], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        make()


def test_faults_happen_when_their_slot_ends_and_once() -> None:
    adversary = ClusterAdversary([SlotTime(at_slot=3, slot_time_ms=50)], origin_slot=100)
    assert not adversary.is_over
    told = ends(adversary, 101, 4)
    assert told == [CALM, CALM, SlotEnd(slot_time_ms=50), CALM]
    assert adversary.is_over


def test_a_fault_whose_slot_was_jumped_over_happens_next() -> None:
    adversary = ClusterAdversary([Skip(at_slot=1, slots=10), Alpenglow(at_slot=5)])
    told = ends(adversary, 1, 12)
    assert told[:10] == [None] * 10
    assert told[10:] == [SlotEnd(jumps_slots=10), SlotEnd(is_alpenglow=True)]


def test_what_is_due_together_happens_together_after_the_pauses() -> None:
    """The deepest of two forks, at the end of the first of two pauses."""
    adversary = ClusterAdversary(
        [
            Fork(at_slot=1, depth_slots=2),
            Halt(at_slot=1, lasts_slots=2, jump_slots=7, empty_blocks=1),
            Fork(at_slot=1, depth_slots=5, reuses_slots=True),
            SlotTime(at_slot=1, slot_time_ms=40),
            Skip(at_slot=1, slots=1),
        ]
    )
    assert ends(adversary, 1, 6) == [
        None,
        None,
        SlotEnd(drops_slots=5, reuses_slots=True, jumps_slots=7, empty_blocks=1, slot_time_ms=40),
        None,
        SlotEnd(jumps_slots=1),
        CALM,
    ]
    assert adversary.is_over


def landed(name: int) -> Landed:
    return Landed(
        slot=1, transaction=bytes([name]), account_keys=[], err=b"null", meta=b"{}", writes=[]
    )


def relands(fork: Fork, names: range) -> list[tuple[int, int]]:
    adversary = ClusterAdversary([fork])
    adversary.at_slot_end(0)
    told = adversary.relands([landed(name) for name in names])
    return [(after, one.transaction[0]) for after, one in told]


@pytest.mark.parametrize("seed", range(20))
def test_what_lands_again_is_drawn_by_position(seed: int) -> None:
    fork = Fork(at_slot=0, depth_slots=3, relands_percent=60, within_slots=5, seed=seed)
    told = relands(fork, range(40))
    assert told == [(after, name - 100) for after, name in relands(fork, range(100, 140))]
    names = [name for _, name in told]
    assert 10 < len(names) < 38
    assert names == sorted(names)
    delays = [after for after, _ in told]
    assert delays == sorted(delays)
    assert set(delays) <= set(range(5))
    assert len(set(delays)) > 2


def test_all_some_and_none_land_again_in_any_order() -> None:
    every = Fork(at_slot=0, depth_slots=3)
    assert [name for _, name in relands(every, range(9))] == list(range(9))
    assert relands(Fork(at_slot=0, depth_slots=3, relands_percent=0), range(9)) == []
    seed = reordering_seed()
    other = Fork(at_slot=0, depth_slots=3, reorders=True, seed=seed)
    assert [name for _, name in relands(other, range(2))] == [1, 0]


def test_a_node_forgets_what_it_cannot_hold() -> None:
    waiting = Waiting()
    transaction, wire = decode_transaction(TRANSFER), TRANSFER
    for slot in range(MAX_WAITING):
        assert waiting.add(slot % 7, transaction, wire)
    assert not waiting.add(0, transaction, wire)
    assert len(list(waiting.due(0))) == MAX_WAITING // 7 + 1
    assert waiting.add(0, transaction, wire)


TRANSFER = bytes.fromhex(
    "01"
    + "00" * 64
    + "01000103"
    + "11" * 32
    + "22" * 32
    + "00" * 32
    + "33" * 32
    + "010202"
    + "0001"
    + "0c"
    + "02000000"
    + "01" * 8
)
