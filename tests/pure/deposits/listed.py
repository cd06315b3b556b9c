"""All cases, those that other tests decide, and the page that lists them.

python -m tests.pure.deposits.listed > docs/deposit-cases.md
"""

from typing import Final, TypeVar

from tests.pure.deposits import (
    amount_cases,
    answer_cases,
    code_cases,
    identity_cases,
    outcome_cases,
)
from tests.pure.deposits.case import Case, Elsewhere

_One = TypeVar("_One", Case, Elsewhere)
_FOLLOW: Final = "tests/database/indexer/test_follow.py"
_REPLAY: Final = "tests/database/indexer/test_replay.py"

CASES: Final[tuple[Case, ...]] = (
    *outcome_cases.CASES,
    *identity_cases.CASES,
    *amount_cases.CASES,
    *code_cases.CASES,
    *answer_cases.CASES,
)
ELSEWHERE: Final = (
    Elsewhere(
        name="D05",
        what="a transaction that is only processed or confirmed",
        outcome="not booked: only what is finalized is asked for",
        test=f"{_FOLLOW}::test_the_frontier_stops_below_what_is_not_there_yet",
    ),
    Elsewhere(
        name="D07",
        what="the same signature is listed again, in another order or another page",
        outcome="one row, booked once",
        test=f"{_REPLAY}::test_finding_signatures_in_any_order_changes_nothing",
    ),
    Elsewhere(
        name="D09",
        what="a notification that lies: all-ones signature, `err` null",
        outcome="a hint: it wakes, it is never read",
        test="tests/chain/indexer/test_wake.py::test_only_hints_wake",
    ),
    Elsewhere(
        name="D13",
        what="a newer decoder reads an old transaction otherwise",
        outcome="it is told apart by its version; vaults stay as they were booked",
        test="tests/database/indexer/test_index_words.py"
        "::test_what_leaves_quarantine_is_told_apart_when_a_version_is_asked_for",
    ),
    Elsewhere(
        name="D21",
        what="something stands in the books for a vault that holds something else",
        outcome="the balances differ: reconcile says so",
        test="tests/database/payouts/test_reconcile.py::test_the_chain_holds_something_else",
    ),
    Elsewhere(
        name="D89",
        what="several signatures in one slot, in another order by backend",
        outcome="whole slots overlap; booked in the order of one listing",
        test=f"{_FOLLOW}::test_transactions_of_one_slot_are_booked_in_the_order_of_the_programs_listing",
    ),
    Elsewhere(
        name="D91",
        what="death in the middle of anything",
        outcome="the same books when it is made again",
        test=f"{_REPLAY}::test_dying_after_any_statement_changes_nothing",
    ),
    Elsewhere(
        name="D93",
        what="the cursor signature is unknown: on a dead fork, or pruned",
        outcome="never the end of history",
        test=f"{_FOLLOW}::test_a_cursor_nobody_remembers_is_not_the_end_of_history",
    ),
    Elsewhere(
        name="D97",
        what="the node is behind the slot it is asked about",
        outcome="an error, never an omission",
        test=f"{_FOLLOW}::test_a_lagging_node_is_an_error_not_an_omission",
    ),
    Elsewhere(
        name="D99",
        what="a slot is taken for complete before its transactions are booked",
        outcome="the frontier stops below",
        test=f"{_FOLLOW}::test_what_cannot_be_read_stops_its_accounts_until_it_can",
    ),
)
_HEAD: Final = """\
# What becomes of money, case by case

What the indexer makes of every shape an answer about a transaction can have, honest or not. The
rules for people are in [deposits.md](deposits.md); this is the list behind them. Each row is a test
over raw answers, several where a case has several shapes: `tests/pure/deposits` for the first
table, the test that is named for the second. This page is written from those tables:
`python -m tests.pure.deposits.listed > docs/deposit-cases.md`.

- **credit** names a code; whether somebody has it, the books know, and if not it is suspense.
- **suspense**: booked, nobody is named, finance can assign it later.
- **quarantine**: booked by how much the vault changed, nobody is credited, a person is told. By 0:
  there is nothing to book, only to tell.
- **outflow**: money left without a number: booked, and payouts stop.
- **unreadable**: nothing is concluded; another node is asked, and the frontier waits. No stranger
  can send what leads here.
- **failed**, **nothing**: the row is kept, no money moved.
- **unrecognized**: a person is told; what moved is booked by its movements.
"""


def page() -> str:
    """docs/deposit-cases.md."""
    decided = [f"| {one.name} | {one.what} | {'; '.join(one.outcome)} |" for one in _sorted(CASES)]
    others = [
        f"| {one.name} | {one.what} | {one.outcome} | `{one.test}` |" for one in _sorted(ELSEWHERE)
    ]
    return "\n".join(
        [
            _HEAD,
            "## Decided by the decoder and the attribution",
            "",
            "| Case | What | What becomes of it |",
            "|---|---|---|",
            *decided,
            "",
            "## Decided before or after them",
            "",
            "| Case | What | What becomes of it | Test |",
            "|---|---|---|---|",
            *others,
            "",
        ]
    )


def _sorted(cases: tuple[_One, ...]) -> list[_One]:
    return sorted(cases, key=lambda one: int(one.name[1:]))


if __name__ == "__main__":
    print(page(), end="")
