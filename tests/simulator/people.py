"""What people do in a simulated story, drawn by its seed.

Operators ask for money, take it back, let it be approved or given up; the issuer of the coin
freezes and thaws accounts; the payer's key is changed. Whoever hears nothing asks again under the
same key.
"""

import random
from dataclasses import dataclass
from typing import Final

from solders.keypair import Keypair

USDC: Final = 1_000_000
_SMALL: Final = (5 * USDC, 7 * USDC + 1, 250 * USDC)
_MUCH: Final = 1_500 * USDC
_LAST_TICK: Final = 14


@dataclass(frozen=True, kw_only=True)
class Wish:
    """One withdrawal and what becomes of it. Ticks are of the story; None: never."""

    name: str
    operator: int
    amount_microusdc: int
    wallet: Keypair
    at: int
    cancelled_at: int | None = None
    given_up_at: int | None = None
    approved_at: int  # if it has to be: what is much for one day waits for a person


@dataclass(frozen=True, kw_only=True)
class Freeze:
    """A wallet's token account is opened by somebody, frozen, and perhaps thawed."""

    wallet: Keypair
    at: int
    thawed_at: int | None


@dataclass(frozen=True, kw_only=True)
class Story:
    """Everything people do, and how dangerous life is."""

    seed: int
    wishes: tuple[Wish, ...]
    freezes: tuple[Freeze, ...]
    key_changed_at: int | None
    deaths: float  # how likely a process is to die at a step it is given
    is_calm: bool  # no faults of chain and nodes
    is_nudged: bool
    batch_from: int  # with so many waiting they share messages


def story_of(seed: int) -> Story:
    """The story of a seed: always the same."""
    dice = random.Random(f"people {seed}")
    wallets = [Keypair.from_seed(dice.randbytes(32)) for _ in range(3)]
    wishes = [_wish(dice, f"{seed}-{n}", dice.choice(wallets)) for n in range(dice.randint(1, 4))]
    freezes = [_freeze(dice, wallet) for wallet in wallets[:2] if dice.random() < 0.3]
    return Story(
        seed=seed,
        wishes=tuple(wishes),
        freezes=tuple(freezes),
        key_changed_at=dice.randint(2, _LAST_TICK) if dice.random() < 0.15 else None,
        deaths=dice.choice((0.0, 0.1, 0.3, 0.6)),
        is_calm=dice.random() < 0.5,
        is_nudged=dice.random() < 0.5,
        batch_from=dice.choice((2, 8)),
    )


def _wish(dice: random.Random, name: str, wallet: Keypair) -> Wish:
    at = dice.choice((1, 1, dice.randint(0, _LAST_TICK // 2)))
    amount = dice.choice((*_SMALL, _MUCH))

    def later(probability: float, most: int) -> int | None:
        return at + dice.randint(0, most) if dice.random() < probability else None

    return Wish(
        name=name,
        operator=dice.randint(0, 1),
        amount_microusdc=amount,
        wallet=wallet,
        at=at,
        cancelled_at=later(0.25, 6),
        given_up_at=later(0.25, 12),
        approved_at=at + dice.randint(0, 8),
    )


def _freeze(dice: random.Random, wallet: Keypair) -> Freeze:
    at = dice.randint(0, _LAST_TICK)
    thawed = at + dice.randint(2, 10) if dice.random() < 0.5 else None
    return Freeze(wallet=wallet, at=at, thawed_at=thawed)
