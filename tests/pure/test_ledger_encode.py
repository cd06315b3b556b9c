"""Operations as JSON: what is promised to stay the same, and what is refused before it travels."""

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from uuid import UUID

import pytest

from settlement.ledger.accounts import FUNDING_SOL
from settlement.ledger.encode import (
    LARGEST_META_BYTES,
    OperationMalformed,
    encode,
    encode_batch,
)
from settlement.ledger.operations import (
    AccountName,
    Balance,
    Capture,
    Code,
    Hold,
    HoldPurpose,
    Operation,
    Outcome,
    Post,
    Void,
)
from settlement.money import MicroUsdc
from tests import factories

ID = UUID("0192f3a4-5b6c-7d8e-9f00-112233445566")
USER = AccountName(f"user:{ID}")
HOST = AccountName(f"host:{ID}")


def post() -> Post:
    return factories.post(factories.transfer(factories.TILL, USER, 5), transaction_id=ID)


def test_a_post_as_the_books_remember_it() -> None:
    # The hash of this text tells a replay from a conflict: it must never change by itself.
    assert encode(post()) == (
        '{"verb":"post","id":"0192f3a4-5b6c-7d8e-9f00-112233445566","kind":"adjustment",'
        '"event_at":"2026-11-02T12:00:00+00:00","effective_on":"2026-11-02","actor":"test",'
        '"transfers":[{"debit":"chain:till",'
        '"credit":"user:0192f3a4-5b6c-7d8e-9f00-112233445566","amount":5}]}'
    )


def test_the_same_moment_is_the_same_content_in_every_zone() -> None:
    there = factories.NOW.astimezone(timezone(timedelta(hours=-7)))
    assert encode(replace(post(), event_at=there)) == encode(post())


def test_every_field_of_a_post_is_content() -> None:
    plain = json.loads(encode(post()))
    full = replace(
        post(), slot=factories.Slot(1), external_ref="r", reverses=ID, reason="why", meta={"a": 1}
    )
    told = json.loads(encode(full))
    assert {key: told[key] for key in set(told) - set(plain)} == {
        "slot": 1,
        "external_ref": "r",
        "reverses": str(ID),
        "reason": "why",
        "meta": {"a": 1},
    }


def test_the_other_verbs() -> None:
    operations: list[Operation] = [
        factories.hold(USER, 7, hold_id=ID),
        factories.charge(ID, USER, HOST, 6),
        Void(hold_id=ID, reason="left"),
        Capture(hold_id=ID, post=post()),
    ]
    told = json.loads(encode_batch(operations))
    name = str(ID)
    assert told[:3] == [
        {"verb": "hold", "id": name, "account": USER, "amount": 7, "purpose": "request"},
        {
            "verb": "charge",
            "id": name,
            "account": USER,
            "operator": HOST,
            "amount": 6,
            "split_bps": 2000,
            "hold": name,
        },
        {"verb": "void", "id": name, "reason": "left"},
    ]
    assert (told[3]["verb"], told[3]["hold"], told[3]["kind"]) == ("capture", name, "adjustment")


LEASE = factories.hold(USER, 1, purpose=HoldPurpose.LEASE)
MALFORMED: dict[str, tuple[str, Operation]] = {
    "a hold of nothing": ("amount", factories.hold(USER, 0)),
    "a hold of less": ("amount", factories.hold(USER, -1)),
    "a lease without an end": ("expires_at", replace(LEASE, expires_at=None)),
    "a lease of no zone": ("expires_at", replace(LEASE, expires_at=datetime(2126, 1, 1))),  # noqa: DTZ001 - the bad input
    "a hold with an end": ("expires_at", replace(LEASE, purpose=HoldPurpose.REQUEST)),
    "a negative gross": ("gross", factories.charge(ID, USER, HOST, -1)),
    "a split of more than all": ("split_bps", factories.charge(ID, USER, HOST, 1, 10_001)),
    "a negative split": ("split_bps", factories.charge(ID, USER, HOST, 1, -1)),
    "a void that does not say why": ("reason", Void(hold_id=ID, reason="")),
    "a post that moves nothing": ("transfers", factories.post()),
    "a transfer of nothing": ("amount", factories.post(factories.transfer(USER, HOST, 0))),
    "a transfer of less": ("amount", factories.post(factories.transfer(USER, HOST, -5))),
    "a transfer to oneself": ("credit", factories.post(factories.transfer(USER, USER, 5))),
    "two assets": ("credit", factories.post(factories.transfer(USER, FUNDING_SOL, 5))),
    "much metadata": ("meta", replace(post(), meta={"a": "x" * LARGEST_META_BYTES})),
    "a moment without a zone": ("event_at", replace(post(), event_at=datetime(2026, 1, 1))),  # noqa: DTZ001 - the bad input
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_nobody_may_ask_for_is_refused_by_the_name_of_its_field(what: str) -> None:
    field, operation = MALFORMED[what]
    with pytest.raises(OperationMalformed) as refused:
        encode(operation)
    assert refused.value.details["field"] == field
    if isinstance(operation, Post):
        with pytest.raises(OperationMalformed):
            encode(Capture(hold_id=ID, post=operation))


def test_every_operation_has_a_form() -> None:
    with pytest.raises(AssertionError):
        encode(object())  # pyright: ignore[reportArgumentType]


def test_what_is_done_is_done_now_or_before() -> None:
    assert [code for code in Code if Outcome(code=code).done] == [Code.APPLIED, Code.REPLAYED]


def test_what_may_be_spent_is_what_is_there_less_what_is_held() -> None:
    balance = Balance(
        account=USER,
        debits_microusdc=3,
        credits_microusdc=10,
        held_microusdc=2,
        version=4,
    )
    assert (balance.net_microusdc, balance.available_microusdc) == (7, 5)


def test_facts_do_not_change() -> None:
    hold = factories.hold(USER, 1)
    with pytest.raises(AttributeError):
        hold.amount_microusdc = MicroUsdc(2)  # pyright: ignore[reportAttributeAccessIssue]
    assert hold == Hold(
        hold_id=hold.hold_id, account=USER, amount_microusdc=MicroUsdc(1), purpose=hold.purpose
    )
