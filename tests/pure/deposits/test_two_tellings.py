"""Two providers agree on a transaction only when it means the same: also in what nobody signed."""

import copy
from typing import Any

import base58
import pytest

from indexer.decode import decode
from indexer.hydration import Telling
from tests.chain.recordings.recording import ANSWERS, Recording, load
from tests.pure.deposits.test_fuzz_structure import UNREAD, at, copied, paths


def telling(one: Recording, answer: dict[str, Any]) -> Telling:
    """What a provider told of a recorded transaction."""
    read = decode(answer, signature=one.signature, watch=one.watch)
    return Telling(provider="any", answer=answer, read=read)


def test_another_code_in_an_inner_call_is_another_meaning() -> None:
    one = load(ANSWERS / "deposit-called-2-deep.json")
    other = copy.deepcopy(one.answer)
    called = other["meta"]["innerInstructions"][0]["instructions"][0]
    data = base58.b58decode(called["data"])
    called["data"] = base58.b58encode(data[:8] + b"somebody" + data[16:]).decode()
    assert telling(one, one.answer).meaning != telling(one, other).meaning


@pytest.mark.parametrize(("name", "burns"), [("skip-called", True), ("skip", False)])
def test_numbers_burned_inside_a_call_are_told_by_two(name: str, burns: bool) -> None:
    one = load(ANSWERS / f"{name}.json")
    program_id = one.watch.deployment.program_id
    assert telling(one, one.answer).burns_unsigned(program_id) is burns
    assert not telling(one, one.answer).burns_unsigned(one.watch.deployment.mint)


def test_who_else_gained_is_part_of_the_meaning() -> None:
    one = load(ANSWERS / "paid-others-too.json")
    other = copy.deepcopy(one.answer)
    keys = other["transaction"]["message"]["accountKeys"]
    till = str(one.watch.deployment.till_vault)
    meta = other["meta"]
    for when in ("preTokenBalances", "postTokenBalances"):
        meta[when] = [balance for balance in meta[when] if keys[balance["accountIndex"]] == till]
    assert telling(one, one.answer).meaning != telling(one, other).meaning


@pytest.mark.parametrize("name", ["deposit-v0-tables", "batch-memo", "execute-seizure"])
def test_what_is_not_read_is_no_disagreement(name: str) -> None:
    one = load(ANSWERS / f"{name}.json")
    other = copied(one.answer)
    for path in [path for path in paths(other) if path[-1] in UNREAD]:
        holder, last = at(other, path)
        holder[last] = None
    assert telling(one, one.answer).meaning == telling(one, other).meaning
