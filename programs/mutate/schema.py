"""The mutated crate: every check can be switched off, one at a time, by one word of the program.

One build serves all mutants. The word stands behind sixteen bytes found nowhere else, is read with
a volatile load, and is patched in the finished file; host tests read it from the environment.
"""

import shutil
from pathlib import Path

from programs.build.failure import BuildRefused
from programs.build.interface import InstructionShape, read_interface
from programs.mutate.calls import call_sites
from programs.mutate.conditions import condition_sites
from programs.mutate.rust_text import RustText
from programs.mutate.site import NUMBER, Mutant, Site

MAGIC = b"mutant number is"
VARIABLE = "BOND_MUTANT"
# With this number nothing is off, and every check that is reached is written to the log.
TRACE = 2**64 - 1
# Nothing in them is a check: the table of syscalls, the list of errors, names of modules.
_WITHOUT_CHECKS = {"syscalls.rs", "error.rs", "tests.rs"}
_SWITCH = """//! Which check is off; written by the mutation tool.
#[cfg(not(test))]
#[used]
static CHOSEN: [u64; 3] = [{first}, {second}, 0];

#[cfg(not(test))]
#[inline(always)]
pub fn off(number: u64) -> bool {{
    // SAFETY: a plain static, read so that no compiler looks into it.
    let chosen = unsafe {{ core::ptr::read_volatile(core::ptr::addr_of!(CHOSEN[2])) }};
    if chosen == u64::MAX {{
        tell(number);
    }}
    number == chosen
}}

#[cfg(not(test))]
#[inline(never)]
fn tell(_number: u64) {{
    // SAFETY: the syscall takes numbers.
    #[cfg(any(target_os = "solana", target_arch = "bpf"))]
    unsafe {{
        pinocchio::syscalls::sol_log_64_(0, 0, 0, 0, _number)
    }};
}}

#[cfg(test)]
pub fn off(number: u64) -> bool {{
    static CHOSEN: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    let read = || std::env::var("{variable}").map_or(0, |text| text.parse().unwrap());
    number == *CHOSEN.get_or_init(read)
}}

#[inline(always)]
pub fn instead<T: Default>(number: u64) -> Option<T> {{
    if off(number) {{ Some(T::default()) }} else {{ None }}
}}

#[inline(always)]
pub fn taken<'a, T>(view: &'a pinocchio::AccountView) -> Result<&'a T, crate::error::Error> {{
    Ok(unsafe {{ &*crate::accounts::bytes(view).as_ptr().cast::<T>() }})
}}

#[inline(always)]
pub fn taken_mut<'a, T>(
    view: &'a pinocchio::AccountView,
) -> Result<&'a mut T, crate::error::Error> {{
    let mut raw = *view;
    Ok(unsafe {{ &mut *raw.data_mut_ptr().cast::<T>() }})
}}
"""
_UNCHECKED_TOKENS = """
impl<'a> TokenAccount<'a> {
    #[inline(always)]
    pub fn unchecked(view: &'a AccountView) -> Result<Self, Error> {
        Ok(Self { bytes: unsafe { &*bytes(view).as_ptr().cast() } })
    }
}
"""


def find_mutants(sources: Path) -> tuple[list[Mutant], dict[str, list[tuple[int, Site]]]]:
    """Every mutant, numbered from 1, and for each file its numbered edits."""
    shapes = {shape.name: shape for shape in read_interface(sources).instructions}
    mutants: list[Mutant] = []
    edits: dict[str, list[tuple[int, Site]]] = {}
    for path in sorted(sources.rglob("*.rs")):
        if path.name in _WITHOUT_CHECKS:
            continue
        file = str(path.relative_to(sources))
        source = RustText(path.read_text())
        for site in _sites(source, shapes.get(path.stem) if "processor" in file else None):
            number = len(mutants) + 1
            mutants.append(_named(mutants, number, file, source.function_at(site.start), site))
            edits.setdefault(file, []).append((number, site))
    return mutants, edits


def _sites(source: RustText, shape: InstructionShape | None) -> list[Site]:
    found = [*condition_sites(source), *call_sites(source, shape)]
    return sorted(found, key=lambda site: (site.start, -site.end))


def _named(known: list[Mutant], number: int, file: str, function: str, site: Site) -> Mutant:
    """The mutant, told apart from those of the same words in the same function."""
    what, again = site.what, 1
    keys = {mutant.key for mutant in known if mutant.file == file}
    while (file, function, what) in keys:
        again += 1
        what = f"{site.what} (no. {again})"
    return Mutant(number=number, file=file, function=function, what=what)


def write_mutated_crate(
    crate: Path, target: Path, edits: dict[str, list[tuple[int, Site]]]
) -> None:
    """Copy the crate to `target` with every mutant in it."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(crate / "src", target / "src")
    for name in ("Cargo.toml", "crates.lock"):
        shutil.copy(crate / name, target)
    for file, numbered in edits.items():
        path = target / "src" / file
        path.write_text(apply_edits(path.read_text(), numbered))
    words = (int.from_bytes(half, "little") for half in (MAGIC[:8], MAGIC[8:]))
    first, second = words
    switch = _SWITCH.format(first=first, second=second, variable=VARIABLE)
    (target / "src/mutant.rs").write_text(switch)
    _append(target / "src/token.rs", _UNCHECKED_TOKENS)
    library = target / "src/lib.rs"
    text = library.read_text()
    library.write_text(text.replace("pub mod accounts;", "pub mod accounts;\npub mod mutant;", 1))


def apply_edits(text: str, numbered: list[tuple[int, Site]]) -> str:
    """The text with every edit in place: outer ones around inner ones."""
    pieces: list[tuple[int, int, int, str]] = []
    gone: list[tuple[int, int]] = []
    for number, site in numbered:
        length = site.end - site.start
        before, after = (words.replace(NUMBER, str(number)) for words in (site.before, site.after))
        # What ends at a place comes before what starts there; inner ends first, outer starts first.
        pieces.append((site.start, 1, -length, before))
        pieces.append((site.end, 0 if length else 1, length, after))
        if site.replacement is not None:
            gone.append((site.start, site.end))
    out: list[str] = []
    done = 0
    for position, _, _, words in sorted(pieces, key=lambda piece: piece[:3]):
        if not any(start < position <= end for start, end in gone):
            out.append(text[done:position])
        out.append(words)
        done = position
    return "".join(out) + text[done:]


def with_mutant(program: bytes, number: int) -> bytes:
    """The program with this check off; 0 for none."""
    place = program.find(MAGIC)
    if place < 0 or program.find(MAGIC, place + 1) >= 0:
        raise BuildRefused("the program does not hold the mutant's number just once")
    at = place + len(MAGIC)
    return program[:at] + number.to_bytes(8, "little") + program[at + 8 :]


def _append(path: Path, words: str) -> None:
    path.write_text(path.read_text() + words)
