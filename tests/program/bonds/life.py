"""One bond and everyone with a say in it: each step of its life by name.

A step is an instruction and who signs it; `send` wants it done, `refuse` wants it refused and
returns the error. `STATES` says how every state of a bond is reached.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain import program
from settlement.chain.program import Bond, SeizureState
from tests.program.case import CODE, ready
from tests.program.steps import Step, Trying
from tests.program.world import BOND_AMOUNT, COOLDOWN_SECONDS

DAY: Final = 86_400
DISPUTE: Final = 7 * DAY
DECISION: Final = 14 * DAY
EXECUTION: Final = 14 * DAY
REPLY: Final = bytes([9]) * 32
REASON: Final = 513
NO_HASH: Final = bytes(32)


def evidence(number: int) -> bytes:
    """The hash of some evidence; different for every number."""
    return bytes([number + 1]) * 32


@dataclass(kw_only=True)
class Life(Trying):
    """A bond on a chain of its own; `owner` is its present beneficiary."""

    owner: Keypair
    first: Pubkey
    code: bytes = CODE

    @property
    def address(self) -> Pubkey:
        return self.world.deployment.bond(self.code, self.first)

    @property
    def bond(self) -> Bond:
        return self.world.bond(self.code, self.first)

    def retire(self, by: Keypair | None = None) -> Step:
        by = by or self.owner
        return self._step(program.Retire(signer=by.pubkey(), bond=self.address, code=self.code), by)

    def cancel_retire(self, by: Keypair | None = None) -> Step:
        by = by or self.owner
        return self._step(
            program.CancelRetire(beneficiary=by.pubkey(), bond=self.address, code=self.code), by
        )

    def hand_over(self, to: Keypair, by: Keypair | None = None) -> Step:
        by = by or self.owner
        change = program.SetBeneficiary(
            beneficiary=by.pubkey(), new_beneficiary=to.pubkey(), bond=self.address, code=self.code
        )
        return self._step(change, by, to)

    def release(self, destination: Pubkey | None = None, *, signed: bool = False) -> Step:
        instruction = program.release(
            self.world.deployment,
            code=self.code,
            beneficiary=self.owner.pubkey(),
            rent_payer=self.world.funder.pubkey(),
            destination=destination,
            signed=signed,
            first_beneficiary=self.first,
        )
        return Step(instruction, (self.owner,) if signed else ())

    def propose(self, number: int = 0, by: Keypair | None = None) -> Step:
        by = by or self.world.proposer
        proposal = program.ProposeSeizure(
            proposer=by.pubkey(),
            bond=self.address,
            code=self.code,
            evidence_hash=evidence(number),
            reason=REASON,
        )
        return self._step(proposal, by)

    def withdraw(self, by: Keypair | None = None) -> Step:
        by = by or self.world.proposer
        return self._step(
            program.WithdrawProposal(proposer=by.pubkey(), bond=self.address, code=self.code), by
        )

    def contest(self, by: Keypair | None = None, reply: bytes = REPLY) -> Step:
        by = by or self.owner
        contest = program.Contest(
            beneficiary=by.pubkey(), bond=self.address, code=self.code, reply_hash=reply
        )
        return self._step(contest, by)

    def uphold(self, by: Keypair | None = None) -> Step:
        by = by or self.world.arbiter
        return self._step(
            program.Uphold(arbiter=by.pubkey(), bond=self.address, code=self.code), by
        )

    def dismiss(self, by: Keypair | None = None) -> Step:
        by = by or self.world.arbiter
        return self._step(
            program.Dismiss(arbiter=by.pubkey(), bond=self.address, code=self.code), by
        )

    def execute(self) -> Step:
        return self._step(
            program.ExecuteSeizure(
                bond=self.address, rent_payer=self.world.funder.pubkey(), code=self.code
            )
        )

    def lapse(self) -> Step:
        return self._step(program.Lapse(bond=self.address, code=self.code))


def check_cleared(bond: Bond) -> None:
    """No trace of a seizure but the evidence used."""
    assert bond.seizure_state is SeizureState.NONE
    assert (bond.evidence_hash, bond.reply_hash) == (NO_HASH, NO_HASH)
    assert (bond.proposed_at, bond.execute_after, bond.decide_by, bond.dies_at) == (0, 0, 0, 0)
    assert bond.reason == 0


def new_life() -> Life:
    """A bond just posted, for somebody with a token account."""
    world = ready()
    owner = world.wallet()
    world.post_bond(CODE, owner.pubkey())
    return Life(world=world, owner=owner, first=owner.pubkey())


def proposed() -> Life:
    life = new_life()
    life.send(life.propose())
    return life


def contested() -> Life:
    life = proposed()
    life.send(life.contest())
    return life


def upheld() -> Life:
    life = contested()
    life.send(life.uphold())
    return life


def retiring() -> Life:
    life = new_life()
    life.send(life.retire())
    return life


def released() -> Life:
    life = retiring()
    life.world.advance(COOLDOWN_SECONDS)
    life.send(life.release())
    return life


def seized() -> Life:
    life = proposed()
    life.world.advance(DISPUTE)
    life.send(life.execute())
    return life


def post_again(life: Life) -> Step:
    """Post the same bond once more, with new money."""
    depositor, funder = life.world.wallet(BOND_AMOUNT), life.world.funder
    instruction = program.post_bond(
        life.world.deployment,
        depositor=depositor.pubkey(),
        funder=funder.pubkey(),
        code=life.code,
        beneficiary=life.first,
    )
    return Step(instruction, (depositor, funder))


def fund_again(life: Life) -> Step:
    """Fund the same bond once more, from the till."""
    life.world.fill_till(BOND_AMOUNT)
    payer, funder = life.world.payer, life.world.funder
    instruction = program.fund_bond(
        life.world.deployment,
        payer=payer.pubkey(),
        funder=funder.pubkey(),
        sequence=0,
        code=life.code,
        beneficiary=life.first,
    )
    return Step(instruction, (payer, funder))


def _while_retiring(reach: Callable[[], Life]) -> Callable[[], Life]:
    def reach_it() -> Life:
        life = reach()
        life.send(life.retire())
        return life

    return reach_it


STATES: Final[Mapping[str, Callable[[], Life]]] = {
    "posted": new_life,
    "posted, proposed": proposed,
    "posted, contested": contested,
    "posted, upheld": upheld,
    "retiring": retiring,
    "retiring, proposed": _while_retiring(proposed),
    "retiring, contested": _while_retiring(contested),
    "retiring, upheld": _while_retiring(upheld),
    "released": released,
    "seized": seized,
}
