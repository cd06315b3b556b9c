"""Reads the one kind of ELF file the relinker takes: a little-endian 64-bit BPF object."""

import struct
from dataclasses import dataclass

from programs.build.failure import BuildRefused

MACHINE_BPF = 247
SECTION_NOBITS, SECTION_SYMBOLS, SECTION_RELA, SECTION_REL = 8, 2, 4, 9
FLAG_WRITE, FLAG_ALLOCATE, FLAG_EXECUTE = 1, 2, 4
UNDEFINED = 0
SYMBOL_SECTION = 3
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQ")


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section with its bytes."""

    name: str
    kind: int
    flags: int
    align: int
    info: int
    link: int
    data: bytes
    size: int


@dataclass(frozen=True, kw_only=True)
class Symbol:
    """One symbol; `section` is `UNDEFINED` for what another file should hold."""

    name: str
    kind: int
    section: int
    value: int


@dataclass(frozen=True, kw_only=True)
class Relocation:
    """A place in section `section` that waits for a symbol's address."""

    section: int
    offset: int
    kind: int
    symbol: Symbol


@dataclass(frozen=True, kw_only=True)
class ObjectFile:
    """What a relocatable object holds."""

    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]
    relocations: tuple[Relocation, ...]


def read_object(content: bytes) -> ObjectFile:
    """Read the object; raises `BuildRefused` for any other kind of file."""
    if content[:6] != b"\x7fELF\x02\x01":
        raise BuildRefused("not a little-endian 64-bit ELF file")
    header = _HEADER.unpack_from(content)
    if header[2] != MACHINE_BPF or header[1] != 1:
        raise BuildRefused("not a relocatable BPF object")
    sections = _sections(content, offset=header[6], count=header[12], names=header[13])
    symbols = _symbols(sections)
    return ObjectFile(
        sections=sections, symbols=symbols, relocations=_relocations(sections, symbols)
    )


def _sections(content: bytes, *, offset: int, count: int, names: int) -> tuple[Section, ...]:
    rows = [_SECTION.unpack_from(content, offset + 64 * place) for place in range(count)]
    strings = content[rows[names][4] : rows[names][4] + rows[names][5]]
    return tuple(
        Section(
            name=_string(strings, row[0]),
            kind=row[1],
            flags=row[2],
            align=row[8],
            info=row[7],
            link=row[6],
            data=b"" if row[1] == SECTION_NOBITS else content[row[4] : row[4] + row[5]],
            size=row[5],
        )
        for row in rows
    )


def _symbols(sections: tuple[Section, ...]) -> tuple[Symbol, ...]:
    for section in sections:
        if section.kind == SECTION_SYMBOLS:
            strings = sections[section.link].data
            return tuple(
                Symbol(
                    name=_string(strings, row[0]), kind=row[1] & 15, section=row[3], value=row[4]
                )
                for row in _SYMBOL.iter_unpack(section.data)
            )
    raise BuildRefused("the object has no symbols")


def _relocations(
    sections: tuple[Section, ...], symbols: tuple[Symbol, ...]
) -> tuple[Relocation, ...]:
    found: list[Relocation] = []
    for section in sections:
        if section.kind == SECTION_RELA:
            raise BuildRefused("relocations with addends are not expected")
        if section.kind == SECTION_REL:
            found += [
                Relocation(
                    section=section.info,
                    offset=offset,
                    kind=info & 0xFFFF_FFFF,
                    symbol=symbols[int(info) >> 32],
                )
                for offset, info in _RELOCATION.iter_unpack(section.data)
            ]
    return tuple(found)


def _string(strings: bytes, at: int) -> str:
    return strings[at : strings.index(0, at)].decode()
