"""Every recorded transaction in one set of books: all are booked, and the vaults are right."""

from typing import Final

from indexer import store
from indexer.follow import Follower
from indexer.metrics import Meters
from indexer.providers import Provider, Providers
from indexer.source import Watched
from settlement.chain.movement import Vault
from settlement.db.pool import transaction
from settlement.ledger import accounts
from tests.chain.recordings.recording import kept
from tests.database.indexer.conftest import Desk
from tests.database.indexer.node import PACE, RULES, FakeNode
from tests.pure.deposits import oracle

# The same transaction as `transfer-called`, half told.
_UNREADABLE: Final = "inner-null"


async def test_every_recording_is_booked_and_the_vaults_are_right(desk: Desk) -> None:
    recordings = [one for one in kept() if one.name != _UNREADABLE]
    watch = recordings[0].watch
    deployment = watch.deployment
    assert {one.watch for one in recordings} == {watch}, "one program and one mint for all chains"
    watched = (
        Watched(address=deployment.till_vault, purpose="till_vault"),
        Watched(address=deployment.bond_vault, purpose="bond_vault"),
        Watched(address=deployment.program_id, purpose="program", orders=True),
    )
    async with transaction(desk.pool) as tx:
        await store.claim_cluster(
            tx,
            watch.cluster,
            genesis_hash="genesis",
            program_id=deployment.program_id,
            mint=deployment.mint,
        )
        await store.watch(tx, watch.cluster, {str(one.address): one.purpose for one in watched})
    node = FakeNode(answers={one.signature: one.answer for one in recordings})
    node.tip = max(one.answer["slot"] for one in recordings)
    follower = Follower(
        providers=Providers([Provider(name="node", rpc=node)]),
        pool=desk.pool,
        writer=desk.writer,
        watch=watch,
        watched=watched,
        pace=PACE,
        rules=RULES,
        meters=Meters(),
    )
    now = await follower.round()
    assert (now.standing.wanted, now.standing.unreadable) == (0, 0)
    states = await desk.states()
    assert states["failed"] == sum(one.answer["meta"]["err"] is not None for one in recordings)
    assert states["booked"] > 80
    for vault in Vault:
        held = sum(
            oracle.balance_change(one.answer, str(watch.address(vault)), str(deployment.mint))
            for one in recordings
        )
        assert await desk.net(accounts.chain_vault(vault)) == -held
