"""Bodies of answers with other bytes in them, and JSON that is no answer at all."""

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

RECORDINGS: Final = kept()
BODIES: Final = {one.name: msgspec.json.encode(one.answer) for one in RECORDINGS}
PIECES: Final = (
    b"",
    b"0",
    b"1",
    b"9",
    b"-",
    b"e9",
    b".5",
    b"null",
    b"[]",
    b"{}",
    b'"',
    b",",
    b"\\",
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


def check(body: bytes, one: Recording) -> str:
    """Read a body as the client does; says how it ended."""
    try:
        raw: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "no JSON"
    try:
        found = decode(raw, signature=one.signature, watch=one.watch)
    except Unreadable:
        return "unreadable"
    oracle.hold(raw, found, events_of(found, one.watch), one.watch)
    return "read"


@st.composite
def mutated(draw: st.DrawFn) -> tuple[bytes, Recording]:
    """A recorded body with pieces put in, taken out or changed, in one to four places."""
    one = draw(st.sampled_from(RECORDINGS))
    body = bytearray(BODIES[one.name])
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        length = draw(st.sampled_from((0, 0, 1, 1, 2, 8, 100)))
        piece = draw(st.sampled_from(PIECES) | st.binary(max_size=3))
        body[start : start + length] = piece
    return bytes(body), one


@given(made=mutated())
def test_other_bytes(made: tuple[bytes, Recording]) -> None:
    check(*made)


@pytest.mark.nightly
@pytest.mark.timeout(3_600)
@settings(max_examples=40_000)
@given(made=mutated())
def test_very_many_other_bytes(made: tuple[bytes, Recording]) -> None:
    check(*made)


@pytest.mark.parametrize("one", RECORDINGS[::18], ids=lambda one: one.name)
def test_every_digit_changed(one: Recording) -> None:
    """An amount, an index, an address or a code is another one: it adds up, or it is told."""
    body = BODIES[one.name]
    ends: set[str] = set()
    for place, byte in enumerate(body):
        if chr(byte).isdigit():
            other = b"%d" % ((byte - 0x30 + 1) % 10)
            ends.add(check(body[:place] + other + body[place + 1 :], one))
    assert {"unreadable", "read"} & ends


@pytest.mark.parametrize("one", RECORDINGS[::9], ids=lambda one: one.name)
def test_a_body_that_is_cut_off_is_no_json(one: Recording) -> None:
    body = BODIES[one.name]
    assert {check(body[:length], one) for length in range(0, len(body) - 1, 17)} == {"no JSON"}


def test_a_field_that_is_there_twice_counts_as_the_reader_reads_it() -> None:
    one = next(one for one in RECORDINGS if one.name == "deposit-legacy")
    body = BODIES[one.name]
    amount = b'"amount":"'
    places = [at for at in range(len(body)) if body.startswith(amount, at)]
    assert places
    for at in places:
        twice = body[:at] + b'"amount":"7",' + body[at:]
        assert check(twice, one) == "read"
        end = body.index(b'"', at + len(amount))
        later = body[: end + 1] + b',"amount":"7"' + body[end + 1 :]
        assert check(later, one) == "read"


@given(value=json_values)
def test_json_that_is_no_answer_is_unreadable(value: object) -> None:
    one = RECORDINGS[0]
    with pytest.raises(Unreadable):
        decode(value, signature=one.signature, watch=one.watch)


@given(data=st.binary(max_size=300))
def test_any_bytes_at_all(data: bytes) -> None:
    assert check(data, RECORDINGS[0]) in ("no JSON", "unreadable")
