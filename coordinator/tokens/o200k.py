"""The o200k vocabulary, loaded from the installed wheel without any network.

Loading takes about a second, so it is done once, before the process answers. Text is counted as
plain text: `<|endoftext|>` typed by a user is just characters.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from functools import cache

with warnings.catch_warnings():
    # The wheel opens its data in a way that Python has deprecated; nothing of ours does.
    warnings.simplefilter("ignore", DeprecationWarning)
    import bpe_openai

Count = Callable[[str], int]
ENCODING = "o200k_base"
# The wheel refuses a million characters and 200 000 tokens at once; a character is at most four.
_PIECE_CHARACTERS = 50_000
# Between a word and the next one no token reaches across: a place to cut without changing counts.
_BETWEEN_WORDS = re.compile(r"(?<=\w)(?= \w)")


@cache
def load() -> Count:
    """A function that says how many tokens a text has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        encode = bpe_openai.get_encoding(ENCODING).encode_ordinary

    def count(text: str) -> int:
        if len(text) <= _PIECE_CHARACTERS:
            return len(encode(text)) if text else 0
        return sum(len(encode(piece)) for piece in pieces(text))

    return count


def pieces(text: str) -> Iterator[str]:
    """The text cut between words, at the first such place in the second half of each piece."""
    start = 0
    while len(text) - start > _PIECE_CHARACTERS:
        earliest = start + _PIECE_CHARACTERS // 2
        found = _BETWEEN_WORDS.search(text, earliest, start + _PIECE_CHARACTERS)
        end = found.start() if found else start + _PIECE_CHARACTERS
        yield text[start:end]
        start = end
    yield text[start:]
