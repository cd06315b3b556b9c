"""What the readings of several nodes come to, and the fold of movements they are held against."""

from hypothesis import given
from hypothesis import strategies as st

from settlement.money import Slot
from settlement.reconcile.verdict import CheckpointVerdict, Compared, Reading, conclude, fold

EQUAL, DIFFERENT, NO_DATA = CheckpointVerdict

changes = st.lists(
    st.tuples(st.integers(0, 50), st.integers(-(2**64), 2**64)).map(lambda c: (Slot(c[0]), c[1])),
    max_size=40,
)


def compared(*differences: int, slot: int = 9) -> list[Compared]:
    return [
        Compared(
            reading=Reading(
                provider=str(number), slot=Slot(slot + number), balance_microusdc=100 + difference
            ),
            movements_microusdc=60,
            accepted_microusdc=40,
        )
        for number, difference in enumerate(differences)
    ]


def verdict(*differences: int, quorum: int) -> CheckpointVerdict:
    return conclude(compared(*differences), quorum=quorum).verdict


def test_a_table_of_what_nodes_can_say() -> None:
    assert verdict(quorum=1) is NO_DATA
    assert verdict(0, quorum=1) is EQUAL
    assert verdict(0, quorum=2) is NO_DATA
    assert verdict(0, 0, quorum=2) is EQUAL
    assert verdict(1, quorum=1) is DIFFERENT
    assert verdict(1, quorum=2) is DIFFERENT  # whoever is missing could not outvote it
    assert verdict(1, 0, quorum=2) is EQUAL  # told of, not obeyed
    assert verdict(1, 1, quorum=2) is DIFFERENT
    assert verdict(1, -1, quorum=2) is DIFFERENT
    assert verdict(1, 1, 0, quorum=2) is DIFFERENT
    assert verdict(1, 0, 0, quorum=2) is EQUAL


def test_a_conclusion_says_up_to_where_and_who_disagrees() -> None:
    found = conclude(compared(3, 0, 0), quorum=2)
    assert (found.slot, found.agreeing, found.dissenters) == (9, 2, ("0",))
    assert found.difference_microusdc == 3
    assert conclude([], quorum=1).slot is None
    assert "of the 2 nodes" in (conclude(compared(0), quorum=2).problem or "")


@given(st.lists(st.sampled_from([0, 0, 1, -1]), max_size=7), st.integers(1, 4))
def test_equal_needs_a_quorum_a_witness_and_no_majority_against(
    differences: list[int], quorum: int
) -> None:
    found = conclude(compared(*differences), quorum=quorum)
    agreeing, all_of_them = differences.count(0), len(differences)
    is_equal = agreeing > 0 and all_of_them >= quorum and 2 * agreeing >= all_of_them
    assert (found.verdict is EQUAL) is is_equal
    assert (found.verdict is DIFFERENT) is (2 * agreeing < all_of_them)
    assert (found.problem is not None) is (found.verdict is NO_DATA)


@given(changes, st.integers(-1, 51))
def test_the_fold_of_a_slot_is_all_before_and_the_slot_itself(
    made: list[tuple[Slot, int]], to: int
) -> None:
    below = fold(made, to=Slot(to - 1))
    at = sum(change for slot, change in made if slot == to)
    assert fold(made, to=Slot(to)) == below + at
    assert fold([], to=Slot(to)) == 0
    assert fold(made, to=Slot(50)) == sum(change for _, change in made)


@given(changes, changes, st.integers(0, 50))
def test_the_fold_of_two_parts_is_the_sum_in_any_order(
    some: list[tuple[Slot, int]], others: list[tuple[Slot, int]], to: int
) -> None:
    one = fold([*some, *others], to=Slot(to))
    assert one == fold([*others, *some][::-1], to=Slot(to))
    assert one == fold(some, to=Slot(to)) + fold(others, to=Slot(to))


@given(changes.filter(lambda made: any(change for _, change in made)), st.data())
def test_a_movement_that_is_missing_doubled_or_off_by_one_is_a_mismatch(
    made: list[tuple[Slot, int]], data: st.DataObject
) -> None:
    place = data.draw(st.sampled_from([n for n, (_, change) in enumerate(made) if change]))
    slot, change = made[place]
    rest = made[:place] + made[place + 1 :]
    truth = fold(made, to=Slot(50))
    for wrong in (rest, [*made, made[place]], [*rest, (slot, change + 1)]):
        reading = Reading(provider="one", slot=Slot(50), balance_microusdc=truth)
        against = Compared(reading=reading, movements_microusdc=fold(wrong, to=Slot(50)))
        assert conclude([against], quorum=1).verdict is DIFFERENT
