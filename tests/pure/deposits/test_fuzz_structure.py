"""Recorded answers, damaged in every place: refused, or what is read of them adds up.

Once systematically, each field in turn with each damage; and by Hypothesis, several at once. The
nightly tests damage every recording and make many more; POD_SEED (`scripts/test --nightly`) or
`--hypothesis-seed` repeats a run.
"""

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.attribution import events_of
from indexer.decode import decode
from indexer.raw import Unreadable
from tests.chain.recordings.recording import Recording, kept
from tests.pure.deposits import oracle

Raw = Any
Path = tuple[Any, ...]
RECORDINGS: Final = {one.name: one for one in kept()}
# One of each shape; the nightly test takes all.
SOME: Final = ("deposit-v0-tables", "deposit-and-pay", "memos-same-code")
NAUGHTY: Final[tuple[object, ...]] = (
    None,
    True,
    -1,
    0,
    1,
    7,
    2**31,
    2**63,
    2**64,
    10**40,
    1.0,
    -0.5,
    1e300,
    "",
    "1",
    "-1",
    "1e3",
    "x" * 50,
    "é\u200b\ud800",
    [],
    [0],
    {},
    {"Err": 1},
)


def check(raw: Raw, one: Recording) -> str:
    """Read a damaged answer; says how it ended."""
    try:
        found = decode(raw, signature=one.signature, watch=one.watch)
    except Unreadable:
        return "unreadable"
    events = events_of(found, one.watch)
    oracle.hold(raw, found, events, one.watch)
    return "failed" if found.failed else "doubted" if found.doubted else "read"


def copied(raw: Raw) -> Raw:
    """The same JSON, quicker than by `deepcopy`."""
    return msgspec.json.decode(msgspec.json.encode(raw))


