"""What the signer signs: what follows from the intent, and nothing else whatever it reads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import pytest
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from settlement.chain import program
from settlement.chain.messages import Budget
from settlement.db.pool import transaction
from settlement.db.sql import load
from settlement.money import Lamports, MicroUsdc
from settlement.payouts.batches import Member, message_of
from settlement.payouts.halt import halt
from settlement.payouts.intent import Action, Intent, instruction
from settlement.payouts.policy import SigningPolicy
from settlement.payouts.sign import Signed, sign_waiting
from settlement.payouts.states import PayoutState
from settlement.payouts.store import intent_of
from tests.database.payouts.world import USDC, Operator, World

_SQL = load("settlement.payouts", "messages.sql")
BUDGET = Budget(compute_unit_limit=20_000, compute_unit_price_microlamports=1_000)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A numbered payout, and how to build messages for it, right ones and others."""

    world: World
    operator: Operator
    intent: Intent

    def message(
        self,
        intent: Intent | None = None,
        *,
        action: Action = Action.EXECUTE,
        budget: Budget = BUDGET,
        payer: Pubkey | None = None,
    ) -> bytes:
        made = message_of(
            [Member(intent=intent or self.intent, action=action)],
            deployment=self.world.deployment,
            payer=payer or self.world.key.address,
            budget=budget,
            blockhash=Hash(bytes([3] * 32)),
        )
        return bytes(made)

    def raw(self, *instructions: Instruction, payer: Pubkey | None = None) -> bytes:
        opening = [set_compute_unit_limit(20_000), set_compute_unit_price(1_000)]
        signer = payer or self.world.key.address
        made = Message.new_with_blockhash([*opening, *instructions], signer, Hash(bytes([3] * 32)))
        return bytes(made)

    def right(self) -> Instruction:
        key = self.world.key.address
        return instruction(self.intent, Action.EXECUTE, deployment=self.world.deployment, payer=key)

    async def offer(self, message: bytes, action: str = "execute") -> Signed:
        """Put this message before the signer, as the worker could."""
        await offer(self.world, message, [(self.intent.payout_id, action, False)])
        return await self.world.sign()

    async def attempt(self) -> tuple[str | None, str | None]:
        """(signature, refusal)"""
        (row,) = await self.world.superuser(
            "select m.* from settlement.payout_message m"
            " join settlement.payout_attempt a using (message_id)"
            f" where a.payout_id = '{self.intent.payout_id}'"
        )
        return row["signature"], row["refusal"]


async def offer(
    world: World, message: bytes, members: Sequence[tuple[UUID, str, bool]], *, said: int = 0
) -> None:
    """A message that is to be signed for these payouts (payout, action, creates account)."""
    ids, actions, creates = zip(*members, strict=True)
    async with transaction(world.worker) as tx:
        message_id = await tx.fetchval(
            _SQL["add_message"],
            bytes(world.key.address),
            said or len(members),
            message,
            5_000,
            10,
            world.clock.now(),
        )
        await tx.execute(_SQL["add_attempts"], message_id, ids, actions, creates)


async def new_case(world: World) -> Case:
    operator = await world.operator()
    asked = await world.withdraw(operator, 10 * USDC)
    await world.number()
    (row,) = await world.superuser(
        f"select * from settlement.payout where payout_id = '{asked.withdrawal_id}'"
    )
    return Case(world=world, operator=operator, intent=intent_of(row))


@pytest.fixture
async def case(world: World) -> Case:
    return await new_case(world)


async def test_what_follows_from_the_intent_is_signed(case: Case) -> None:
    assert await case.offer(case.message()) == Signed(signed=1, refused=0)
    signature, refusal = await case.attempt()
    assert (signature is not None, refusal) == (True, None)
    (row,) = await case.world.superuser("select wire from settlement.payout_message")
    signed = Transaction.from_bytes(row["wire"])
    signed.verify()
    assert bytes(signed.message) == case.message()
    assert await case.world.sign() == Signed(signed=0, refused=0)


def transfer_sol(case: Case) -> Instruction:
    accounts = [
        AccountMeta(case.world.key.address, is_signer=True, is_writable=True),
        AccountMeta(Keypair().pubkey(), is_signer=False, is_writable=True),
    ]
    return Instruction(program.SYSTEM_PROGRAM, bytes([2, 0, 0, 0]) + bytes(8), accounts)


def elsewhere(case: Case) -> Intent:
    return replace(case.intent, destination=Keypair().pubkey())


def of_another_program(case: Case) -> bytes:
    other = program.Deployment(program_id=Keypair().pubkey(), mint=case.world.deployment.mint)
    key = case.world.key.address
    return case.raw(instruction(case.intent, Action.EXECUTE, deployment=other, payer=key))


