"""An SBPF version 3 file: data at address 0, code at 2^32, syscalls by hash, no sections.

The loader takes just this shape: two program headers in this order (one when there is no data),
each directly after the other in the file.
"""

import struct

from programs.build.elf import MACHINE_BPF, ObjectFile
from programs.build.relink import (
    Place,
    Program,
    check_code,
    check_size,
    entry_offset,
    place_sections,
    relocate,
)

CODE_ADDRESS = 1 << 32
DATA_ADDRESS = 0
_EXECUTE, _READ = 1, 4
_M = 0xFFFF_FFFF


def write_v3(source: ObjectFile) -> bytes:
    """The whole program file."""
    program = place_sections(source)
    check_code(program.code)
    relocate(source, program, address=_address, syscall=_syscall)
    entry = CODE_ADDRESS + entry_offset(source, program)
    count = 2 if program.data else 1
    data_at = 64 + 56 * count
    headers = b""
    if program.data:
        headers += _segment(_READ, data_at, DATA_ADDRESS, len(program.data))
    headers += _segment(_EXECUTE, data_at + len(program.data), CODE_ADDRESS, len(program.code))
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    head = struct.pack(
        "<HHIQQQIHHHHHH", 3, MACHINE_BPF, 1, entry, 64, 0, 3, 64, 56, count, 64, 0, 0
    )
    return check_size(identity + head + headers + program.data + program.code)


def _address(place: Place) -> int:
    return (CODE_ADDRESS if place.in_code else DATA_ADDRESS) + place.offset


def _syscall(program: Program, at: int, name: str) -> None:
    program.code[at + 1] &= 0x0F
    struct.pack_into("<I", program.code, at + 4, murmur3(name.encode()))


def _segment(flags: int, offset: int, address: int, size: int) -> bytes:
    return struct.pack("<IIQQQQQQ", 1, flags, offset, address, address, size, size, 8)


def murmur3(name: bytes) -> int:
    """MurmurHash3 (32 bit, seed 0): how a syscall is named in code."""
    state = 0
    whole = len(name) // 4 * 4
    for at in range(0, whole, 4):
        state ^= _mix(int.from_bytes(name[at : at + 4], "little"))
        state = (_rotate(state, 13) * 5 + 0xE654_6B64) & _M
    if len(name) > whole:
        state ^= _mix(int.from_bytes(name[whole:], "little"))
    state ^= len(name)
    state = (state ^ state >> 16) * 0x85EB_CA6B & _M
    state = (state ^ state >> 13) * 0xC2B2_AE35 & _M
    return state ^ state >> 16


def _mix(word: int) -> int:
    return _rotate(word * 0xCC9E_2D51 & _M, 15) * 0x1B87_3593 & _M


def _rotate(word: int, by: int) -> int:
    return (word << by | word >> (32 - by)) & _M
