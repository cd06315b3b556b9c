"""What becomes of a transaction: once, on the disk, foretold, reported, told to subscribers."""

import asyncio

import aiohttp
import pytest
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature

from localnet.embedded import RunningChain
from localnet.tokens import associated_address
from tests.chain.localnet.calls import (
    Rpc,
    create_token_account,
    encoded,
    message_of,
    send_sol,
    token_transfer,
)

SOL = 1_000_000_000


async def test_the_same_bytes_land_once(localnet: RunningChain, rpc: Rpc) -> None:
    user, someone = localnet.keys["user"], Keypair().pubkey()
    transaction = await rpc.sign([send_sol(user, someone)], user)
    signature = await rpc.send(transaction)
    failed = await rpc.error(
        "sendTransaction",
        encoded(transaction),
        {"encoding": "base64", "preflightCommitment": "processed"},
    )
    assert failed.data["err"] == "AlreadyProcessed"
    assert "already been processed" in failed.message
    assert await rpc.send(transaction, skip_preflight=True) == signature
    await localnet.until_finalized(signature)
    assert await rpc.value("getBalance", str(someone)) == SOL
    assert len(await rpc.call("getSignaturesForAddress", str(someone))) == 1


async def test_what_is_answered_is_on_the_disk(localnet: RunningChain, rpc: Rpc) -> None:
    user = localnet.keys["user"]
    journal = localnet.cluster._state.journal
    for _ in range(5):
        signature = await rpc.execute([send_sol(user, Keypair().pubkey())], user)
        entry = localnet.cluster.history.get(signature)
        assert entry is not None
        assert entry.journal_offset < journal._synced
    airdrop = await rpc.call("requestAirdrop", str(Keypair().pubkey()), SOL)
    entry = localnet.cluster.history.get(Signature.from_string(airdrop))
    assert entry is not None
    assert entry.journal_offset < journal._synced
    await rpc.call("localnet_advanceClock", 5)
    assert journal._synced == journal.end


@pytest.mark.parametrize("version", [0, 1])
async def test_newer_versions_need_a_ceiling(
    localnet: RunningChain, rpc: Rpc, version: int
) -> None:
    user = localnet.keys["user"]
    transaction = await rpc.sign([send_sol(user, Keypair().pubkey())], user, version=version)
    signature = await rpc.send(transaction)
    await localnet.until_finalized(signature)
    failed = await rpc.error("getTransaction", str(signature))
    assert failed.code == -32015
    assert f'"maxSupportedTransactionVersion": {version}' in failed.message
    answer = await rpc.call(
        "getTransaction", str(signature), {"maxSupportedTransactionVersion": version}
    )
    assert answer["version"] == version
    assert ("addressTableLookups" in answer["transaction"]["message"]) == (version == 0)
    assert ("transactionConfig" in answer["transaction"]["message"]) == (version == 1)
    slot = answer["slot"]
    assert (await rpc.error("getBlock", slot)).code == -32015


async def test_simulation_reports_and_changes_nothing(localnet: RunningChain, rpc: Rpc) -> None:
    user, someone = localnet.keys["user"], Keypair().pubkey()
    mint = localnet.mint
    account = associated_address(someone, mint)
    instructions = [
        create_token_account(user.pubkey(), someone, mint),
        token_transfer(mint, user.pubkey(), someone, 3_000_000),
    ]
    unsigned = type(await rpc.sign(instructions, user)).populate(
        (await rpc.sign(instructions, user)).message, [Signature.default()]
    )
    config = {
        "encoding": "base64",
        "replaceRecentBlockhash": True,
        "innerInstructions": True,
        "accounts": {"addresses": [str(account)], "encoding": "jsonParsed"},
    }
    result = await rpc.value("simulateTransaction", encoded(unsigned), config)
    assert result["err"] is None
    assert result["unitsConsumed"] > 0
    assert result["loadedAccountsDataSize"] > 82 + 165
    assert result["innerInstructions"][0]["instructions"][0]["stackHeight"] == 2
    assert result["replacementBlockhash"]["lastValidBlockHeight"] > 0
    info = result["accounts"][0]["data"]["parsed"]["info"]
    assert info["tokenAmount"]["amount"] == "3000000"
    processed = {"commitment": "processed"}
    assert await rpc.value("getAccountInfo", str(account), processed) is None
    both = {**config, "sigVerify": True}
    failed = await rpc.error("simulateTransaction", encoded(unsigned), both)
    assert failed.code == -32602
    failed = await rpc.error(
        "simulateTransaction", encoded(unsigned), {"encoding": "base64", "sigVerify": True}
    )
    assert failed.code == -32003


