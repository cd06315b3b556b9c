"""What survives: kill -9 while sending, a clean stop, a torn journal; and what is refused."""

import asyncio
import random
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.signature import Signature
from solders.system_program import TransferParams, transfer

from localnet.seed import FAUCET_LAMPORTS
from tests.chain.localnet.calls import Rpc, RpcFailed
from tests.chain.localnet.process import Chain, spawn, started

FEE = 5_000
PROCESSED = {"commitment": "processed"}
FINALIZED = {"commitment": "finalized"}


def key(keys: Path, name: str) -> Keypair:
    return Keypair.from_json((keys / f"{name}.json").read_text())


class Senders:
    """Clients that send transfers as fast as they are answered, until the node is gone."""

    def __init__(self, rpc: Rpc, payer: Keypair) -> None:
        self.rpc = rpc
        self.payer = payer
        self.answered: dict[Signature, int] = {}
        self.receiver = Keypair().pubkey()

    async def run(self, worker: int) -> None:
        amount = 1_000_000 * (worker + 1)
        try:
            while True:
                amount += 1  # no two transfers are equal
                instruction = transfer(
                    TransferParams(
                        from_pubkey=self.payer.pubkey(), to_pubkey=self.receiver, lamports=amount
                    )
                )
                transaction = await self.rpc.sign([instruction], self.payer)
                signature = await self.rpc.send(transaction)
                self.answered[signature] = amount
        except (aiohttp.ClientError, ConnectionError):
            return


async def history(rpc: Rpc, address: object) -> list[dict[str, Any]]:
    """All transactions of an address, once they are all finalized."""
    newest = await rpc.call("getSlot", PROCESSED)
    while True:
        if await rpc.call("getSlot", FINALIZED) >= newest:
            break
        await asyncio.sleep(0.02)
    entries: list[dict[str, Any]] = []
    page: dict[str, object] = {}
    while True:
        some = await rpc.call("getSignaturesForAddress", str(address), page)
        entries += some
        if len(some) < 1_000:
            return entries
        page = {"before": some[-1]["signature"]}


async def check_conserved(rpc: Rpc, senders: Senders, payer_before: int) -> None:
    """Every answered transfer is there once, and no lamport is missing or made."""
    entries = await history(rpc, senders.receiver)
    signatures = [entry["signature"] for entry in entries]
    assert len(signatures) == len(set(signatures))
    assert {str(signature) for signature in senders.answered} <= set(signatures)
    received = 0
    for signature in signatures:
        answer = await rpc.call("getTransaction", signature)
        before, after = answer["meta"]["preBalances"], answer["meta"]["postBalances"]
        assert sum(before) - sum(after) == FEE
        received += after[1] - before[1]
    balance = await rpc.value("getBalance", str(senders.receiver), FINALIZED)
    assert balance == received
    payer = await rpc.value("getBalance", str(senders.payer.pubkey()), FINALIZED)
    assert payer == payer_before - received - FEE * len(signatures)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_what_was_answered_survives_kill_9(tmp_path: Path, seed: int) -> None:
    await kill_and_check(tmp_path, seed, kills=2)


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(100, 130))
async def test_what_was_answered_survives_many_kills(tmp_path: Path, seed: int) -> None:
    await kill_and_check(tmp_path, seed, kills=5)


async def kill_and_check(tmp_path: Path, seed: int, *, kills: int) -> None:
    chance = random.Random(seed)
    data, keys = tmp_path / "chain", tmp_path / "keys"
    for _ in range(kills):
        async with started(data, keys) as chain, Rpc(chain.rpc_url) as rpc:
            senders = Senders(rpc, key(keys, "user"))
            before = await rpc.value("getBalance", str(senders.payer.pubkey()), PROCESSED)
            workers = [asyncio.create_task(senders.run(i)) for i in range(4)]
            enough = chance.randint(1, 60)
            while True:
                if len(senders.answered) >= enough:
                    break
                await asyncio.sleep(chance.random() / 200)
            last_slot = await rpc.call("getSlot", PROCESSED)
            last_height = await rpc.call("getBlockHeight", PROCESSED)
            await chain.kill()
            await asyncio.gather(*workers)
        async with started(data, keys) as chain, Rpc(chain.rpc_url) as rpc:
            assert await rpc.call("getSlot", PROCESSED) > last_slot
            assert await rpc.call("getBlockHeight", PROCESSED) > last_height
            await check_conserved(rpc, senders, before)
            await chain.kill()


async def test_blockhashes_and_blocks_survive_kill_9(tmp_path: Path) -> None:
    data, keys = tmp_path / "chain", tmp_path / "keys"
    async with started(data, keys) as chain, Rpc(chain.rpc_url) as rpc:
        blockhash = str(await rpc.blockhash("finalized"))
        user = key(keys, "user")

        def to_self(lamports: int) -> Instruction:
            me = user.pubkey()
            return transfer(TransferParams(from_pubkey=me, to_pubkey=me, lamports=lamports))

        transaction = await rpc.sign([to_self(1)], user)
        signature = await rpc.execute([to_self(2)], user)
        await history(rpc, user.pubkey())
        slot = (await rpc.call("getTransaction", str(signature)))["slot"]
        block = await rpc.call("getBlock", slot)
        genesis = await rpc.call("getGenesisHash")
        await rpc.call("localnet_advanceClock", 86_400)
        time = await block_time(rpc)
        await chain.kill()
    async with started(data, keys) as chain, Rpc(chain.rpc_url) as rpc:
        assert await rpc.call("getGenesisHash") == genesis
        assert await rpc.call("getBlock", slot) == block
        assert await rpc.value("isBlockhashValid", blockhash, FINALIZED)
        await rpc.send(transaction)
        assert await block_time(rpc) >= time
        assert await chain.stop() == 0


