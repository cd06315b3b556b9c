"""A transaction for a key that is elsewhere: a multisig, a hardware wallet, a machine offline.

It carries zero signatures and needs no key here. Its blockhash expires after about 150 blocks
(a minute or two); with a durable nonce it stays good until the nonce is used, however long the
signers take. The nonce's first instruction must stand before everything else.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import base58
from solders.hash import Hash
from solders.instruction import Instruction
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import AdvanceNonceAccountParams, advance_nonce_account
from solders.transaction import Transaction

from cli.transaction.proposal import Proposal
from cli.transaction.simulate import Trial, budgeted
from settlement.chain.program import SYSTEM_PROGRAM
from settlement.chain.rpc import Commitment, RpcClient
from settlement.errors import Refused

_NONCE_SIZE_BYTES: Final = 80
_INITIALIZED: Final = 1


class NonceUnusable(Refused):
    """The account is not an initialized nonce account of this authority."""


class Encoding(StrEnum):
    """How the bytes are written."""

    BASE64 = "base64"
    BASE58 = "base58"


@dataclass(frozen=True, kw_only=True)
class Nonce:
    """A durable nonce: which account, and who may advance it (one more signer; None: payer)."""

    account: Pubkey
    authority: Pubkey | None


@dataclass(frozen=True, kw_only=True)
class Unsigned:
    """A transaction without signatures, and who must make them."""

    transaction: str
    message: str
    encoding: Encoding
    signers: tuple[Pubkey, ...]
    blockhash: Hash
    last_valid_height: int | None  # None: a durable nonce, good until it is used


async def make_unsigned(
    rpc: RpcClient, proposal: Proposal, trial: Trial, encoding: Encoding, nonce: Nonce | None
) -> Unsigned:
    """The bytes to sign elsewhere. Raises `NonceUnusable`, or the RPC client's errors."""
    instructions = budgeted(proposal.instructions, trial.limit_units, trial.price_microlamports)
    if nonce is None:
        recent = await rpc.latest_blockhash()
        return _written(
            instructions, proposal.payer, recent.blockhash, encoding, recent.last_valid_height
        )
    authority = nonce.authority or proposal.payer
    stored = await _stored_nonce(rpc, nonce.account, authority)
    advance = advance_nonce_account(
        AdvanceNonceAccountParams(nonce_pubkey=nonce.account, authorized_pubkey=authority)
    )
    return _written((advance, *instructions), proposal.payer, stored, encoding, None)


def _written(
    instructions: Sequence[Instruction],
    payer: Pubkey,
    blockhash: Hash,
    encoding: Encoding,
    last_valid_height: int | None,
) -> Unsigned:
    message = Message.new_with_blockhash(instructions, payer, blockhash)
    return Unsigned(
        transaction=_encoded(bytes(Transaction.new_unsigned(message)), encoding),
        message=_encoded(bytes(message), encoding),
        encoding=encoding,
        signers=tuple(message.signer_keys()),
        blockhash=blockhash,
        last_valid_height=last_valid_height,
    )


def _encoded(raw: bytes, encoding: Encoding) -> str:
    encode = base64.b64encode if encoding is Encoding.BASE64 else base58.b58encode
    return encode(raw).decode()


async def _stored_nonce(rpc: RpcClient, account: Pubkey, authority: Pubkey) -> Hash:
    """What stands in the place of the blockhash: version, state, authority, then the value."""
    found = (await rpc.account(account, commitment=Commitment.CONFIRMED)).account
    if found is None or found.owner != SYSTEM_PROGRAM or len(found.data) != _NONCE_SIZE_BYTES:
        raise NonceUnusable(account=str(account))
    state, named = int.from_bytes(found.data[4:8], "little"), Pubkey(found.data[8:40])
    if state != _INITIALIZED or named != authority:
        raise NonceUnusable(account=str(account), authority=str(named))
    return Hash.from_bytes(found.data[40:72])
