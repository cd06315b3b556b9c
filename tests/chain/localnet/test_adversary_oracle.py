"""The oracle knows what is true, at every slot, whatever the backends say."""

from pathlib import Path

from solders.instruction import Instruction
from solders.keypair import Keypair

from localnet.adversary.cluster_faults import Fork
from localnet.adversary.faults import ViewFault
from localnet.settings import DEFAULT_MINT
from localnet.tokens import associated_address
from tests.chain.localnet.calls import create_token_account, send_sol, token_transfer
from tests.chain.localnet.manual import FINALIZED_LAG, manual


async def test_every_signature_with_slot_and_error(tmp_path: Path) -> None:
    with manual(tmp_path, ViewFault(kind="lost-signatures", share=1.0)) as it:
        user, to = it.wallet("user"), Keypair().pubkey()
        first = await it.land(send_sol(user, to, 1_000_000))
        slot = it.chain.cluster.slot
        await it.chain.end_slots()
        second = await it.land(send_sol(user, to, 10**18))  # more than there is
        assert await it.listed(to) == []
        assert it.chain.oracle.signatures(to) == []
        await it.chain.end_slots(FINALIZED_LAG)
        facts = it.chain.oracle.signatures(to)
        assert [(fact.signature, fact.slot) for fact in facts] == [
            (first, slot),
            (second, slot + 1),
        ]
        assert facts[0].err is None
        assert facts[1].err is not None
        assert await it.listed(to) == []


async def test_balances_at_every_slot(tmp_path: Path) -> None:
    with manual(tmp_path, ViewFault(kind="lag", slots=30)) as it:
        user, other = it.wallet("user"), Keypair().pubkey()
        vault = associated_address(other, DEFAULT_MINT)
        slots: list[int] = []

        async def step(*instructions: Instruction) -> None:
            slots.append(it.chain.cluster.slot)
            for instruction in instructions:
                await it.land(instruction)
            await it.chain.end_slots(2)

        await step(create_token_account(user.pubkey(), other, DEFAULT_MINT))
        await step(token_transfer(DEFAULT_MINT, user.pubkey(), other, 5))
        await step(send_sol(user, other, 1_000_000))
        await step(
            token_transfer(DEFAULT_MINT, user.pubkey(), other, 6),
            token_transfer(DEFAULT_MINT, user.pubkey(), other, 7),
        )
        await it.chain.end_slots(FINALIZED_LAG)
        oracle = it.chain.oracle
        assert oracle.balances(vault) == [(slots[1], 5), (slots[3], 18)]
        assert [oracle.balance(vault, slot) for slot in (0, slots[1] - 1, slots[1], slots[3])] == [
            0,
            0,
            5,
            18,
        ]
        assert oracle.balance(vault) == 18
        assert oracle.balance(associated_address(user.pubkey(), DEFAULT_MINT), 0) == 10**11
        assert oracle.lamports(other, slots[2] - 1) == 0
        assert oracle.lamports(other) == 1_000_000


async def test_what_a_fork_dropped_is_not_true(tmp_path: Path) -> None:
    with manual(tmp_path, Fork(at_slot=1, depth_slots=2, relands_percent=0)) as it:
        to = Keypair().pubkey()
        await it.land(send_sol(it.wallet("user"), to, 1_000_000))
        assert it.chain.oracle.lamports(to, it.chain.cluster.slot) == 1_000_000
        await it.chain.end_slots(2 + FINALIZED_LAG)
        assert it.chain.oracle.signatures(to) == []
        assert it.chain.oracle.lamports(to) == 0