async def test_fees_are_foretold(localnet: RunningChain, rpc: Rpc) -> None:
    user = localnet.keys["user"]
    budget = Pubkey.from_string("ComputeBudget111111111111111111111111111111")
    limit = Instruction(budget, b"\x02" + (50_000).to_bytes(4, "little"), [])
    price = Instruction(budget, b"\x03" + (7_777).to_bytes(8, "little"), [])
    move = send_sol(user, Keypair().pubkey())
    token = token_transfer(localnet.mint, user.pubkey(), user.pubkey(), 1)
    for instructions in ([move], [limit, price, move], [price, move], [price, move, token]):
        transaction = await rpc.sign(instructions, user)
        foretold = await rpc.value(
            "getFeeForMessage", message_of(transaction), {"commitment": "confirmed"}
        )
        signature = await rpc.send(transaction)
        await localnet.until_finalized(signature)
        answer = await rpc.call("getTransaction", str(signature))
        assert answer["meta"]["fee"] == foretold


async def test_a_memo_is_in_the_history(localnet: RunningChain, rpc: Rpc) -> None:
    user = localnet.keys["user"]
    memo = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
    someone = Keypair().pubkey()
    signature = await rpc.execute(
        [send_sol(user, someone), Instruction(memo, "für dich".encode(), [])], user
    )
    await localnet.until_finalized(signature)
    entry = (await rpc.call("getSignaturesForAddress", str(someone)))[0]
    assert entry["memo"] == "[9] für dich"


async def test_closed_and_changed_accounts_are_told(localnet: RunningChain, rpc: Rpc) -> None:
    """Subscriptions at processed hear of a block when it is complete, and each change once."""
    someone = Keypair()
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(localnet.ws_url) as socket,
    ):
        subscribe = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "accountSubscribe",
            "params": [str(someone.pubkey()), {"commitment": "processed", "encoding": "base64"}],
        }
        await socket.send_json(subscribe)
        subscription = (await socket.receive_json())["result"]
        await rpc.call("requestAirdrop", str(someone.pubkey()), SOL)
        told = await asyncio.wait_for(socket.receive_json(), 5)
        assert told["method"] == "accountNotification"
        assert told["params"]["subscription"] == subscription
        assert told["params"]["result"]["value"]["lamports"] == SOL
        back = send_sol(someone, localnet.keys["user"].pubkey(), SOL - 5_000)
        await rpc.execute([back], someone)
        told = await asyncio.wait_for(socket.receive_json(), 5)
        assert told["params"]["result"]["value"]["lamports"] == 0
        await socket.send_json({**subscribe, "id": 2, "method": "nothingSubscribe"})
        assert (await socket.receive_json())["error"]["code"] == -32601
        await socket.send_json(
            {"jsonrpc": "2.0", "id": 3, "method": "logsSubscribe", "params": [{"mentions": []}]}
        )
        assert "Only 1 address" in (await socket.receive_json())["error"]["message"]
        unsubscribe = {"jsonrpc": "2.0", "id": 4, "method": "accountUnsubscribe"}
        await socket.send_json({**unsubscribe, "params": [subscription]})
        assert (await socket.receive_json())["result"] is True
        await socket.send_json({**unsubscribe, "params": [subscription]})
        assert (await socket.receive_json())["error"]["message"] == "Invalid subscription id."
    processed = {"commitment": "processed"}
    assert await rpc.value("getAccountInfo", str(someone.pubkey()), processed) is None
