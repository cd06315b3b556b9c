"""A chain inside the test: slots end when it says so, and backends are asked without sockets."""

import dataclasses
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.signature import Signature

from localnet.adversary.faults import Fault, Routing, Script
from localnet.adversary.manual import ManualChain, manual_chain
from localnet.adversary.wire import Reply
from localnet.seed import Keys, genesis, load_or_create_keys
from localnet.settings import Settings, load_settings
from tests.chain.localnet.calls import RpcFailed, signed

CONFIRMED_LAG, FINALIZED_LAG = 2, 4


def manual_settings() -> Settings:
    """The wallets and mint of localnet.toml; finalized 4 behind, no slot skipped."""
    settings = load_settings(Path("localnet.toml"))
    embedded = dataclasses.replace(
        settings.embedded,
        confirmed_lag_slots=CONFIRMED_LAG,
        finalized_lag_slots=FINALIZED_LAG,
        skipped_slot_every=0,
    )
    return dataclasses.replace(settings, embedded=embedded)


@dataclass(frozen=True, kw_only=True)
class Manual:
    """A manual chain, its wallets, and raw calls to its fleet."""

    chain: ManualChain
    keyring: Keys

    def wallet(self, name: str) -> Keypair:
        return self.keyring.wallets[name]

    async def land(self, *instructions: Instruction, signer: str = "user") -> Signature:
        """Execute in the open slot, past the fleet."""
        transaction = signed(instructions, self.chain.blockhash(), self.wallet(signer))
        entry = self.chain.execute(transaction)
        assert entry is not None
        return entry.signature

    async def final(self, *instructions: Instruction, signer: str = "user") -> Signature:
        """Execute in a slot of its own and let that be finalized."""
        signature = await self.land(*instructions, signer=signer)
        await self.chain.end_slots(FINALIZED_LAG)
        return signature

    async def reply(
        self, method: str, *params: object, backend: str | None = None, request_id: object = 1
    ) -> Reply:
        """What comes over the wire."""
        message = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": list(params)}
        return await self.chain.fleet.post(msgspec.json.encode(message), backend)

    async def call(self, method: str, *params: object, backend: str | None = None) -> Any:  # noqa: ANN401
        """The result of one call that is answered well; raises `RpcFailed`."""
        reply = await self.reply(method, *params, backend=backend)
        answer = cast("dict[str, Any]", msgspec.json.decode(reply.body))
        assert (reply.status, answer["id"]) == (200, 1)
        if "error" in answer:
            raise RpcFailed(answer["error"])
        return answer["result"]

    async def refusal(self, method: str, *params: object, backend: str | None = None) -> int:
        """The code of the error object that is answered."""
        try:
            result = await self.call(method, *params, backend=backend)
        except RpcFailed as failed:
            return failed.code
        raise AssertionError(f"{method} answered {result}")

    async def listed(
        self, address: object, *, backend: str | None = None, **how: object
    ) -> list[str]:
        """The signatures that a backend lists for an address, newest first."""
        result = await self.call("getSignaturesForAddress", str(address), how, backend=backend)
        return [entry["signature"] for entry in result]


@contextmanager
def manual(
    path: Path,
    *faults: Fault,
    backends: Sequence[str] = ("a", "b"),
    seed: int = 1,
    routing: Routing = "random",
) -> Generator[Manual]:
    """A new chain with a fleet that does this."""
    settings = manual_settings()
    keyring = load_or_create_keys(path / "keys", settings)
    script = Script(seed=seed, backends=tuple(backends), routing=routing, faults=faults)
    with manual_chain(
        settings,
        script,
        data=path / "chain",
        keyring=keyring,
        start=lambda: genesis(settings, keyring),
    ) as chain:
        yield Manual(chain=chain, keyring=keyring)
