"""Which signatures wait below a ceiling, and what waits with them."""

from indexer.store import OpenSignature, SignatureState
from indexer.trust import Ceilings
from settlement.money import Slot


def about(*addresses: str, slot: int = 20) -> OpenSignature:
    return OpenSignature(
        signature=f"{addresses} {slot}",
        slot=Slot(slot),
        place=None,
        state=SignatureState.WANTED,
        addresses=frozenset(addresses),
    )


def ceilings(**limits: int) -> Ceilings:
    made = Ceilings(["till", "bond"], ["program"])
    for address, slot in limits.items():
        made.put(address, slot)
    return made


def test_without_ceilings_only_what_shares_an_address_with_the_held_waits() -> None:
    free, held = ceilings(), {"till"}
    assert not free.holds(about("bond"), held)
    assert free.holds(about("till", "program"), held)
    assert held == {"till", "program"}  # as before: order is kept in the whole program
    assert free.holds(about("bond", "program"), held)


def test_what_is_above_waits_and_what_is_at_the_ceiling_does_not() -> None:
    one, held = ceilings(till=20), set[str]()
    assert not one.holds(about("till", slot=20), held)
    assert one.holds(about("till", "program", slot=21), held)
    assert one.above(about("till", slot=21))
    assert not one.above(about("bond", slot=99))
    assert held == {"till"}


def test_the_other_vault_goes_on_and_what_touches_none_waits() -> None:
    one, held = ceilings(bond=10), set[str]()
    assert one.holds(about("bond", "program", slot=11), held)
    assert not one.holds(about("till", "program", slot=12), held)
    assert one.holds(about("program", slot=13), held)
    assert one.holds(about("program", "payouts", slot=14), held)
    assert one.holds(about("till", "program", "payouts", slot=15), held)  # numbers keep their order
    assert one.holds(about("till", "program", slot=16), held)


def test_what_touches_no_vault_goes_on_while_nothing_is_held() -> None:
    assert not ceilings(bond=10).holds(about("program", slot=13), set())


def test_a_ceiling_can_be_taken_away() -> None:
    one = ceilings(till=10)
    assert one.of("till") == 10
    one.put("till", None)
    assert one.of("till") is None
    assert not one.holds(about("till", slot=99), set())
