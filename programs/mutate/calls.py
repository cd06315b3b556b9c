"""Mutants of calls that refuse: a statement or a last line deleted, an account taken unchecked."""

import re
from collections.abc import Iterator

from programs.build.interface import InstructionShape
from programs.mutate.rust_text import RustText, closing
from programs.mutate.site import NUMBER, OFF, Site

_NAME = r"(?:\w*_)?(?:check|expect|require|refuse|invariant|forbid|ensure|must)\w*"
_STATEMENT = re.compile(rf"^[ \t]+((?:[\w.&*]+(?:::<\w+>)?(?:\.|::))*{_NAME}(?:::<\w+>)?)\(", re.M)
_ASSERTED = re.compile(r"^[ \t]+assert!\(", re.M)
_LOADED = re.compile(r"\b([A-Z]\w*(?:::<[^>]*>)?)::(load\w*)\(")
_PARSED = re.compile(r"\bArguments::parse\((\w+)\)\?")
_EXACTLY = re.compile(r"\b[A-Z]\w*::exactly\((\w+)\)\?")
_LISTED = re.compile(r"^[ \t]+(\w+)\.check_(writable|signers)\(\)\?;", re.M)
_CHECKED = re.compile(r"\.checked_(?:add|sub|mul)\(")
_OR_REFUSED = re.compile(r"\s*\.ok_or\(Error::\w+\)| else (?=\{\s*return Err)")
_PASSED_ON = re.compile(r"^[ \t]+(\w+)\?;", re.M)
_ARM = re.compile(r"^[ \t]+([\w:]+) => (return Err\([\w:]+\)),", re.M)


def call_sites(source: RustText, shape: InstructionShape | None) -> Iterator[Site]:
    """Every mutant of a call; `shape` tells the accounts of the instruction in this file."""
    yield from _statements(source)
    yield from _loads(source)
    yield from _sums(source)
    yield from _arms(source)
    if shape is not None:
        yield from _handler(source, shape)


def _statements(source: RustText) -> Iterator[Site]:
    for found in (*_STATEMENT.finditer(source.code), *_ASSERTED.finditer(source.code)):
        start = found.start() + len(found[0]) - len(found[0].lstrip())
        end = closing(source.code, found.end() - 1) + 1
        if _LISTED.match(source.code, found.start()) or found[0].lstrip().startswith("fn "):
            continue
        what = f"`{source.snippet(start, end)}` deleted"
        rest = source.code[end : end + 2]
        if rest in ("?;", ";\n"):
            end += len(rest.rstrip())
            yield Site(start=start, end=end, before=f"if !{OFF} {{ ", after=" }", what=what)
        elif source.code[end:].lstrip().startswith("}"):
            before = f"if {OFF} {{ Ok(()) }} else {{ "
            yield Site(start=start, end=end, before=before, after=" }", what=what)


def _loads(source: RustText) -> Iterator[Site]:
    for found in _LOADED.finditer(source.code):
        end = closing(source.code, found.end() - 1) + 1
        call = source.text[found.start() : end]
        if found[1] in ("Self", "T"):
            continue
        inner = source.text[found.end() : end - 1]
        view = inner.split(",")[0].strip()
        account = found[1] == "TokenAccount"
        kind = "taken_mut" if found[2].endswith("mut") else "taken"
        taken = f"{found[1]}::unchecked({view})" if account else f"crate::mutant::{kind}({view})"
        if found[2] == "load_of":
            view_and_mint = ",".join(inner.split(",")[:2])
            taken = f"{found[1]}::load({view_and_mint})"
        told = "without its owner" if found[2] == "load_of" else "unchecked"
        what = f"`{' '.join(call.split())}` {told}"
        before = f"(if {OFF} {{ {taken} }} else {{ "
        yield Site(start=found.start(), end=end, before=before, after=" })", what=what)


def _sums(source: RustText) -> Iterator[Site]:
    """A sum that does not fit gives zero where it was refused."""
    for found in _CHECKED.finditer(source.code):
        end = closing(source.code, found.end() - 1) + 1
        refused = _OR_REFUSED.match(source.code, end)
        if refused is None:
            continue
        line = source.code.rfind("\n", 0, found.start()) + 1
        start = source.code.rfind(" = ", line, found.start())
        start = line if start < 0 else start + 3
        what = f"`{source.snippet(start, refused.end())}` gives zero"
        instead = f".or(crate::mutant::instead({NUMBER}))"
        yield Site(start=end, end=end, before=instead, what=what)


def _arms(source: RustText) -> Iterator[Site]:
    """An arm that refuses, in a match that gives nothing; a result that is only passed on."""
    for found in _ARM.finditer(source.code):
        if found[1] == "_":
            start, end = found.span(2)
            what = f"`_ => {found[2]}` deleted"
            yield Site(start=start, end=end, before=f"if !{OFF} {{ ", after="; }", what=what)
        else:
            start = end = found.end(1)
            what = f"`{found[1]} => {found[2]}` deleted"
            yield Site(start=start, end=end, before=f" if !{OFF}", what=what)
    for found in _PASSED_ON.finditer(source.code):
        start, end = found.start(1), found.end()
        what = f"`{found[1]}?` deleted"
        yield Site(start=start, end=end, before=f"if !{OFF} {{ ", after=" }", what=what)


def _handler(source: RustText, shape: InstructionShape) -> Iterator[Site]:
    for found in _PARSED.finditer(source.code):
        taken = f"unsafe {{ &*{found[1]}.as_ptr().cast::<Arguments>() }}"
        before = f"(if {OFF} {{ {taken} }} else {{ "
        what = "the data's length unchecked"
        yield Site(start=found.start(), end=found.end(), before=before, after=" })", what=what)
    most = len(shape.accounts)
    for found in _EXACTLY.finditer(source.code):
        start, end = found.span(1)
        few = f"if {OFF} && {found[1]}.len() > {most} {{ &{found[1]}[..{most}] }} else {{ "
        what = "more accounts than it takes are allowed"
        yield Site(start=start, end=end, before=few, after=" }", what=what)
    for found in _LISTED.finditer(source.code):
        yield from _listed(source, shape, found)


def _listed(source: RustText, shape: InstructionShape, found: re.Match[str]) -> Iterator[Site]:
    """One mutant for each account that must be writable, or must sign."""
    writable = found[2] == "writable"
    error = "NotWritable" if writable else "MissingSignature"
    asked = "is_writable" if writable else "is_signer"
    told = "writable" if writable else "a signer"
    start = source.code.index(found[1], found.start())
    uses = [use for use in shape.accounts if (use.writable if writable else use.signer)]
    for place, use in enumerate(uses):
        refuse = f"return Err(crate::error::Error::{error});"
        check = f"if !{found[1]}.{use.name}.{asked}() && !{OFF} {{ {refuse} }} "
        what = f"`{use.name}` need not be {told}"
        replacement = "" if place == 0 else None
        end = found.end() if place == 0 else start
        yield Site(start=start, end=end, before=check, replacement=replacement, what=what)
