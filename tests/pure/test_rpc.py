"""The RPC client against everything a node, a proxy or a wire can do wrong."""

import asyncio
import base64
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from solders.hash import Hash
from solders.pubkey import Pubkey

from settlement.chain.answers import Commitment
from settlement.chain.rpc import RpcClient, open_rpc
from settlement.chain.tokens import NotATokenAccount, TokenState
from settlement.chain.transport import RetryPolicy, RpcRefused, RpcUnavailable
from settlement.money import BlockHeight, Slot
from tests.pure.faulty_node import Answer, cut_off, error, hang_up, node, raw, result

QUICK = RetryPolicy(first_pause_seconds=0.001, longest_pause_seconds=0.002, total_seconds=5)
KEY = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
PASSING_FAULTS: dict[str, Answer] = {
    "a reset": hang_up,
    "half a body": cut_off,
    "HTML with 200": raw("<html>gateway</html>"),
    "an empty body": raw(""),
    "502": raw("bad gateway", status=502),
    "503 with JSON": raw('{"jsonrpc":"2.0","id":ID,"result":5}', status=503),
    "429": raw("slow down", status=429, headers={"Retry-After": "0"}),
    "429 in the body": error(429),
    "-32429 in the body": error(-32429),
    "a node behind, with data": error(-32005, data={"numSlotsBehind": 9}),
    "a node behind, without data": error(-32005),
    "minimum context slot not reached": error(-32016),
    "status not yet available": error(-32014),
    "internal error": error(-32603),
    "the answer to another request": raw('{"jsonrpc":"2.0","id":999999,"result":5}'),
    "an answer to nobody": raw('{"jsonrpc":"2.0","result":5}'),
    "an id that is true": raw('{"jsonrpc":"2.0","id":true,"result":5}'),
    "neither result nor error": raw('{"jsonrpc":"2.0","id":ID}'),
    "an array": raw("[]"),
    "a result of another type": raw('{"jsonrpc":"2.0","id":ID,"result":"5"}'),
    "a negative slot": raw('{"jsonrpc":"2.0","id":ID,"result":-5}'),
    "NaN": raw('{"jsonrpc":"2.0","id":ID,"result":NaN}'),
    "null": raw('{"jsonrpc":"2.0","id":ID,"result":null}'),
    "an error without a code": raw('{"jsonrpc":"2.0","id":ID,"error":{"message":"x"}}'),
    "an error that is a text": raw('{"jsonrpc":"2.0","id":ID,"error":"x"}'),
    "a redirect": raw("", status=302, headers={"Location": "http://127.0.0.1:9/"}),
}


@pytest.mark.parametrize("fault", PASSING_FAULTS.values(), ids=PASSING_FAULTS.keys())
async def test_a_passing_fault_is_asked_again(fault: Answer) -> None:
    async with node(fault, result(77)) as one, open_rpc([one.url], retry=QUICK) as rpc:
        assert await rpc.slot() == Slot(77)
        assert len(one.asked) == 2


@pytest.mark.parametrize("fault", PASSING_FAULTS.values(), ids=PASSING_FAULTS.keys())
async def test_the_next_node_is_asked_at_once(fault: Answer) -> None:
    patient = RetryPolicy(first_pause_seconds=60, longest_pause_seconds=60, total_seconds=5)
    async with (
        node(fault) as bad,
        node(result(77)) as good,
        open_rpc([bad.url, good.url], retry=patient) as rpc,
    ):
        assert await rpc.slot() == Slot(77)
        assert await rpc.slot() == Slot(77)  # the bad one rests
        assert (len(bad.asked), len(good.asked)) == (1, 2)


async def test_a_fault_that_stays_is_reported_without_the_key_in_the_url() -> None:
    async with node(raw("<html>")) as one, open_rpc([one.url], retry=QUICK) as rpc:
        with pytest.raises(RpcUnavailable) as failed:
            await rpc.slot()
    assert "secret" not in str(failed.value)
    assert failed.value.details["attempts"] == QUICK.attempts == len(one.asked)


async def test_nobody_listens() -> None:
    async with node(result(1)) as one:
        gone = one.url
    async with open_rpc([gone], retry=QUICK) as rpc:
        with pytest.raises(RpcUnavailable) as failed:
            await rpc.slot()
    assert "secret" not in str(failed.value)


async def test_a_redirect_is_not_followed() -> None:
    """It could lead our transactions, and the key in the URL, anywhere."""
    once = RetryPolicy(attempts=1)
    async with node(result(66)) as other:
        away = raw("", status=307, headers={"Location": other.url})
        async with node(away) as one, open_rpc([one.url], retry=once) as rpc:
            with pytest.raises(RpcUnavailable):
                await rpc.slot()
        assert other.asked == []


