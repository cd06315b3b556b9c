"""Did it happen, was it asked for, and is this the answer? (chain.md 4.1)"""

from typing import Any

from tests.pure.deposits.case import (
    CODE,
    CREDIT,
    FAILED,
    OTHER,
    UNREADABLE,
    Raw,
    again,
    case,
    coded,
    drop,
    every,
    put,
    spoiled,
)
from tests.pure.transactions import SIGNATURE, answer, deposit, key, signature


def failed_with(error: object) -> Raw:
    """A failed transaction with this error."""
    made = answer(deposit(CODE, 5), failed=True)
    return spoiled(made, put("meta.err", error), put("meta.status", {"Err": error}))


def reversed_fields(node: Any) -> Any:  # noqa: ANN401 raw JSON
    """The same JSON with the fields of every object in the other order."""
    if isinstance(node, dict):
        pairs: list[tuple[Any, Any]] = list(node.items())  # pyright: ignore[reportUnknownArgumentType] raw JSON
        return {name: reversed_fields(value) for name, value in reversed(pairs)}
    if isinstance(node, list):
        return [reversed_fields(value) for value in node]  # pyright: ignore[reportUnknownVariableType] raw JSON
    return node


ERRORS: tuple[object, ...] = ("New", 5, {"New": "field"}, [1], "", 0, False)
CASES = (
    case(
        "D01",
        "a failed transaction with a valid deposit inside",
        answer(deposit(CODE, 5), failed=True),
        leads_to=FAILED,
    ),
    case(
        "D02",
        "it failed, says the answer, and the vault holds more",
        answer(deposit(CODE, 5), till=5, failed=True),
        leads_to=UNREADABLE,
    ),
    case(
        "D03",
        "`err` and the older `status` contradict each other",
        *every(coded(), "meta.status", {"Err": "x"}, {}, {"Ok": None, "Err": "x"}),
        *every(answer(deposit(CODE, 5), failed=True), "meta.status", {"Ok": None}),
        leads_to=UNREADABLE,
    ),
    case(
        "D04",
        "`status` is not there, as on nodes to come",
        spoiled(coded(), drop("meta.status")),
        spoiled(coded(), put("meta.status", None)),
        leads_to=CREDIT,
    ),
    case(
        "D06",
        "an error of a kind nobody has heard of, or an empty one",
        *map(failed_with, ERRORS),
        leads_to=FAILED,
    ),
    case(
        "D08",
        "the answer is about another transaction, or about none",
        *every(coded(), "transaction.signatures", [signature(1)], [], [signature(1), SIGNATURE]),
        leads_to=UNREADABLE,
    ),
    case(
        "D10",
        "fields in another order, and fields nobody knows",
        reversed_fields(coded().json()),
        spoiled(coded(), put("meta.new", {"field": 1}), put("new", [])),
        leads_to=CREDIT,
    ),
    case(
        "D11",
        "two people show the same transaction as theirs: its code says whose it is",
        coded(),
        answer(deposit(CODE, 5, depositor=key("bob")), till=5),
        leads_to=CREDIT,
    ),
    case(
        "D12",
        "fee, lamports, rewards and compute units lie or are missing: they are not read",
        *every(coded(), "meta.fee", -1, None, "free"),
        *every(coded(), "meta.preBalances", None, [10**30]),
        spoiled(coded(), drop("meta.fee"), put("meta.rewards", {}), put("meta.costUnits", [])),
        leads_to=CREDIT,
    ),
    case(
        "D14",
        "a balance, an account key or a group of calls is listed twice",
        spoiled(coded(), again("meta.preTokenBalances")),
        spoiled(coded(), again("meta.postTokenBalances")),
        spoiled(coded(), again("meta.innerInstructions")),
        spoiled(coded(), again("transaction.message.accountKeys")),
        leads_to=UNREADABLE,
    ),
    case(
        "D80",
        "two people deposit under two codes in one transaction",
        answer(deposit(CODE, 5), deposit(OTHER, 6, depositor=key("bob")), till=11),
        leads_to=[CREDIT, f"credit: till 6 for {OTHER.hex()}"],
    ),
)
