"""The build route: encodings, and that what it does not understand is refused."""

import struct
import subprocess
from pathlib import Path

import pytest

from programs.build.bitcode import check_crates, crate_lines
from programs.build.elf import MACHINE_BPF, ObjectFile, Relocation, Section, Symbol, read_object
from programs.build.failure import BuildRefused
from programs.build.image_v0 import write_v0
from programs.build.image_v3 import murmur3, write_v3
from programs.build.relink import R_BPF_64_32, R_BPF_64_64, R_BPF_64_ABS64
from programs.build.source_tree import tree_hash

ROOT = Path(__file__).parents[2]
CALL = bytes([0x85, 0, 0, 0]) + struct.pack("<i", -1)
EXIT = bytes([0x95]) + bytes(7)
LOAD = bytes([0x18, 1, 0, 0]) + bytes(12)
INDIRECT = bytes([0x8D, 0x03]) + bytes(6)


def section(name: str, flags: int, data: bytes, kind: int = 1) -> Section:
    return Section(
        name=name, kind=kind, flags=flags, align=8, info=0, link=0, data=data, size=len(data)
    )


def symbol(name: str, number: int, value: int = 0, kind: int = 2) -> Symbol:
    return Symbol(name=name, kind=kind, section=number, value=value)


def build(
    *,
    code: bytes,
    relocations: tuple[Relocation, ...] = (),
    rodata: bytes = b"",
    more: tuple[Section, ...] = (),
) -> ObjectFile:
    sections = (section("", 0, b""), section(".text", 6, code), section(".rodata", 2, rodata))
    return ObjectFile(
        sections=(*sections, *more),
        symbols=(symbol("entrypoint", 1),),
        relocations=relocations,
    )


def call_of(name: str, number: int = 0, *, at: int = 0, value: int = 0) -> Relocation:
    return Relocation(section=1, offset=at, kind=R_BPF_64_32, symbol=symbol(name, number, value))


def code_of_v3(image: bytes) -> bytes:
    count = struct.unpack_from("<H", image, 56)[0]
    offset, _, _, size = struct.unpack_from("<4Q", image, 64 + 56 * (count - 1) + 8)
    return image[offset : offset + size]


def test_syscall_names_hash_as_the_runtime_hashes_them() -> None:
    # As published with the runtime's syscall table.
    assert murmur3(b"abort") == 0xB6FC1A11
    assert murmur3(b"sol_panic_") == 0x686093BB
    assert murmur3(b"sol_log_") == 0x207559BD
    assert murmur3(b"sol_sha256") == 0x11F49D86


def test_version_3_names_a_syscall_by_its_hash() -> None:
    code = code_of_v3(write_v3(build(code=CALL + EXIT, relocations=(call_of("sol_log_"),))))
    assert code == bytes([0x85, 0, 0, 0]) + struct.pack("<I", 0x207559BD) + EXIT


def test_calls_between_functions_are_relative() -> None:
    relocations = (call_of("forward", 1, value=16), call_of("back", 1, at=8, value=0))
    code = code_of_v3(write_v3(build(code=CALL + CALL + EXIT, relocations=relocations)))
    assert code[:8] == bytes([0x85, 0x10, 0, 0]) + struct.pack("<i", 1)
    assert code[8:16] == bytes([0x85, 0x10, 0, 0]) + struct.pack("<i", -2)


def test_a_call_through_its_section_counts_instructions() -> None:
    through = Symbol(name="", kind=3, section=1, value=0)
    relocation = Relocation(section=1, offset=0, kind=R_BPF_64_32, symbol=through)
    code = CALL[:4] + struct.pack("<i", 1) + CALL[:1] + bytes(7) + EXIT
    linked = code_of_v3(write_v3(build(code=code, relocations=(relocation,))))
    assert struct.unpack_from("<i", linked, 4)[0] == 1


def test_version_3_lays_data_at_zero_and_code_at_four_gigabytes() -> None:
    load = Relocation(section=1, offset=0, kind=R_BPF_64_64, symbol=symbol("text", 2, 8))
    pointer = Relocation(section=2, offset=0, kind=R_BPF_64_ABS64, symbol=symbol("f", 1, 16))
    image = write_v3(build(code=LOAD + EXIT, rodata=bytes(16), relocations=(load, pointer)))
    assert struct.unpack_from("<HHIQ", image, 16) == (3, MACHINE_BPF, 1, 1 << 32)
    assert struct.unpack_from("<I", image, 48)[0] == 3
    data = struct.unpack_from("<IIQQQQQ", image, 64)
    code = struct.unpack_from("<IIQQQQQ", image, 120)
    assert data[1:] == (4, 176, 0, 0, 16, 16)
    assert code[1:] == (1, 192, 1 << 32, 1 << 32, 24, 24)
    assert struct.unpack_from("<I", code_of_v3(image), 4)[0] == 8
    assert struct.unpack_from("<Q", image, 176)[0] == (1 << 32) + 16


