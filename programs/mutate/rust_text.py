"""Enough of Rust's text to find checks in it: what is code, where brackets close, which function.

No parser: comments and literals are blanked out at equal length, so that a plain search over the
rest is a search over code, and what must not be touched (tests, macros, constants) is cut out.
"""

import re
from dataclasses import dataclass
from functools import cached_property

_NOT_CODE = re.compile(
    r"//[^\n]*"
    r"|/\*.*?\*/"
    r'|b?"(?:[^"\\]|\\.)*"'
    r"|b?'(?:[^'\\\n]|\\[^\n]+?)'",
    re.DOTALL,
)
_OPENING, _CLOSING = "([{", ")]}"
_CUT = re.compile(
    r"#\[cfg\(test\)\]\s*(?:mod|use|fn|impl)\b"
    r"|macro_rules!|account_list!|arguments!"
    r"|\bconst fn\b|\bconst \{|\bconst \w+:|\bstatic \w+:|\bdebug_assert\w*!"
    r"|#\[cfg\(not\([^\n]*\]"
)
_FUNCTION = re.compile(r"\bfn (\w+)")


@dataclass(frozen=True)
class RustText:
    """One source file; positions are the same in `text` and `code`."""

    text: str

    @cached_property
    def code(self) -> str:
        """The text with comments, literals and all that must stay as it is blanked out."""
        blank = _NOT_CODE.sub(lambda found: _blank(found[0]), self.text)
        while (found := _CUT.search(blank)) is not None:
            end = _end_of_item(blank, found.end() - 1)
            blank = blank[: found.start()] + _blank(blank[found.start() : end]) + blank[end:]
        return blank

    def function_at(self, position: int) -> str:
        """The name of the function this position is in."""
        names = _FUNCTION.findall(self.code, 0, position)
        return names[-1] if names else ""

    def snippet(self, start: int, end: int) -> str:
        """The text there in one line."""
        return " ".join(self.text[start:end].split())


def closing(code: str, opening: int) -> int:
    """Where the bracket that opens there closes."""
    depth = 0
    for position in range(opening, len(code)):
        depth += (code[position] in _OPENING) - (code[position] in _CLOSING)
        if depth == 0:
            return position
    raise ValueError(f"the bracket at {opening} never closes")


def find_outside(code: str, words: re.Pattern[str], start: int, end: int) -> list[re.Match[str]]:
    """The matches in this range that stand in no bracket opened within it."""
    found: list[re.Match[str]] = []
    position = start
    while position < end:
        match = words.match(code, position, end)
        if match is not None:
            found.append(match)
            position = match.end()
        elif code[position] in _OPENING:
            position = closing(code, position) + 1
        else:
            position += 1
    return found


def block_after(code: str, start: int) -> int:
    """Where the block of the `if` whose condition starts here opens."""
    position = start
    while code[position] != "{" or code[start:position].rstrip().endswith("unsafe"):
        position = closing(code, position) + 1 if code[position] in _OPENING else position + 1
    return position


def _end_of_item(code: str, start: int) -> int:
    """Past the block or the semicolon that ends the item starting here."""
    position = start
    while position < len(code):
        if code[position] == ";":
            return position + 1
        if code[position] == "{":
            return closing(code, position) + 1
        position = closing(code, position) + 1 if code[position] in "([" else position + 1
    return position


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)