async def test_what_is_not_json_is_not_read_as_json() -> None:
    once = RetryPolicy(attempts=1)
    nan = raw('{"jsonrpc":"2.0","id":ID,"result":{"a":NaN}}')
    async with node(nan) as one, open_rpc([one.url], retry=once) as rpc:
        with pytest.raises(RpcUnavailable):
            await rpc.call("getTransaction")


async def test_a_slow_node_is_left() -> None:
    let_go = asyncio.Event()

    async def slow(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        await let_go.wait()
        return await result(5)(request, asked)

    once = RetryPolicy(attempts=1)
    async with node(slow) as one, open_rpc([one.url], retry=once) as rpc:
        with pytest.raises(RpcUnavailable, match="Timeout"):
            await rpc.call("getSlot", timeout_seconds=0.05)
        let_go.set()


async def test_too_many_bytes_are_not_read() -> None:
    async def endless(request: web.Request, _asked: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b" " * (1 << 20))
        except ConnectionError:
            return response

    once = RetryPolicy(attempts=1)
    async with node(endless) as one, open_rpc([one.url], retry=once) as rpc:
        with pytest.raises(RpcUnavailable, match="too large"):
            await rpc.slot()


async def test_a_nodes_refusal_is_an_answer_and_not_repeated() -> None:
    refusal = error(-32002, "failed", data={"err": {"InstructionError": [2, {"Custom": 6034}]}})
    async with node(refusal) as one, open_rpc([one.url], retry=QUICK) as rpc:
        with pytest.raises(RpcRefused) as failed:
            await rpc.slot()
    assert failed.value.error_code == -32002
    assert failed.value.data == {"err": {"InstructionError": [2, {"Custom": 6034}]}}
    assert len(one.asked) == 1


async def test_a_refusal_about_a_request_that_was_not_read_has_no_id() -> None:
    parse_error = raw('{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}')
    async with node(parse_error) as one, open_rpc([one.url], retry=QUICK) as rpc:
        with pytest.raises(RpcRefused):
            await rpc.slot()


# A text is what sendTransaction answers.
SEND_FAULTS = {k: v for k, v in PASSING_FAULTS.items() if k != "a result of another type"}


@pytest.mark.parametrize("fault", SEND_FAULTS.values(), ids=SEND_FAULTS.keys())
async def test_a_send_is_never_repeated(fault: Answer) -> None:
    async with (
        node(fault, result("signature")) as one,
        node(result("signature")) as other,
        open_rpc([one.url, other.url], retry=QUICK) as rpc,
    ):
        with pytest.raises(RpcUnavailable):
            await rpc.send(b"bytes")
        assert (len(one.asked), len(other.asked)) == (1, 0)


async def test_a_send_carries_the_bytes_and_asks_the_node_not_to_repeat() -> None:
    async with node(result("signature")) as one, open_rpc([one.url]) as rpc:
        assert await rpc.send(b"bytes") == "signature"
    wire, options = one.asked[0]["params"]
    assert base64.b64decode(wire) == b"bytes"
    assert options["maxRetries"] == 0
    assert "skipPreflight" not in options


async def test_an_outage_is_not_answered_with_a_storm() -> None:
    """Retries of all calls come out of one budget."""
    mean = RetryPolicy(attempts=10, first_pause_seconds=0.001, budget=5, earned_per_call=0.1)
    async with node(raw("<html>")) as one, open_rpc([one.url], retry=mean) as rpc:
        for _ in range(20):
            with pytest.raises(RpcUnavailable):
                await rpc.slot()
    assert len(one.asked) <= 20 + 5 + 2


async def test_retry_after_is_heeded() -> None:
    busy = raw("", status=429, headers={"Retry-After": "7"})
    short = RetryPolicy(first_pause_seconds=0.001, total_seconds=2)
    async with node(busy, result(1)) as one, open_rpc([one.url], retry=short) as rpc:
        with pytest.raises(RpcUnavailable):
            await rpc.slot()  # it would have to wait longer than the call may take
    assert len(one.asked) == 1


async def test_account_and_balance_come_with_their_slot() -> None:
    token = bytearray(165)
    token[0:32], token[32:64] = bytes([1] * 32), bytes([2] * 32)
    token[64:72] = (2**64 - 1).to_bytes(8, "little")
    token[108] = 2
    account = {
        "owner": str(KEY),
        "lamports": 2**64 - 1,
        "data": [base64.b64encode(token).decode(), "base64"],
        "executable": False,
        "rentEpoch": 2**64 - 1,
    }
    answer = result({"context": {"slot": 9, "apiVersion": "4.2"}, "value": account})
    async with node(answer) as one, open_rpc([one.url]) as rpc:
        found = await rpc.token_balance(KEY, min_context_slot=Slot(8))
    assert one.asked[0]["params"][1] == {
        "commitment": "finalized",
        "encoding": "base64",
        "minContextSlot": 8,
    }
    assert (found.slot, found.account.amount) == (Slot(9), 2**64 - 1)
    assert found.account.state is TokenState.FROZEN
    assert found.account.delegate is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"owner": "11111111111111111111111111111111", "lamports": 1, "data": ["", "base64"]},
    ],
)
async def test_what_is_no_token_account_is_said_to_be_none(value: object) -> None:
    answer = result({"context": {"slot": 9}, "value": value})
    async with node(answer) as one, open_rpc([one.url]) as rpc:
        with pytest.raises(NotATokenAccount):
            await rpc.token_balance(KEY)


