"""Our own counts: the vocabulary, and streams counted as they are delivered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.tokens import o200k
from coordinator.tokens.output import OutputCount

count = o200k.load()


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("hello world", 2),
        ("hello world <|endoftext|>", 9),
        ("The quick brown fox jumps over the lazy dog.", 10),
    ],
)
def test_known_texts(text: str, tokens: int) -> None:
    assert count(text) == tokens


@given(st.text())
def test_any_text_can_be_counted(text: str) -> None:
    assert 0 <= count(text) <= len(text.encode("utf-8", "surrogatepass"))


def test_long_texts_are_cut_without_changing_their_count() -> None:
    text = "The quick brown fox, aged 7, jumps.\n" * 40_000
    assert len(text) > 1_000_000
    parts = list(o200k.pieces(text))
    assert "".join(parts) == text
    assert len(parts) > 2
    assert count(text) == 40_000 * count("The quick brown fox, aged 7, jumps.\n")


def test_a_text_without_any_space_is_counted_all_the_same() -> None:
    assert count("a" * 1_200_000) == pytest.approx(1_200_000 / 8, abs=24)
    rare = count("\U00013000" * 100)
    assert count("\U00013000" * 200_000) == 2_000 * rare


def piece(text: str, channel: str = "content") -> list[tuple[tuple[int, str], str]]:
    return [((0, channel), text)]


def test_cutting_a_text_finely_does_not_change_its_count() -> None:
    text = "Internationalization is counted over the joined text."
    output = OutputCount(count)
    for letter in text:
        assert output.fits(piece(letter), limit_tokens=count(text))
    assert output.total() == count(text) < len(text)


def test_what_does_not_fit_is_left_out() -> None:
    output = OutputCount(count)
    assert output.fits(piece("hello"), limit_tokens=2)
    assert not output.fits(piece(" big wide world"), limit_tokens=2)
    assert output.total() == 1
    assert output.fits(piece(" world"), limit_tokens=2)
    assert output.total() == 2


def test_channels_are_counted_apart() -> None:
    output = OutputCount(count)
    output.fits(piece("hello"), limit_tokens=9)
    output.fits(piece("hello", "reasoning"), limit_tokens=9)
    assert output.total() == 2


def test_nothing_always_fits() -> None:
    assert OutputCount(count).fits([], limit_tokens=0)


def test_what_did_not_arrive_is_taken_back() -> None:
    output = OutputCount(count)
    output.fits(piece("hello"), limit_tokens=9)
    output.fits(piece(" world"), limit_tokens=9)
    output.take_back(piece(" world"))
    assert output.total() == 1


@given(st.lists(st.text(min_size=1, max_size=12), max_size=12), st.integers(0, 12))
def test_no_way_of_cutting_gets_past_the_limit_by_more_than_the_joins(
    parts: list[str], limit: int
) -> None:
    output = OutputCount(count)
    taken = [part for part in parts if output.fits(piece(part), limit_tokens=limit)]
    assert output.total() == count("".join(taken))
    assert sum(count(part) for part in taken[:1]) <= limit or not taken
