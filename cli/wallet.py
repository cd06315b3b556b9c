"""A wallet's side of the chain: build a transaction, send it, and wait until it is final.

The same signed bytes are sent again and again until they are final; new ones are made only once the
chain can no longer accept the old ones (their blockhash has expired at finalized and nobody has
seen them). So a node that goes away and comes back loses nothing and nothing is sent twice.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from settlement.chain.answers import LatestBlockhash
from settlement.chain.rpc import (
    Commitment,
    RetryPolicy,
    RpcClient,
    RpcRefused,
    RpcUnavailable,
    open_rpc,
)
from settlement.chain.tokens import NotATokenAccount
from settlement.money import MicroUsdc, Slot

_PAUSE_SECONDS: Final = 0.15
_RESEND_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 150.0
# A person's tool: it waits for a node that is being restarted, and nobody else is in its way.
_PATIENT: Final = RetryPolicy(
    attempts=10_000,
    first_pause_seconds=0.1,
    longest_pause_seconds=0.5,
    total_seconds=_PATIENCE_SECONDS,
    budget=1_000_000.0,
    earned_per_call=1_000.0,
)


class ChainFailed(Exception):
    """The chain refused a transaction or did not carry it out in time.

    `signature` is of a transaction that failed on chain; it is None where none is known to.
    """

    def __init__(self, problem: str, *, signature: str | None = None) -> None:
        super().__init__(problem)
        self.signature = signature


@dataclass(frozen=True, kw_only=True)
class Landed:
    """A transaction that is final."""

    signature: str
    slot: Slot


@asynccontextmanager
async def patient_rpc(url: str) -> AsyncGenerator[RpcClient]:
    """A client that waits minutes for a node that does not answer."""
    async with open_rpc([url], retry=_PATIENT) as rpc:
        yield rpc


async def carry_out(
    rpc: RpcClient,
    instructions: Sequence[Instruction],
    payer: Keypair,
    *signers: Keypair,
    told: Callable[[str], None] = lambda _signature: None,
) -> Landed:
    """Send one transaction and return once it is final. Raises `ChainFailed`.

    `told` hears each signature before its bytes leave: whoever is interrupted can ask for it.
    """
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                recent = await rpc.latest_blockhash()
                transaction = _signed(instructions, recent, payer, *signers)
                told(str(transaction.signatures[0]))
                landed = await _until_final(rpc, transaction, recent)
                if landed is not None:
                    return landed
    except TimeoutError:
        raise ChainFailed(f"not final after {_PATIENCE_SECONDS:.0f} s") from None
    except (RpcRefused, RpcUnavailable) as error:
        raise ChainFailed(str(error)) from error


async def token_units(rpc: RpcClient, address: Pubkey) -> MicroUsdc:
    """What a token account holds at finalized; 0 where there is none."""
    try:
        return MicroUsdc((await rpc.token_balance(address)).account.amount)
    except NotATokenAccount:
        return MicroUsdc(0)


def _signed(
    instructions: Sequence[Instruction], recent: LatestBlockhash, *signers: Keypair
) -> Transaction:
    """The transaction with its signatures; the first signer pays. A key given twice signs once."""
    message = Message.new_with_blockhash(instructions, signers[0].pubkey(), recent.blockhash)
    transaction = Transaction.new_unsigned(message)
    transaction.sign(list({key.pubkey(): key for key in signers}.values()), recent.blockhash)
    return transaction


async def _until_final(
    rpc: RpcClient, transaction: Transaction, recent: LatestBlockhash
) -> Landed | None:
    """Send the same bytes until they are final; None when they can never be any more."""
    signature = str(transaction.signatures[0])
    loop = asyncio.get_running_loop()
    resend_at, offered = loop.time(), False
    while True:
        # Asked before the status: a transaction that is not there after its time never comes.
        height = await rpc.block_height()
        [status] = await rpc.signature_statuses([signature])
        if status is not None and status.failed:
            raise ChainFailed(f"{signature} failed on chain", signature=signature)
        if status is not None and status.commitment is Commitment.FINALIZED:
            return Landed(signature=signature, slot=status.slot)
        if status is None and height > recent.last_valid_height:
            return None
        if loop.time() >= resend_at:
            if not await _offer(rpc, transaction, first=not offered):
                return None
            resend_at, offered = loop.time() + _RESEND_SECONDS, True
        await asyncio.sleep(_PAUSE_SECONDS)


async def _offer(rpc: RpcClient, transaction: Transaction, *, first: bool) -> bool:
    """Hand the bytes to the node; False when they never went anywhere and new ones are needed.

    After the first time a refusal means nothing: the bytes may already be on their way.
    """
    try:
        await rpc.send(bytes(transaction))
    except RpcUnavailable:
        return True
    except RpcRefused as refusal:
        told = f"{refusal.text} {refusal.data}".lower()
        if "already" in told or not first:
            return True
        if "blockhash" in told:
            return False
        raise ChainFailed(f"refused: {refusal.text} {refusal.data or ''}".strip()) from refusal
    return True
