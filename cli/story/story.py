"""The demo's story, step by step; each step waits until what it did is really so.

register → deposit → enroll → bond → pair → ten requests → withdraw → retire → 90 days → the bond
comes back → reconcile.
"""

from cli.story.arrivals import deposit, enroll, pair_provider, post_bond, register
from cli.story.departures import bring_the_bond_back, reconcile, withdraw
from cli.story.stage import Stage
from cli.story.trade import ask, check_balances


async def tell(stage: Stage) -> None:
    """Play the whole story. Raises `StoryFailed` where something is not as it must be."""
    user = await register(stage)
    await deposit(stage, user)
    operator = await enroll(stage)
    posted = await post_bond(stage, operator)
    model = await pair_provider(stage, user, operator)
    await ask(stage, user, model)
    await check_balances(stage, user, operator)
    await withdraw(stage, operator)
    await bring_the_bond_back(stage, operator, posted)
    await reconcile(stage)
