"""What a provider is asked before it is believed."""

import pytest

from indexer.probes import ChainsDiffer, NobodyServes, Prober
from indexer.providers import Distrust, NoProvider, Provider, Providers
from settlement.chain.answers import SignatureInfo
from settlement.chain.rpc import RpcRefused, RpcUnavailable
from settlement.money import Slot
from tests.database.indexer.node import FakeNode
from tests.pure.transactions import DEPLOYMENT, answer, signature, transfer


def node(**faults: object) -> FakeNode:
    made = FakeNode()
    moved = transfer(DEPLOYMENT.till_vault, DEPLOYMENT.program_id, 0)
    made.add(*(answer(moved, slot=slot, signature=signature(slot)) for slot in (10, 11)))
    for name, value in faults.items():
        assert hasattr(made, name)
        setattr(made, name, value)
    return made


def fresh(*of: FakeNode) -> Providers:
    not_probed = frozenset({Distrust.NOT_PROBED})
    return Providers(
        [
            Provider(name=name, rpc=one, distrust=not_probed)
            for name, one in zip("abc", of, strict=False)
        ]
    )


def prober(providers: Providers, genesis_hash: str | None = "genesis") -> Prober:
    return Prober(providers, program_id=DEPLOYMENT.program_id, genesis_hash=genesis_hash)


async def distrust_of(faulty: FakeNode) -> frozenset[Distrust]:
    providers = fresh(faulty)
    await prober(providers).look_once()
    return providers.all[0].distrust


async def test_an_honest_provider_is_trusted_with_everything() -> None:
    providers = fresh(node(first_block=3))
    assert not providers.all[0].usable
    await prober(providers).look_once()
    one = providers.all[0]
    assert (one.distrust, one.version, one.first_block, one.slot) == (
        frozenset(),
        "4.0.0",
        Slot(3),
        Slot(11),
    )
    assert providers.lead is one


async def test_one_on_another_chain_is_never_used() -> None:
    providers = fresh(node(genesis="other"))
    await prober(providers).look_once()
    assert providers.all[0].distrust == {Distrust.WRONG_CHAIN}
    with pytest.raises(NoProvider):
        _ = providers.lead
    asked = providers.all[0].rpc
    assert isinstance(asked, FakeNode)
    assert asked.asked == ["genesis_hash"]


async def test_one_that_ignores_min_context_slot_cannot_prove() -> None:
    assert await distrust_of(node(ignores_min_context_slot=True)) == {
        Distrust.IGNORES_MIN_CONTEXT_SLOT
    }


async def test_an_old_node_answers_an_unknown_cursor_with_an_empty_page() -> None:
    assert await distrust_of(node(forgets_cursors=True)) == {Distrust.EMPTY_FOR_UNKNOWN_CURSOR}


async def test_one_that_ignores_cursors_cannot_prove() -> None:
    assert await distrust_of(node(ignores_cursors=True)) == {Distrust.IGNORES_CURSOR}


@pytest.mark.parametrize("error_code", [-32015, -32602])
async def test_one_that_cannot_read_newer_transactions(error_code: int) -> None:
    faulty = node(refused={signature(11): error_code})
    assert await distrust_of(faulty) == {Distrust.OLD_TRANSACTIONS_ONLY}


async def test_one_without_transactions_is_the_wrong_kind_of_node() -> None:
    class Validator(FakeNode):
        async def signatures_for(self, *_: object, **__: object) -> tuple[SignatureInfo, ...]:
            raise RpcRefused(method="test", error_code=-32011, text="not available")

    assert await distrust_of(Validator(tip=5)) == {Distrust.NO_TRANSACTION_HISTORY}


async def test_one_whose_backend_changes_is_noticed_when_it_is_probed_again() -> None:
    changing = node()
    providers = fresh(changing)
    asking = prober(providers)
    await asking.look_once()
    changing.genesis = "other"
    await asking.look_once()
    assert providers.all[0].usable  # it was probed a moment ago
    asking._probed_at.clear()
    await asking.look_once()
    assert providers.all[0].distrust == {Distrust.WRONG_CHAIN}


async def test_a_program_without_history_is_probed_all_the_same() -> None:
    assert await distrust_of(FakeNode(tip=5)) == frozenset()


async def test_one_that_does_not_answer_stays_unused_and_is_asked_again() -> None:
    faulty = node(away=True)
    providers = fresh(faulty)
    asking = prober(providers)
    await asking.look_once()
    assert providers.all[0].distrust == {Distrust.NOT_PROBED}
    faulty.away = False
    await asking.look_once()
    assert not providers.all[0].usable  # not at once: it is left alone for a while
    await prober(providers).look_once()
    assert providers.all[0].usable


async def test_one_that_fabricated_is_not_forgiven_for_coming_back() -> None:
    providers = fresh(node())
    providers.all[0].distrust |= {Distrust.FABRICATES}
    await prober(providers).look_once()
    assert providers.all[0].distrust == {Distrust.FABRICATES}


async def test_whose_chain_it_is_when_nobody_said() -> None:
    asking = prober(fresh(node(away=True), node(), node()), None)
    assert await asking.agree() == "genesis"
    with pytest.raises(ChainsDiffer, match="other"):
        await prober(fresh(node(), node(genesis="other")), None).agree()
    one_of_two = fresh(node(genesis="other"), node(genesis="told"))
    assert await prober(one_of_two, "told").agree() == "told"
    with pytest.raises(NobodyServes):
        await prober(fresh(node(genesis="other")), "told").agree()
    with pytest.raises(RpcUnavailable):  # the silent one may be the right one
        await prober(fresh(node(genesis="other"), node(away=True)), "told").agree()
    with pytest.raises(RpcUnavailable):
        await prober(fresh(node(away=True)), None).agree()


async def test_who_has_been_silent_is_asked_how_far_he_is() -> None:
    quiet = node()
    providers = fresh(quiet)
    asking = prober(providers)
    await asking.look_once()
    asked = len(quiet.asked)
    await asking.look_once()
    assert len(quiet.asked) == asked  # it has just told
    providers.all[0].slot_at_seconds -= 60
    quiet.tip = 99
    await asking.look_once()
    assert (len(quiet.asked), providers.finalized) == (asked + 1, 99)
