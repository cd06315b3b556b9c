"""What things cost and who owns what, as nodes answer it: read strictly."""

import base64

import pytest
from solders.pubkey import Pubkey

from settlement.chain.answers import AnswerMalformed, owned_accounts
from settlement.chain.rpc import open_rpc
from settlement.chain.transport import RetryPolicy, RpcRefused, RpcUnavailable
from settlement.money import Lamports
from tests.pure.faulty_node import Answer, error, node, result

KEY = Pubkey(bytes([7]) * 32)
ONCE = RetryPolicy(attempts=1)


def with_context(value: object) -> Answer:
    return result({"context": {"slot": 5}, "value": value})


async def test_a_fee_and_a_fee_that_is_not_known() -> None:
    async with node(with_context(5_007), with_context(None)) as one, open_rpc([one.url]) as rpc:
        assert await rpc.fee_for(b"message") == Lamports(5_007)
        assert await rpc.fee_for(b"message") is None
        assert one.asked[0]["params"] == [
            base64.b64encode(b"message").decode(), {"commitment": "confirmed"}
        ]  # fmt: skip


@pytest.mark.parametrize("value", [-1, "5", 1.5, True, {}])
async def test_what_is_no_fee(value: object) -> None:
    async with node(with_context(value)) as one, open_rpc([one.url], retry=ONCE) as rpc:
        with pytest.raises(RpcUnavailable):
            await rpc.fee_for(b"")


async def test_the_rent_of_a_size() -> None:
    async with node(result(890_880), result(-1)) as one, open_rpc([one.url], retry=ONCE) as rpc:
        assert await rpc.rent_exempt_minimum(0) == Lamports(890_880)
        with pytest.raises(RpcUnavailable):
            await rpc.rent_exempt_minimum(0)


@pytest.mark.parametrize(
    ("said", "units"), [({"unitsConsumed": 1_234}, 1_234), ({"unitsConsumed": None}, 0), ({}, 0)]
)
async def test_the_units_of_a_simulation(said: dict[str, object], units: int) -> None:
    async with node(with_context({"err": None, **said})) as one, open_rpc([one.url]) as rpc:
        assert (await rpc.simulate(b"")).units == units


async def test_a_programs_accounts_by_their_bytes() -> None:
    shown = {"owner": str(KEY), "lamports": 1, "data": ["AAE=", "base64"], "executable": False}
    answer = result([{"pubkey": str(KEY), "account": shown}])
    async with node(answer) as one, open_rpc([one.url]) as rpc:
        [found] = await rpc.program_accounts(KEY, offset=16, equals=b"\0\1")
        assert (found.address, found.account.data) == (KEY, b"\0\1")
        [_, options] = one.asked[0]["params"]
    same = {"offset": 16, "bytes": "AAE=", "encoding": "base64"}
    assert options["filters"] == [{"memcmp": same}]


async def test_a_node_that_does_not_list_accounts_says_so() -> None:
    async with node(error(-32_601)) as one, open_rpc([one.url]) as rpc:
        with pytest.raises(RpcRefused):
            await rpc.program_accounts(KEY, offset=0, equals=b"")


@pytest.mark.parametrize(
    "value",
    [None, {}, ["x"], [{}], [{"pubkey": 1}], [{"pubkey": "?", "account": None}],
     [{"pubkey": str(KEY), "account": None}]],
)  # fmt: skip
def test_what_is_no_list_of_accounts(value: object) -> None:
    with pytest.raises(AnswerMalformed):
        owned_accounts(value)
