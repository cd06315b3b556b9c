"""The relinker against encodings written by hand: each relocation, each refusal, each layout."""

import struct

import pytest

from programs.build import relink
from programs.build.elf import ObjectFile, Relocation, Section, Symbol, read_object
from programs.build.failure import BuildRefused
from programs.build.image_v0 import write_v0
from programs.build.image_v3 import write_v3
from programs.build.interface import read_interface
from programs.build.relink import (
    MOST_BYTES,
    R_BPF_64_32,
    R_BPF_64_64,
    R_BPF_64_ABS64,
    check_code,
    check_size,
    place_sections,
)
from tests.program.test_build import (
    CALL,
    EXIT,
    INDIRECT,
    LOAD,
    build,
    call_of,
    code_of_v3,
    section,
    symbol,
)
from tests.program.world import COMMITTED_PROGRAM

CODE_V0 = 64 + 3 * 56


def load_of(place: int, value: int, *, kind: int = 1) -> Relocation:
    return Relocation(section=1, offset=0, kind=R_BPF_64_64, symbol=symbol("s", place, value, kind))


def loaded(code: bytes) -> int:
    low, high = struct.unpack_from("<I", code, 4)[0], struct.unpack_from("<I", code, 12)[0]
    return high << 32 | low


def aligned(name: str, flags: int, data: bytes, align: int) -> Section:
    return Section(
        name=name, kind=1, flags=flags, align=align, info=0, link=0, data=data, size=len(data)
    )


def test_an_address_counts_from_the_symbol_by_what_stands_there() -> None:
    code = LOAD[:4] + struct.pack("<I", 24) + LOAD[8:]
    source = build(code=code + EXIT, rodata=bytes(64), relocations=(load_of(2, 8),))
    assert loaded(code_of_v3(write_v3(source))) == 32
    in_v0 = write_v0(source)[CODE_V0:]
    assert loaded(in_v0) == (1 << 32) + CODE_V0 + 24 + 32


def test_the_address_of_a_function_is_in_the_code() -> None:
    source = build(code=LOAD + EXIT, relocations=(load_of(1, 16),))
    assert loaded(code_of_v3(write_v3(source))) == (1 << 32) + 16
    assert loaded(write_v0(source)[CODE_V0:]) == (1 << 32) + CODE_V0 + 16


def test_an_address_in_data_counts_from_what_stands_there() -> None:
    pointer = Relocation(section=2, offset=8, kind=R_BPF_64_ABS64, symbol=symbol("t", 2, 16))
    rodata = bytes(8) + struct.pack("<Q", 3) + bytes(16)
    source = build(code=EXIT, rodata=rodata, relocations=(pointer,))
    assert struct.unpack_from("<Q", write_v3(source), 176 + 8)[0] == 19
    assert (
        struct.unpack_from("<Q", write_v0(source), CODE_V0 + 8 + 8)[0] == (1 << 32) + CODE_V0 + 27
    )


def test_a_call_reaches_into_another_section_of_code() -> None:
    cold = section(".text.unlikely.", 6, EXIT)
    call = call_of("cold", 3)
    source = build(code=CALL + EXIT, relocations=(call,), more=(cold,))
    assert code_of_v3(write_v3(source))[:8] == bytes([0x85, 0x10, 0, 0]) + struct.pack("<i", 1)


def test_sections_lie_at_their_alignment_and_constants_with_pointers_are_data() -> None:
    relocated = section(".data.rel.ro.x", 3, b"\1" * 8)
    wide = aligned(".rodata.cst32", 2, b"\2" * 32, 32)
    program = place_sections(build(code=EXIT, rodata=b"\3" * 5, more=(relocated, wide)))
    assert program.data == b"\3" * 5 + bytes(3) + b"\1" * 8 + bytes(16) + b"\2" * 32
    assert [program.places[number].offset for number in (2, 3, 4)] == [0, 8, 32]


def test_data_ends_at_a_whole_word_and_code_follows() -> None:
    image = write_v3(build(code=EXIT, rodata=b"abc"))
    assert image[176:184] == b"abc" + bytes(5)
    assert image[184:] == EXIT


def test_a_program_without_data_has_one_segment() -> None:
    image = write_v3(build(code=EXIT))
    assert struct.unpack_from("<H", image, 56)[0] == 1
    assert code_of_v3(image) == EXIT


def test_sections_that_are_not_loaded_are_left_out_with_their_relocations() -> None:
    notes = section(".debug_info", 0, bytes(16))
    inside = Relocation(section=3, offset=0, kind=99, symbol=symbol("t", 1))
    assert write_v3(build(code=EXIT, more=(notes,), relocations=(inside,))) == write_v3(
        build(code=EXIT)
    )


def test_version_3_leaves_an_indirect_call_as_it_is() -> None:
    assert code_of_v3(write_v3(build(code=INDIRECT + EXIT)))[:8] == INDIRECT


def test_version_0_does_not_take_half_an_address_for_an_instruction() -> None:
    load = bytes([0x18, 1, 0, 0, 5, 0, 0, 0]) + bytes([0, 0, 0, 0, 0x8D, 3, 0, 0])
    assert write_v0(build(code=load + EXIT))[CODE_V0:][:16] == load


