"""Reading a deposit costs about a tenth of a millisecond; a backfill reads many."""

import time
import timeit
from pathlib import Path

import pytest

from indexer.attribution import events_of
from indexer.decode import decode
from tests.chain.recordings.recording import ANSWERS, load

# Ten times what it takes (100 µs), so that only another order of magnitude fails, on any machine.
MOST_MICROSECONDS = 1_000
_ROUNDS = 100


@pytest.mark.parametrize("name", ["deposit-legacy", "deposit-v0-tables", "memo-after"])
def test_a_deposit_is_read_and_attributed_quickly(name: str) -> None:
    one = load(Path(ANSWERS / f"{name}.json"))
    watch = one.watch

    def read() -> None:
        found = decode(one.answer, signature=one.signature, watch=watch)
        assert len(events_of(found, watch)) == 1

    read()
    seconds = timeit.repeat(read, number=_ROUNDS, repeat=20, timer=time.process_time)
    assert min(seconds) * 1e6 < MOST_MICROSECONDS * _ROUNDS
