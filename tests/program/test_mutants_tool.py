"""The mutation tool: which checks it finds in a source, and what it makes of them."""

from pathlib import Path

import pytest

from programs.build.failure import BuildRefused
from programs.build.interface import AccountUse, InstructionShape
from programs.mutate.calls import call_sites
from programs.mutate.conditions import condition_sites
from programs.mutate.order import Order
from programs.mutate.report import Outcome, read_report, write_report
from programs.mutate.rust_text import RustText
from programs.mutate.schema import MAGIC, apply_edits, with_mutant
from programs.mutate.site import Mutant

ACCOUNTS = tuple(
    AccountUse(name=name, docs="", signer=name == "payer", writable=name == "vault")
    for name in ("payer", "vault")
)
SHAPE = InstructionShape(
    name="pay", docs="", discriminator=bytes(8), accounts=ACCOUNTS, arguments=()
)


def conditions(text: str) -> list[str]:
    return [site.what for site in condition_sites(RustText(text))]


def calls(text: str, shape: InstructionShape | None = None) -> list[str]:
    return [site.what for site in call_sites(RustText(text), shape)]


def body(text: str) -> str:
    return f"fn f() {{\n    {text}\n}}\n"


def test_a_refusal_is_deleted_and_its_edge_moved() -> None:
    assert conditions(body("if now < t { return Err(E); }")) == [
        "`if now < t` deleted",
        "`now < t` with `<=`",
    ]


def test_each_operand_is_dropped() -> None:
    assert conditions(body("if a || b { return Err(E); }")) == [
        "`a` taken for false",
        "`b` taken for false",
    ]
    assert conditions(body("if a && (b || c) { Ok(()) } else { Err(E) }")) == [
        "`a` taken for true",
        "`(b || c)` taken for true",
        "`b` taken for false",
        "`c` taken for false",
    ]


def test_a_condition_that_only_chooses_is_taken_for_false() -> None:
    assert conditions(body("if held == 0 { plain(); }")) == ["`if held == 0` taken for false"]


def test_a_pass_is_taken_for_true() -> None:
    assert conditions(body("if key == k { Ok(()) } else { Err(E) }")) == [
        "`key == k` taken for true"
    ]


def test_guards_names_and_questions_are_found() -> None:
    assert conditions(body("match x {\n        A if b => c,\n        _ => d,\n    }")) == [
        "`if b` guard deleted"
    ]
    assert conditions(body("let ok = a >= b;")) == ["`a >= b` with `>`"]
    assert conditions("fn is(a: u8) -> bool {\n    a == 1 || a == 2\n}\n") == [
        "`a == 1` taken for false",
        "`a == 2` taken for false",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "#[cfg(test)]\nmod tests {\n    fn f() { if a < b { return Err(E); } }\n}\n",
        "macro_rules! m { () => { if a < b { return Err(E); } }; }\n",
        "// if a < b { return Err(E); }\n",
        'const TEXT: &str = "if a < b { return Err(E); }";\n',
        "const fn f() { while a < b {} }\n",
    ],
)
def test_what_is_no_check_of_the_program_is_left_alone(text: str) -> None:
    assert (conditions(text), calls(text)) == ([], [])


def test_calls_that_refuse_are_deleted_and_loads_unchecked() -> None:
    assert calls(body("expect(a, &b)?;")) == ["`expect(a, &b)` deleted"]
    assert calls(body("self.invariant()")) == ["`self.invariant()` deleted"]
    assert calls(body("let c = Config::load(view, program)?;")) == [
        "`Config::load(view, program)` unchecked"
    ]
    assert calls(body("let t = TokenAccount::load_of(v, m, o)?;")) == [
        "`TokenAccount::load_of(v, m, o)` without its owner"
    ]
    assert calls(body("let s = a.checked_add(b).ok_or(Error::Overflow)?;")) == [
        "`a.checked_add(b).ok_or(Error::Overflow)` gives zero"
    ]
    assert calls(body("let s = double(a);")) == []


def test_every_account_that_must_sign_or_be_writable_is_a_check_of_its_own() -> None:
    text = body("let given = Pay::exactly(views)?;\n    given.check_writable()?;")
    assert calls(text, SHAPE) == [
        "more accounts than it takes are allowed",
        "`vault` need not be writable",
    ]
    assert calls(body("given.check_signers()?;"), SHAPE) == ["`payer` need not be a signer"]
    assert calls(body("let a = Arguments::parse(data)?;"), SHAPE) == ["the data's length unchecked"]


def test_edits_nest() -> None:
    text = body("if a >= b && c { return Err(E); }")
    sites = sorted(condition_sites(RustText(text)), key=lambda site: (site.start, -site.end))
    edited = apply_edits(text, list(enumerate(sites, 1)))
    off = [f"crate::mutant::off({number})" for number in range(5)]
    first = f"(((a >= b || {off[2]}) && !({off[3]} && (a) == (b)))"
    assert f"if ({first} && (c || {off[4]})) && !{off[1]}) {{ return Err(E); }}" in edited


def test_the_number_is_written_where_it_is_found_once() -> None:
    program = b"code" + MAGIC + bytes(8) + b"more"
    assert with_mutant(program, 7) == b"code" + MAGIC + b"\7" + bytes(7) + b"more"
    for other in (b"code", program + program):
        with pytest.raises(BuildRefused, match="just once"):
            with_mutant(other, 7)


def test_a_page_is_read_back_as_written(tmp_path: Path) -> None:
    caught = Mutant(number=1, file="a.rs", function="f", what="`x || y` taken for false")
    equal = Mutant(number=2, file="a.rs", function="f", what="`z` deleted")
    alive = Mutant(number=3, file="b/c.rs", function="g", what="`z` deleted")
    killer = "till/test_pay.py::test_it[a|b]"
    outcomes = [Outcome(mutant=caught, killer=killer)]
    outcomes += [Outcome(mutant=each, killer=None) for each in (equal, alive)]
    page = tmp_path / "page.md"
    write_report(page, outcomes, {equal.key: "nothing to see"})
    assert read_report(page) == {
        caught.key: f"`{killer}`",
        equal.key: "nothing to see",
        alive.key: "none",
    }
    assert "3 mutants: 1 caught, 1 that change nothing anybody could see, 1 surviving." in (
        page.read_text()
    )


def test_likely_tests_come_first_and_long_ones_last() -> None:
    order = Order(["lives.py::a", "x.py::b", "pay.py::c", "y.py::d"])
    order.learn("y.py::d")
    assert order.best_first(["pay"]) == ["pay.py::c", "y.py::d", "x.py::b", "lives.py::a"]
