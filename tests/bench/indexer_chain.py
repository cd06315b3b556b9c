"""A made-up chain of deposits, served by a process of its own over real HTTP on loopback.

`python -m tests.bench.indexer_chain --signatures N --codes FILE` prepares N finalized transactions
in the shapes of `tests/pure/transactions.py`, then says its URL on one line and serves until it is
stopped. Everything is bytes before the first request, and HTTP is spoken by hand: the server has to
be so cheap that what is measured is the one who asks.
"""

import argparse
import asyncio
import base64
import random
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import base58
import msgspec
import uvloop
from solders.hash import Hash
from solders.instruction import CompiledInstruction
from solders.keypair import Keypair
from solders.message import MessageHeader, MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey

from settlement.chain.layouts import ACCOUNT_VERSION, CONFIG_SIZE, account_discriminator
from settlement.chain.program import TOKEN_PROGRAM
from tests.pure.transactions import (
    ALICE,
    ALICE_ATA,
    BLOCK_TIME,
    BOND,
    DEPLOYMENT,
    TILL,
    Answer,
    Call,
    Json,
    batch,
    deposit,
    memo,
    transfer,
)

IN_A_SLOT: Final = 4
FIRST_SLOT: Final = 1_000
# What a thousand deposits are: by instruction, by memo, without a name, two in one Batch.
_CODED, _BY_MEMO, _NAMELESS = 750, 900, 980
_TOKEN_ACCOUNT_BYTES: Final = 165
_END_OF_HEAD: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_NULL: Final = b"null"
PAYER: Final = Keypair.from_seed(bytes(range(32)))
_HEADER: Final = {
    "numRequiredSignatures": 1,
    "numReadonlySignedAccounts": 0,
    "numReadonlyUnsignedAccounts": 0,
}
_CURSOR_UNKNOWN: Final = b'"error":{"code":-32020,"message":"no such signature"}'
_NOT_THERE_YET: Final = b'"error":{"code":-32016,"message":"not at this slot yet"}'
_CONSTANT: Final = {
    "getGenesisHash": msgspec.json.encode(str(ALICE)),
    "getVersion": b'{"solana-core":"4.3.0","feature-set":1}',
    "getFirstAvailableBlock": b"0",
    "minimumLedgerSlot": b"0",
    "getHealth": b'"ok"',
}


class Asked(msgspec.Struct):
    """One JSON-RPC request."""

    id: int
    method: str
    params: list[Any] = []


@dataclass(kw_only=True)
class History:
    """An address's finalized signatures as a listing's lines, newest first."""

    lines: list[bytes] = field(default_factory=list[bytes])
    place: dict[str, int] = field(default_factory=dict[str, int])

    def page(self, options: dict[str, Any]) -> bytes | None:
        """The lines after `before`, as many as asked for; None when nobody knows `before`."""
        before = options.get("before")
        if before is not None and before not in self.place:
            return None
        begin = 0 if before is None else self.place[before] + 1
        return b"[" + b",".join(self.lines[begin : begin + options.get("limit", 1_000)]) + b"]"


