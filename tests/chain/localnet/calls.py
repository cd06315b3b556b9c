"""Raw JSON-RPC for tests: what is sent and answered is what is on the wire."""

import base64
from collections.abc import Sequence
from typing import Any, Self

import aiohttp
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0, MessageV1, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from localnet.tokens import ATA_PROGRAM, TOKEN_PROGRAM, associated_address


class RpcFailed(Exception):
    """The answer was an error object."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error))
        self.error = error
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data: Any = error.get("data")


class Rpc:
    """One HTTP session with a node."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = aiohttp.ClientSession()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._session.close()

    async def post(self, body: bytes | str) -> tuple[int, Any]:
        """The HTTP status and the JSON of the answer to any body."""
        headers = {"Content-Type": "application/json"}
        async with self._session.post(self.url, data=body, headers=headers) as response:
            text = await response.text()
            if response.content_type != "application/json" or not text:
                return response.status, text
            return response.status, await response.json()

    async def message(self, message: object) -> Any:  # noqa: ANN401
        async with self._session.post(self.url, json=message) as response:
            assert response.status == 200
            return await response.json()

    async def ask(self, method: str, *params: object) -> dict[str, Any]:
        """The whole answer, be it a result or an error."""
        answer = await self.message(
            {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        )
        assert answer["jsonrpc"] == "2.0"
        assert answer["id"] == 1
        return answer

    async def call(self, method: str, *params: object) -> Any:  # noqa: ANN401
        answer = await self.ask(method, *params)
        if "error" in answer:
            raise RpcFailed(answer["error"])
        return answer["result"]

    async def value(self, method: str, *params: object) -> Any:  # noqa: ANN401
        """The `value` of a result with context."""
        return (await self.call(method, *params))["value"]

    async def error(self, method: str, *params: object) -> RpcFailed:
        try:
            result = await self.call(method, *params)
        except RpcFailed as failed:
            return failed
        raise AssertionError(f"{method}{params} answered {result}")

    async def blockhash(self, commitment: str = "confirmed") -> Hash:
        latest = await self.value("getLatestBlockhash", {"commitment": commitment})
        return Hash.from_string(latest["blockhash"])

    async def sign(
        self, instructions: Sequence[Instruction], *signers: Keypair, version: int | None = None
    ) -> VersionedTransaction:
        return signed(instructions, await self.blockhash(), *signers, version=version)

    async def send(
        self, transaction: VersionedTransaction, *, skip_preflight: bool = False
    ) -> Signature:
        config = {
            "encoding": "base64",
            "skipPreflight": skip_preflight,
            "preflightCommitment": "processed",
        }
        return Signature.from_string(
            await self.call("sendTransaction", encoded(transaction), config)
        )

    async def execute(self, instructions: Sequence[Instruction], *signers: Keypair) -> Signature:
        return await self.send(await self.sign(instructions, *signers))


def encoded(transaction: VersionedTransaction) -> str:
    return base64.b64encode(bytes(transaction)).decode()


def signed(
    instructions: Sequence[Instruction],
    blockhash: Hash,
    *signers: Keypair,
    version: int | None = None,
) -> VersionedTransaction:
    payer = signers[0].pubkey()
    if version == 1:
        message = MessageV1.try_compile(payer, list(instructions), blockhash)
    elif version == 0:
        message = MessageV0.try_compile(payer, list(instructions), [], blockhash)
    else:
        message = Message.new_with_blockhash(list(instructions), payer, blockhash)
    return VersionedTransaction(message, list(signers))


def send_sol(source: Keypair, to: Pubkey, lamports: int = 1_000_000_000) -> Instruction:
    return transfer(TransferParams(from_pubkey=source.pubkey(), to_pubkey=to, lamports=lamports))


def message_of(transaction: VersionedTransaction) -> str:
    """The message alone, as getFeeForMessage takes it."""
    return base64.b64encode(to_bytes_versioned(transaction.message)).decode()


def token_transfer(
    mint: Pubkey, owner: Pubkey, to_owner: Pubkey, amount: int, decimals: int = 6
) -> Instruction:
    """TransferChecked between associated accounts."""
    accounts = [
        AccountMeta(associated_address(owner, mint), is_signer=False, is_writable=True),
        AccountMeta(mint, is_signer=False, is_writable=False),
        AccountMeta(associated_address(to_owner, mint), is_signer=False, is_writable=True),
        AccountMeta(owner, is_signer=True, is_writable=False),
    ]
    data = b"\x0c" + amount.to_bytes(8, "little") + bytes([decimals])
    return Instruction(TOKEN_PROGRAM, data, accounts)


def create_token_account(funder: Pubkey, owner: Pubkey, mint: Pubkey) -> Instruction:
    accounts = [
        AccountMeta(funder, is_signer=True, is_writable=True),
        AccountMeta(associated_address(owner, mint), is_signer=False, is_writable=True),
        AccountMeta(owner, is_signer=False, is_writable=False),
        AccountMeta(mint, is_signer=False, is_writable=False),
        AccountMeta(Pubkey.default(), is_signer=False, is_writable=False),
        AccountMeta(TOKEN_PROGRAM, is_signer=False, is_writable=False),
    ]
    return Instruction(ATA_PROGRAM, b"\x01", accounts)
