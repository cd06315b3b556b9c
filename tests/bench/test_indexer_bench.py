"""The indexer's benchmark runs through, small, and what it reports is what happened."""

import sys
from pathlib import Path
from typing import cast

import msgspec
import pytest

from indexer.attribution import events_of
from indexer.decode import decode
from indexer.events import Deposit
from indexer.signed import check_signed
from tests.bench import __main__ as command
from tests.bench.indexer import Plan, Results, bars_of, measure, sized
from tests.bench.indexer_chain import FIRST_SLOT, Asked, MadeUpChain
from tests.bench.indexer_latency import Plan as Latency
from tests.pure.transactions import DEPLOYMENT, TILL, WATCH

CODES = [bytes([number]) * 8 for number in range(1, 4)]


def ask(chain: MadeUpChain, method: str, *params: object) -> object:
    """The result, as a client reads it; None where there is an error."""
    found = chain.answer(Asked(id=1, method=method, params=list(params)))
    return None if found is None else msgspec.json.decode(found)


def listed(chain: MadeUpChain, address: object) -> list[str]:
    """All signatures of an address, by pages of 30."""
    names: list[str] = []
    while True:
        before = {"before": names[-1]} if names else {}
        page = ask(chain, "getSignaturesForAddress", str(address), {"limit": 30, **before})
        lines = cast("list[dict[str, str]]", page)
        names += [line["signature"] for line in lines]
        if not page:
            return names


def test_the_made_up_chain_is_one_that_could_be() -> None:
    chain = MadeUpChain(200, CODES)
    names = listed(chain, TILL)
    assert len(set(names)) == 200
    assert set(listed(chain, DEPLOYMENT.program_id)) < set(names)
    moved, slots, coded = 0, list[int](), 0
    for name in names:
        answer = ask(chain, "getTransaction", name)
        check_signed(answer, signature=name)
        read = decode(answer, signature=name, watch=WATCH)
        assert not read.doubted
        slots.append(read.moment.slot)
        events = events_of(read, WATCH)
        moved += sum(one.amount_microusdc for one in events if isinstance(one, Deposit))
        coded += any(isinstance(one, Deposit) and one.code in CODES for one in events)
    assert moved == chain.held_microusdc
    assert slots == sorted(slots, reverse=True)
    assert slots[-1] == FIRST_SLOT
    assert 150 < coded < 200
    assert ask(chain, "getSignaturesForAddress", str(TILL), {"before": "nobody"}) is None
    later = Asked(id=1, method="getAccountInfo", params=[str(TILL), {"minContextSlot": 10**9}])
    assert b"-32016" in chain.told(later)


@pytest.mark.long
@pytest.mark.timeout(280)
def test_a_small_run_reports_every_part_of_right_books(tmp_path: Path) -> None:
    plan = Plan(signatures=300, raw=100, users=10, latency=Latency(deposits=3, idle_seconds=6.0))
    measured = measure(tmp_path, plan=plan)
    results = measured.results
    assert set(results) == {"raw", "backfill", "polling", "awake", "run"}
    assert results["raw"]["per_second"] > 0
    backfill = results["backfill"]
    assert (backfill["signatures"], backfill["wrong"]) == (300, 0)
    assert 300 <= backfill["entries"] <= 330  # a Batch is two
    assert 20 < backfill["end_mb"] <= backfill["peak_mb"] < 300
    for part in ("polling", "awake"):
        assert results[part]["deposits"] == 3
        assert 0 < results[part]["p50_ms"] <= results[part]["p99_ms"] <= results[part]["worst_ms"]
    assert results["polling"]["idle_calls_per_minute"] > 0
    assert not list(tmp_path.iterdir())


def _results(**changed: float) -> Results:
    """A report of nothing but what the bars look at."""
    good = {"raw": 3_000, "share": 0.7, "rate": 900, "peak": 90, "growth": 1, "wrong": 0,
            "polling": 1_500, "awake": 200} | changed  # fmt: skip
    return {
        "raw": {"per_second": good["raw"]},
        "backfill": {
            "share_of_raw": good["share"],
            "per_second": good["rate"],
            "peak_mb": good["peak"],
            "growth_mb": good["growth"],
            "wrong": good["wrong"],
        },
        "polling": {"p99_ms": good["polling"]},
        "awake": {"p99_ms": good["awake"]},
    }


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({}, []),
        ({"raw": 1_999}, ["raw_per_second"]),
        ({"share": 0.599}, ["share_of_raw"]),
        ({"rate": 555}, ["signatures_per_second"]),
        ({"peak": 301}, ["peak_mb"]),
        ({"growth": 41}, ["growth_mb"]),
        ({"wrong": 1}, ["not_as_on_chain"]),
        ({"polling": 2_001}, ["polling_p99_ms"]),
        ({"awake": 301}, ["awake_p99_ms"]),
    ],
)
def test_bars_are_missed_one_by_one(changed: dict[str, float], missed: list[str]) -> None:
    assert [bar.name for bar in bars_of(_results(**changed)) if not bar.met] == missed


def test_a_smaller_run_is_smaller_in_all_its_parts() -> None:
    few, whole = sized(400), Plan()
    assert few.latency is not None
    assert whole.latency is not None
    assert (few.signatures, few.raw, few.latency.deposits) == (400, 400, 4)
    assert whole.signatures == 100_000
    assert few.latency.deposits < whole.latency.deposits


@pytest.mark.parametrize("words", [["ledger", "--size", "5"], ["indexer", "--size", "0"]])
def test_a_size_is_for_the_indexer(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", *words])
    with pytest.raises(SystemExit):
        command.main()
    assert "--size is for the indexer" in capsys.readouterr().err