class MadeUpChain:
    """All answers of a chain that has come to its end."""

    def __init__(self, signatures: int, codes: Sequence[bytes], seed: int = 5) -> None:
        self._chance = random.Random(seed)
        self._codes = codes
        self.held_microusdc = 0  # by the till
        self.tip = FIRST_SLOT + signatures // IN_A_SLOT + 1
        self._transactions: dict[str, bytes] = {}
        self._histories: dict[str, History] = {}
        for number in range(signatures):
            self._add(number)
        for history in self._histories.values():
            history.lines.reverse()
            count = len(history.lines)
            history.place = {name: count - 1 - at for name, at in history.place.items()}

    def _add(self, number: int) -> None:
        amount = self._chance.randint(1, 10**9)
        calls, moved, coded = self._deposit(amount)
        before = self.held_microusdc
        self.held_microusdc += moved
        made = Answer(
            calls=calls,
            balances=[(TILL, DEPLOYMENT.mint, before, self.held_microusdc)],
            slot=FIRST_SLOT + number // IN_A_SLOT,
            keys=[PAYER.pubkey()],
        )
        signed = _signed(made.json(), Hash(self._chance.randbytes(32)))
        made.signature = signed["transaction"]["signatures"][0]
        self._transactions[made.signature] = msgspec.json.encode(signed)
        line = {
            "signature": made.signature,
            "slot": made.slot,
            "err": None,
            "memo": None,
            "blockTime": BLOCK_TIME + made.slot,
            "confirmationStatus": "finalized",
        }
        for address in (TILL, *([DEPLOYMENT.program_id] if coded else [])):
            history = self._histories.setdefault(str(address), History())
            history.place[made.signature] = len(history.lines)
            history.lines.append(msgspec.json.encode(line))

    def _deposit(self, amount: int) -> tuple[list[Call], int, bool]:
        """The instructions, by how much the till rises, whether our program was called."""
        code, kind = self._chance.choice(self._codes), self._chance.randrange(1_000)
        plain = transfer(ALICE_ATA, TILL, amount)
        if kind < _CODED:
            return [deposit(code, amount, depositor=PAYER.pubkey())], amount, True
        if kind < _BY_MEMO:
            return [plain, memo(code.hex())], amount, False
        if kind < _NAMELESS:
            return [plain], amount, False
        return [batch(plain, plain)], 2 * amount, False

    def told(self, asked: Asked) -> bytes:
        """The result of one request, or its error, as a field of JSON."""
        last = asked.params[-1] if asked.params else None
        options = cast("dict[str, Any]", last) if isinstance(last, dict) else {}
        if options.get("minContextSlot", 0) > self.tip:
            return _NOT_THERE_YET
        result = self.answer(asked)
        return _CURSOR_UNKNOWN if result is None else b'"result":' + result

    def answer(self, asked: Asked) -> bytes | None:
        """The result of one request, as JSON; None for a cursor that is not known."""
        match asked.method:
            case "getTransaction":
                return self._transactions.get(asked.params[0], _NULL)
            case "getSignaturesForAddress":
                history = self._histories.get(asked.params[0])
                return b"[]" if history is None else history.page(asked.params[1])
            case "getAccountInfo":
                return self._at_tip(self._account(asked.params[0]))
            case "getMultipleAccounts":
                return self._at_tip([self._account(one) for one in asked.params[0]])
            case "getSlot" | "getBlockHeight":
                return msgspec.json.encode(self.tip)
            case _:
                return _CONSTANT.get(asked.method, _NULL)

    def _at_tip(self, value: object) -> bytes:
        return msgspec.json.encode({"context": {"slot": self.tip}, "value": value})

    def _account(self, address: str) -> dict[str, object] | None:
        if address == str(DEPLOYMENT.config):
            head = account_discriminator("Config") + bytes(32) + bytes([ACCOUNT_VERSION]) + bytes(7)
            keys = b"".join(bytes(key) for key in (DEPLOYMENT.mint, TILL, BOND))
            return _owned(DEPLOYMENT.program_id, (head + keys).ljust(CONFIG_SIZE, b"\0"))
        vaults = {
            str(TILL): (self.held_microusdc, DEPLOYMENT.till_authority),
            str(BOND): (0, DEPLOYMENT.escrow),
        }
        if address in vaults:
            held, owner = vaults[address]
            head = bytes(DEPLOYMENT.mint) + bytes(owner) + held.to_bytes(8, "little") + bytes(36)
            data = (head + b"\x01").ljust(_TOKEN_ACCOUNT_BYTES, b"\0")
            return _owned(TOKEN_PROGRAM, data)
        return None


def _signed(answer: Json, blockhash: Hash) -> Json:
    """The same transaction, signed by its payer under this blockhash."""
    message: Json = answer["transaction"]["message"]
    message |= {"header": _HEADER, "recentBlockhash": str(blockhash), "addressTableLookups": []}
    built = MessageV0(
        MessageHeader(*_HEADER.values()),
        [Pubkey.from_string(text) for text in message["accountKeys"]],
        blockhash,
        [
            CompiledInstruction(
                one["programIdIndex"], base58.b58decode(one["data"]), bytes(one["accounts"])
            )
            for one in message["instructions"]
        ],
        [],
    )
    signature = PAYER.sign_message(to_bytes_versioned(built))
    answer["transaction"]["signatures"] = [str(signature)]
    return answer


def _owned(owner: Pubkey, data: bytes) -> dict[str, object]:
    return {
        "owner": str(owner),
        "lamports": 2_039_280,
        "data": [base64.b64encode(data).decode(), "base64"],
        "executable": False,
        "rentEpoch": 0,
        "space": len(data),
    }


class Connection(asyncio.Protocol):
    """HTTP/1.1, kept alive, requests with a length: what JSON-RPC clients speak."""

    def __init__(self, chain: MadeUpChain) -> None:
        self._chain = chain
        self._waiting = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody may ask now."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._waiting += data
        while (end := self._waiting.find(_END_OF_HEAD)) >= 0:
            head = self._waiting[:end].lower()
            at = head.index(_LENGTH) + len(_LENGTH)
            length = int(head[at:].split(b"\r\n", 1)[0])
            body_at = end + len(_END_OF_HEAD)
            if len(self._waiting) < body_at + length:
                return
            body = self._waiting[body_at : body_at + length]
            self._waiting = self._waiting[body_at + length :]
            self._answer(msgspec.json.decode(body, type=Asked))

    def _answer(self, asked: Asked) -> None:
        assert self._transport is not None, "a request came over a connection"
        body = b'{"jsonrpc":"2.0","id":%d,%b}' % (asked.id, self._chain.told(asked))
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (len(body), body)
        )


async def serve(chain: MadeUpChain) -> None:
    """Serve on a port of its own until told to stop; the URL is the first line printed."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = await loop.create_server(lambda: Connection(chain), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    told = {"url": f"http://127.0.0.1:{port}", "held_microusdc": chain.held_microusdc}
    sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
    sys.stdout.flush()
    async with server:
        await stopped.wait()


def main() -> None:
    """Prepare and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--signatures", type=int, required=True)
    parser.add_argument("--codes", type=Path, required=True, help="one code in hex on each line")
    arguments = parser.parse_args()
    codes = [bytes.fromhex(line) for line in arguments.codes.read_text().split()]
    chain = MadeUpChain(arguments.signatures, codes)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(chain))


if __name__ == "__main__":
    main()
