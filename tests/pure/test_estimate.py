"""What is reserved for an answer: what most answers like it need, never more than it may be."""

from hypothesis import given
from hypothesis import strategies as st

from coordinator import estimate
from coordinator.estimate import Estimates

lengths = st.integers(0, 5_000)


def seen(*outputs: int, prompt: int = 100) -> Estimates:
    estimates = Estimates()
    for each in outputs:
        estimates.observe("m", input_tokens=prompt, output_tokens=each)
    return estimates


def likely(estimates: Estimates, *, prompt: int = 100, most: int = 100_000) -> int:
    return estimates.output_tokens("m", input_tokens=prompt, most=most)


def test_what_was_never_seen_is_an_eighth_of_the_most_it_may_be() -> None:
    assert likely(Estimates(), most=4_096) == 512
    assert likely(Estimates(), most=1_000_000) == 1_024
    assert likely(Estimates(), most=40) == 16, "some tokens at least"
    assert likely(Estimates(), most=3) == 3
    assert likely(seen(*[2_000] * 7), most=4_096) == 512, "seven answers say nothing yet"


def test_95_of_100_answers_stay_within_it() -> None:
    assert likely(seen(*range(1, 21))) == 19
    assert likely(seen(*[100] * 60, *[4_000] * 3)) == 100
    assert likely(seen(*[100] * 60, *[4_000] * 4)) == 4_000
    assert likely(seen(*[2_000] * 8)) == 2_000
    assert likely(seen(*[1] * 8)) == 16


@given(st.lists(lengths, min_size=8, max_size=64), st.integers(1, 4_000))
def test_most_answers_fit_and_it_is_never_more_than_the_most(outputs: list[int], most: int) -> None:
    reserved = likely(seen(*outputs), most=most)
    assert 1 <= reserved <= most
    fit = sum(min(each, most) <= reserved for each in outputs)
    assert 100 * fit >= 95 * len(outputs)
    assert reserved in {most, 16, *outputs}


def test_old_answers_are_forgotten() -> None:
    assert likely(seen(*[4_000] * 64, *[100] * 61)) == 100


def test_prompts_of_another_size_are_another_matter() -> None:
    estimates = seen(*[2_000] * 8, prompt=100)
    assert likely(estimates, prompt=64) == likely(estimates, prompt=127) == 2_000
    assert likely(estimates, prompt=128, most=4_096) == 512
    assert estimates.output_tokens("other", input_tokens=100, most=4_096) == 512


def test_memory_is_bounded() -> None:
    estimates = Estimates()
    for each in range(estimate._MOST_KINDS):
        estimates.observe(str(each), input_tokens=1, output_tokens=1)
    estimates.observe("0", input_tokens=1, output_tokens=1)
    estimates.observe("one more", input_tokens=1, output_tokens=1)
    assert len(estimates._seen) == estimate._MOST_KINDS
    assert {("0", 1), ("one more", 1)} <= set(estimates._seen)
    assert ("1", 1) not in estimates._seen
