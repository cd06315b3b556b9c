"""Who wants a result as the node wrote it hears of every fault what everybody hears."""

import json

import pytest

from settlement.chain.rpc import open_rpc
from settlement.chain.transport import RpcRefused, RpcUnavailable
from tests.pure.faulty_node import node, raw
from tests.pure.test_rpc_faults import NAMES, ON_THE_WIRE, ONCE, Fault


@pytest.mark.parametrize("fault", ON_THE_WIRE, ids=NAMES)
async def test_who_wants_the_text_is_told_of_a_fault_the_same(fault: Fault) -> None:
    told: list[object] = []
    for ask in ("call", "ask_text"):
        async with node(fault.answer) as one, open_rpc([one.url], retry=ONCE) as rpc:
            try:
                found = await getattr(rpc, ask)("getSlot", [])
            except (RpcRefused, RpcUnavailable) as error:
                told.append(f"{type(error).__name__} {error}")
            else:
                told.append(json.loads(found) if ask == "ask_text" else found)
    assert told[0] == told[1]


async def test_the_text_is_what_the_node_wrote() -> None:
    written = '{ "a": [1.50, "\\u00e4", {"id": 7}] }'
    async with (
        node(raw(f'{{"result": {written}, "id": 1, "jsonrpc": "2.0"}}')) as one,
        open_rpc([one.url], retry=ONCE) as rpc,
    ):
        assert await rpc.ask_text("getTransaction", ["x"]) == written.encode()


async def test_a_transaction_that_is_not_there_has_no_text() -> None:
    async with (
        node(raw('{"jsonrpc":"2.0","id":1,"result":null}')) as one,
        open_rpc([one.url], retry=ONCE) as rpc,
    ):
        assert await rpc.transaction_text("x") is None
