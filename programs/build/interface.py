"""Reads the program's interface out of its Rust sources: names, accounts, layouts, errors.

The sources are the truth; both IDL files are written from here, and a test holds the Python table
against them. Only the few shapes the sources use are understood, anything else is refused.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from programs.build.failure import BuildRefused

FIRST_ERROR = 6000
_FIELD = re.compile(r"((?:\s*///[^\n]*\n)*)\s*pub (\w+): ([^,\n]+),\n")
_STRUCT = re.compile(
    r"((?:///[^\n]*\n)*)#\[repr\(C\)\]\n(?:#\[derive\([^\n]*\)\]\n)?"
    r"pub struct (\w+) \{\n(.*?)\n\}\n",
    re.DOTALL,
)
_ACCOUNT = re.compile(r"((?:\s*///[^\n]*\n)*)\s*(\w+): \[([\w, ]*)\],\n")
_VARIANT = re.compile(r"\s*///([^\n]*)\n\s*(\w+)(?: = \d+)?,\n")
_FLAGS = {"signer", "writable"}


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a struct or argument of an instruction, its type as in Rust."""

    name: str
    kind: str
    docs: str


@dataclass(frozen=True, kw_only=True)
class Struct:
    """A struct; `discriminator` is set for accounts and events."""

    name: str
    docs: str
    fields: tuple[Field, ...]
    discriminator: bytes | None


@dataclass(frozen=True, kw_only=True)
class AccountUse:
    """One account an instruction takes."""

    name: str
    docs: str
    signer: bool
    writable: bool


@dataclass(frozen=True, kw_only=True)
class InstructionShape:
    """One instruction: what its bytes and accounts are."""

    name: str
    docs: str
    discriminator: bytes
    accounts: tuple[AccountUse, ...]
    arguments: tuple[Field, ...]


@dataclass(frozen=True, kw_only=True)
class ErrorShape:
    """One refusal."""

    code: int
    name: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Interface:
    """Everything a client needs to know."""

    instructions: tuple[InstructionShape, ...]
    accounts: tuple[Struct, ...]
    events: tuple[Struct, ...]
    types: tuple[Struct, ...]
    errors: tuple[ErrorShape, ...]


def read_interface(sources: Path) -> Interface:
    """Read it all; raises `BuildRefused` for a source that has another shape than expected."""
    instructions = tuple(
        _instruction(path)
        for path in sorted((sources / "processor").glob("*.rs"))
        if "pub const NAME" in path.read_text()
    )
    paths = [*sorted((sources / "state").glob("*.rs")), *sorted((sources / "rules").glob("*.rs"))]
    structs = [struct for path in paths for struct in _structs(path)]
    return Interface(
        instructions=instructions,
        accounts=tuple(each for each in structs if each.discriminator is not None),
        events=tuple(_structs(sources / "event.rs")),
        types=tuple(each for each in structs if each.discriminator is None),
        errors=_errors(sources / "error.rs"),
    )


def _instruction(path: Path) -> InstructionShape:
    text = path.read_text()
    name = path.stem
    docs = " ".join(line[4:] for line in text.splitlines() if line.startswith("//! "))
    accounts = tuple(
        _account_use(match) for match in _ACCOUNT.finditer(_block(text, "account_list!"))
    )
    arguments = tuple(_fields(_block(text, "arguments!")))
    return InstructionShape(
        name=name,
        docs=docs.removeprefix(f"`{name}`: "),
        discriminator=_bytes_after(text, "NAME"),
        accounts=accounts,
        arguments=arguments,
    )


def _account_use(match: re.Match[str]) -> AccountUse:
    flags = {flag.strip() for flag in match[3].split(",") if flag.strip()}
    if flags - _FLAGS:
        raise BuildRefused(f"account {match[2]} has flags {flags}")
    return AccountUse(
        name=match[2],
        docs=_docs(match[1]),
        signer="signer" in flags,
        writable="writable" in flags,
    )


def _structs(path: Path) -> list[Struct]:
    text = path.read_text()
    sizes = dict(re.findall(r"pub const (\w+): usize = (\d+);", text))
    found: list[Struct] = []
    for match in _STRUCT.finditer(text):
        fields = [
            Field(name=each.name, kind=_resolve(each.kind, sizes), docs=each.docs)
            for each in _fields(match[3] + "\n")
        ]
        discriminator = None
        if fields[0].name == "discriminator":
            fields = fields[1:]
            discriminator = _bytes_after(text, "TAG" if "const TAG" in text else "DEPOSIT_EVENT")
        found.append(
            Struct(
                name=match[2],
                docs=_docs(match[1]),
                fields=tuple(fields),
                discriminator=discriminator,
            )
        )
    return found


def _fields(block: str) -> list[Field]:
    return [
        Field(name=match[2], kind=match[3].strip(), docs=_docs(match[1]))
        for match in _FIELD.finditer(block)
    ]


def _errors(path: Path) -> tuple[ErrorShape, ...]:
    block = _block(path.read_text(), "pub enum Error")
    return tuple(
        ErrorShape(code=FIRST_ERROR + place, name=match[2], message=match[1].strip())
        for place, match in enumerate(_VARIANT.finditer(block))
    )


def _block(text: str, start: str) -> str:
    """The lines from the one that starts so to the closing brace in the first column."""
    match = re.search(rf"^{re.escape(start)} \{{\n(.*?)^\}}$", text, re.DOTALL | re.MULTILINE)
    if match is None:
        raise BuildRefused(f"no block {start}")
    return match[1]


def _bytes_after(text: str, name: str) -> bytes:
    match = re.search(rf"const {name}: \[u8; 8\] =\s*\[([\d, ]+)\];", text)
    if match is None:
        raise BuildRefused(f"no eight bytes named {name}")
    return bytes(int(number) for number in match[1].split(","))


def _resolve(kind: str, sizes: dict[str, str]) -> str:
    """The type with named lengths replaced by numbers."""
    return re.sub(r"; (\w+)\]", lambda match: f"; {sizes.get(match[1], match[1])}]", kind)


def _docs(comment: str) -> str:
    lines = (line.strip().removeprefix("///").strip() for line in comment.splitlines())
    return " ".join(line for line in lines if line)
