"""Telling the signer that something waits: what it then does, and what it answers."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from solders.pubkey import Pubkey

from settlement.keys.protocol import KeyAway
from settlement.local_socket import NobodyAnswers, Wrong, ask, listening
from settlement.metrics import SignerMetrics
from settlement.money import Lamports, MicroUsdc
from settlement.payouts.nudge import MOST_IDS, Answer, Nudge, PayoutSaid, Said, Waits
from settlement.payouts.policy import SigningPolicy
from settlement.payouts.rounds import Rounds
from settlement.payouts.sign import Signer
from settlement.signing.process import Looks
from tests.database.payouts.world import USDC, World


@pytest.fixture
def path() -> Generator[Path]:
    with TemporaryDirectory(prefix="pod") as directory:
        yield Path(directory) / "signer" / "s"


@asynccontextmanager
async def signer_at(path: Path, signer: Signer) -> AsyncGenerator[Looks]:
    looks = Looks(signer=signer, metrics=SignerMetrics())
    async with listening(path, looks.answer):
        yield looks


async def asked(world: World, amount: int = 10 * USDC) -> UUID:
    return (await world.withdraw(await world.operator(), amount)).withdrawal_id


async def told(path: Path, *payouts: UUID) -> list[PayoutSaid]:
    answer = await ask(path, Waits(payouts=list(payouts)), Answer, timeout_seconds=10)
    return answer.payouts


async def test_one_round_pays_when_the_signer_is_told(world: World, path: Path) -> None:
    payout = await asked(world)
    nudge = Nudge(pool=world.worker, path=path)
    rounds = Rounds(world.road(), lowest_payer_lamports=Lamports(0), nudge=nudge)
    async with signer_at(path, world.signing()):
        done = await rounds.once()
    assert (done.numbered, done.built, done.sent) == (1, 1, 1)
    await world.index()
    assert (await world.finish(payout)).sequence == 0


async def test_a_signer_that_is_away_costs_nothing_but_time(world: World, path: Path) -> None:
    payout = await asked(world)
    nudge = Nudge(pool=world.worker, path=path)
    done = await Rounds(world.road(), lowest_payer_lamports=Lamports(0), nudge=nudge).once()
    assert (done.built, done.sent) == (1, 0)
    await world.finish(payout)


async def test_it_says_what_became_of_each(world: World, path: Path) -> None:
    signed, refused, nothing = await asked(world), await asked(world, 20 * USDC), await asked(world)
    policy = SigningPolicy(
        deployment=world.deployment, largest_payment_microusdc=MicroUsdc(10 * USDC)
    )
    await world.number()
    await world.build()
    await world.superuser(
        f"update settlement.payout_attempt set closed_at = now() where payout_id = '{nothing}'"
    )
    async with signer_at(path, world.signing(policy)):
        stranger = uuid4()
        first, second, third, fourth = await told(path, signed, refused, nothing, stranger)
    assert (first.payout, first.said) == (signed, Said.SIGNED)
    assert first.signature
    assert (second.said, second.signature) == (Said.REFUSED, None)
    assert "cause=payment" in str(second.reason)
    assert (third.said, fourth.said) == (Said.NOTHING, Said.NOTHING)


async def test_who_names_nobody_still_makes_it_look(world: World, path: Path) -> None:
    payout = await asked(world)
    await world.number()
    await world.build()
    async with signer_at(path, world.signing()):
        assert await told(path) == []
        (said,) = await told(path, payout)
    assert said.said is Said.SIGNED


WRONG = {
    "bytes to sign": (b'{"payouts": [], "message": "AAAA"}', None),
    "no ids": (b'{"payouts": ["1"]}', "payouts[0]"),
    "too many": (
        msgspec.json.encode({"payouts": [uuid4() for _ in range(MOST_IDS + 1)]}),
        "payouts",
    ),
    "another question": (b'{"ask": "sign"}', None),
    "noise": (b"\x00\xff", None),
}


@pytest.mark.parametrize(("raw", "field"), WRONG.values(), ids=WRONG.keys())
async def test_bad_input_is_told_and_the_signer_lives(
    world: World, path: Path, raw: bytes, field: str | None
) -> None:
    async with signer_at(path, world.signing()):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(raw + b"\n")
        said = msgspec.json.decode(await reader.readline(), type=Wrong)
        assert await reader.read() == b""
        writer.close()
        assert (said.error, said.field) == ("request_invalid", field)
        assert await told(path) == []


class Away:
    """A key whose holder does not answer."""

    def __init__(self, address: Pubkey) -> None:
        self.address = address

    async def sign(self, message: bytes) -> bytes:
        raise KeyAway(problem=f"nobody signs {len(message)} bytes")


async def test_a_key_or_a_database_that_is_away_is_told(world: World, path: Path) -> None:
    payout = await asked(world)
    await world.number()
    await world.build()
    away = replace(world.signing(), key=Away(world.key.address))
    async with signer_at(path, away):
        said = await ask(path, Waits(payouts=[payout]), Wrong, timeout_seconds=5)
        assert said.error == "key_away"
        with pytest.raises(NobodyAnswers):
            await told(path, payout)
    async with signer_at(path, world.signing()) as looks:
        (signed,) = await told(path, payout)
        assert signed.said is Said.SIGNED

        async def lost() -> None:
            raise asyncpg.ConnectionDoesNotExistError("gone")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(looks, "once", lost)
            said = await ask(path, Waits(payouts=[payout]), Wrong, timeout_seconds=5)
        assert said.error == "signer_busy"


async def test_two_who_ask_at_once_are_both_answered(world: World, path: Path) -> None:
    payouts = [await asked(world) for _ in range(5)]
    await world.number()
    await world.build()
    async with signer_at(path, world.signing()):
        answers = await asyncio.gather(*(told(path, *payouts) for _ in range(4)))
    assert all(each.said is Said.SIGNED for answer in answers for each in answer)
    rows = await world.superuser("select count(*) as n from settlement.payout_attempt")
    assert rows[0]["n"] == 5
