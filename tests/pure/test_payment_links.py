"""Payment links: what they ask for is read back the same, and nothing else is read at all."""

import io
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.etree import ElementTree

import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from cli import payment_link
from coordinator.api.payments import asked, link, refusals
from coordinator.api.payments.asked import Asked, BondAsked, BondStep, DepositAsked, StepAsked
from settlement import deposits
from settlement.money import LARGEST_AMOUNT_MICROUSDC, InvalidAmount, MicroUsdc

USER_CODE = bytes.fromhex("00ff11ee22dd33cc")
keys = st.binary(min_size=32, max_size=32).map(Pubkey.from_bytes)
letters = st.text("ABCDEFXYZabcxyz0189", min_size=8, max_size=8).map(str.encode)
amounts = st.integers(1, LARGEST_AMOUNT_MICROUSDC).map(MicroUsdc)
asks: st.SearchStrategy[Asked] = st.one_of(
    st.builds(
        DepositAsked,
        code=st.binary(min_size=8, max_size=8),
        amount_microusdc=amounts,
        references=st.lists(keys, max_size=8, unique=True).map(tuple),
    ),
    st.builds(BondAsked, code=letters, beneficiary=st.none() | keys),
    st.builds(StepAsked, code=letters, step=st.sampled_from(BondStep)),
)


def read(wanted: Asked, query: asked.Query) -> Asked:
    match wanted:
        case DepositAsked():
            return asked.deposit(query)
        case BondAsked():
            return asked.bond(query)
        case StepAsked():
            return asked.step(wanted.step, query)


@given(asks)
def test_a_link_says_exactly_what_was_asked(wanted: Asked) -> None:
    made = link.payment_link("https://pod.test", wanted)
    scheme, _, encoded = made.partition(":")
    assert scheme == "solana"
    assert not set(encoded) & set(":/?&=+ #")  # nothing that a URL parser would cut at
    url = urlsplit(unquote(encoded))
    assert (url.scheme, url.netloc, url.path) == (
        "https",
        "pod.test",
        f"/v1/pay/{asked.path_of(wanted)}",
    )
    assert read(wanted, parse_qsl(url.query, keep_blank_values=True)) == wanted


@given(st.text(max_size=40) | st.text("0123456789.", min_size=1, max_size=12))
def test_an_amount_is_exact_or_refused(text: str) -> None:
    query = [("code", USER_CODE.hex()), ("amount", text)]
    try:
        found = asked.deposit(query).amount_microusdc
    except (refusals.QueryInvalid, InvalidAmount):
        return
    whole, _, rest = text.partition(".")
    assert found == int(whole) * 1_000_000 + int(rest.ljust(6, "0"))


@given(amounts)
def test_dollars_are_read_back(amount: MicroUsdc) -> None:
    shown = asked.dollars(amount)
    query = [("code", USER_CODE.hex()), ("amount", shown)]
    assert asked.deposit(query).amount_microusdc == amount
    assert not shown.endswith(".")
    assert "." not in shown or not shown.endswith("0")


@pytest.mark.parametrize(("amount", "shown"), [(1, "0.000001"), (10_000_000, "10"), (0, "0")])
def test_dollars(amount: int, shown: str) -> None:
    assert asked.dollars(amount) == shown


def test_codes_are_shown_as_people_know_them() -> None:
    for _ in range(200):
        user = deposits.new_user_code()
        assert asked.code_text(user) == user.hex()
        bond = deposits.new_bond_code()
        assert asked.code_text(bond.encode()) == deposits.bond_code_text(bond)
    assert asked.read_code(b"ABCD1234".hex()) == b"ABCD1234"  # the same bond, in hex


def test_a_code_of_the_enrollment_is_not_the_bonds() -> None:
    with pytest.raises(refusals.QueryInvalid) as refused:
        asked.read_bond_code("POD-ENROLL-ABCD1234")
    assert refused.value.details["valid"] == "POD-BOND-XXXXXXXX"


def test_the_image_is_the_code_of_the_link() -> None:
    made = payment_link.deposit_link(
        "https://pod.test/", code=USER_CODE.hex(), amount_microusdc=MicroUsdc(25_500_000)
    )
    assert made == (
        "solana:https%3A%2F%2Fpod.test%2Fv1%2Fpay%2Fdeposit"
        f"%3Fcode%3D{USER_CODE.hex()}%26amount%3D25.5"
    )
    image = ElementTree.fromstring(link.svg(made))
    size = segno.make_qr(made, error="m").symbol_size(border=4)
    assert image.attrib["viewBox"] == f"0 0 {size[0]} {size[1]}"
    assert {child.tag.rpartition("}")[2] for child in image} == {"path"}


def test_the_terminal_shows_the_code_with_its_quiet_zone() -> None:
    made = payment_link.bond_link("https://pod.test", code="POD-BOND-ABCD1234")
    matrix = [list(row) for row in segno.make_qr(made, error="m").matrix_iter(border=4)]
    drawn: list[list[int]] = []
    halves = {"█": (0, 0), "▀": (0, 1), "▄": (1, 0), " ": (1, 1)}
    for line in payment_link.terminal_qr(made).splitlines():
        drawn.append([halves[character][0] for character in line])
        drawn.append([halves[character][1] for character in line])
    assert drawn[: len(matrix)] == matrix


@pytest.mark.parametrize(("url", "warned"), [("https://pod.test", 0), ("http://127.0.0.1:1", 1)])
def test_what_a_command_prints(url: str, warned: int) -> None:
    made = payment_link.step_link(url, code="POD-BOND-ABCD1234", step=BondStep.RELEASE)
    console = Console(file=io.StringIO(), width=40)
    payment_link.show(console, made)
    printed = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType] # a StringIO
    assert f"\n{made}\n" in printed  # whole, however narrow the window
    assert printed.count("development only") == warned  # pyright: ignore[reportUnknownMemberType]


@pytest.mark.parametrize("url", ["http://pod.test", "", "pod.test", "https://", "solana:x"])
def test_no_link_that_wallets_refuse(url: str) -> None:
    with pytest.raises(refusals.LinkNotSecure):
        payment_link.bond_link(url, code="POD-BOND-ABCD1234")


@pytest.mark.parametrize("code", ["", "ABCD1234", "POD-BOND-", "0" * 15, "POD-ENROLL-ABCD1234"])
def test_no_link_for_a_code_that_is_none(code: str) -> None:
    with pytest.raises(refusals.QueryInvalid):
        payment_link.deposit_link("https://pod.test", code=code, amount_microusdc=MicroUsdc(1))
    with pytest.raises(refusals.QueryInvalid):
        payment_link.bond_link("https://pod.test", code=code)


def test_a_reference_is_a_key_in_its_one_spelling() -> None:
    key = str(Keypair().pubkey())
    query = [("code", USER_CODE.hex()), ("amount", "1"), ("reference", "1" + key)]
    with pytest.raises(refusals.QueryInvalid):
        asked.deposit(query)
