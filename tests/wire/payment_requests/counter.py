"""A coordinator that takes payment requests on a real chain, and wallets that use it as phones do.

A wallet here trusts nothing: `checked` looks at a transaction the way wallets must before signing.
"""

import base64
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import aiohttp
from solders.compute_budget import ID as COMPUTE_BUDGET
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import Transaction, VersionedTransaction

from settlement.chain.instructions import ProgramInstruction, decode_instruction
from settlement.chain.program import Deployment, associated_token_address
from tests.chain.indexer.conftest import World
from tests.wire.market import Market, market_at

Json = dict[str, Any]
PUBLIC_URL = "https://pod.test"


@dataclass(kw_only=True)
class Counter:
    """Where people pay: the coordinator, its books, and the chain under both."""

    market: Market
    world: World

    @property
    def place(self) -> Deployment:
        """The program and its mint."""
        return self.world.deployment

    async def code(self) -> str:
        """A registered user's deposit code, in hex."""
        return (await self.market.user()).deposit_code.hex()

    async def enrolled(self, wallet: Keypair) -> tuple[str, Mapping[str, str]]:
        """An operator's bond code and the header its own requests carry."""
        body = {"display_name": "Ann", "wallet": str(wallet.pubkey())}
        status, told = await self.market.call("POST", "/v1/host/enroll", body)
        assert status == 200, told
        bond = cast(Json, told["bond"])
        return str(bond["deposit_code"]), {"Authorization": f"Bearer {told['host_token']}"}

    async def get(self, path: str, **query: str) -> tuple[int, Json]:
        """What a wallet asks first."""
        return await self.market.call("GET", f"/v1/pay/{path}?{urlencode(query)}")

    async def post(self, path: str, account: object, **query: str) -> tuple[int, Json]:
        """What a wallet asks then."""
        body = {"account": account if isinstance(account, str) else str(account)}
        return await self.market.call("POST", f"/v1/pay/{path}?{urlencode(query)}", body)

    async def refused(self, path: str, account: object, status: int, **query: str) -> Json:
        """The error of a POST, in both shapes; the message is in the first 80 characters."""
        answered, told = await self.post(path, account, **query)
        assert answered == status, told
        assert told["message"] == told["error"]["message"]
        return told

    async def pay(self, path: str, wallet: Keypair, **query: str) -> ProgramInstruction:
        """All a phone does: ask, check, sign, send. Returns what our program was told."""
        _, instruction = await self.paid(path, wallet, **query)
        return instruction

    async def paid(
        self, path: str, wallet: Keypair, **query: str
    ) -> tuple[Signature, ProgramInstruction]:
        """The same, with the signature."""
        status, told = await self.post(path, wallet.pubkey(), **query)
        assert status == 200, told
        transaction, instruction = self.checked(told["transaction"], wallet.pubkey())
        assert 0 < len(str(told["message"])) <= 80
        # Where no signature but its own is needed, a wallet takes a blockhash of its own.
        transaction.sign([wallet], await self.world.rpc.blockhash())
        signed = VersionedTransaction.from_legacy(transaction)
        return await self.world.rpc.send(signed), instruction

    def checked(self, raw: object, account: Pubkey) -> tuple[Transaction, ProgramInstruction]:
        """The transaction, after a distrustful look at all of it."""
        transaction = Transaction.from_bytes(base64.b64decode(str(raw), validate=True))
        message = transaction.message
        assert transaction.signatures == [Signature.default()]
        assert message.header.num_required_signatures == 1
        assert message.account_keys[0] == account
        programs = [message.program_id(at) for at in range(len(message.instructions))]
        assert programs == [COMPUTE_BUDGET, COMPUTE_BUDGET, self.place.program_id]
        keys = message.account_keys
        # Signers first, then the others; in both the read-only ones come last.
        assert message.header.num_readonly_signed_accounts == 0
        written = set(keys[: len(keys) - message.header.num_readonly_unsigned_accounts])
        usdc = associated_token_address(account, self.place.mint)
        ours = {self.place.till_vault, self.place.bond_vault, self.place.escrow}
        last = message.instructions[-1]
        named = [keys[at] for at in last.accounts]
        instruction = decode_instruction(bytes(last.data), named)
        bond = getattr(instruction, "bond", None)
        receiver = getattr(instruction, "destination", None)
        rent = getattr(instruction, "rent_payer", None)
        assert written <= {account, usdc, bond, receiver, rent, *ours}
        return transaction, instruction

    async def usdc(self, owner: Pubkey) -> int:
        """What a wallet has, as processed."""
        address = associated_token_address(owner, self.place.mint)
        value = await self.world.rpc.value(
            "getTokenAccountBalance", str(address), {"commitment": "processed"}
        )
        return int(value["amount"])

    async def settled(self) -> None:
        """Return when what has been sent is confirmed: what the coordinator reads."""
        await self.world.chain.advance(4)


@asynccontextmanager
async def counter_at(world: World, directory: Path, **settings: str) -> AsyncGenerator[Counter]:
    """A coordinator beside this chain, until left."""
    place = world.deployment
    chosen = {
        "POD_RPC_URLS": world.chain.rpc_url,
        "POD_PROGRAM_ID": str(place.program_id),
        "POD_USDC_MINT": str(place.mint),
        "POD_PUBLIC_URL": PUBLIC_URL,
        "POD_COORDINATOR_PAYMENTS_PER_MINUTE": "10000",
        **settings,
    }
    async with market_at(world.database.dsn, directory, **chosen) as market:
        yield Counter(market=market, world=world)


async def raw_call(
    counter: Counter,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    data: bytes | None = None,
) -> tuple[aiohttp.ClientResponse, bytes]:
    """One request, with everything of its answer."""
    url = counter.market.url + path
    async with counter.market.http.request(method, url, headers=headers, data=data) as response:
        return response, await response.read()
