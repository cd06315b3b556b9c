"""The error tree: a word for programs, a sentence for people, details for both."""

import pytest

from settlement.charges import InsufficientBalance
from settlement.errors import Conflict, NotFound, PodError, Refused, Unavailable
from settlement.ledger.store import WriterFenced


def test_a_leaf_says_its_docstring_and_its_details() -> None:
    error = InsufficientBalance(available_microusdc=5, required_microusdc=7)
    assert error.code == "insufficient_balance"
    assert error.message.endswith("does not cover the request.")
    assert str(error) == f"{error.message} (available_microusdc=5, required_microusdc=7)"
    assert error.details == {"available_microusdc": 5, "required_microusdc": 7}


def test_a_message_of_ones_own() -> None:
    error = WriterFenced("gone")
    assert (str(error), error.code) == ("gone", "writer_fenced")


@pytest.mark.parametrize("kind", [Refused, Conflict, NotFound, Unavailable])
def test_the_four_kinds_are_caught_as_one(kind: type[PodError]) -> None:
    with pytest.raises(PodError):
        raise kind(what="this")
    assert not issubclass(kind, tuple({Refused, Conflict, NotFound, Unavailable} - {kind}))