WRONG: dict[str, Callable[[Case], bytes]] = {
    "another destination": lambda c: c.message(elsewhere(c)),
    "a larger amount": lambda c: c.message(
        replace(c.intent, amount_microusdc=MicroUsdc(c.intent.amount_microusdc + 1))
    ),
    "a smaller amount": lambda c: c.message(
        replace(c.intent, amount_microusdc=MicroUsdc(c.intent.amount_microusdc - 1))
    ),
    "another number": lambda c: c.message(replace(c.intent, sequence=999)),
    "another reference": lambda c: c.message(replace(c.intent, reference=bytes(16))),
    "another code": lambda c: c.message(replace(c.intent, code=b"Somebody")),
    "a skip nobody asked for": lambda c: c.message(action=Action.SKIP),
    "another payer": lambda c: c.message(payer=Keypair().pubkey()),
    "another program": of_another_program,
    "an instruction more": lambda c: c.raw(c.right(), transfer_sol(c)),
    "only an instruction of others": lambda c: c.raw(transfer_sol(c)),
    "two payments": lambda c: c.raw(c.right(), c.right()),
    "an account for somebody else": lambda c: c.raw(
        program.create_associated_token_account(
            funder=c.world.key.address, owner=Keypair().pubkey(), mint=c.world.deployment.mint
        ),
        c.right(),
    ),
    "a high fee": lambda c: c.message(
        budget=replace(BUDGET, compute_unit_price_microlamports=10_000_000)
    ),
    "no compute budget": lambda c: bytes(
        Message.new_with_blockhash([c.right()], c.world.key.address, Hash.default())
    ),
    "one byte off the end": lambda c: c.message()[:-1],
    "one byte more": lambda c: c.message() + b"\0",
    "nothing": lambda _c: b"",
    "noise": lambda _c: bytes(range(200)),
}


async def test_anything_else_is_refused(world: World) -> None:
    for what, wrong in WRONG.items():
        case = await new_case(world)
        assert await case.offer(wrong(case)) == Signed(signed=0, refused=1), what
        signature, refusal = await case.attempt()
        assert signature is None, what
        assert refusal, what
        assert await world.sign() == Signed(signed=0, refused=0), "it is not looked at again"
    rows = await world.superuser("select distinct state from settlement.payout")
    assert [row["state"] for row in rows] == [PayoutState.NUMBERED]


async def test_a_skip_that_nobody_asked_for_is_refused(case: Case) -> None:
    assert (await case.offer(case.message(action=Action.SKIP), "skip")).refused == 1


async def test_a_skip_that_somebody_asked_for_is_signed(case: Case) -> None:
    await case.world.superuser("update settlement.payout set skip_reason = 'frozen'")
    assert (await case.offer(case.message(action=Action.SKIP), "skip")).signed == 1


async def test_a_payment_is_not_signed_once_its_number_is_to_be_burned(case: Case) -> None:
    await case.world.superuser("update settlement.payout set skip_reason = 'frozen'")
    assert (await case.offer(case.message())).refused == 1


async def test_without_the_money_held_nothing_is_signed(case: Case) -> None:
    """An intent made up by somebody who can write intents, but not the books."""
    await case.world.superuser(
        "update settlement.hold set state = 'voided', released = amount;"
        " update settlement.balance set held = 0 where held > 0"
    )
    assert (await case.offer(case.message())).refused == 1
    # Put the books back as they were, for the check after the test.
    await case.world.superuser(
        "update settlement.hold set state = 'open', released = 0;"
        " update settlement.balance b set held = h.amount from settlement.hold h"
        " where h.account_id = b.account_id"
    )


async def test_more_than_the_policy_allows_is_not_signed(case: Case) -> None:
    await case.world.build()
    policy = SigningPolicy(
        deployment=case.world.deployment, largest_payment_microusdc=MicroUsdc(10 * USDC - 1)
    )
    world = case.world
    done = await sign_waiting(world.signing(policy))
    assert done == Signed(signed=0, refused=1)


async def test_the_fee_allowed_is_what_is_allowed(case: Case) -> None:
    world = case.world
    policy = SigningPolicy(deployment=world.deployment, largest_priority_fee_lamports=Lamports(20))
    await world.build()  # opens an account: 80,000 units at 1,000 microlamports are 80 lamports
    done = await sign_waiting(world.signing(policy))
    assert done == Signed(signed=0, refused=1)


async def test_while_payouts_are_halted_nothing_is_signed(case: Case) -> None:
    async with transaction(case.world.indexer) as tx:
        await halt(tx, "test")
    assert await case.offer(case.message()) == Signed(signed=0, refused=0)


async def test_two_signers_sign_once(case: Case) -> None:
    import asyncio

    await case.world.build()
    done = await asyncio.gather(*(case.world.sign() for _ in range(4)))
    assert sum(each.signed for each in done) == 1
