"""Who leads, who is demoted, and what a provider is called."""

import pytest

from indexer.providers import Distrust, Fitness, NoProvider, Provider, Providers, names_of
from settlement.money import Slot
from tests.database.indexer.node import FakeNode


def provider(name: str, *distrust: Distrust, slot: int | None = None) -> Provider:
    known = None if slot is None else Slot(slot)
    return Provider(name=name, rpc=FakeNode(), distrust=frozenset(distrust), slot=known)


def test_a_name_is_a_host_and_never_a_key() -> None:
    urls = [
        "https://user:secret@rpc.one.test/secret?api-key=secret",
        "https://rpc.one.test/other",
        "http://127.0.0.1:8899",
        "https://rpc.one.test",
        "nonsense",
    ]
    assert names_of(urls) == [
        "rpc.one.test",
        "rpc.one.test#2",
        "127.0.0.1:8899",
        "rpc.one.test#3",
        "?",
    ]


def test_the_first_of_the_settings_leads_and_another_verifies() -> None:
    first, second = provider("first"), provider("second")
    both = Providers([first, second])
    assert (both.lead, both.others, both.single_source) == (first, (second,), False)
    alone = Providers([first])
    assert (alone.lead, alone.others, alone.single_source) == (first, (), True)


def test_who_is_not_usable_is_never_asked() -> None:
    wrong = provider("wrong", Distrust.WRONG_CHAIN)
    fresh = provider("fresh", Distrust.NOT_PROBED)
    right = provider("right")
    assert Providers([wrong, fresh, right]).lead is right
    assert Providers([wrong, fresh, right]).others == ()
    with pytest.raises(NoProvider, match="another chain"):
        _ = Providers([wrong, fresh]).lead


def test_who_cannot_prove_does_not_lead_those_who_can() -> None:
    weak, strong = provider("weak", Distrust.IGNORES_MIN_CONTEXT_SLOT), provider("strong")
    both = Providers([weak, strong])
    assert (both.lead, both.others) == (strong, (weak,))
    assert (weak.usable, weak.proves) == (True, False)


async def test_a_lead_that_lags_is_demoted_and_comes_back_when_it_is_probed() -> None:
    first, second = provider("first"), provider("second")
    both = Providers([first, second], fitness=Fitness(lag_slots=64))

    async def told(first_slot: int, second_slot: int) -> Provider:
        assert isinstance(first.rpc, FakeNode)
        assert isinstance(second.rpc, FakeNode)
        first.rpc.tip, second.rpc.tip = first_slot, second_slot
        await both.ask_slot(second)
        await both.ask_slot(first)
        both.judge()
        return both.lead

    assert await told(100, 163) is first
    assert await told(100, 164) is second
    assert both.others == (first,)
    assert await told(130, 164) is second  # better, but not well yet
    await told(160, 164)
    assert Distrust.NOT_PROBED in first.distrust
    first.distrust = frozenset()
    assert await told(160, 164) is first


def test_a_lead_that_fails_is_demoted_and_comes_back_when_it_is_probed() -> None:
    first, second = provider("first"), provider("second")
    both = Providers([first, second])
    for _ in range(10):
        first.experience.failed("HTTP 502")
    both.judge()
    assert both.lead is second
    for _ in range(20):
        first.experience.answered(0.01)
    both.judge()
    assert both.lead is second
    first.distrust = frozenset()
    assert both.lead is first


def test_who_was_given_up_is_probed_again_when_it_answers() -> None:
    first, second = provider("first"), provider("second")
    both = Providers([first, second])
    first.experience.returns += 1
    both.judge()
    assert (both.lead, first.usable) == (second, False)


def test_a_slow_lead_is_demoted() -> None:
    first, second = provider("first"), provider("second")
    first.experience.answered(6.0)
    both = Providers([first, second])
    both.judge()
    assert both.lead is second


def test_one_without_the_history_does_not_lead_what_is_older() -> None:
    young, old = provider("young"), provider("old")
    young.first_block, old.first_block = Slot(500), Slot(0)
    both = Providers([young, old])
    both.needed_from = Slot(500)
    assert both.lead_back_to_needed() is young
    assert both.provers() == [young, old]
    both.needed_from = Slot(499)
    assert both.lead_back_to_needed() is old
    assert both.provers() == [old]
    assert Distrust.HISTORY_BEGINS_LATER in both.distrust(young)
    alone = Providers([young])
    alone.needed_from = Slot(499)
    assert (alone.lead_back_to_needed(), alone.provers()) == (young, [])
