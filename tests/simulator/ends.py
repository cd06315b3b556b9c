"""What must hold when a story has ended, and nothing else matters.

Each obligation is paid once or refunded once, all holds have ended, the books are the chain's and
add up.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from solders.pubkey import Pubkey

from localnet.adversary.in_process import URL
from settlement.chain import program
from settlement.chain.answers import AccountAt
from settlement.chain.rpc import RpcClient
from settlement.db.pool import reading
from settlement.ledger import accounts, store
from settlement.payouts.states import PayoutState
from settlement.reconcile.compare import Verdict, compare
from tests.chain.indexer.seeded_ground import CLUSTER, RETRY
from tests.conftest import check_books
from tests.simulator.ground import EARNED, OPERATORS
from tests.simulator.world import Simulation

_MOST_LOOKS: Final = 100


async def check(simulation: Simulation) -> None:
    """Paid once or refunded once; all holds ended; the books are the chain's and add up."""
    payouts = await simulation.rows("select * from settlement.payout")
    assert len(payouts) == len(simulation.story.wishes), "one for each wish, however often asked"
    paid = Counter[str]()
    spent = Counter[UUID]()
    for row in payouts:
        if row["state"] == PayoutState.PAID:
            paid[row["destination"]] += row["amount"]
            spent[row["provider_id"]] += row["amount"]
    for wallet in {str(wish.wallet.pubkey()) for wish in simulation.story.wishes}:
        assert _received(simulation, wallet) == paid[wallet], f"{wallet}: chain, books"
    for operator in OPERATORS:
        async with reading(simulation.pools.settlement) as conn:
            found = await store.balance(conn, accounts.host(operator))
        held_and_net = (found.held_microusdc, found.net_microusdc)
        assert held_and_net == (0, EARNED - spent[operator]), operator
    assert await simulation.rows("select * from settlement.hold where state = 'open'") == []
    numbers = sorted(row["sequence"] for row in payouts if row["sequence"] is not None)
    assert numbers == list(range(len(numbers))), "numbers have no gaps"
    assert await simulation.rows("select * from settlement.payout_halt") == []
    await _reconcile(simulation)
    await check_books(simulation.dsn)


def _received(simulation: Simulation, wallet: str) -> int:
    owner = Pubkey.from_string(wallet)
    account = program.associated_token_address(owner, simulation.ground.deployment.mint)
    return simulation.chain.oracle.balance(account)


async def _reconcile(simulation: Simulation) -> None:
    rpc = RpcClient([URL], simulation.chain.session, retry=RETRY)  # pyright: ignore[reportArgumentType]
    found = await compare(
        simulation.pools.settlement,
        _Later(rpc=rpc, simulation=simulation),
        cluster=CLUSTER,
        deployment=simulation.ground.deployment,
        clock=simulation.clock,
        patience_seconds=0,
    )
    assert found.verdict is Verdict.EQUAL, found.as_json()


@dataclass(frozen=True, kw_only=True)
class _Later:
    """What the vaults hold, told when the indexer has read as far: nobody waits by the clock."""

    rpc: RpcClient
    simulation: Simulation
    sources: int = 1

    async def accounts(self, addresses: Sequence[Pubkey]) -> tuple[AccountAt, ...]:
        found = await self.rpc.accounts(addresses)
        indexing = self.simulation.indexing
        for _ in range(_MOST_LOOKS):
            await self.simulation.chain.end_slots(2)
            await indexing.step()
            if indexing.frontier is not None and indexing.frontier >= found[0].slot:
                return found
        raise AssertionError("the indexer does not catch up")
