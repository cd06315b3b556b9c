"""Base58 of any length, read quickly: every instruction of every transaction carries some. Pure.

Keys and signatures have a fixed length and are read by `solders`; this is for the rest.
"""

from functools import lru_cache
from typing import Final

_DIGITS: Final = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_NO_DIGIT: Final = 255
_AT_ONCE: Final = 10  # as many digits as fit a machine word
_POWERS: Final = tuple(58**digits for digits in range(_AT_ONCE + 1))
_VALUES: Final = bytes(_DIGITS.index(byte) if byte in _DIGITS else _NO_DIGIT for byte in range(256))


@lru_cache(maxsize=256)  # of one transaction, it is read to be decoded and to be checked
def decode(text: str) -> bytes:
    """The bytes that this text stands for. Raises `ValueError` when it is not base58."""
    digits = text.encode("ascii").translate(_VALUES)
    if _NO_DIGIT in digits:
        raise ValueError("not base58")
    number = 0
    for at in range(0, len(digits), _AT_ONCE):
        part = 0
        few = digits[at : at + _AT_ONCE]
        for digit in few:
            part = part * 58 + digit
        number = number * _POWERS[len(few)] + part
    zeros = len(digits) - len(digits.lstrip(b"\0"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
