"""What websocket subscribers hear of a fork: what was confirmed, then what came instead."""

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp
from solders.keypair import Keypair
from solders.signature import Signature

from localnet.cluster import Cluster
from localnet.consensus import SlotEnd
from localnet.embedded import RunningChain
from localnet.records import Landed
from tests.chain.localnet.calls import Rpc, send_sol, signed

SOL = 1_000_000_000


class DropsWhatIsConfirmed:
    """Forks once, when a transaction has just been told as confirmed; it lands again later."""

    def __init__(self, cluster: Cluster, signature: Signature) -> None:
        self._cluster = cluster
        self._signature = signature
        self.first_slot: int | None = None

    def at_slot_end(self, slot: int) -> SlotEnd:
        entry = self._cluster.history.get(self._signature)
        is_told = entry is not None and entry.slot <= self._cluster.tip.confirmed
        if entry is None or not is_told or self.first_slot is not None:
            return SlotEnd()
        self.first_slot = entry.slot
        return SlotEnd(drops_slots=slot - entry.slot + 1)

    def lands_after(self) -> int:
        return 0

    def relands(self, dropped: Sequence[Landed]) -> list[tuple[int, Landed]]:
        return [(3, one) for one in dropped]


async def test_subscribers_hear_of_a_dropped_transaction_and_of_it_again(
    localnet: RunningChain, rpc: Rpc
) -> None:
    user, someone = localnet.keys["user"], Keypair().pubkey()
    await localnet.advance(8)
    transaction = signed([send_sol(user, someone)], await rpc.blockhash("finalized"), user)
    (signature,) = transaction.signatures
    adversary = DropsWhatIsConfirmed(localnet.cluster, signature)
    localnet.cluster.adversary = adversary
    confirmed = {"commitment": "confirmed"}
    async with aiohttp.ClientSession() as session, session.ws_connect(localnet.ws_url) as socket:
        names: dict[int, str] = {}
        subscriptions: list[tuple[str, list[object]]] = [
            ("logs", [{"mentions": [str(someone)]}, confirmed]),
            ("account", [str(someone), confirmed]),
            ("signature", [str(signature), {"commitment": "finalized"}]),
        ]
        for name, params in subscriptions:
            message = {"jsonrpc": "2.0", "id": 1, "method": f"{name}Subscribe", "params": params}
            await socket.send_json(message)
            names[(await socket.receive_json())["result"]] = name
        await rpc.send(transaction)
        told: list[tuple[str, dict[str, Any]]] = []
        async with asyncio.timeout(20):
            while not told or told[-1][0] != "signature":
                params = (await socket.receive_json())["params"]
                told.append((names[params["subscription"]], params["result"]))
    slots = {
        name: [result["context"]["slot"] for kind, result in told if kind == name]
        for name in names.values()
    }
    landed = localnet.cluster.history.get(signature)
    assert landed is not None
    assert adversary.first_slot is not None
    assert slots["logs"] == [adversary.first_slot, landed.slot]
    assert adversary.first_slot <= slots["account"][0] < landed.slot <= slots["account"][1]
    assert len(slots["signature"]) == 1
    assert slots["signature"][0] >= landed.slot
    lamports = [result["value"]["lamports"] for kind, result in told if kind == "account"]
    assert lamports == [SOL, SOL]
    listed = await rpc.call("getSignaturesForAddress", str(someone))
    assert [(one["signature"], one["slot"]) for one in listed] == [(str(signature), landed.slot)]