def test_version_0_moves_the_register_of_an_indirect_call() -> None:
    image = write_v0(
        build(code=LOAD + INDIRECT + CALL + EXIT, relocations=(call_of("abort", at=24),))
    )
    code = image[64 + 168 :]
    assert code[16:24] == bytes([0x8D, 0, 0, 0]) + struct.pack("<I", 3)
    assert code[24:32] == bytes([0x85, 0x10, 0, 0]) + struct.pack("<i", -1)
    assert b"\0abort\0" in image


@pytest.mark.parametrize(
    ("name", "number", "told"),
    [
        ("memcpy", 0, "no such syscall"),
        ("somewhere", 9, "not loaded"),
        ("data", 2, "which is data"),
    ],
)
def test_calls_that_lead_nowhere_are_refused(name: str, number: int, told: str) -> None:
    source = build(code=CALL + EXIT, rodata=bytes(8), relocations=(call_of(name, number),))
    with pytest.raises(BuildRefused, match=told):
        write_v3(source)


def test_relocations_on_the_wrong_instruction_are_refused() -> None:
    with pytest.raises(BuildRefused, match="stands on opcode"):
        write_v3(build(code=EXIT, relocations=(call_of("sol_log_"),)))
    load = Relocation(section=1, offset=0, kind=R_BPF_64_64, symbol=symbol("t", 1))
    with pytest.raises(BuildRefused, match="stands on opcode"):
        write_v3(build(code=EXIT + EXIT, relocations=(load,)))


def test_unknown_relocations_are_refused() -> None:
    strange = Relocation(section=1, offset=0, kind=3, symbol=symbol("t", 1))
    with pytest.raises(BuildRefused, match="kind 3"):
        write_v3(build(code=EXIT, relocations=(strange,)))


@pytest.mark.parametrize(
    "writable", [section(".data", 3, bytes(8)), section(".bss", 3, bytes(8), kind=8)]
)
def test_writable_sections_are_refused(writable: Section) -> None:
    with pytest.raises(BuildRefused, match="writable section"):
        write_v3(build(code=EXIT, more=(writable,)))


def test_a_program_must_start_somewhere() -> None:
    source = build(code=EXIT)
    without = ObjectFile(sections=source.sections, symbols=(), relocations=())
    with pytest.raises(BuildRefused, match="entrypoint"):
        write_v3(without)


@pytest.mark.parametrize("content", [b"", b"\x7fELF\x01\x01" + bytes(60), (b"MZ" + bytes(64))])
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(BuildRefused):
        read_object(content)


def test_an_object_for_another_machine_is_refused() -> None:
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 1, 62, 1) + bytes(40)
    with pytest.raises(BuildRefused, match="not a relocatable BPF"):
        read_object(header)


def test_crates_are_held_to_their_hashes(tmp_path: Path) -> None:
    lock, expected = tmp_path / "Cargo.lock", tmp_path / "crates.lock"
    lock.write_text(
        '[[package]]\nname = "bond"\nversion = "0.1.0"\n\n'
        '[[package]]\nname = "a"\nversion = "1.0.0"\nsource = "s"\nchecksum = "ff"\n'
    )
    assert crate_lines(lock) == ["a 1.0.0 ff"]
    expected.write_text("a 1.0.0 ff\n")
    check_crates(lock, expected)
    for other in ("a 1.0.0 fe\n", "a 1.0.1 ff\n", "a 1.0.0 ff\nb 1.0.0 aa\n", ""):
        expected.write_text(other)
        with pytest.raises(BuildRefused, match=r"crates\.lock"):
            check_crates(lock, expected)


def test_the_tree_hash_is_gits(tmp_path: Path) -> None:
    (tmp_path / "src/inner").mkdir(parents=True)
    (tmp_path / "src/inner.rs").write_text("one\n")
    (tmp_path / "src/inner/a.rs").write_text("two\n")
    for words in (["init", "-q"], ["add", "src"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    written = subprocess.run(
        ["git", "write-tree", "--prefix=src/"], cwd=tmp_path, check=True, capture_output=True
    )
    assert tree_hash(tmp_path / "src") == written.stdout.decode().strip()
