"""`bench program`: compute units of every instruction, against its budget and Anchor's estimate.

Nothing here depends on the machine: the chain counts the units, and the same program gives the
same count. The Anchor figures are estimates by the rule in `tests/program/compute.py`.
"""

from pathlib import Path

from tests.bench.harness import Bar, Measured
from tests.program.compute import BUDGETS, Cost
from tests.program.compute import measure as measure_cost


def measure(_directory: Path) -> Measured:
    """Every instruction once, on a fresh chain each."""
    costs = [measure_cost(name) for name in BUDGETS]
    return Measured(
        results={cost.name: figures_of(cost) for cost in costs},
        bars=[
            Bar(
                name=f"{cost.name}_units", value=cost.at_bump_255, limit=cost.budget, kind="at most"
            )
            for cost in costs
        ],
    )


def figures_of(cost: Cost) -> dict[str, int | float]:
    """One line of what is printed."""
    return {
        "units": cost.at_bump_255,
        "worst_bump_units": cost.worst_bump,
        "budget_units": cost.budget,
        "anchor_estimate_units": cost.anchor_estimate,
        "share_percent": cost.share_percent,
    }
