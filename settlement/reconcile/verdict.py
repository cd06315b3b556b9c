"""Is a balance the sum of the movements? What several nodes said, brought to one conclusion. Pure.

Each node is compared at its own context slot, to the microunit. A node that alone disagrees while
another agrees with the movements is told of and not obeyed: to be believed against the books it
needs to outnumber those that agree. Fewer answers than the quorum prove nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from settlement.money import Slot


class CheckpointVerdict(StrEnum):
    """How a comparison ended."""

    EQUAL = "equal"
    DIFFERENT = "different"
    NO_DATA = "no_data"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What one node says an account held, and the finalized slot at which it said so."""

    provider: str
    slot: Slot
    balance_microusdc: int


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A reading beside the movements up to its slot. Microunits."""

    reading: Reading
    movements_microusdc: int
    accepted_microusdc: int = 0  # what persons took over as unexplained

    @property
    def difference_microusdc(self) -> int:
        """Chain minus movements: above zero, the account holds more than we know of."""
        known = self.movements_microusdc + self.accepted_microusdc
        return self.reading.balance_microusdc - known


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """What all readings of one account come to."""

    verdict: CheckpointVerdict
    compared: tuple[Compared, ...]
    problem: str | None = None  # why there is no data

    @property
    def agreeing(self) -> int:
        """How many nodes hold what the movements add up to."""
        return sum(one.difference_microusdc == 0 for one in self.compared)

    @property
    def dissenters(self) -> tuple[str, ...]:
        """Nodes that say something else."""
        return tuple(one.reading.provider for one in self.compared if one.difference_microusdc)

    @property
    def slot(self) -> Slot | None:
        """The lowest slot compared: up to here all that agree agree."""
        return min((one.reading.slot for one in self.compared), default=None)

    @property
    def difference_microusdc(self) -> int:
        """Of the first node that disagrees; 0 where none does."""
        return next((d for one in self.compared if (d := one.difference_microusdc)), 0)


def conclude(compared: Sequence[Compared], *, quorum: int) -> Conclusion:
    """Bring the readings of one account, one for each node that answered, to a conclusion."""
    assert quorum > 0, "nothing is proven by nobody"
    found = tuple(compared)
    agreeing = sum(one.difference_microusdc == 0 for one in found)
    if len(found) - agreeing > agreeing:
        return Conclusion(verdict=CheckpointVerdict.DIFFERENT, compared=found)
    if len(found) < quorum:
        problem = f"{len(found)} of the {quorum} nodes that are needed have answered"
        return Conclusion(verdict=CheckpointVerdict.NO_DATA, compared=found, problem=problem)
    return Conclusion(verdict=CheckpointVerdict.EQUAL, compared=found)


def fold(changes: Iterable[tuple[Slot, int]], *, to: Slot) -> int:
    """What changes of a balance, each at its slot, come to at the end of slot `to`."""
    return sum(change for slot, change in changes if slot <= to)
