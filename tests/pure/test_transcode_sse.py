"""Events out of bytes, however the bytes are cut, and untouched."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.transcode import sse
from coordinator.transcode.sse import EventSplitter, EventTooLarge, data_of

STREAM = (
    b'data: {"a": 1}\n\n: a comment\n\nevent: x\r\ndata: two\r\ndata: lines\r\n\r\n'
    b"data:tight\n\ndata: caf\xc3\xa9\n\ndata: [DONE]\n\n"
)
EVENTS = [
    b'data: {"a": 1}\n\n',
    b": a comment\n\n",
    b"event: x\r\ndata: two\r\ndata: lines\r\n\r\n",
    b"data:tight\n\n",
    "data: café\n\n".encode(),
    b"data: [DONE]\n\n",
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_way_of_cutting_gives_the_same_events(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    splitter = EventSplitter()
    found = [event for start, end in pairwise(places) for event in splitter.feed(STREAM[start:end])]
    assert found == EVENTS
    assert splitter.rest() == b""


def test_one_byte_at_a_time() -> None:
    splitter = EventSplitter()
    found = [event for byte in STREAM for event in splitter.feed(bytes([byte]))]
    assert found == EVENTS


def test_the_data_of_each() -> None:
    assert [data_of(event) for event in EVENTS] == [
        b'{"a": 1}',
        None,
        b"two\nlines",
        b"tight",
        "café".encode(),
        b"[DONE]",
    ]


def test_what_is_not_complete_waits() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: ha") == []
    assert splitter.rest() == b"data: ha"
    assert splitter.feed(b"lf\n\nda") == [b"data: half\n\n"]


def test_an_event_that_does_not_end_is_given_up() -> None:
    splitter = EventSplitter()
    with pytest.raises(EventTooLarge):
        splitter.feed(b"data: " + b"x" * sse.LARGEST_EVENT_BYTES)


def test_an_event_is_written() -> None:
    assert sse.event(b"{}") == b"data: {}\n\n"
