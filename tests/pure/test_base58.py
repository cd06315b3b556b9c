"""Our base58 reads what an independent implementation writes, and nothing else."""

import base58
import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.chain.base58 import decode


@given(st.binary(max_size=200))
def test_what_another_library_writes_is_read(data: bytes) -> None:
    assert decode(base58.b58encode(data).decode()) == data


@given(st.integers(0, 5), st.binary(max_size=40))
def test_zeros_in_front_are_kept(zeros: int, data: bytes) -> None:
    whole = bytes(zeros) + data
    assert decode(base58.b58encode(whole).decode()) == whole


@pytest.mark.parametrize("text", ["0", "O", "I", "l", "abc ", " abc", "a\n", "+", "é", "\ud800"])
def test_what_is_no_digit_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - UnicodeEncodeError is one too
        decode(text)


def test_nothing_is_nothing() -> None:
    assert decode("") == b""
