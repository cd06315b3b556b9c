"""Loads named queries from `.sql` files.

A file is a list of queries, each opened by two comment lines: `-- name: get_balance` and a sentence
that says what it is for. Nothing is assembled: a query is run as it stands in its file. Tests
prepare every query against the migrated database and check that each is used.
"""

import re
from functools import cache
from importlib import resources
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: (?P<name>[a-z][a-z0-9_]*)\n-- (?P<purpose>\S.*)\n", re.MULTILINE)


class Queries:
    """The queries of one file; `queries["get_balance"]` is its text."""

    def __init__(self, package: str, file: str, texts: dict[str, str]) -> None:
        self.package = package
        self.file = file
        self._texts = texts

    def __getitem__(self, name: str) -> LiteralString:
        # Literal in fact: it comes from a file of ours, and nothing is ever put into it.
        return cast("LiteralString", self._texts[name])

    def names(self) -> tuple[str, ...]:
        """Every query of the file, in its order."""
        return tuple(self._texts)


@cache
def load(package: str, file: str) -> Queries:
    """Read `file` of `package`; a malformed file is a bug and raises AssertionError."""
    text = resources.files(package).joinpath(file).read_text()
    return Queries(package, file, parse(text, where=f"{package}/{file}"))


def parse(text: str, *, where: str) -> dict[str, str]:
    """Split a file into name → query; the header lines are left out of the query."""
    headers = list(_NAME.finditer(text))
    assert headers, f"{where} names no query"
    assert len(headers) == text.count("-- name:"), f"{where} has a query without a purpose line"
    texts: dict[str, str] = {}
    for header, following in zip(headers, [*headers[1:], None], strict=True):
        body = text[header.end() : following.start() if following else len(text)].strip()
        assert header["name"] not in texts, f"{where} names {header['name']} twice"
        assert body, f"{where} has nothing under {header['name']}"
        texts[header["name"]] = body
    return texts
