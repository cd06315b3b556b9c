"""Mutants of conditions: each operand dropped, each comparison moved by its edge."""

import re
from collections.abc import Iterator

from programs.mutate.rust_text import RustText, block_after, closing, find_outside
from programs.mutate.site import OFF, Site

_OR, _AND = re.compile(r" \|\|\s|\s\|\| "), re.compile(r" &&\s|\s&& ")
_COMPARISON = re.compile(r"\s(<=|>=|<|>) ")
_IF = re.compile(r"\bif (?!let\b)")
_LET = re.compile(r"\blet (\w+) = (?:\|[^|]*\|\s*(?:-> \w+\s*)?)?")
_BOOLEAN_FUNCTION = re.compile(r"\bfn \w+[^{;]*\) -> bool \{")
_REFUSAL = re.compile(r"\s*(?:return )?Err\(")
# What a comparison becomes at its edge: equal counts the other way.
_EDGES = {
    "<": (f" || ({OFF} && ", "<="),
    ">": (f" || ({OFF} && ", ">="),
    "<=": (f" && !({OFF} && ", "<"),
    ">=": (f" && !({OFF} && ", ">"),
}


def condition_sites(source: RustText) -> Iterator[Site]:
    """Every mutant of an `if`, a guard, a named truth or a function that answers yes or no."""
    yield from _ifs(source)
    yield from _lets(source)
    for found in _BOOLEAN_FUNCTION.finditer(source.code):
        end = closing(source.code, found.end() - 1)
        last = source.code.rfind(";", found.end(), end) + 1 or found.end()
        yield from _operands(source, *_trimmed(source.code, last, end), whole=False)


def _ifs(source: RustText) -> Iterator[Site]:
    for found in _IF.finditer(source.code):
        start = found.end()
        arrow = find_outside(source.code, re.compile(r"=>|[;{]"), start, len(source.code))
        if arrow and arrow[0][0] == "=>":
            start, end = _trimmed(source.code, start, arrow[0].start())
            yield _refusal(source, start, end, "guard deleted")
            yield from _operands(source, start, end, whole=False)
            continue
        yield from _if(source, start, block_after(source.code, start))


def _if(source: RustText, start: int, block: int) -> Iterator[Site]:
    start, end = _trimmed(source.code, start, block)
    several = bool(find_outside(source.code, _OR, start, end)) or bool(
        find_outside(source.code, _AND, start, end)
    )
    refuses = _REFUSAL.match(source.code, block + 1) is not None
    if refuses and not find_outside(source.code, _OR, start, end):
        yield _refusal(source, start, end, "deleted")
    elif not refuses and _else_refuses(source.code, block):
        if not several:
            what = f"`{source.snippet(start, end)}` taken for true"
            yield Site(start=start, end=end, before="(", after=f" || {OFF})", what=what)
    elif not refuses:
        yield _refusal(source, start, end, "taken for false")
    yield from _operands(source, start, end, whole=False)


def _else_refuses(code: str, block: int) -> bool:
    """The block that follows is entered instead of a refusal."""
    rest = code[closing(code, block) + 1 :].lstrip()
    if not rest.startswith("else"):
        return False
    return "Err(" in rest[: rest.index("}")]


def _refusal(source: RustText, start: int, end: int, how: str) -> Site:
    what = f"`if {source.snippet(start, end)}` {how}"
    return Site(start=start, end=end, before="((", after=f") && !{OFF})", what=what)


def _lets(source: RustText) -> Iterator[Site]:
    for found in _LET.finditer(source.code):
        end = source.code.index(";", found.end())
        if "{" not in source.code[found.end() : end]:
            yield from _operands(source, *_trimmed(source.code, found.end(), end), whole=False)


def _operands(source: RustText, start: int, end: int, *, whole: bool) -> Iterator[Site]:
    """Mutants inside one expression; `whole` when it is itself an operand to be dropped."""
    code = source.code
    for words, after, how in (
        (_OR, f" && !{OFF})", "taken for false"),
        (_AND, f" || {OFF})", "taken for true"),
    ):
        breaks = find_outside(code, words, start, end)
        if breaks:
            edges = [start, *(place for each in breaks for place in each.span()), end]
            for first, last in zip(edges[::2], edges[1::2], strict=True):
                first, last = _trimmed(code, first, last)
                mixed = words is _OR and bool(find_outside(code, _AND, first, last))
                if not mixed:
                    what = f"`{source.snippet(first, last)}` {how}"
                    yield Site(start=first, end=last, before="(", after=after, what=what)
                yield from _operands(source, first, last, whole=not mixed)
            return
    if code[start] == "(" and closing(code, start) == end - 1:
        yield from _operands(source, start + 1, end - 1, whole=False)
        return
    yield from _edge(source, start, end)


def _edge(source: RustText, start: int, end: int) -> Iterator[Site]:
    for found in find_outside(source.code, _COMPARISON, start, end):
        left, right = source.text[start : found.start()], source.text[found.end() : end]
        joined, becomes = _EDGES[found[1]]
        what = f"`{source.snippet(start, end)}` with `{becomes}`"
        after = f"{joined}({left}) == ({right})))"
        yield Site(start=start, end=end, before="(", after=after, what=what)


def _trimmed(code: str, start: int, end: int) -> tuple[int, int]:
    words = code[start:end]
    return start + len(words) - len(words.lstrip()), end - (len(words) - len(words.rstrip()))
