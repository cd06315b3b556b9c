"""Pauses: each bit stops what it names and nothing else, ends by itself, cannot follow itself."""

from dataclasses import replace

import pytest

from settlement.chain.layouts import Config, PauseRecord
from settlement.chain.program import PauseBit
from tests.program.cases import CASES
from tests.program.governance.office import HOUR, LARGEST_TIME, Office, Step, with_byte
from tests.program.world import with_account

PAUSE = 72 * HOUR
BITS = tuple(PauseBit)
STOPS = {
    PauseBit.DEPOSITS: {"deposit_usdc", "post_bond"},
    PauseBit.PAYOUTS: {"pay", "fund_bond"},
    PauseBit.SEIZURES: {"propose_seizure", "uphold", "execute_seizure"},
    PauseBit.RELEASES: {"release"},
}
STOPPED = [(bit, name) for bit, names in STOPS.items() for name in sorted(names)]
# Everything but what creates the deployment, and what pauses are made with.
OTHERS = [name for name in CASES if name not in {"initialize", "pause", "unpause"}]
NOT_STOPPED = [(bit, name) for bit in BITS for name in OTHERS if name not in STOPS[bit]]


def record(config: Config, bit: PauseBit) -> PauseRecord:
    return getattr(config.pauses, bit.name.lower())


def with_record(config: Config, bit: PauseBit, changed: PauseRecord) -> Config:
    """Config with one record replaced."""
    pauses = replace(config.pauses, **{bit.name.lower(): changed})
    return replace(config, pauses=pauses)


@pytest.mark.parametrize(("bit", "name"), STOPPED)
def test_it_stops_until_the_second_it_ends(bit: PauseBit, name: str) -> None:
    case = CASES[name]()
    office = Office(world=case.world)
    office.send(office.pause(bit))
    assert case.refuse(case.instruction) == "Paused"
    case.world.advance(PAUSE - 1)
    assert case.refuse(case.instruction) == "Paused"
    case.world.advance(1)
    case.send()


@pytest.mark.parametrize(("bit", "name"), STOPPED)
def test_ended_early_it_goes_on_at_once(bit: PauseBit, name: str) -> None:
    case = CASES[name]()
    office = Office(world=case.world)
    office.send(office.pause(bit), office.unpause(bit))
    case.send()


@pytest.mark.parametrize(("bit", "name"), NOT_STOPPED)
def test_it_stops_nothing_else(bit: PauseBit, name: str) -> None:
    case = CASES[name]()
    office = Office(world=case.world)
    office.send(office.pause(bit))
    case.send()


def test_every_instruction_is_tried_with_every_bit() -> None:
    assert len(STOPPED) + len(NOT_STOPPED) == len(BITS) * len(OTHERS)
    assert len(OTHERS) == 29


@pytest.mark.parametrize("name", ["pay", "fund_bond", "propose_seizure", "uphold"])
def test_whoever_may_not_do_it_does_not_hear_of_pauses(name: str) -> None:
    case = CASES[name]()
    office = Office(world=case.world)
    office.send(*(office.pause(bit) for bit in BITS))
    somebody = case.world.nominee
    spoiled = with_account(case.instruction, 0, pubkey=somebody.pubkey())
    assert case.refuse(spoiled, somebody) == "Unauthorized"
    assert case.refuse(case.instruction) == "Paused"


@pytest.mark.parametrize("by", ["guardian", "admin"])
@pytest.mark.parametrize("bit", BITS)
def test_a_pause_writes_its_own_record_only(office: Office, bit: PauseBit, by: str) -> None:
    before, now = office.config, office.world.now
    office.send(office.pause(bit, office.person(by)))
    written = PauseRecord(
        paused_until=now + PAUSE,
        not_before=now + 2 * PAUSE,
        by=office.person(by).pubkey(),
    )
    assert office.config == with_record(before, bit, written)


@pytest.mark.parametrize("bit", BITS)
def test_the_end_of_a_pause_writes_its_own_record_only(office: Office, bit: PauseBit) -> None:
    for each in BITS:
        office.send(office.pause(each))
    office.world.advance(HOUR)
    before, now = office.config, office.world.now
    office.send(office.unpause(bit))
    written = PauseRecord(
        paused_until=now, not_before=now + PAUSE, by=office.world.guardian.pubkey()
    )
    assert office.config == with_record(before, bit, written)


@pytest.mark.parametrize("by", ["guardian", "admin"])
@pytest.mark.parametrize("bit", BITS)
def test_not_again_until_it_was_open_as_long(office: Office, bit: PauseBit, by: str) -> None:
    again = office.pause(bit, office.person(by))
    office.send(office.pause(bit))
    for wait in (0, 1, PAUSE - 2, 1, PAUSE - 1):
        office.world.advance(wait)
        assert office.refuse(again) == "PauseTooSoon"
    office.world.advance(1)
    office.send(again)
    assert record(office.config, bit).paused_until == office.world.now + PAUSE


@pytest.mark.parametrize("bit", BITS)
def test_ended_early_it_must_be_open_from_then_on(office: Office, bit: PauseBit) -> None:
    office.send(office.pause(bit))
    office.world.advance(PAUSE - 1)
    office.send(office.unpause(bit))
    assert office.refuse(office.pause(bit)) == "PauseTooSoon"
    office.world.advance(PAUSE - 1)
    assert office.refuse(office.pause(bit)) == "PauseTooSoon"
    office.world.advance(1)
    office.send(office.pause(bit))


