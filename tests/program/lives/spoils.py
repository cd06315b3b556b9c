"""What may be wrong with an instruction beside its meaning: bytes, number of accounts, flags, and
other accounts in the place of the right ones.
"""

from dataclasses import dataclass
from typing import Final

from hypothesis import strategies as st


@dataclass(frozen=True)
class Spoil:
    """What is wrong with an instruction that would otherwise be as meant."""

    kind: str = "nothing"
    place: int = 0
    other: int = 0


UNSPOILED: Final = Spoil()
_simply_spoiled = st.sampled_from(
    (
        *[Spoil(kind) for kind in ("trailing", "truncated", "surplus", "missing")] * 2,
        *[Spoil("code", other=n) for n in range(3)] * 3,
        *[Spoil("readonly", n) for n in range(6)],
        *[Spoil("unsigned", n) for n in range(2)] * 2,
    )
)
_swapped = st.builds(Spoil, st.just("swapped"), st.integers(0, 12), st.integers(0, 39))
_wrong = {12: _simply_spoiled, 13: _simply_spoiled, 14: _swapped}
# Most are as meant.
spoils = st.integers(0, 14).flatmap(lambda draw: _wrong.get(draw, st.just(UNSPOILED)))
