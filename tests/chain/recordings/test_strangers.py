"""Whatever strangers put into blocks: the real token program moves, the decoder says the same.

Random transactions, many of them senseless: transfers to anywhere, batches, mints, burns, frozen
accounts, memos, coded deposits, through other programs, in every version; some fail. What no honest
answer leads to must not happen: nothing unreadable, nothing that does not add up, and a second
reading (`oracle`) agrees. POD_SEED repeats a run.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pytest
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from indexer.attribution import events_of
from indexer.decode import decode
from settlement.chain import program
from settlement.money import MicroUsdc
from tests.chain.localnet.calls import RpcFailed
from tests.chain.recordings.recording import Recording
from tests.chain.recordings.stage import (
    BOND_CODE,
    OTHER_CODE,
    USER_CODE,
    NoBlockHoldsIt,
    Stage,
    opened,
)
from tests.chain.recordings.tokens import (
    MEMO,
    OLD_MEMO,
    approve,
    batch,
    burn,
    checked,
    compute_limit,
    freeze,
    memo,
    mint_to,
    plain,
    read,
)
from tests.pure.deposits import oracle

_SEED: Final = int(os.environ.get("POD_SEED", "1"))
_CODES: Final = (USER_CODE, OTHER_CODE, BOND_CODE, bytes(8))
_DEPTHS: Final = (0, 0, 0, 1, 1, 2, 3)


@dataclass(kw_only=True)
class Strangers:
    """Two of them, `user` who pays all fees and the mint's issuer, and dice."""

    stage: Stage
    dice: random.Random

    @property
    def _accounts(self) -> list[Pubkey]:
        deployment = self.stage.deployment
        vaults = [deployment.till_vault] * 3 + [deployment.bond_vault]
        return [*vaults, self.stage.ata("user"), self.stage.ata("mint-authority")]

    def transaction(self) -> list[Instruction]:
        """One to four instructions, each perhaps through other programs."""
        return [self._perhaps_called(self._one()) for _ in range(self.dice.randint(1, 4))]

    def _perhaps_called(self, made: Instruction) -> Instruction:
        for _ in range(self.dice.choice(_DEPTHS)):
            made = self.stage.foreign.forward(made)
        return made

    def _one(self) -> Instruction:
        makers: tuple[Callable[[], Instruction], ...] = (
            self._token,
            self._token,
            self._deposit,
            self._deposit,
            self._memo,
            self._batch,
            lambda: compute_limit(600_000),
        )
        return self.dice.choice(makers)()

    def _amount(self) -> int:
        return self.dice.choice((0, 1, 7, 7, 10**6, self.dice.randrange(10**6), 2**64 - 1))

    def _deposit(self) -> Instruction:
        return program.deposit_usdc(
            self.stage.deployment,
            depositor=self.stage.key("user"),
            code=self.dice.choice(_CODES),
            amount_microusdc=MicroUsdc(self._amount()),
        )

    def _memo(self) -> Instruction:
        code = self.dice.choice(_CODES)
        text = self.dice.choice((code.hex(), f"for {code.hex()} !", "POD-BOND-K7QM2XZP", "rent"))
        return memo(text, by=self.dice.choice((MEMO, OLD_MEMO)))

    def _batch(self) -> Instruction:
        parts = [self._token() for _ in range(self.dice.randint(1, 3))]
        trailing = [read(self.stage.deployment.config)] * self.dice.randint(0, 2)
        return batch(*parts, trailing=trailing)

    def _token(self) -> Instruction:
        stage, dice = self.stage, self.dice
        mint, user, issuer = stage.deployment.mint, stage.key("user"), stage.key("mint-authority")
        source, to, amount = (
            dice.choice(self._accounts),
            dice.choice(self._accounts),
            self._amount(),
        )
        if dice.random() < 0.8:
            source = stage.ata("user")
        return dice.choice(
            (
                plain(source, to, user, amount),
                checked(source, mint, to, user, amount),
                checked(source, mint, to, user, amount, read(issuer)),
                mint_to(mint, to, issuer, min(amount, 10**6)),
                burn(source, mint, user, amount),
                approve(stage.ata("user"), issuer, user, amount),
                plain(stage.ata("user"), to, issuer, amount),  # as a delegate
                freeze(stage.ata("mint-authority"), mint, issuer, thaw=dice.random() < 0.6),
            )
        )


async def play(number: int, seed: int) -> list[Recording]:
    """So many random transactions, and what the node answers about those that landed."""
    dice = random.Random(seed)
    async with opened() as stage:
        user, issuer = stage.wallet("user"), stage.wallet("mint-authority")
        await stage.aside(
            program.create_associated_token_account(
                funder=user.pubkey(), owner=issuer.pubkey(), mint=stage.deployment.mint
            )
        )
        strangers = Strangers(stage=stage, dice=dice)
        for place in range(number):
            version = dice.choice((None, 0, 1))
            try:
                await stage.scene(
                    f"{place}",
                    f"seed {seed}",
                    *strangers.transaction(),
                    memo("all sign", user.pubkey(), issuer.pubkey()),
                    by=[user, issuer],
                    version=version,
                    fails=True,
                )
            except (RpcFailed, NoBlockHoldsIt):
                continue  # too large, or nothing a block would hold
        return await stage.recorded()


def judge(recordings: list[Recording]) -> dict[str, int]:
    """Every answer is read, adds up, and is read twice the same; how many worked."""
    counts = {"worked": 0, "failed": 0, "credits": 0}
    for one in recordings:
        found = decode(one.answer, signature=one.signature, watch=one.watch)
        assert found.explained, (one.why, one.name)
        events = events_of(found, one.watch)
        oracle.hold(one.answer, found, events, one.watch)
        counts["failed" if found.failed else "worked"] += 1
        counts["credits"] += len([event for event in events if getattr(event, "code", None)])
    return counts


async def test_whatever_strangers_do_is_read_and_adds_up() -> None:
    counts = judge(await play(120, _SEED))
    assert counts["worked"] > 20, counts
    assert counts["failed"] > 20, counts
    assert counts["credits"] > 5, counts


@pytest.mark.nightly
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("life", range(20))
async def test_very_many_strangers(life: int) -> None:
    counts = judge(await play(500, _SEED * 1_000 + life))
    assert counts["worked"] > 80, counts