async def test_one_unknown_error_does_not_poison_a_page() -> None:
    page = [
        {"signature": "a", "slot": 5, "err": {"Unheard": ["of"]}, "blockTime": None, "x": 1},
        {"signature": "b", "slot": 4, "err": None, "blockTime": 1_800_000_000},
    ]
    async with node(result(page)) as one, open_rpc([one.url]) as rpc:
        found = await rpc.signatures_for(KEY, before="z", min_context_slot=Slot(5), limit=2)
    assert [(item.signature, item.failed) for item in found] == [("a", True), ("b", False)]
    options = one.asked[0]["params"][1]
    assert options == {
        "commitment": "finalized",
        "minContextSlot": 5,
        "limit": 2,
        "before": "z",
    }


async def test_a_page_without_err_is_not_believed() -> None:
    page = result([{"signature": "a", "slot": 5}])
    async with node(page) as one, open_rpc([one.url], retry=QUICK) as rpc:
        with pytest.raises(RpcUnavailable):
            await rpc.signatures_for(KEY)


async def test_a_missing_transaction_is_asked_of_another_node_next() -> None:
    async with (
        node(result(None)) as first,
        node(result({"slot": 1})) as second,
        open_rpc([first.url, second.url]) as rpc,
    ):
        assert await rpc.transaction("s") is None
        assert await rpc.transaction("s") == {"slot": 1}
    assert first.asked[0]["params"][1]["maxSupportedTransactionVersion"] == 1


async def test_statuses_blockhash_height_and_simulation() -> None:
    blockhash = Hash(bytes([7] * 32))
    answers = [
        result(
            {
                "context": {"slot": 3},
                "value": [
                    None,
                    {"slot": 2, "err": None, "confirmationStatus": "finalized"},
                    {"slot": 2, "err": {"?": 1}, "confirmationStatus": "certified"},
                ],
            }
        ),
        result(
            {
                "context": {"slot": 3},
                "value": {"blockhash": str(blockhash), "lastValidBlockHeight": 150},
            }
        ),
        result(12),
        result({"context": {"slot": 3}, "value": {"err": None, "logs": ["one"]}}),
        result({"context": {"slot": 3}, "value": 1_000}),
        result("genesis"),
    ]
    async with node(*answers) as one, open_rpc([one.url]) as rpc:
        missing, final, unheard = await rpc.signature_statuses(["a", "b", "c"])
        latest = await rpc.latest_blockhash()
        assert await rpc.block_height(Commitment.FINALIZED) == BlockHeight(12)
        assert (await rpc.simulate(b"")).logs == ("one",)
        assert await rpc.balance(KEY) == 1_000
        assert await rpc.genesis_hash() == "genesis"
    assert missing is None
    assert final is not None
    assert final.commitment is Commitment.FINALIZED
    assert unheard is not None
    assert (unheard.failed, unheard.commitment) == (True, None)
    assert (latest.blockhash, latest.last_valid_height) == (blockhash, BlockHeight(150))


async def test_as_many_answers_as_questions() -> None:
    short = result({"context": {"slot": 3}, "value": [None]})
    async with node(short) as one, open_rpc([one.url], retry=QUICK) as rpc:
        with pytest.raises(RpcUnavailable):
            await rpc.accounts([KEY, KEY])
        with pytest.raises(RpcUnavailable):
            await rpc.signature_statuses(["a", "b"])


async def test_a_client_needs_a_node() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(AssertionError):
            RpcClient([], session)
