"""The query loader takes a file apart by its headers and accepts nothing half named."""

import pytest

from settlement.db import sql

GOOD = """-- name: one
-- The first.
select 1

-- name: two
-- The second, with a comment of its own.
select 2 -- name it
  from somewhere
"""


def test_queries_are_named_and_in_order() -> None:
    texts = sql.parse(GOOD, where="file.sql")
    assert list(texts) == ["one", "two"]
    assert texts["one"] == "select 1"
    assert texts["two"] == "select 2 -- name it\n  from somewhere"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "select 1",
        "-- name: one\nselect 1",
        "-- name: one\n-- Purpose.\n",
        "-- name: One\n-- Purpose.\nselect 1",
        "-- name: one\n-- Purpose.\nselect 1\n-- name: one\n-- Again.\nselect 2",
        "-- name: one\n-- Purpose.\nselect 1\n-- name: two\nselect 2",
    ],
    ids=["empty", "unnamed", "no-purpose", "no-body", "capital", "twice", "second-no-purpose"],
)
def test_a_malformed_file_is_a_bug(text: str) -> None:
    with pytest.raises(AssertionError):
        sql.parse(text, where="file.sql")


def test_a_file_is_read_once_and_asked_by_name() -> None:
    queries = sql.load("settlement.ledger", "ledger.sql")
    assert sql.load("settlement.ledger", "ledger.sql") is queries
    assert "apply" in queries.names()
    assert queries["apply"].startswith("select code")
    with pytest.raises(KeyError):
        queries["no_such_query"]
