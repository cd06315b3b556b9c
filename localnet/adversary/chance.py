"""Dice that fall the same way every time: chance is a function of a seed and of what is asked.

No generator is advanced, so a fault that is taken out of a script changes nothing for the others.
"""

import hashlib
from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")
_WHOLE: Final = float(2**64)


def chance(seed: int, *what: object) -> float:
    """A number from 0 (included) to 1 (excluded)."""
    named = repr((seed, *what)).encode()
    return int.from_bytes(hashlib.blake2b(named, digest_size=8).digest(), "big") / _WHOLE


def choice(options: Sequence[T], seed: int, *what: object) -> T:
    """One of the options."""
    return options[int(chance(seed, *what) * len(options))]
