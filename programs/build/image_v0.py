"""An SBPF version 0 file: sections, a dynamic symbol table, syscalls left to the loader.

For chains that do not run version 3 yet. Everything lies at 2^32 plus its offset in the file.
"""

import struct
from dataclasses import dataclass

from programs.build.elf import MACHINE_BPF, ObjectFile
from programs.build.relink import (
    CALL_REGISTER,
    LOAD_64,
    R_BPF_64_32,
    RELATIVE_CALL,
    Place,
    Program,
    check_code,
    check_size,
    entry_offset,
    place_sections,
    relocate,
    round_up,
)

BASE = 1 << 32
HEADERS = 64 + 3 * 56
_NAMES = ("", ".text", ".rodata", ".dynamic", ".dynsym", ".dynstr", ".rel.dyn", ".shstrtab")
_DYNAMIC_SIZE = 128


@dataclass(frozen=True, kw_only=True)
class _Dynamic:
    """Offsets in the file, and sizes, of what the loader looks up."""

    dynamic: int
    symbols: int
    symbol_count: int
    strings: int
    strings_size: int
    relocations: int
    relocations_size: int


def write_v0(source: ObjectFile) -> bytes:
    """The whole program file."""
    program = place_sections(source)
    check_code(program.code)
    data_at = round_up(HEADERS + len(program.code), 8)

    def address(place: Place) -> int:
        return BASE + (HEADERS if place.in_code else data_at) + place.offset

    relocate(source, program, address=address, syscall=_syscall)
    _move_call_registers(program.code)
    padding = bytes(data_at - HEADERS - len(program.code))
    body = bytearray(program.code) + padding + program.data
    dynamic = _append_dynamic(body, program)
    sections_at = _append_sections(body, program, dynamic, data_at)
    entry = HEADERS + entry_offset(source, program)
    headers = [
        _segment(1, 5, HEADERS, len(program.code)),
        _segment(1, 4, data_at, sections_at - data_at),
        _segment(2, 6, dynamic.dynamic, _DYNAMIC_SIZE),
    ]
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    head = struct.pack(
        "<HHIQQQIHHHHHH",
        *(3, MACHINE_BPF, 1, entry, 64, sections_at, 0, 64, 56, 3, 64),
        *(len(_NAMES), len(_NAMES) - 1),
    )
    return check_size(identity + head + b"".join(headers) + body)


def _syscall(program: Program, at: int, name: str) -> None:
    program.code[at + 1] = RELATIVE_CALL
    struct.pack_into("<i", program.code, at + 4, -1)
    program.syscalls.append((at, name))


def _move_call_registers(code: bytearray) -> None:
    """Version 0 wants the register of an indirect call in the immediate."""
    at = 0
    while at < len(code):
        if code[at] == CALL_REGISTER:
            struct.pack_into("<I", code, at + 4, code[at + 1] & 0x0F)
            code[at + 1] = 0
        at += 16 if code[at] == LOAD_64 else 8


def _append_dynamic(body: bytearray, program: Program) -> _Dynamic:
    names = list(dict.fromkeys(name for _, name in program.syscalls))
    dynamic_at = HEADERS + len(body)
    body += bytes(_DYNAMIC_SIZE)
    symbols_at = HEADERS + len(body)
    body += bytes(24)
    string_at = 1
    for name in names:
        body += struct.pack("<IBBHQQ", string_at, 0x10, 0, 0, 0, 0)
        string_at += len(name) + 1
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in names)
    strings_at = HEADERS + len(body)
    body += strings + bytes(-len(body + strings) % 8)
    relocations_at = HEADERS + len(body)
    for at, name in program.syscalls:
        body += struct.pack("<QQ", HEADERS + at, (names.index(name) + 1) << 32 | R_BPF_64_32)
    found = _Dynamic(
        dynamic=dynamic_at,
        symbols=symbols_at,
        symbol_count=len(names) + 1,
        strings=strings_at,
        strings_size=len(strings),
        relocations=relocations_at,
        relocations_size=16 * len(program.syscalls),
    )
    tags = [(17, found.relocations if found.relocations_size else 0), (18, found.relocations_size)]
    tags += [(19, 16), (6, symbols_at), (11, 24), (5, strings_at), (10, len(strings)), (0, 0)]
    flat = [word for tag in tags for word in tag]
    struct.pack_into("<16Q", body, dynamic_at - HEADERS, *flat)
    return found


def _append_sections(body: bytearray, program: Program, dynamic: _Dynamic, data_at: int) -> int:
    name_at: dict[str, int] = {}
    strings = bytearray()
    for name in _NAMES:
        name_at[name] = len(strings)
        strings += name.encode() + b"\0"
    names_at = HEADERS + len(body)
    body += strings
    body += bytes(-len(body) % 8)
    sections_at = HEADERS + len(body)

    def row(name: str, *rest: int) -> bytes:
        kind, flags, offset, size, link, info, entry, align = rest
        start = name_at[name]
        return struct.pack(
            "<IIQQQQIIQQ", start, kind, flags, offset, offset, size, link, info, align, entry
        )

    body += bytes(64)
    body += row(".text", 1, 6, HEADERS, len(program.code), 0, 0, 0, 8)
    body += row(".rodata", 1, 2, data_at, len(program.data), 0, 0, 0, 8)
    body += row(".dynamic", 6, 3, dynamic.dynamic, _DYNAMIC_SIZE, 5, 0, 16, 8)
    body += row(".dynsym", 11, 2, dynamic.symbols, 24 * dynamic.symbol_count, 5, 1, 24, 8)
    body += row(".dynstr", 3, 2, dynamic.strings, dynamic.strings_size, 0, 0, 0, 1)
    size = dynamic.relocations_size
    body += row(".rel.dyn", 9, 2, dynamic.relocations, size, 4, 0, 16, 8)
    body += row(".shstrtab", 3, 0, names_at, len(strings), 0, 0, 0, 1)
    return sections_at


def _segment(kind: int, flags: int, offset: int, size: int) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, flags, offset, offset, offset, size, size, 0x1000)
