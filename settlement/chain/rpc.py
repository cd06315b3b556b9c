"""The Solana methods we use, typed: one thin function each over `transport`.

Nothing is parsed that is not used; a transaction stays raw JSON for the indexer's decoder. Answers
of different nodes are never joined here: a bound between two calls travels as `min_context_slot`
inside the second one. `sendTransaction` is tried once per call: when and what to send again is the
payout sender's decision, and it only ever repeats the same bytes.
"""

import base64
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from solders.pubkey import Pubkey

from settlement.chain import answers
from settlement.chain.answers import (
    AccountAt,
    AnswerMalformed,
    Commitment,
    LatestBlockhash,
    OwnedAccount,
    SignatureInfo,
    SignatureStatus,
    Simulation,
)
from settlement.chain.blocks import BlockLine, block_lines, block_slots
from settlement.chain.node import NodeLimits
from settlement.chain.tokens import TokenAccountAt, token_account_at
from settlement.chain.transport import JsonRpc, RetryPolicy, RpcRefused, RpcUnavailable
from settlement.money import BlockHeight, Lamports, Slot

__all__ = ["Commitment", "RetryPolicy", "RpcClient", "RpcRefused", "RpcUnavailable", "open_rpc"]

# Transactions of version 1 are live: a lower ceiling makes whole blocks unreadable (chain.md §1).
TRANSACTION_VERSION_CEILING: Final = 1
_NULL: Final = b"null"


