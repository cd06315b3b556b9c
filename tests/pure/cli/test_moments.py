"""Times in words, and the chain's clock read strictly."""

import pytest
from solders.pubkey import Pubkey

from cli.transaction.moments import (
    NoClock,
    PausedForNow,
    chain_now,
    check_not_paused,
    duration,
    moment,
)
from settlement.chain.answers import Account, AccountAt
from settlement.chain.layouts import PauseRecord
from settlement.money import Lamports, Slot

NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (61, "1 minute 1 second"),
        (3_600, "1 hour"),
        (86_399, "23 hours 59 minutes"),
        (7 * 86_400, "7 days"),
        (90 * 86_400 + 5, "90 days 5 seconds"),
        (-60, "1 minute"),
    ],
)
def test_durations(seconds: int, expected: str) -> None:
    assert duration(seconds) == expected


def test_a_moment_is_told_twice() -> None:
    assert moment(NOW, NOW) == "2027-01-15 08:00:00 UTC (now)"
    assert moment(NOW + 90, NOW) == "2027-01-15 08:01:30 UTC (in 1 minute 30 seconds)"
    assert moment(NOW - 86_400, NOW) == "2027-01-14 08:00:00 UTC (1 day ago)"


def clock(data: bytes) -> AccountAt:
    account = Account(owner=Pubkey.default(), lamports=Lamports(1), data=data, executable=False)
    return AccountAt(slot=Slot(1), account=account)


def test_the_chains_clock() -> None:
    assert chain_now(clock(bytes(32) + NOW.to_bytes(8, "little"))) == NOW
    for odd in (b"", bytes(39), bytes(41)):
        with pytest.raises(NoClock):
            chain_now(clock(odd))
    with pytest.raises(NoClock):
        chain_now(AccountAt(slot=Slot(1), account=None))


def test_a_pause_is_over_at_its_end() -> None:
    record = PauseRecord(paused_until=NOW, not_before=0, by=Pubkey.default())
    check_not_paused(record, NOW, "deposits")
    with pytest.raises(PausedForNow, match=r"paused=deposits, until=.*\(in 1 second\)"):
        check_not_paused(record, NOW - 1, "deposits")