async def block_time(rpc: Rpc) -> int:
    return await rpc.call("getBlockTime", await rpc.call("getSlot", FINALIZED))


async def test_slots_nobody_used_are_not_used_again(tmp_path: Path) -> None:
    """Empty blocks are not in the journal, but a client may have seen them."""
    data, keys = tmp_path / "chain", tmp_path / "keys"
    async with started(data, keys) as chain, Rpc(chain.rpc_url) as rpc:
        while True:
            if await rpc.call("getSlot", FINALIZED) > 20:
                break
            await asyncio.sleep(0.02)
        slot = await rpc.call("getSlot", PROCESSED)
        block = await rpc.call("getBlock", 20)
        await chain.kill()
    async with started(data, keys) as chain, Rpc(chain.rpc_url) as rpc:
        assert await rpc.call("getSlot", PROCESSED) > slot
        assert await rpc.call("getBlock", 20) == block


async def test_a_clean_stop_leaves_a_snapshot_and_goes_on(tmp_path: Path) -> None:
    data, keys = tmp_path / "chain", tmp_path / "keys"
    someone = str(Keypair().pubkey())
    async with started(data, keys) as chain, Rpc(chain.rpc_url) as rpc:
        await rpc.call("requestAirdrop", someone, 1_000_000)
        await rpc.call("requestAirdrop", someone, 1_000_000)
        slot = await rpc.call("getSlot", PROCESSED)
        assert await chain.stop() == 0
    assert (data / "snapshot").exists()
    assert not (data / "address.json").exists()
    async with started(data, keys) as chain, Rpc(chain.rpc_url) as rpc:
        assert await rpc.call("getSlot", PROCESSED) > slot
        assert await rpc.value("getBalance", someone, PROCESSED) == 2_000_000


async def refusal(data: Path, keys: Path, *more: str) -> str:
    """The one line that a process says when it does not start."""
    process = await spawn(data, keys, *more)
    _, errors = await process.communicate()
    assert process.returncode == 1
    lines = errors.decode().splitlines()
    assert len(lines) == 1, errors.decode()
    return lines[0]


async def test_a_second_process_is_refused(tmp_path: Path) -> None:
    data, keys = tmp_path / "chain", tmp_path / "keys"
    async with started(data, keys) as chain:
        locked = await refusal(data, keys, "--rpc-port", "0")
        assert "used by another localnet" in locked
        port = chain.rpc_url.rsplit(":", 1)[1]
        taken = await refusal(tmp_path / "other", keys, "--rpc-port", port)
        assert port in taken
        assert "in use" in taken


async def test_a_damaged_journal_is_refused_and_a_torn_end_is_cut(tmp_path: Path) -> None:
    data, keys = tmp_path / "chain", tmp_path / "keys"
    someone = str(Keypair().pubkey())
    async with started(data, keys) as chain, Rpc(chain.rpc_url) as rpc:
        await rpc.call("requestAirdrop", someone, 1_000_000)
        await chain.kill()
    journal = data / "journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole + whole[: len(whole) // 3][-100:])
    message = await refusal(data, keys, "--rpc-port", "0")
    assert "damaged record at byte" in message
    journal.write_bytes(whole + whole[:70])
    async with started(data, keys) as chain, Rpc(chain.rpc_url) as rpc:
        assert await rpc.value("getBalance", someone, PROCESSED) == 1_000_000
        await chain.kill()
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 1
    journal.write_bytes(broken)
    (data / "snapshot").unlink(missing_ok=True)
    assert "damaged" in await refusal(data, keys, "--rpc-port", "0")


async def test_wrong_settings_are_named(tmp_path: Path) -> None:
    config = tmp_path / "localnet.toml"
    config.write_text("[embedded]\nslot_time = 5\n")
    line = await refusal(tmp_path / "chain", tmp_path / "keys", "--config", str(config))
    assert "embedded.slot_time: unknown key" in line


async def test_metrics_and_health_are_served(tmp_path: Path) -> None:
    async with started(tmp_path / "chain", tmp_path / "keys") as chain, Rpc(chain.rpc_url) as rpc:
        await rpc.call("getSlot")
        text = await get(chain, "/metrics")
        assert 'localnet_rpc_requests_total{method="getSlot",result="ok"} 1.0' in text
        assert 'localnet_slot{commitment="finalized"}' in text
        assert await get(chain, "/health") == "ok"


async def get(chain: Chain, path: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(chain.rpc_url + path) as response:
        assert response.status == 200
        return await response.text()


async def test_the_faucet_gives_no_more_than_it_has(tmp_path: Path) -> None:
    async with started(tmp_path / "chain", tmp_path / "keys") as chain, Rpc(chain.rpc_url) as rpc:
        with pytest.raises(RpcFailed) as refused:
            await rpc.call("requestAirdrop", str(Keypair().pubkey()), FAUCET_LAMPORTS + 1)
        assert refused.value.code == -32002
