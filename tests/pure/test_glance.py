"""One look at all accounts: what changes it, and that not knowing is a change."""

from solders.pubkey import Pubkey

from indexer.glance import Glance
from indexer.providers import Distrust, Provider, Providers
from settlement.chain.answers import Account, AccountAt
from settlement.chain.program import TOKEN_PROGRAM
from settlement.money import Lamports, Slot
from tests.database.indexer.node import FakeNode
from tests.pure.transactions import BOND, TILL


def held(lamports: int, data: bytes, *, slot: int) -> AccountAt:
    account = Account(owner=TOKEN_PROGRAM, lamports=Lamports(lamports), data=data, executable=False)
    return AccountAt(slot=Slot(slot), account=account)


def glance_at(node: FakeNode) -> tuple[Glance, Provider]:
    provider = Provider(name="a", rpc=node)
    addresses: list[Pubkey] = [TILL, BOND]
    return Glance(Providers([provider]), addresses), provider


async def test_only_what_the_accounts_are_counts() -> None:
    node = FakeNode(accounts_held={TILL: held(1, b"5", slot=10)})
    glance, _ = glance_at(node)
    await glance.remember()
    node.accounts_held[TILL] = held(1, b"5", slot=11)
    assert not await glance.changed()
    for other in (held(1, b"6", slot=11), held(2, b"5", slot=11)):
        node.accounts_held[TILL] = other
        assert await glance.changed()
    node.accounts_held[TILL] = held(1, b"5", slot=12)
    assert not await glance.changed()
    node.accounts_held[BOND] = held(1, b"", slot=12)
    assert await glance.changed()
    assert node.asked == ["accounts"] * 6


async def test_not_knowing_is_a_change() -> None:
    node = FakeNode(away=True)
    glance, provider = glance_at(node)
    await glance.remember()
    assert await glance.changed()
    node.away = False
    assert await glance.changed()
    await glance.remember()
    assert not await glance.changed()
    provider.distrust = frozenset({Distrust.WRONG_CHAIN})
    assert await glance.changed()