class RpcClient(JsonRpc):
    """Asks the first healthy node of its URLs. Use `open_rpc` unless you have a session."""

    async def slot(self, commitment: Commitment = Commitment.FINALIZED) -> Slot:
        """The newest slot of this commitment, as one node sees it."""
        return await self.ask("getSlot", [{"commitment": commitment}], answers.slot)

    async def block_height(self, commitment: Commitment = Commitment.FINALIZED) -> BlockHeight:
        """How many blocks there are below the newest one of this commitment."""
        return await self.ask("getBlockHeight", [{"commitment": commitment}], answers.height)

    async def genesis_hash(self) -> str:
        """Which chain this is."""
        return await self.ask("getGenesisHash", [], lambda value: answers.text(value, "genesis"))

    async def node_version(self) -> str:
        """Which software the node says it runs."""
        return await self.ask("getVersion", [], answers.version)

    async def first_available_block(self) -> Slot:
        """Where the node's history begins."""
        return await self.ask("getFirstAvailableBlock", [], answers.slot)

    async def latest_blockhash(
        self,
        commitment: Commitment = Commitment.CONFIRMED,
        *,
        min_context_slot: Slot | None = None,
    ) -> LatestBlockhash:
        """A blockhash to sign with and the height after which it is dead."""
        options = _options(commitment, min_context_slot)
        return await self.ask(
            "getLatestBlockhash",
            [options],
            lambda value: answers.with_context(value, answers.latest_blockhash),
        )

    async def signatures_for(
        self,
        address: Pubkey,
        *,
        before: str | None = None,
        until: str | None = None,
        min_context_slot: Slot | None = None,
        limit: int = 1_000,
        commitment: Commitment = Commitment.FINALIZED,
    ) -> tuple[SignatureInfo, ...]:
        """One page of an address's history, newest first.

        An unknown cursor is `RpcRefused` -32020 on newer nodes and an empty page on older ones.
        """
        options = _options(commitment, min_context_slot) | {"limit": limit}
        if before is not None:
            options["before"] = before
        if until is not None:
            options["until"] = until
        return await self.ask(
            "getSignaturesForAddress", [str(address), options], answers.signature_page
        )

    async def transaction(
        self, signature: str, *, commitment: Commitment = Commitment.FINALIZED
    ) -> dict[str, object] | None:
        """The raw JSON of a transaction; None proves nothing (a node may not have it yet).

        A node that has none is asked less willingly next, so asking again asks another.
        """
        asked = _transaction_asked(signature, commitment)
        found = await self.ask("getTransaction", asked, answers.transaction)
        if found is None:
            self.prefer_another()
        return found

    async def transaction_text(self, signature: str) -> bytes | None:
        """A finalized transaction in JSON as the node wrote it, of whatever shape; None: as above.

        For who reads it in another way than as `transaction` gives it.
        """
        asked = _transaction_asked(signature, Commitment.FINALIZED)
        found = await self.ask_text("getTransaction", asked)
        if found == _NULL:
            self.prefer_another()
            return None
        return found

    async def blocks(self, first: Slot, last: Slot) -> tuple[Slot, ...]:
        """The slots from `first` to `last` that have a finalized block."""
        options = {"commitment": Commitment.FINALIZED}
        return await self.ask("getBlocks", [first, last, options], block_slots)

    async def block_lines(self, slot: Slot) -> tuple[BlockLine, ...]:
        """Every transaction of a finalized block, with the accounts it names."""
        options: dict[str, object] = {
            "encoding": "json",
            "commitment": Commitment.FINALIZED,
            "transactionDetails": "accounts",
            "rewards": False,
            "maxSupportedTransactionVersion": TRANSACTION_VERSION_CEILING,
        }
        return await self.ask("getBlock", [slot, options], block_lines)

    async def account(
        self,
        address: Pubkey,
        *,
        commitment: Commitment = Commitment.FINALIZED,
        min_context_slot: Slot | None = None,
    ) -> AccountAt:
        """An account's bytes and the slot at which the node held them."""
        options = _options(commitment, min_context_slot) | {"encoding": "base64"}
        return await self.ask(
            "getAccountInfo",
            [str(address), options],
            lambda value: answers.with_context(value, answers.account_at),
        )

    async def accounts(
        self,
        addresses: Sequence[Pubkey],
        *,
        commitment: Commitment = Commitment.FINALIZED,
        min_context_slot: Slot | None = None,
    ) -> tuple[AccountAt, ...]:
        """Up to a hundred accounts at one slot, in the order asked."""

        def read(value: object) -> tuple[AccountAt, ...]:
            found = answers.with_context(value, answers.accounts_at)
            if len(found) != len(addresses):
                raise AnswerMalformed(expected=f"{len(addresses)} accounts", at="accounts")
            return found

        options = _options(commitment, min_context_slot) | {"encoding": "base64"}
        listed = [str(address) for address in addresses]
        return await self.ask("getMultipleAccounts", [listed, options], read)

    async def token_balance(
        self,
        address: Pubkey,
        *,
        commitment: Commitment = Commitment.FINALIZED,
        min_context_slot: Slot | None = None,
    ) -> TokenAccountAt:
        """A token account and its slot: balance, owner, mint and state in one read."""
        found = await self.account(
            address, commitment=commitment, min_context_slot=min_context_slot
        )
        return token_account_at(found)

    async def balance(
        self, address: Pubkey, commitment: Commitment = Commitment.CONFIRMED
    ) -> Lamports:
        """The lamports of an address; 0 where there is no account."""
        return await self.ask(
            "getBalance",
            [str(address), {"commitment": commitment}],
            lambda value: answers.with_context(value, answers.lamports),
        )

    async def send(self, transaction: bytes) -> str:
        """Hand a signed transaction to one node, once; returns what it calls the signature.

        Raises `RpcRefused` when its preflight fails (nothing was sent, by *this* call).
        """
        options = {"encoding": "base64", "preflightCommitment": "confirmed", "maxRetries": 0}
        wire = base64.b64encode(transaction).decode()
        return await self.ask(
            "sendTransaction", [wire, options], lambda value: answers.text(value, "signature")
        )

    async def simulate(self, transaction: bytes) -> Simulation:
        """How the transaction would go now, without sending it; needs no signatures.

        Under a blockhash of the node that is asked: another may not know ours yet.
        """
        options = {
            "encoding": "base64",
            "commitment": "confirmed",
            "sigVerify": False,
            "replaceRecentBlockhash": True,
        }
        wire = base64.b64encode(transaction).decode()
        return await self.ask(
            "simulateTransaction",
            [wire, options],
            lambda value: answers.with_context(value, answers.simulation),
        )

    async def fee_for(self, message: bytes) -> Lamports | None:
        """What a message would cost, priority included; None if its blockhash is not known."""
        wire = base64.b64encode(message).decode()
        return await self.ask(
            "getFeeForMessage",
            [wire, {"commitment": "confirmed"}],
            lambda value: answers.with_context(value, answers.fee),
        )

    async def rent_exempt_minimum(self, size_bytes: int) -> Lamports:
        """What an account of this size must hold."""
        return await self.ask("getMinimumBalanceForRentExemption", [size_bytes], answers.rent)

    async def program_accounts(
        self,
        program: Pubkey,
        *,
        offset: int,
        equals: bytes,
        commitment: Commitment = Commitment.CONFIRMED,
    ) -> tuple[OwnedAccount, ...]:
        """A program's accounts whose data at `offset` is `equals`; many nodes do not serve it."""
        same = {"offset": offset, "bytes": base64.b64encode(equals).decode(), "encoding": "base64"}
        options = {"encoding": "base64", "commitment": commitment, "filters": [{"memcmp": same}]}
        return await self.ask("getProgramAccounts", [str(program), options], answers.owned_accounts)

    async def recent_priority_fees(self, written: Sequence[Pubkey]) -> tuple[int, ...]:
        """What was offered lately for writing these accounts, in microlamports per compute unit.

        One for each of the last blocks (up to 150), in no order.
        """
        listed = [str(address) for address in written]
        return await self.ask("getRecentPrioritizationFees", [listed], answers.priority_fees)

    async def signature_statuses(
        self, signatures: Sequence[str]
    ) -> tuple[SignatureStatus | None, ...]:
        """What one node knows of up to 256 signatures, its history searched; None: not known."""

        def read(value: object) -> tuple[SignatureStatus | None, ...]:
            found = answers.with_context(value, answers.statuses)
            if len(found) != len(signatures):
                raise AnswerMalformed(expected=f"{len(signatures)} statuses", at="statuses")
            return found

        options = {"searchTransactionHistory": True}
        return await self.ask("getSignatureStatuses", [list(signatures), options], read)


@asynccontextmanager
async def open_rpc(
    urls: Sequence[str], *, retry: RetryPolicy | None = None, limits: NodeLimits | None = None
) -> AsyncGenerator[RpcClient]:
    """A client with a session of its own, closed at the end."""
    async with aiohttp.ClientSession() as session:
        yield RpcClient(urls, session, retry=retry, limits=limits)


def _transaction_asked(signature: str, commitment: Commitment) -> list[object]:
    options = {
        "encoding": "json",
        "commitment": commitment,
        "maxSupportedTransactionVersion": TRANSACTION_VERSION_CEILING,
    }
    return [signature, options]


def _options(commitment: Commitment, min_context_slot: Slot | None) -> dict[str, object]:
    options: dict[str, object] = {"commitment": commitment}
    if min_context_slot is not None:
        options["minContextSlot"] = min_context_slot
    return options
