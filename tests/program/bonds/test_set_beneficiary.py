"""`set_beneficiary`: a bond changes hands by both signatures, and keeps its address."""

from collections.abc import Callable

import pytest
from solders.keypair import Keypair

from settlement.chain.program import BondState
from tests.program.bonds.life import Life, Step, contested, new_life, proposed, retiring, upheld
from tests.program.world import BOND_AMOUNT, COOLDOWN_SECONDS, with_account

OLD, NEW = 0, 1


def handed_over() -> tuple[Life, Keypair]:
    """A life whose owner is the heir, and the former owner."""
    life = new_life()
    heir, former = life.world.wallet(), life.owner
    life.send(life.hand_over(heir))
    return Life(world=life.world, owner=heir, first=life.first), former


def test_only_the_beneficiary_changes() -> None:
    life, heir = new_life(), Keypair()
    before = life.bond
    life.send(life.hand_over(heir))
    bond = life.bond
    assert bond.beneficiary == heir.pubkey()
    assert bond.first_beneficiary == before.first_beneficiary == life.owner.pubkey()
    assert bond.rent_payer == before.rent_payer
    assert (bond.state, bond.amount_microusdc) == (before.state, before.amount_microusdc)
    assert (bond.posted_at, bond.cooldown_seconds) == (before.posted_at, before.cooldown_seconds)


def test_both_must_sign() -> None:
    life, heir = new_life(), Keypair()
    instruction, _ = life.hand_over(heir)
    for place, signer in ((OLD, heir), (NEW, life.owner)):
        spoiled = with_account(instruction, place, is_signer=False)
        assert life.refuse(Step(spoiled, (signer,))) == "MissingSignature"


def test_nobody_else_gives_it_away() -> None:
    life, heir = new_life(), Keypair()
    world = life.world
    roles = (world.admin, world.proposer, world.arbiter, world.guardian, world.payer, world.funder)
    for other in (*roles, world.upgrade_authority, Keypair()):
        assert life.refuse(life.hand_over(heir, by=other)) == "Unauthorized"
    turned = with_account(life.hand_over(heir).instruction, OLD, pubkey=heir.pubkey())
    turned = with_account(turned, NEW, pubkey=life.owner.pubkey())
    assert life.refuse(Step(turned, (heir, life.owner))) == "Unauthorized"


def test_not_to_oneself() -> None:
    life = new_life()
    assert life.refuse(life.hand_over(life.owner)) == "DuplicateAccount"
    stranger = Keypair()
    assert life.refuse(life.hand_over(stranger, by=stranger)) == "DuplicateAccount"


@pytest.mark.parametrize("reach", [proposed, contested, upheld])
@pytest.mark.parametrize("late", [False, True])
def test_not_while_a_seizure_is_open_even_an_expired_one(
    reach: Callable[[], Life], *, late: bool
) -> None:
    life = reach()
    if late:
        life.until(life.bond.dies_at)
    assert life.refuse(life.hand_over(Keypair())) == "SeizureOpen"
    life.until(life.bond.dies_at)
    life.send(life.lapse(), life.hand_over(Keypair()))


def test_the_new_one_has_every_right_and_the_old_one_none() -> None:
    life, former = handed_over()
    assert life.refuse(life.retire(by=former)) == "Unauthorized"
    assert life.refuse(life.hand_over(former, by=former)) == "DuplicateAccount"
    assert life.refuse(life.hand_over(Keypair(), by=former)) == "Unauthorized"
    life.send(life.retire())
    assert life.refuse(life.cancel_retire(by=former)) == "Unauthorized"
    life.send(life.cancel_retire(), life.propose())
    assert life.refuse(life.contest(by=former)) == "Unauthorized"
    life.send(life.contest())


def test_released_to_the_new_one_only() -> None:
    life, former = handed_over()
    life.send(life.retire())
    life.world.advance(COOLDOWN_SECONDS)
    wrong = life.world.ata(former.pubkey())
    assert life.refuse(life.release(wrong)) == "WrongTokenAccount"
    as_former = Life(world=life.world, owner=former, first=life.first)
    assert life.refuse(as_former.release()) == "WrongAddress"
    assert life.refuse(as_former.release(signed=True)) == "WrongAddress"
    life.send(life.release())
    assert life.world.balance(life.world.ata(life.owner.pubkey())) == BOND_AMOUNT
    assert life.world.balance(wrong) == 0


def test_while_retiring_the_cooldown_runs_on() -> None:
    life, heir = retiring(), Keypair()
    before = life.bond
    life.send(life.hand_over(heir))
    assert life.bond.state is BondState.RETIRING
    assert life.bond.release_at == before.release_at


def test_there_and_back() -> None:
    life, former = handed_over()
    life.send(life.hand_over(former))
    assert life.bond.beneficiary == life.bond.first_beneficiary == former.pubkey()
    assert life.refuse(life.retire()) == "Unauthorized"


def test_the_heir_may_post_the_same_code_for_himself() -> None:
    life, _ = handed_over()
    life.world.post_bond(life.code, life.owner.pubkey())
    own = Life(world=life.world, owner=life.owner, first=life.owner.pubkey())
    assert own.address != life.address
    own.send(own.retire())
    assert life.bond.state is BondState.POSTED
    crossed = with_account(own.cancel_retire().instruction, 1, pubkey=life.address)
    assert life.refuse(Step(crossed, (life.owner,))) == "WrongState"


def test_no_pause_stops_it() -> None:
    life = new_life()
    for pause in ("deposits", "payouts", "seizures", "releases"):
        life.world.pause(pause, life.world.now + 60)
    life.send(life.hand_over(Keypair()))
