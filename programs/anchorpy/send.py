"""A signed transaction, sent until it is final; or an unsigned one, tried.

The same bytes are offered again and again. New ones are made only once the old ones' blockhash has
expired and no node has seen them, so nothing is ever carried out twice. Each signature is told on
stderr before its bytes leave.
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from anchorpy import Program
from encode import as_text, encode
from failure import Failure
from keys import read_keys
from node import asked, refused
from request import Fields, read_instructions
from solana.rpc.commitment import Confirmed, Finalized
from solana.rpc.types import TxOpts
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from solders.transaction_status import (
    TransactionConfirmationStatus,
    TransactionErrorType,
    TransactionStatus,
)

_PAUSE_SECONDS = 0.15
_RESEND_SECONDS = 1.0
_PATIENCE_SECONDS = 150
_OPTIONS = TxOpts(skip_confirmation=True, skip_preflight=False, preflight_commitment=Confirmed)


async def simulate(program: Program, request: Fields) -> dict[str, object]:
    """What the chain says the transaction would do, unsigned."""
    instructions = _instructions(program, request)
    latest = (await asked(program, program.provider.connection.get_latest_blockhash())).value
    message = Message.new_with_blockhash(instructions, request.key("payer"), latest.blockhash)
    blank = [Signature.default()] * message.header.num_required_signatures
    transaction = VersionedTransaction.populate(message, blank)
    call = program.provider.connection.simulate_transaction(transaction, commitment=Confirmed)
    told = (await asked(program, call)).value
    if told.err is not None:
        raise refused(program, told.err, told.logs or [])
    return {"succeeds": True, "units": told.units_consumed, "logs": told.logs}


async def send(program: Program, request: Fields) -> dict[str, object]:
    """Sign, send, and wait until it is final: its signature and slot."""
    instructions = _instructions(program, request)
    keys = _signers(instructions, request.key("payer"), read_keys(request.texts("keys")))
    patience = request.whole("patience_seconds", _PATIENCE_SECONDS)
    sent: list[str] = []
    try:
        async with asyncio.timeout(patience):
            while True:
                landed = await _carry_out(program, instructions, keys, sent)
                if landed is not None:
                    return landed
                await asyncio.sleep(_PAUSE_SECONDS)
    except TimeoutError:
        message = f"not final after {patience} s"
        signature = sent[-1] if sent else None
        raise Failure("NotFinal", message, facts={"signature": signature}) from None


def _instructions(program: Program, request: Fields) -> list[Instruction]:
    wanted = read_instructions(request, program.program_id)
    budget: list[Instruction] = []
    if request.has("compute_units"):
        budget.append(set_compute_unit_limit(request.whole("compute_units", 0)))
    if price := request.whole("price_microlamports", 0):
        budget.append(set_compute_unit_price(price))
    return [*budget, *(encode(program, one) for one in wanted)]


def _signers(
    instructions: Sequence[Instruction], payer: Pubkey, keys: Sequence[Keypair]
) -> list[Keypair]:
    """Exactly the keys that must sign, the payer's first."""
    named = [one.pubkey for each in instructions for one in each.accounts if one.is_signer]
    needed = list(dict.fromkeys([payer, *named]))
    by_address = {key.pubkey(): key for key in keys}
    missing = [str(address) for address in needed if address not in by_address]
    if missing:
        raise Failure("KeyMissing", f"no key was given for {', '.join(missing)}")
    return [by_address[address] for address in needed]


@dataclass(kw_only=True)
class _Offered:
    """One transaction on its way."""

    transaction: VersionedTransaction
    last_valid_height: int
    resend_at: float = 0.0
    is_out: bool = False

    @property
    def signature(self) -> Signature:
        return self.transaction.signatures[0]


async def _carry_out(
    program: Program, instructions: Sequence[Instruction], keys: list[Keypair], sent: list[str]
) -> dict[str, object] | None:
    """One set of bytes until it is final; None when it can never be any more."""
    latest = (await asked(program, program.provider.connection.get_latest_blockhash())).value
    transaction = _signed(instructions, keys, latest.blockhash)
    offered = _Offered(transaction=transaction, last_valid_height=latest.last_valid_block_height)
    sent.append(str(offered.signature))
    sys.stderr.write(as_text({"sent": sent[-1]}) + "\n")
    sys.stderr.flush()
    while True:
        try:
            # Asked before the status: what is not there after its time never comes.
            height = await _height(program)
            status = await _status(program, offered.signature)
            if status is not None and status.err is not None:
                raise await _failed(program, offered.signature, status.err)
            if status is not None and _is_final(status):
                return {"signature": sent[-1], "slot": status.slot}
            if status is None and height > offered.last_valid_height:
                return None
            if not await _offer(program, offered):
                return None
        except Failure as failure:
            # A silent node says nothing about bytes that may be out: only waiting does.
            if failure.kind != "Unreachable":
                raise
        await asyncio.sleep(_PAUSE_SECONDS)


def _signed(
    instructions: Sequence[Instruction], keys: list[Keypair], blockhash: Hash
) -> VersionedTransaction:
    message = Message.new_with_blockhash(instructions, keys[0].pubkey(), blockhash)
    by_address = {key.pubkey(): key for key in keys}
    needed = message.account_keys[: message.header.num_required_signatures]
    return VersionedTransaction(message, [by_address[address] for address in needed])


async def _height(program: Program) -> int:
    return (await asked(program, program.provider.connection.get_block_height(Finalized))).value


async def _status(program: Program, signature: Signature) -> TransactionStatus | None:
    call = program.provider.connection.get_signature_statuses([signature])
    return (await asked(program, call)).value[0]


def _is_final(status: TransactionStatus) -> bool:
    return status.confirmation_status == TransactionConfirmationStatus.Finalized


async def _offer(program: Program, offered: _Offered) -> bool:
    """Hand the bytes over when it is time; False when the node will never take them."""
    now = asyncio.get_running_loop().time()
    if now < offered.resend_at:
        return True
    first, offered.is_out, offered.resend_at = not offered.is_out, True, now + _RESEND_SECONDS
    try:
        await asked(program, program.provider.send(offered.transaction, _OPTIONS))
    except Failure as failure:
        if failure.kind == "Refused" and first:
            if failure.facts["err"] == "BlockhashNotFound":
                return False
            if failure.facts["err"] != "AlreadyProcessed":
                raise
    return True


async def _failed(program: Program, signature: Signature, error: TransactionErrorType) -> Failure:
    """Why it failed on chain, with its logs where the node still has them."""
    call = program.provider.connection.get_transaction(
        signature, commitment=Confirmed, max_supported_transaction_version=0
    )
    try:
        found = (await asked(program, call)).value
    except Failure:
        found = None
    meta = None if found is None else found.transaction.meta
    logs = (meta.log_messages or []) if meta is not None else []
    return refused(program, error, logs, signature=str(signature))
