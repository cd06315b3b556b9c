"""What the demo did and proves: steps, requests and their split, payout, bond, reconciliation."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from settlement.money import format_usdc


class StoryFailed(Exception):
    """The story could not be told to its end, or what it shows is not right."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing that happened; `id` is a transaction's signature or a request's id."""

    name: str
    id: str | None
    amount: int | None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class PaidRequest:
    """One settled request, in microunits."""

    id: str
    streamed: bool
    output_tokens: int
    gross: int
    operator: int
    treasury: int


@dataclass(frozen=True, kw_only=True)
class PaidWithdrawal:
    """Earnings that reached a wallet."""

    id: str
    amount: int
    destination: str
    signature: str


@dataclass(frozen=True, kw_only=True)
class ReturnedBond:
    """A bond that was posted and came back."""

    address: str
    amount: int
    posted: str
    retired: str
    released: str | None


@dataclass(frozen=True, kw_only=True)
class VaultLine:
    """One vault as the books and the chain say it, at the reconciled slot."""

    name: str
    books: int
    chain: int
    difference: int


@dataclass(frozen=True, kw_only=True)
class Reconciled:
    """Books against chain at one slot."""

    slot: int
    vaults: list[VaultLine]


@dataclass(kw_only=True)
class Report:
    """Collected while the story is told; `told` hears each step as it happens."""

    told: Callable[[Step], None]
    steps: list[Step] = field(default_factory=list[Step])
    requests: list[PaidRequest] = field(default_factory=list[PaidRequest])
    withdrawal: PaidWithdrawal | None = None
    bond: ReturnedBond | None = None
    reconcile: Reconciled | None = None
    stopped_because: str | None = None

    def step(
        self, name: str, *, id: str | None = None, amount: int | None = None, note: str = ""
    ) -> None:
        """Note a step, and tell it."""
        step = Step(name=name, id=id, amount=amount, note=note)
        self.steps.append(step)
        self.told(step)

    def as_json(self) -> str:
        """One object; amounts are microunits."""
        return json.dumps(
            {
                "steps": [asdict(step) for step in self.steps],
                "requests": [asdict(request) for request in self.requests],
                "withdrawal": self.withdrawal and asdict(self.withdrawal),
                "bond": self.bond and asdict(self.bond),
                "reconcile": self.reconcile and asdict(self.reconcile),
                "stopped_because": self.stopped_because,
            },
            indent=2,
        )


def line_of(step: Step) -> str:
    """A step for people: what, how much, which id."""
    amount = "" if step.amount is None else f"{format_usdc(step.amount)} USDC"
    return f"{step.name:<22} {amount:>18}  {step.note:<34} {step.id or ''}".rstrip()
