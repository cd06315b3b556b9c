"""Step 4: from one BPF object to an SBPF program, version 3 (default) or 0.

The upstream target knows nothing of Solana, so three things are translated: calls of undefined
symbols become syscalls, calls between functions become relative, and addresses become those of
the chain's memory map. Sections are first placed into two runs, code and read-only data; what
this file does not understand (a writable section, an unknown relocation, an undefined symbol that
is no syscall) is refused.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from programs.build.elf import (
    FLAG_ALLOCATE,
    FLAG_EXECUTE,
    FLAG_WRITE,
    SECTION_NOBITS,
    SYMBOL_SECTION,
    UNDEFINED,
    ObjectFile,
    Symbol,
)
from programs.build.failure import BuildRefused

R_BPF_64_64, R_BPF_64_ABS64, R_BPF_64_32 = 1, 2, 10
CALL, LOAD_64, CALL_REGISTER, EXIT = 0x85, 0x18, 0x8D, 0x95
_CONDITIONS = (1, 2, 3, 4, 5, 6, 7, 0xA, 0xB, 0xC, 0xD)
RELATIVE_CALL = 0x10  # the source-register field of a call between functions


# What both SBPF versions run of what the upstream target can be made to emit: no atomics, no
# comparisons of 32-bit halves, no packet loads, no sign extensions.
_LOADS_AND_STORES = {0x61, 0x69, 0x71, 0x79, 0x62, 0x6A, 0x72, 0x7A, 0x63, 0x6B, 0x73, 0x7B}
_ARITHMETIC = {
    kind | operation << 4 | register
    for kind in (0x04, 0x07)
    for operation in range(0xC + 1)
    for register in (0, 0x08)
    if not (operation == 8 and register)
} | {0xD4, 0xDC}
_JUMPS = {
    0x05,
    *(0x05 | operation << 4 | register for operation in _CONDITIONS for register in (0, 0x08)),
}
KNOWN = _LOADS_AND_STORES | _ARITHMETIC | _JUMPS | {CALL, CALL_REGISTER, LOAD_64, EXIT}
# The loader's account may be 10 MiB long, 45 bytes of it are its own.
MOST_BYTES = 10 * 1_048_576 - 45


def round_up(number: int, step: int) -> int:
    """The next multiple of `step`."""
    return (number + step - 1) // step * step


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a section went: into the code or the data, and how far in."""

    in_code: bool
    offset: int


@dataclass(kw_only=True)
class Program:
    """The two runs, before and while addresses are filled in."""

    code: bytearray
    data: bytearray
    places: dict[int, Place]
    # Version 0 leaves syscalls to the loader: where in the code, and which.
    syscalls: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    def locate(self, symbol: Symbol) -> Place:
        """Where the symbol went; raises `BuildRefused` if it is not in a section we placed."""
        place = self.places.get(symbol.section)
        if place is None:
            raise BuildRefused(f"{symbol.name or 'a symbol'} is in a section that is not loaded")
        return Place(in_code=place.in_code, offset=place.offset + symbol.value)


def place_sections(source: ObjectFile) -> Program:
    """Lay code and read-only data out, each in the object's order."""
    program = Program(code=bytearray(), data=bytearray(), places={})
    for number, section in enumerate(source.sections):
        if not section.flags & FLAG_ALLOCATE or section.size == 0:
            continue
        if section.flags & FLAG_EXECUTE:
            program.places[number] = Place(in_code=True, offset=len(program.code))
            program.code += section.data
            continue
        relocated_constant = section.name.startswith(".data.rel.ro")
        writable = section.flags & FLAG_WRITE and not relocated_constant
        if section.kind == SECTION_NOBITS or writable:
            raise BuildRefused(f"writable section {section.name}: there is none on chain")
        start = round_up(len(program.data), max(8, section.align))
        program.data += bytes(start - len(program.data)) + section.data
        program.places[number] = Place(in_code=False, offset=start)
    program.data += bytes(round_up(len(program.data), 8) - len(program.data))
    return program


