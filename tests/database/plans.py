"""How the server really ran a statement: a plan made without knowing the arguments, and its counts.

Functions of the books plan so (`force_generic_plan`); their statements are taken out of the catalog
and prepared as they stand there, with the settings of their function.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import asyncpg

from settlement.db.pool import ReadConn

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Node = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Touched:
    """Which tables a statement went into, which it need not, and how many it left out at once."""

    tables: frozenset[str]
    spared: frozenset[str]
    removed: int


async def body_of(connection: Connection, function: str, arguments: Sequence[str]) -> str:
    """The text of a function of one statement, its arguments numbered."""
    body: str = await connection.fetchval(
        "select prosrc from pg_proc"
        " where proname = $1 and pronamespace = 'settlement'::regnamespace",
        function,
    )
    for number, name in enumerate(arguments, 1):
        body = body.replace(name, f"${number}")
    return body


async def touched(
    connection: Connection, statement: str, types: Sequence[str], *arguments: str
) -> Touched:
    """Run a statement by a generic plan, and say which tables it looked into."""
    await connection.execute("set enable_seqscan = off; set plan_cache_mode = force_generic_plan")
    await connection.execute(f"prepare asked({', '.join(types)}) as {statement}")
    try:
        told: str = await connection.fetchval(
            "explain (analyze, costs off, timing off, summary off, format json)"
            f" execute asked({', '.join(arguments)})"
        )
    finally:
        await connection.execute("deallocate asked; reset all")
    nodes = list(_nodes(json.loads(told)[0]["Plan"]))
    scanned = [node for node in nodes if "Relation Name" in node]
    went = frozenset(str(n["Relation Name"]) for n in scanned if n["Actual Loops"])
    return Touched(
        tables=went,
        spared=frozenset(str(n["Relation Name"]) for n in scanned) - went,
        removed=sum(int(node.get("Subplans Removed", 0)) for node in nodes),
    )


def _nodes(plan: Node) -> Iterator[Node]:
    yield plan
    for child in cast("Sequence[Node]", plan.get("Plans", ())):
        yield from _nodes(child)


async def looks_and_rows(connection: ReadConn) -> dict[str, tuple[int, int]]:
    """By partition that this new session touched: looks into it, and rows written."""
    rows = await connection.fetch(
        "select relname, coalesce(seq_scan, 0) + coalesce(idx_scan, 0) as looks, n_tup_ins"
        " from pg_stat_xact_user_tables where schemaname = 'settlement'"
        " and relname ~ '^charge_[0-9]+$'"
    )
    counts = {row["relname"]: (row["looks"], row["n_tup_ins"]) for row in rows}
    return {name: count for name, count in counts.items() if any(count)}
