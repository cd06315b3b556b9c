"""What is read by fewer steps, here or by another process, is what everybody else would read."""

import copy
import io
import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.attribution import events_of
from indexer.decode import Watch, decode
from indexer.everyday import (
    Belief,
    Everyday,
    everyday_of,
    only_deposits,
    read_again,
    read_everyday,
)
from indexer.raw import Unreadable
from indexer.reading import LENGTH_BYTES, Answered, Beginning, frame, serve
from indexer.signed import check_signed
from settlement.money import MicroUsdc
from tests.chain.recordings.recording import Recording, kept
from tests.pure.test_decode_fuzz import WHOLE, json_values, paths
from tests.pure.transactions import (
    ALICE_ATA,
    SIGNATURE,
    TILL,
    WATCH,
    answer,
    deposit,
    key,
    memo,
    transfer,
)

CODE = bytes.fromhex("bcb1d3eaddb99251")
BLIND = Belief(verify_signatures=False, most_microusdc=None)
SEEING = Belief(verify_signatures=True, most_microusdc=None)
RECORDINGS = kept()


def everyday(made: Any, *, watch: Watch = WATCH, signature: str = SIGNATURE) -> Everyday | None:  # noqa: ANN401 raw JSON
    """By the steps for everybody."""
    try:
        read = decode(made, signature=signature, watch=watch)
    except Unreadable:
        return None
    events = events_of(read, watch)
    return everyday_of(read, events, text_of(made)) if only_deposits(events) else None


def text_of(made: Any) -> bytes:  # noqa: ANN401 raw JSON
    return json.dumps(made).encode()


def read_text(made: Any, belief: Belief = BLIND) -> Everyday | None:  # noqa: ANN401 raw JSON
    return read_everyday(text_of(made), signature=SIGNATURE, watch=WATCH, belief=belief)


@pytest.mark.parametrize("one", RECORDINGS, ids=lambda one: one.name)
def test_recordings_are_read_as_by_everybody(one: Recording) -> None:
    text = text_of(one.answer)
    found = read_everyday(text, signature=one.signature, watch=one.watch, belief=SEEING)
    assert found == everyday(one.answer, watch=one.watch, signature=one.signature)
    if found is not None:
        read, events, kept_answer = read_again(found, one.watch)
        assert kept_answer == one.answer
        assert only_deposits(events)
        assert everyday_of(read, events, text) == found


def test_some_recordings_are_everyday_and_some_are_not() -> None:
    found = [everyday(one.answer, watch=one.watch, signature=one.signature) for one in RECORDINGS]
    assert sum(one is not None for one in found) >= 10
    assert sum(one is None for one in found) >= 10


@given(data=st.data(), whole=st.sampled_from(WHOLE[:2]), hits=st.integers(0, 3))
def test_damage_is_read_as_by_everybody(data: st.DataObject, whole: Any, hits: int) -> None:  # noqa: ANN401
    made = copy.deepcopy(whole.json())
    for _ in range(hits):
        *parents, last = data.draw(st.sampled_from(paths(made)))
        place: Any = made
        for name in parents:
            place = place[name]
        if data.draw(st.booleans()):
            place[last] = data.draw(json_values)
        else:
            del place[last]
    assert read_text(made) == everyday(made)


def test_bytes_that_are_no_text_are_left_to_others() -> None:
    text = text_of(answer(deposit(CODE, 5), till=5).json())
    spoiled = text.replace(b"{", b'{"more":"\xff",', 1)
    for one, taken in ((text, True), (spoiled, False), (text[:-1], False), (b"null", False)):
        found = read_everyday(one, signature=SIGNATURE, watch=WATCH, belief=BLIND)
        assert (found is not None) is taken


def test_what_nobody_signed_is_left_to_others() -> None:
    made = answer(deposit(CODE, 5), till=5).json()
    with pytest.raises(Unreadable):
        check_signed(made, signature=SIGNATURE)
    assert read_text(made, SEEING) is None
    assert read_text(made, BLIND) is not None


@pytest.mark.parametrize(("most", "taken"), [(11, False), (12, True), (None, True)])
def test_a_large_credit_is_left_to_others(most: int | None, taken: bool) -> None:
    made = answer(deposit(CODE, 5), transfer(ALICE_ATA, TILL, 7), till=12).json()
    limit = None if most is None else MicroUsdc(most)
    found = read_text(made, Belief(verify_signatures=False, most_microusdc=limit))
    assert (found is not None) is taken


def test_a_failed_one_and_one_that_moves_nothing_are_everyday() -> None:
    failed = answer(deposit(CODE, 5)).json()
    failed["meta"] |= {"err": {"InstructionError": [0, "Custom"]}, "status": {"Err": "Custom"}}
    nothing = answer(memo("hello")).json()
    for made in (failed, nothing):
        found = read_text(made)
        assert found is not None
        assert (found.deposits, found.record.events) == ([], [])
        assert found == everyday(made)


def asked_of(*portions: list[tuple[str, bytes]], belief: Belief = BLIND) -> bytes:
    return b"".join(map(frame, (Beginning.of(WATCH, belief), *portions)))


def answered(asked: bytes) -> list[Answered]:
    """What the other process says to all of this."""
    told = io.BytesIO()
    serve(io.BytesIO(asked), told)
    raw = told.getvalue()
    found: list[Answered] = []
    while raw:
        length = int.from_bytes(raw[:LENGTH_BYTES], "little")
        body, raw = raw[LENGTH_BYTES : LENGTH_BYTES + length], raw[LENGTH_BYTES + length :]
        found.append(msgspec.msgpack.decode(body, type=Answered))
    return found


def test_what_comes_back_over_the_pipe_is_what_was_read() -> None:
    coded = answer(deposit(CODE, 5), till=5).json()
    named = answer(transfer(ALICE_ATA, TILL, 7), memo(CODE.hex()), till=7).json()
    out = answer(transfer(TILL, ALICE_ATA, 7), till=-7).json()
    portions = [[(SIGNATURE, text_of(coded)), (SIGNATURE, text_of(out))], []]
    portions.append([(SIGNATURE, text_of(named))])
    found = answered(asked_of(*portions))
    assert found == [[everyday(coded), None], [], [everyday(named)]]


def test_the_beginning_says_all_of_it() -> None:
    for belief in (SEEING, Belief(verify_signatures=False, most_microusdc=MicroUsdc(7))):
        ours = replace(WATCH, payers=frozenset({key("payer"), key("another payer")}))
        told = msgspec.msgpack.decode(frame(Beginning.of(ours, belief))[4:], type=Beginning)
        assert (told.watch, told.belief) == (ours, belief)


def test_it_ends_wherever_nobody_asks_any_more() -> None:
    whole = asked_of([(SIGNATURE, text_of(answer(deposit(CODE, 5), till=5).json()))])
    assert len(answered(whole)) == 1
    for cut in (0, 3, LENGTH_BYTES, 9, len(whole) - 1):
        assert answered(whole[:cut]) == []