@pytest.mark.parametrize("bit", BITS)
def test_only_what_is_paused_can_be_unpaused(office: Office, bit: PauseBit) -> None:
    assert office.refuse(office.unpause(bit)) == "WrongState"
    office.send(office.pause(bit))
    office.world.advance(PAUSE)
    assert office.refuse(office.unpause(bit)) == "WrongState"
    office.world.advance(-1)
    office.send(office.unpause(bit))
    assert office.refuse(office.unpause(bit)) == "WrongState"


@pytest.mark.parametrize("bit", BITS)
def test_the_others_can_be_paused_meanwhile(office: Office, bit: PauseBit) -> None:
    office.send(office.pause(bit))
    for other in BITS:
        if other is not bit:
            assert office.refuse(office.unpause(other)) == "WrongState"
            office.send(office.pause(other))


@pytest.mark.parametrize("by", ["proposer", "arbiter", "payer", "upgrade_authority", "funder"])
@pytest.mark.parametrize("bit", BITS)
def test_nobody_else_pauses_or_unpauses(office: Office, bit: PauseBit, by: str) -> None:
    person = office.person(by)
    assert office.refuse(office.pause(bit, person)) == "Unauthorized"
    office.send(office.pause(bit))
    assert office.refuse(office.unpause(bit, person)) == "Unauthorized"


@pytest.mark.parametrize("bit", BITS)
def test_the_guardian_pauses_but_does_not_unpause(office: Office, bit: PauseBit) -> None:
    guardian = office.world.guardian
    office.send(office.pause(bit, guardian))
    assert office.refuse(office.unpause(bit, guardian)) == "Unauthorized"
    office.send(office.unpause(bit))


@pytest.mark.parametrize("number", [4, 5, 127, 128, 255])
def test_there_are_four_bits(office: Office, number: int) -> None:
    pause = office.pause(PauseBit.DEPOSITS)
    assert office.refuse(with_byte(pause, number)) == "InvalidInstruction"
    office.send(pause)
    unpause = office.unpause(PauseBit.DEPOSITS)
    assert office.refuse(with_byte(unpause, number)) == "InvalidInstruction"


def test_a_strange_bit_is_told_before_anything_else(office: Office) -> None:
    """Data comes first: also to somebody who may not do either."""
    somebody = office.world.funder
    for step in (
        office.pause(PauseBit.DEPOSITS, somebody),
        office.unpause(PauseBit.DEPOSITS, somebody),
    ):
        assert office.refuse(with_byte(step, 4)) == "InvalidInstruction"


@pytest.mark.parametrize("bit", BITS)
def test_at_the_end_of_time_nothing_can_be_paused(office: Office, bit: PauseBit) -> None:
    pause = office.pause(bit)
    office.until(LARGEST_TIME - PAUSE + 1)
    assert office.refuse(pause) == "Overflow"
    office.until(LARGEST_TIME - 2 * PAUSE + 1)
    assert office.refuse(pause) == "Overflow"
    office.world.advance(-1)
    office.send(pause)
    office.world.advance(PAUSE - 1)
    office.send(office.unpause(bit))


@pytest.mark.parametrize("bit", BITS)
def test_the_gap_after_a_pause_ends_within_time(office: Office, bit: PauseBit) -> None:
    """No instruction leads to a pause this late; it is written from outside."""
    office.send(office.pause(bit))
    paused_until_at = 576 + 48 * bit
    office.world.patch(
        office.world.deployment.config, paused_until_at, LARGEST_TIME.to_bytes(8, "little")
    )
    office.until(LARGEST_TIME - PAUSE + 1)
    assert office.refuse(office.unpause(bit)) == "Overflow"


@pytest.mark.parametrize("bit", BITS)
def test_a_clock_that_steps_back_changes_nothing(bit: PauseBit) -> None:
    case = CASES[sorted(STOPS[bit])[0]]()
    office = Office(world=case.world)
    office.send(office.pause(bit))
    case.world.advance(PAUSE)
    case.world.advance(-1)
    assert case.refuse(case.instruction) == "Paused"
    assert office.refuse(office.pause(bit)) == "PauseTooSoon"


def test_paused_and_unpaused_for_ever_the_gaps_are_as_long_as_the_pauses(office: Office) -> None:
    """However the admin goes about it, half of the time nobody is stopped."""
    stopped = opened = 0
    for early in (0, 1, HOUR, PAUSE - 1):
        office.send(office.pause(PauseBit.RELEASES))
        office.world.advance(early)
        office.send(office.unpause(PauseBit.RELEASES))
        ended = office.world.now
        stopped += early
        until = record(office.config, PauseBit.RELEASES).not_before
        office.until(until)
        opened += until - ended
    assert opened == 4 * PAUSE
    assert opened >= stopped


def test_it_stops_what_follows_in_the_same_transaction() -> None:
    case = CASES["deposit_usdc"]()
    office = Office(world=case.world)
    deposit = Step(case.instruction, tuple(case.signers))
    assert office.refuse(office.pause(PauseBit.DEPOSITS), deposit) == "Paused"
    office.send(deposit, office.pause(PauseBit.DEPOSITS))
