"""Every fault of RPC that we know of, by its id (chain.md section 5; even numbers are ours).

`ON_THE_WIRE` happens here, to a client that asks a faulty node: whether the call is made again or
is an answer, whether the node is blamed, and for how long it is let be. `ELSEWHERE` names the test
in which the fault happens to something larger than one call.
"""

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from settlement.chain.rpc import open_rpc
from settlement.chain.transport import RetryPolicy, RpcRefused, RpcUnavailable
from settlement.money import Slot
from tests.pure.faulty_node import Answer, cut_off, error, hang_up, node, raw, result

ROOT = Path(__file__).parents[2]
ONCE = RetryPolicy(attempts=1)
NEEDED = {f"R{number:02}" for number in range(1, 57)}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What a node does, and what becomes of it."""

    id: str
    what: str
    answer: Answer
    refused: bool = False  # an answer, never asked again; else the next node is asked
    blamed: bool = True  # whether it counts against the node's health
    let_be_seconds: int = 0  # so long nobody asks it
    error_code: int | None = None


def later(code: int) -> Answer:
    return error(code, data={"numSlotsBehind": 9})


ON_THE_WIRE: Final = (
    Fault(id="R03", what="a reset", answer=hang_up),
    Fault(id="R03", what="half a body", answer=cut_off),
    Fault(
        id="R04",
        what="HTTP 429 with Retry-After",
        answer=raw("slow", status=429, headers={"Retry-After": "30"}),
        let_be_seconds=30,
    ),
    Fault(
        id="R04",
        what="HTTP 429 with a date",
        answer=raw("slow", status=429, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}),
        let_be_seconds=1,
    ),
    Fault(id="R04", what="HTTP 429", answer=raw("slow", status=429), let_be_seconds=1),
    Fault(
        id="R04",
        what="HTTP 503 with Retry-After",
        answer=raw("", status=503, headers={"Retry-After": "9"}),
        let_be_seconds=9,
    ),
    Fault(
        id="R05",
        what="429 in a body",
        answer=error(429),
        let_be_seconds=1,
        error_code=429,
    ),
    Fault(
        id="R05",
        what="-32429 in a body",
        answer=error(-32429),
        let_be_seconds=1,
        error_code=-32429,
    ),
    Fault(id="R06", what="another id", answer=raw('{"jsonrpc":"2.0","id":1e9,"result":5}')),
    Fault(id="R06", what="no id", answer=raw('{"jsonrpc":"2.0","result":5}')),
    Fault(id="R07", what="HTTP 502", answer=raw("bad gateway", status=502)),
    Fault(id="R07", what="HTML with 200", answer=raw("<html>")),
    Fault(id="R07", what="an empty body", answer=raw("")),
    Fault(id="R08", what="depth without end", answer=raw("[" * 100_000)),
    Fault(id="R08", what="NaN", answer=raw('{"jsonrpc":"2.0","id":ID,"result":NaN}')),
    Fault(id="R08", what="a float", answer=raw('{"jsonrpc":"2.0","id":ID,"result":5.0}')),
    Fault(id="R09", what="behind, with data", answer=later(-32005), error_code=-32005),
    Fault(id="R09", what="behind, without", answer=error(-32005), error_code=-32005),
    Fault(
        id="R10",
        what="minContextSlot not reached",
        answer=error(-32016, data={"contextSlot": 1}),
        blamed=False,
        error_code=-32016,
    ),
    Fault(
        id="R11",
        what="preflight failure",
        answer=error(-32002, data={"err": "BlockhashNotFound"}),
        refused=True,
        blamed=False,
        error_code=-32002,
    ),
    Fault(
        id="R12",
        what="signature verification failure",
        answer=error(-32003),
        refused=True,
        blamed=False,
        error_code=-32003,
    ),
    Fault(
        id="R13",
        what="status not yet available",
        answer=error(-32014),
        blamed=False,
        error_code=-32014,
    ),
    Fault(
        id="R14",
        what="block not available",
        answer=error(-32004),
        blamed=False,
        error_code=-32004,
    ),
    Fault(
        id="R15",
        what="slot skipped",
        answer=error(-32007),
        refused=True,
        blamed=False,
        error_code=-32007,
    ),
    Fault(
        id="R15",
        what="missing in long-term storage",
        answer=error(-32009),
        refused=True,
        blamed=False,
        error_code=-32009,
    ),
    Fault(
        id="R16",
        what="HTTP 400 with a JSON-RPC error",
        answer=error(-32602, status=400),
        refused=True,
        blamed=False,
        error_code=-32602,
    ),
    Fault(
        id="R17",
        what="no transaction history",
        answer=error(-32011),
        refused=True,
        blamed=False,
        error_code=-32011,
    ),
    Fault(id="R18", what="internal error", answer=error(-32603), error_code=-32603),
    Fault(
        id="R19",
        what="unknown cursor",
        answer=error(-32020),
        refused=True,
        blamed=False,
        error_code=-32020,
    ),
    Fault(
        id="R21",
        what="unsupported version",
        answer=error(-32015),
        refused=True,
        blamed=False,
        error_code=-32015,
    ),
    Fault(id="R22", what="a negative slot", answer=result(-5)),
    Fault(id="R22", what="a result of another type", answer=result("5")),
    Fault(id="R24", what="null", answer=result(None)),
    Fault(id="R24", what="neither result nor error", answer=raw('{"jsonrpc":"2.0","id":ID}')),
    Fault(id="R24", what="an error without a code", answer=raw('{"id":ID,"error":{}}')),
    Fault(
        id="R50",
        what="a redirect",
        answer=raw("", status=302, headers={"Location": "http://127.0.0.1:9/"}),
    ),
)
NAMES: Final = [f"{fault.id} {fault.what}" for fault in ON_THE_WIRE]


@pytest.mark.parametrize("fault", ON_THE_WIRE, ids=NAMES)
async def test_what_becomes_of_a_fault(fault: Fault) -> None:
    kind = RpcRefused if fault.refused else RpcUnavailable
    async with node(fault.answer) as one, open_rpc([one.url], retry=ONCE) as rpc:
        with pytest.raises(kind) as failed:
            await rpc.slot()
        known = rpc.nodes[0]
        let_be_seconds = known.let_be_until_seconds - asyncio.get_running_loop().time()
    if isinstance(failed.value, RpcRefused):
        assert failed.value.error_code == fault.error_code
    else:
        assert failed.value.details.get("error_code") == fault.error_code
    assert "secret" not in str(failed.value)
    assert known.experience.faults == int(fault.blamed)
    assert fault.let_be_seconds - 1 < max(0.0, let_be_seconds) <= fault.let_be_seconds


@pytest.mark.parametrize("fault", ON_THE_WIRE, ids=NAMES)
async def test_another_node_answers_at_once_what_is_no_answer(fault: Fault) -> None:
    patient = RetryPolicy(first_pause_seconds=60, longest_pause_seconds=60, total_seconds=5)
    async with (
        node(fault.answer) as bad,
        node(result(77)) as good,
        open_rpc([bad.url, good.url], retry=patient) as rpc,
    ):
        if fault.refused:
            with pytest.raises(RpcRefused):
                await rpc.slot()
            assert (len(bad.asked), len(good.asked)) == (1, 0)
        else:
            assert await rpc.slot() == Slot(77)
            assert (len(bad.asked), len(good.asked)) == (1, 1)


async def test_tls_that_fails_is_named() -> None:
    async with node(result(1)) as one:
        secure = one.url.replace("http://", "https://")
        async with open_rpc([secure], retry=ONCE) as rpc:
            with pytest.raises(RpcUnavailable, match="SSL") as failed:
                await rpc.slot()
    assert "secret" not in str(failed.value)
    assert one.asked == []


# Where it happens to something larger than one call: the file and the name of the test.
ELSEWHERE: Final = {
    "R01": ("tests/pure/test_rpc.py", "test_nobody_listens"),
    "R02": ("tests/pure/test_rpc.py", "test_a_slow_node_is_left"),
    "R08": ("tests/pure/test_rpc.py", "test_too_many_bytes_are_not_read"),
    "R15": ("tests/database/indexer/test_providers.py", "test_nonsense_is_asked_of_the_next"),
    "R17": (
        "tests/pure/test_probes.py",
        "test_one_without_transactions_is_the_wrong_kind_of_node",
    ),
    "R19": (
        "tests/database/indexer/test_follow.py",
        "test_a_cursor_nobody_remembers_is_not_the_end_of_history",
    ),
    # An old node's "nothing older": known signatures are missing below it.
    "R20": (
        "tests/pure/test_probes.py",
        "test_an_old_node_answers_an_unknown_cursor_with_an_empty_page",
    ),
    "R21": (
        "tests/database/indexer/test_follow.py",
        "test_what_cannot_be_read_stops_its_accounts_until_it_can",
    ),
    "R23": ("tests/pure/test_rpc.py", "test_one_unknown_error_does_not_poison_a_page"),
    "R25": (
        "tests/database/indexer/test_providers.py",
        "test_a_transaction_one_has_not_is_asked_of_the_next",
    ),
    # Pages out of order, or with a signature twice.
    "R26": (
        "tests/database/indexer/test_follow.py",
        "test_a_listing_in_the_wrong_order_is_not_believed",
    ),
    "R27": (
        "tests/database/indexer/test_follow.py",
        "test_a_lagging_node_is_an_error_not_an_omission",
    ),
    # A history that lost what it had.
    "R28": (
        "tests/database/indexer/test_follow.py",
        "test_a_history_that_lost_a_signature_moves_no_frontier",
    ),
    "R29": (
        "tests/database/indexer/test_follow.py",
        "test_a_signature_that_shows_up_below_the_frontier_is_found_in_the_overlap",
    ),
    # A history that begins too late.
    "R30": (
        "tests/database/indexer/test_providers.py",
        "test_one_without_history_neither_leads_nor_proves_what_is_older",
    ),
    "R31": (
        "tests/database/indexer/test_providers.py",
        "test_what_nobody_signed_is_refused_and_its_teller_named",
    ),
    # The lie about what no signature covers: a failure that was none.
    "R32": (
        "tests/database/indexer/test_providers.py",
        "test_one_providers_word_is_not_enough_for_a_failure",
    ),
    "R33": (
        "tests/chain/indexer/test_wake.py",
        "test_hints_wake_and_a_lost_connection_is_made_again",
    ),
    # A websocket that is silent.
    "R34": ("tests/chain/indexer/test_wake.py", "test_a_silent_connection_is_made_again"),
    "R35": ("tests/chain/indexer/test_wake.py", "test_a_flood_of_messages_is_one_flag"),
    # Messages that are none.
    "R36": ("tests/chain/indexer/test_wake.py", "test_only_hints_wake"),
    "R37": (
        "tests/chain/indexer/test_follow.py",
        "test_a_coded_deposit_is_credited_with_and_without_a_websocket",
    ),
    # Subscriptions that a node refuses.
    "R38": (
        "tests/chain/indexer/test_wake.py",
        "test_it_is_relied_on_only_when_every_subscription_is_confirmed",
    ),
    "R39": (
        "tests/chain/indexer/test_wake.py",
        "test_hints_wake_and_a_lost_connection_is_made_again",
    ),
    # A signature listed at two slots.
    "R40": (
        "tests/database/indexer/test_providers.py",
        "test_a_provider_that_lists_another_slot_holds_nothing_up",
    ),
    # A signature that does not exist.
    "R42": (
        "tests/database/indexer/test_providers.py",
        "test_a_signature_that_does_not_exist_waits_for_a_person",
    ),
    # Two who tell the same transaction differently.
    "R44": (
        "tests/database/indexer/test_providers.py",
        "test_two_who_tell_a_large_credit_differently_stop_it",
    ),
    "R45": ("tests/chain/indexer/test_survive.py", "test_the_node_goes_away_and_comes_back"),
    # A load balancer whose backends change the chain.
    "R46": (
        "tests/pure/test_probes.py",
        "test_one_whose_backend_changes_is_noticed_when_it_is_probed_again",
    ),
    "R47": ("tests/pure/test_rpc.py", "test_an_outage_is_not_answered_with_a_storm"),
    # A provider that comes and goes.
    "R48": (
        "tests/pure/test_providers.py",
        "test_who_was_given_up_is_probed_again_when_it_answers",
    ),
    "R49": ("tests/pure/test_rpc_faults.py", "test_tls_that_fails_is_named"),
    "R51": (
        "tests/database/indexer/test_follow.py",
        "test_a_frontier_needs_two_looks_some_slots_apart",
    ),
    # One that ignores the bound inside the call.
    "R52": (
        "tests/database/indexer/test_providers.py",
        "test_one_that_ignores_min_context_slot_is_no_witness",
    ),
    "R53": ("tests/pure/test_rpc_faults.py", "test_commitments_are_names"),
    # One that ignores cursors.
    "R54": ("tests/pure/test_probes.py", "test_one_that_ignores_cursors_cannot_prove"),
    "R55": (
        "tests/pure/test_providers.py",
        "test_a_lead_that_lags_is_demoted_and_comes_back_when_it_is_probed",
    ),
    # One that fails while it leads.
    "R56": (
        "tests/database/indexer/test_providers.py",
        "test_a_leading_one_that_fails_is_followed_by_another",
    ),
}
# Blocks are never read for the books, so a gap between two, or two for one slot, deceives nobody.
NOT_ASKED: Final = {"R41": "getBlock", "R43": "getBlock"}


def test_every_fault_is_in_a_table() -> None:
    known = {fault.id for fault in ON_THE_WIRE} | ELSEWHERE.keys() | NOT_ASKED.keys()
    assert known == NEEDED


@pytest.mark.parametrize("fault", ELSEWHERE)
def test_the_test_of_a_fault_exists(fault: str) -> None:
    file, name = ELSEWHERE[fault]
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


@pytest.mark.parametrize("fault", NOT_ASKED)
def test_what_is_never_asked_cannot_deceive(fault: str) -> None:
    for path in (ROOT / "indexer").glob("*.py"):
        assert NOT_ASKED[fault] not in path.read_text(), path


def test_commitments_are_names() -> None:
    """R53: nothing converts a commitment to a number of slots or seconds."""
    for path in (ROOT / "indexer").glob("*.py"):
        assert not re.search(r"\b32 ?\* ?0\.4\b|\b12\.8\b|slot_seconds", path.read_text()), path
