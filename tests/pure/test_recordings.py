"""What the decoder makes of every recorded answer, and that a change of it has a version."""

import copy
from typing import get_args

import msgspec
import pytest

from indexer.decode import DECODER_VERSION, Transaction, decode
from indexer.raw import Unreadable
from indexer.signed import check_signed
from settlement.chain import program
from tests.chain.recordings.recording import (
    DECODED,
    Recording,
    decoded,
    kept,
    read_otherwise,
    readings,
    version_of,
)

RECORDINGS = kept()


def read(one: Recording) -> Transaction | None:
    """What the decoder makes of it; None when it cannot be read."""
    try:
        return decode(one.answer, signature=one.signature, watch=one.watch)
    except Unreadable:
        return None


def test_every_recording_is_read_as_it_is_written_down() -> None:
    written, now = DECODED.read_text(), decoded(RECORDINGS)
    changed = read_otherwise(written, now)
    assert changed == [], "the same answers are read otherwise: raise DECODER_VERSION"
    assert now == written, "python -m tests.chain.recordings decode, and look at the difference"


def test_another_reading_is_another_version() -> None:
    written = DECODED.read_text()
    assert version_of(written) == str(DECODER_VERSION)
    otherwise = written.replace("code=bcb1d3eaddb99251", "code=None", 1)
    assert otherwise != written
    assert len(read_otherwise(written, otherwise)) == 1
    newer = otherwise.replace(f"version {DECODER_VERSION}", f"version {DECODER_VERSION + 1}", 1)
    assert read_otherwise(written, newer) == []


def test_a_new_answer_may_be_read_otherwise() -> None:
    written = DECODED.read_text()
    name, (answer, text) = next(iter(readings(written).items()))
    new = written.replace(answer, "0" * len(answer), 1).replace(text, "something else", 1)
    assert readings(new)[name] == ("0" * len(answer), "something else")
    assert read_otherwise(written, new) == []


def test_every_instruction_of_the_program_is_recorded() -> None:
    found: set[type[object]] = set()
    for one in RECORDINGS:
        transaction = read(one)
        for instruction in transaction.instructions if transaction else ():
            if instruction.program == one.watch.deployment.program_id:
                known = program.decode_instruction(instruction.data, instruction.accounts)
                found.add(type(known))
    assert found == set(get_args(program.ProgramInstruction))


@pytest.mark.parametrize("one", RECORDINGS, ids=lambda one: one.name)
def test_what_is_decoded_is_what_was_signed(one: Recording) -> None:
    check_signed(one.answer, signature=one.signature)
    other = copy.deepcopy(one.answer)
    top = other["transaction"]["message"]["instructions"][0]
    top["accounts"] = [*top["accounts"], 0]
    with pytest.raises(Unreadable):
        check_signed(other, signature=one.signature)


def test_every_version_and_every_depth_is_recorded() -> None:
    assert {one.answer["version"] for one in RECORDINGS} == {"legacy", 0, 1}
    tables = [one for one in RECORDINGS if one.answer["meta"]["loadedAddresses"]["writable"]]
    assert tables
    read_ones = [found for one in RECORDINGS if (found := read(one))]
    heights = {max((i.height for i in found.instructions), default=1) for found in read_ones}
    assert {1, 2, 3, 4, 5} <= heights


@pytest.mark.parametrize("one", RECORDINGS, ids=lambda one: one.name)
def test_a_coin_more_or_less_is_never_somebodys(one: Recording) -> None:
    """With one balance of a vault changed, nothing is credited or explained any more."""
    vaults = {str(one.watch.deployment.till_vault), str(one.watch.deployment.bond_vault)}
    message, meta = one.answer["transaction"]["message"], one.answer["meta"]
    loaded = meta["loadedAddresses"]
    keys = [*message["accountKeys"], *loaded["writable"], *loaded["readonly"]]
    for place, balance in enumerate(meta["postTokenBalances"]):
        if keys[balance["accountIndex"]] not in vaults:
            continue
        for change in (1, -1):
            spoiled = copy.deepcopy(one.answer)
            amount = spoiled["meta"]["postTokenBalances"][place]["uiTokenAmount"]
            amount["amount"] = str(max(0, int(amount["amount"]) + change))
            if amount["amount"] == balance["uiTokenAmount"]["amount"]:
                continue
            found = read(msgspec.structs.replace(one, answer=spoiled))
            assert found is None or not found.explained
            assert found is None or {move.kind for move in found.movements} <= {"unexplained"}
