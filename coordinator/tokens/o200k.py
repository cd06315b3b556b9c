"""The o200k vocabulary, loaded from the installed wheel without any network.

Loading takes about a second, so it is done once, before the process answers. Text is counted as
plain text: `<|endoftext|>` typed by a user is just characters.
"""

import warnings
from collections.abc import Callable
from functools import cache

with warnings.catch_warnings():
    # The wheel opens its data in a way that Python has deprecated; nothing of ours does.
    warnings.simplefilter("ignore", DeprecationWarning)
    import bpe_openai

Count = Callable[[str], int]
ENCODING = "o200k_base"


@cache
def load() -> Count:
    """A function that says how many tokens a text has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        encode = bpe_openai.get_encoding(ENCODING).encode_ordinary

    def count(text: str) -> int:
        return len(encode(text)) if text else 0

    return count
