"""A wallet sends the same bytes until they are final, and new ones only when the old are dead."""

from collections.abc import Sequence

import aiohttp
import pytest
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from cli.wallet import ChainFailed, carry_out
from settlement.chain.answers import LatestBlockhash, SignatureStatus
from settlement.chain.rpc import Commitment, RpcClient, RpcRefused, RpcUnavailable
from settlement.money import BlockHeight, Slot

_SHELF_LIFE = 3


class FakeChain(RpcClient):
    """A chain whose height grows by one each time it is asked, and that misbehaves as told.

    Each entry of `script` says what happens to one sending: "lands", "lost" (accepted, never seen
    again), "away" (no answer, though it landed), "dead" (its blockhash is not known), "bad".
    """

    def __init__(self, session: aiohttp.ClientSession, *script: str) -> None:
        super().__init__(["http://127.0.0.1:1"], session)
        self.script = list(script)
        self.sent: list[bytes] = []
        self.landed: dict[str, bool] = {}
        self.height = 100
        self.fails_on_chain = False

    async def latest_blockhash(
        self,
        commitment: Commitment = Commitment.CONFIRMED,
        *,
        min_context_slot: Slot | None = None,
    ) -> LatestBlockhash:
        return LatestBlockhash(
            slot=Slot(self.height),
            blockhash=Hash(self.height.to_bytes(32, "big")),
            last_valid_height=BlockHeight(self.height + _SHELF_LIFE),
        )

    async def block_height(self, commitment: Commitment = Commitment.FINALIZED) -> BlockHeight:
        self.height += 1
        return BlockHeight(self.height)

    async def signature_statuses(
        self, signatures: Sequence[str]
    ) -> tuple[SignatureStatus | None, ...]:
        return tuple(
            SignatureStatus(
                slot=Slot(7), failed=self.fails_on_chain, commitment=Commitment.FINALIZED
            )
            if signature in self.landed
            else None
            for signature in signatures
        )

    async def send(self, transaction: bytes) -> str:
        self.sent.append(transaction)
        signature = str(Transaction.from_bytes(transaction).signatures[0])
        happens = self.script.pop(0) if self.script else "lost"
        if happens in {"lands", "away"}:
            self.landed[signature] = True
        if happens == "away":
            raise RpcUnavailable(method="sendTransaction")
        if happens == "dead":
            raise _refused("Blockhash not found")
        if happens == "bad":
            raise _refused("custom program error: 0x1770")
        return signature


def _refused(text: str) -> RpcRefused:
    return RpcRefused(method="sendTransaction", error_code=-32_002, text=text)


def _anything(payer: Keypair) -> Instruction:
    return Instruction(Pubkey.default(), b"x", [])


async def _carry_out(*script: str, fails_on_chain: bool = False) -> FakeChain:
    payer = Keypair()
    async with aiohttp.ClientSession() as session:
        chain = FakeChain(session, *script)
        chain.fails_on_chain = fails_on_chain
        landed = await carry_out(chain, [_anything(payer)], payer, payer)
    assert landed.slot == 7
    return chain


async def test_what_lands_is_sent_once() -> None:
    assert len((await _carry_out("lands")).sent) == 1


async def test_a_node_that_did_not_answer_is_not_sent_anything_new() -> None:
    chain = await _carry_out("away")
    assert len(set(chain.sent)) == 1


async def test_what_was_lost_is_made_anew_only_after_its_time() -> None:
    chain = await _carry_out("lost", "lands")
    first, second = chain.sent
    assert first != second
    recent = Transaction.from_bytes(first).message.recent_blockhash
    died = int.from_bytes(bytes(recent), "big") + _SHELF_LIFE
    made = int.from_bytes(bytes(Transaction.from_bytes(second).message.recent_blockhash), "big")
    assert made > died


async def test_a_blockhash_the_node_does_not_know_is_replaced_at_once() -> None:
    chain = await _carry_out("dead", "lands")
    assert len(set(chain.sent)) == 2


async def test_a_refusal_is_told() -> None:
    with pytest.raises(ChainFailed, match="0x1770"):
        await _carry_out("bad")


async def test_a_failure_on_chain_is_told() -> None:
    with pytest.raises(ChainFailed, match="failed on chain"):
        await _carry_out("lands", fails_on_chain=True)
