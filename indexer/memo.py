"""Codes in memos. Pure.

A memo is cut at ASCII spaces and line ends; a word of it that is exactly a code counts, nothing
else does: no look-alike letters, no zero-width characters, no code inside a longer word. What is
not UTF-8 is no memo: neither program takes it. The same code twice is one code.

    user code   16 hex digits, either case (the one normalisation)      -> its 8 bytes
    bond code   POD-BOND- and 8 characters of [A-Za-z0-9], as they are  -> those 8 ASCII bytes

The two never meet: hex digits that spell a bond code are not a user code.
"""

import re
from collections.abc import Iterable
from typing import Final

from solders.pubkey import Pubkey

MEMO_PROGRAMS: Final = frozenset(
    {
        Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"),
        Pubkey.from_string("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"),
    }
)
_USER_CODE: Final = re.compile(rb"[0-9a-fA-F]{16}")
_BOND_CODE: Final = re.compile(rb"POD-BOND-([A-Za-z0-9]{8})")
_ALPHANUMERIC: Final = re.compile(rb"[A-Za-z0-9]{8}")


def only_code(memos: Iterable[bytes]) -> bytes | None:
    """The code that all these memos agree on; None when they carry none, or several."""
    found = {code for memo in memos for code in _codes(memo)}
    return found.pop() if len(found) == 1 else None


def _codes(memo: bytes) -> Iterable[bytes]:
    try:
        memo.decode()
    except UnicodeDecodeError:
        return
    for word in re.split(rb"[ \t\r\n]+", memo):
        if matched := _BOND_CODE.fullmatch(word):
            yield matched[1]
        elif _USER_CODE.fullmatch(word):
            code = bytes.fromhex(word.decode("ascii"))
            if not _ALPHANUMERIC.fullmatch(code):
                yield code