def check_code(code: bytes | bytearray) -> None:
    """Refuse an instruction the chain does not have; its own check would come at deployment."""
    if len(code) % 8:
        raise BuildRefused("the code is not made of whole instructions")
    at = 0
    while at < len(code):
        if code[at] not in KNOWN:
            raise BuildRefused(f"opcode {code[at]:#x} at {at:#x} is not one of the chain's")
        at += 16 if code[at] == LOAD_64 else 8


def check_size(image: bytes) -> bytes:
    """The finished file, if the loader can hold it."""
    if len(image) > MOST_BYTES:
        raise BuildRefused(f"{len(image)} bytes are more than the loader takes")
    return image


def entry_offset(source: ObjectFile, program: Program, name: str = "entrypoint") -> int:
    """How far into the code the program starts."""
    for symbol in source.symbols:
        if symbol.name == name and symbol.section != UNDEFINED:
            return program.locate(symbol).offset
    raise BuildRefused(f"no function named {name}")


def relocate(
    source: ObjectFile,
    program: Program,
    *,
    address: Callable[[Place], int],
    syscall: Callable[[Program, int, str], None],
) -> None:
    """Fill every address in: `address` maps a place to memory, `syscall` writes one call."""
    for relocation in source.relocations:
        place = program.places.get(relocation.section)
        if place is None:
            continue  # debug sections are not loaded
        at = place.offset + relocation.offset
        if relocation.kind == R_BPF_64_32 and place.in_code:
            _relocate_call(program, at, relocation.symbol, syscall)
        elif relocation.kind == R_BPF_64_64 and place.in_code:
            _relocate_load(program, at, relocation.symbol, address)
        elif relocation.kind == R_BPF_64_ABS64 and not place.in_code:
            addend = struct.unpack_from("<Q", program.data, at)[0]
            target = program.locate(relocation.symbol)
            value = address(Place(in_code=target.in_code, offset=target.offset + addend))
            struct.pack_into("<Q", program.data, at, value)
        else:
            raise BuildRefused(f"relocation of kind {relocation.kind} is not understood")


def _relocate_call(
    program: Program, at: int, symbol: Symbol, syscall: Callable[[Program, int, str], None]
) -> None:
    if program.code[at] != CALL:
        raise BuildRefused(f"a call relocation stands on opcode {program.code[at]:#x}")
    if symbol.section == UNDEFINED:
        if not (symbol.name.startswith("sol_") or symbol.name == "abort"):
            raise BuildRefused(f"undefined symbol {symbol.name}: no such syscall")
        syscall(program, at, symbol.name)
        return
    target = program.locate(symbol)
    if not target.in_code:
        raise BuildRefused(f"a call of {symbol.name}, which is data")
    offset = target.offset
    if symbol.kind == SYMBOL_SECTION:
        # Called through its section: the immediate already counts instructions, from the next one.
        offset += (struct.unpack_from("<i", program.code, at + 4)[0] + 1) * 8
    program.code[at + 1] = RELATIVE_CALL | (program.code[at + 1] & 0x0F)
    struct.pack_into("<i", program.code, at + 4, (offset - at) // 8 - 1)


def _relocate_load(
    program: Program, at: int, symbol: Symbol, address: Callable[[Place], int]
) -> None:
    if program.code[at] != LOAD_64:
        raise BuildRefused(f"an address relocation stands on opcode {program.code[at]:#x}")
    low, high = (struct.unpack_from("<I", program.code, at + skip)[0] for skip in (4, 12))
    target = program.locate(symbol)
    addend = high << 32 | low
    value = address(Place(in_code=target.in_code, offset=target.offset + addend))
    program.code[at + 1] &= 0x0F
    struct.pack_into("<I", program.code, at + 4, value & 0xFFFF_FFFF)
    struct.pack_into("<I", program.code, at + 12, value >> 32)