def paths(node: Raw, here: Path = ()) -> Iterator[Path]:
    """Every place in a JSON value."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(node, dict):
        pairs = list(node.items())  # pyright: ignore[reportUnknownArgumentType] raw JSON
    elif isinstance(node, list):
        pairs = list(enumerate(node))  # pyright: ignore[reportUnknownArgumentType] raw JSON
    for name, child in pairs:
        yield (*here, name)
        yield from paths(child, (*here, name))


def at(raw: Raw, path: Path) -> tuple[Raw, Any]:
    """What holds the place, and its name there."""
    *parents, last = path
    for name in parents:
        raw = raw[name]
    return raw, last


def damages(raw: Raw, path: Path) -> Iterator[Callable[[Raw, Any], None]]:
    """All that is done to one place."""

    def putting(value: object) -> Callable[[Raw, Any], None]:
        return lambda holder, name: holder.__setitem__(name, copy.deepcopy(value))

    yield lambda holder, name: holder.__delitem__(name)
    yield from map(putting, NAUGHTY)
    holder, name = at(raw, path)
    value = holder[name]
    if isinstance(holder, list):
        yield lambda holder, name: holder.insert(name, copy.deepcopy(holder[name]))
        yield lambda holder, name: holder.append(copy.deepcopy(holder[name]))
        yield lambda holder, _: holder.reverse()
    match value:
        case bool() | float():
            pass
        case int():
            yield from (putting(value + change) for change in (1, -1, 256))
            yield putting(float(value))
            yield putting(str(value))
        case str():
            texts = (value[:-1], value + "1", value[::-1], value.swapcase(), f" {value}", "0OIl")
            yield from map(putting, texts)
            if value.isdigit():
                yield from (putting(str(int(value) + change)) for change in (1, 10**6))
                yield putting(int(value))
        case _:
            pass


def everywhere(one: Recording) -> dict[str, int]:
    """Damages every place in every way; how often it ended how."""
    ends: dict[str, int] = {}
    for path in list(paths(one.answer)):
        for damage in damages(one.answer, path):
            raw = copied(one.answer)
            damage(*at(raw, path))
            end = check(raw, one)
            ends[end] = ends.get(end, 0) + 1
    return ends


def test_undamaged_they_all_hold() -> None:
    assert {check(one.answer, one) for one in RECORDINGS.values()} == {
        "read",
        "failed",
        "unreadable",
    }


@pytest.mark.parametrize("name", SOME)
def test_every_place_damaged_in_every_way(name: str) -> None:
    ends = everywhere(RECORDINGS[name])
    assert ends["unreadable"] > 100
    assert ends.get("read", 0) + ends.get("failed", 0) > 100, "harmless damage is not refused"


@pytest.mark.nightly
@pytest.mark.parametrize("name", sorted(set(RECORDINGS) - set(SOME)))
def test_every_place_of_every_recording(name: str) -> None:
    assert everywhere(RECORDINGS[name])["unreadable"] > 100


@st.composite
def damaged(draw: st.DrawFn) -> tuple[Raw, Recording]:
    """A recording with up to five damages, parts of other recordings among them."""
    one, other = (RECORDINGS[draw(st.sampled_from(sorted(RECORDINGS)))] for _ in range(2))
    raw = copied(one.answer)
    for _ in range(draw(st.integers(0, 5))):
        path = draw(st.sampled_from(list(paths(raw)) or [()]))
        if not path:
            break
        holder, name = at(raw, path)
        if draw(st.booleans()):
            found = draw(st.sampled_from(list(paths(other.answer))))
            holder_there, name_there = at(other.answer, found)
            holder[name] = copy.deepcopy(holder_there[name_there])
        else:
            draw(st.sampled_from(list(damages(raw, path))))(holder, name)
    return raw, one


@given(made=damaged())
def test_several_damages_at_once(made: tuple[Raw, Recording]) -> None:
    raw, one = made
    check(raw, one)
    assert result(raw, one) == result(copy.deepcopy(raw), one), "read twice, read differently"


@pytest.mark.nightly
@pytest.mark.timeout(3_600)
@settings(max_examples=20_000)
@given(made=damaged())
def test_very_many_damages(made: tuple[Raw, Recording]) -> None:
    check(*made)


def reordered(node: Raw, dice: random.Random) -> Raw:
    """The same JSON with the fields of every object in another order."""
    if isinstance(node, dict):
        pairs: list[tuple[Any, Any]] = list(node.items())  # pyright: ignore[reportUnknownArgumentType] raw JSON
        dice.shuffle(pairs)
        return {name: reordered(child, dice) for name, child in pairs}
    if isinstance(node, list):
        return [reordered(child, dice) for child in node]  # pyright: ignore[reportUnknownVariableType] raw JSON
    return node


@given(name=st.sampled_from(sorted(RECORDINGS)), dice=st.randoms(use_true_random=False))
def test_the_order_of_fields_means_nothing(name: str, dice: random.Random) -> None:
    one = RECORDINGS[name]
    again = reordered(one.answer, dice)
    over_the_wire = msgspec.json.decode(msgspec.json.encode(again))
    read = [result(raw, one) for raw in (one.answer, again, over_the_wire)]
    assert read[0] == read[1] == read[2]


def result(raw: Raw, one: Recording) -> object:
    """What the decoder and the attribution say."""
    try:
        found = decode(raw, signature=one.signature, watch=one.watch)
    except Unreadable as why:
        return str(why)
    return found, events_of(found, one.watch)


# What nobody may be credited by: owners, logs, floats, fees, who is said to have signed.
UNREAD: Final = {
    "owner",
    "programId",
    "uiAmount",
    "uiAmountString",
    "decimals",
    "fee",
    "logMessages",
    "preBalances",
    "postBalances",
    "computeUnitsConsumed",
    "costUnits",
    "rewards",
    "returnData",
    "header",
    "recentBlockhash",
    "transactionConfig",
}


@given(name=st.sampled_from(sorted(RECORDINGS)), data=st.data())
def test_nothing_is_read_from_owners_logs_and_floats(name: str, data: st.DataObject) -> None:
    one = RECORDINGS[name]
    raw = copied(one.answer)
    for path in [path for path in paths(raw) if path[-1] in UNREAD]:
        holder, last = at(raw, path)
        holder[last] = data.draw(st.sampled_from(NAUGHTY))
    assert result(raw, one) == result(one.answer, one)


@given(name=st.sampled_from(sorted(RECORDINGS)), dice=st.randoms(use_true_random=False))
def test_keys_in_another_order_are_not_what_was_signed(name: str, dice: random.Random) -> None:
    one = RECORDINGS[name]
    raw = copied(one.answer)
    dice.shuffle(raw["transaction"]["message"]["accountKeys"])
    check(raw, one)


@given(name=st.sampled_from(sorted(RECORDINGS)), dice=st.randoms(use_true_random=False))
def test_keys_in_another_order_everywhere_mean_the_same(name: str, dice: random.Random) -> None:
    one = RECORDINGS[name]
    raw = copied(one.answer)
    keys = raw["transaction"]["message"]["accountKeys"]
    order = list(range(len(keys)))
    dice.shuffle(order)
    places = {old: new for new, old in enumerate(order)}
    raw["transaction"]["message"]["accountKeys"] = [keys[old] for old in order]
    for path in list(paths(raw)):
        holder, last = at(raw, path)
        if last in ("programIdIndex", "accountIndex"):
            holder[last] = places.get(holder[last], holder[last])
        if last == "accounts":
            holder[last] = [places.get(index, index) for index in holder[last]]
    assert result(raw, one) == result(one.answer, one)