def test_version_0_names_a_syscall_once_and_each_call_of_it() -> None:
    calls = (call_of("sol_log_"), call_of("abort", at=8), call_of("sol_log_", at=16))
    image = write_v0(build(code=CALL * 3 + EXIT, relocations=calls))
    at = image.index(b"\0sol_log_\0abort\0")
    rows = [struct.unpack_from("<QQ", image, at + 16 + 16 * place) for place in range(3)]
    first, second = 1 << 32 | R_BPF_64_32, 2 << 32 | R_BPF_64_32
    assert rows == [(CODE_V0, first), (CODE_V0 + 8, second), (CODE_V0 + 16, first)]
    assert image.count(b"sol_log_") == 1


@pytest.mark.parametrize(
    "strange",
    [
        Relocation(section=2, offset=0, kind=R_BPF_64_32, symbol=symbol("f", 1)),
        Relocation(section=2, offset=0, kind=R_BPF_64_64, symbol=symbol("f", 1)),
        Relocation(section=1, offset=0, kind=R_BPF_64_ABS64, symbol=symbol("f", 1)),
        *(
            Relocation(section=place, offset=0, kind=kind, symbol=symbol("f", 1))
            for place in (1, 2)
            for kind in (0, 3, 4, 8, 11)
        ),
    ],
    ids=lambda relocation: f"{relocation.kind} in {relocation.section}",
)
def test_any_relocation_where_it_does_not_belong_is_refused(strange: Relocation) -> None:
    with pytest.raises(BuildRefused, match=f"kind {strange.kind}"):
        write_v3(build(code=LOAD + EXIT, rodata=bytes(8), relocations=(strange,)))


def test_an_address_of_something_undefined_is_refused() -> None:
    missing = Relocation(section=1, offset=0, kind=R_BPF_64_64, symbol=symbol("gone", 0))
    with pytest.raises(BuildRefused, match="gone is in a section that is not loaded"):
        write_v3(build(code=LOAD + EXIT, relocations=(missing,)))


def test_an_entry_point_that_is_only_named_is_none() -> None:
    source = build(code=EXIT)
    undefined = Symbol(name="entrypoint", kind=0, section=0, value=0)
    with pytest.raises(BuildRefused, match="entrypoint"):
        write_v0(ObjectFile(sections=source.sections, symbols=(undefined,), relocations=()))


@pytest.mark.parametrize("opcode", [0x20, 0x30, 0x16, 0x66, 0xC3, 0xDB, 0xD7, 0x81, 0x00, 0xFF])
def test_an_instruction_the_chain_does_not_have_is_refused(opcode: int) -> None:
    for write in (write_v0, write_v3):
        with pytest.raises(BuildRefused, match=f"opcode {opcode:#x}"):
            write(build(code=bytes([opcode]) + bytes(7) + EXIT))


def test_half_an_instruction_is_refused() -> None:
    with pytest.raises(BuildRefused, match="whole instructions"):
        check_code(EXIT + b"\0")


def test_the_committed_program_has_no_other_instruction() -> None:
    check_code(code_of_v3(COMMITTED_PROGRAM.read_bytes()))


def test_a_file_the_loader_cannot_hold_is_refused() -> None:
    assert len(check_size(bytes(MOST_BYTES))) == 10_485_715
    with pytest.raises(BuildRefused, match="more than the loader takes"):
        check_size(bytes(MOST_BYTES + 1))
    with pytest.raises(BuildRefused, match="more than the loader takes"):
        write_v3(build(code=EXIT, rodata=bytes(MOST_BYTES)))


def elf(*sections: tuple[int, bytes]) -> bytes:
    """An object file of these sections (kind, bytes), each without a name."""
    header = bytearray(b"\x7fELF\x02\x01\x01" + bytes(57))
    body, rows = b"", b""
    for kind, data in ((0, b""), (3, b"\0"), *sections):
        rows += struct.pack("<IIQQQQIIQQ", 0, kind, 0, 0, 64 + len(body), len(data), 1, 0, 1, 0)
        body += data
    struct.pack_into("<HHI", header, 16, 1, 247, 1)
    struct.pack_into("<Q", header, 40, 64 + len(body))
    struct.pack_into("<HHHHHH", header, 52, 64, 0, 0, 64, 2 + len(sections), 1)
    return bytes(header) + body + rows


def test_objects_of_another_make_are_refused() -> None:
    symbols = (2, bytes(24))
    assert read_object(elf(symbols)).symbols[0].section == 0
    with pytest.raises(BuildRefused, match="addends"):
        read_object(elf(symbols, (4, bytes(24))))
    with pytest.raises(BuildRefused, match="no symbols"):
        read_object(elf())


def test_everything_the_chain_has_is_known() -> None:
    # Both registers and immediates of the twelve conditions; the twelve shifts and sums.
    assert {0x05, 0x1D, 0xD5, 0x07, 0x0F, 0xC7, 0xCF, 0x87, 0xDC, 0x61, 0x7B} <= relink.KNOWN
    assert not {0x06, 0x26, 0xDB} & relink.KNOWN


def test_the_interface_is_read_from_sources_of_one_shape_only() -> None:
    interface = read_interface(COMMITTED_PROGRAM.parent / "src")
    assert len(interface.instructions) == 32
    assert len(interface.errors) == 50
