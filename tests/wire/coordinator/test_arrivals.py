"""Deposits that are confirmed and not final show on the wire, and change no balance."""

from typing import Any

from settlement import arrivals
from settlement.arrivals import SeenDeposit
from settlement.chain.movement import MovementKey, Vault
from settlement.db.pool import open_pool, transaction
from settlement.deposits import owner_of_code
from settlement.money import MicroUsdc, Slot
from tests.conftest import Database
from tests.pure.transactions import signature
from tests.wire.coordinator.world import DOLLAR, World, world


async def see(database: Database, number: int, code: bytes, vault: Vault) -> None:
    """What the indexer writes when a deposit is confirmed."""
    key = MovementKey(cluster="localnet", signature=signature(number), outer=0, inner=0)
    pool = await open_pool(database.dsn, role="pod_indexer", application="test", size=1)
    async with transaction(pool) as tx:
        seen = SeenDeposit(
            key=key,
            vault=vault,
            amount_microusdc=MicroUsdc(10 * number),
            owner=await owner_of_code(tx, code),
        )
        await arrivals.see(tx, Slot(100 - number), [seen])
    await pool.close()


async def shown(w: World, path: str, headers: dict[str, str] | None = None) -> Any:  # noqa: ANN401
    response = await w.get(path, headers=headers)
    assert response.status == 200
    return await response.json()


async def test_a_user_sees_deposits_arrive_and_cannot_spend_them(database: Database) -> None:
    async with world(database.dsn) as w:
        poor, other = await w.user(funded=0), await w.user(funded=DOLLAR)
        for number in (1, 2):
            await see(database, number, poor.code, Vault.TILL)
        told = await shown(w, f"/proxy/{poor.token}/balance")
        assert (told["usdc_balance"], told["is_active"]) == (0, False)
        named = ("signature", "amount_microusdc", "slot")
        lines = [tuple(one[name] for name in named) for one in told["arriving"]]
        assert lines == [(signature(2), 20, 98), (signature(1), 10, 99)]
        assert "T" in told["arriving"][0]["first_seen_at"]
        assert (await shown(w, f"/proxy/{other.token}/balance"))["arriving"] == []


async def test_an_operator_sees_the_bond_arrive(database: Database) -> None:
    async with world(database.dsn) as w:
        operator = await w.operator(bonded=False)
        headers = {"authorization": f"Bearer {operator.token}"}
        assert (await shown(w, "/v1/host/profile", headers))["bond"]["arriving"] == []
        await see(database, 3, operator.code.encode(), Vault.BOND)
        bond = (await shown(w, "/v1/host/profile", headers))["bond"]
        assert [one["amount_microusdc"] for one in bond["arriving"]] == [30]
        assert bond["posted_microusdc"] == 0
