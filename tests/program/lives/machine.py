"""The machine: all rules together, lives that get somewhere, and what must be true at the end."""

from collections.abc import Iterator
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from solders.pubkey import Pubkey

from settlement.chain import program
from settlement.chain.instructions import (
    CancelRetire,
    Contest,
    Dismiss,
    ExecuteSeizure,
    Lapse,
    ProgramInstruction,
    ProposeSeizure,
    Release,
    Retire,
    Uphold,
    WithdrawProposal,
)
from settlement.chain.layouts import Bond, BondState, Parameters, SeizureState
from settlement.money import MicroUsdc
from tests.program.lives.bonds import BondRules
from tests.program.lives.chain import DEPLOYMENT, second
from tests.program.lives.outside import OutsideRules
from tests.program.lives.owners import OwnerRules
from tests.program.lives.till import TillRules
from tests.program.lives.watch import longest_hold_seconds, open_bonds
from tests.program.model.governance import PAUSE_SECONDS
from tests.program.world import USDC

_DAY = 86_400
_PARAMETERS = (
    Parameters(),
    Parameters(
        payout_single_cap_microusdc=MicroUsdc(60 * USDC),
        payout_window_cap_microusdc=MicroUsdc(100 * USDC),
    ),
    Parameters(
        bond_amount_microusdc=MicroUsdc(10 * USDC),
        cooldown_seconds=30 * _DAY,
        payout_single_cap_microusdc=MicroUsdc(20 * USDC),
        payout_window_cap_microusdc=MicroUsdc(50 * USDC),
    ),
    Parameters(
        cooldown_seconds=7 * _DAY,
        dispute_seconds=3 * _DAY,
        decision_seconds=7 * _DAY,
        execution_seconds=7 * _DAY,
    ),
)
# From zero; where the ring has come round; where the window ends with the last number there is.
_BASES = (0, 0, 64 * 129, 64 * 129, 2**64 - 8_192)


class Lives(BondRules, TillRules, OwnerRules, OutsideRules):
    """Random lives."""

    @initialize(parameters=st.sampled_from(_PARAMETERS), base=st.sampled_from(_BASES))
    def the_beginning(self, parameters: Parameters, base: int) -> None:
        self.begin(parameters, base)

    @precondition(lambda self: bool(open_bonds(self.seen)))
    @rule(nth=st.integers(0, 5), choice=st.integers(0, 7))
    def a_life_goes_on(self, nth: int, choice: int) -> None:
        """Something that will succeed with a bond: so that lives come to their ends."""
        self.flush()
        self._go_on(nth, choice)

    @precondition(lambda self: bool(open_bonds(self.seen)))
    @rule(chosen=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), min_size=2, max_size=4))
    def lives_go_on_together(self, chosen: list[tuple[int, int]]) -> None:
        """Each would succeed alone; in one transaction an earlier one may be in the way."""
        self.flush()
        self.wanted_together = len(chosen)
        for nth, choice in chosen:
            self._go_on(nth, choice)
        self.flush()

    def _go_on(self, nth: int, choice: int) -> None:
        opened = list(open_bonds(self.seen).items())
        if not opened:
            return
        at, bond = opened[nth % len(opened)]
        steps = self._next_steps(at, bond, choice)
        possible = [each for each in steps if self.refusal_of(each) is None]
        if possible:
            self.act(possible[choice % len(possible)])

    def _next_steps(self, at: Pubkey, bond: Bond, choice: int) -> Iterator[ProgramInstruction]:
        config, holder, code = self.config, bond.beneficiary, bond.code
        if bond.seizure_state is SeizureState.NONE:
            hashed = bytes([100 + choice]) * 32
            yield ProposeSeizure(
                proposer=config.proposer, bond=at, code=code, evidence_hash=hashed, reason=choice
            )
        yield Retire(signer=holder, bond=at, code=code)
        yield ExecuteSeizure(bond=at, rent_payer=bond.rent_payer, code=code)
        yield Contest(beneficiary=holder, bond=at, code=code, reply_hash=bytes(32))
        yield Uphold(arbiter=config.arbiter, bond=at, code=code)
        yield Dismiss(arbiter=config.arbiter, bond=at, code=code)
        yield Lapse(bond=at, code=code)
        yield self._release(at, bond)
        if choice == 0:
            yield CancelRetire(beneficiary=holder, bond=at, code=code)
            yield WithdrawProposal(proposer=config.proposer, bond=at, code=code)

    def _release(self, at: Pubkey, bond: Bond) -> Release:
        return Release(
            bond=at,
            beneficiary=bond.beneficiary,
            destination=program.associated_token_address(bond.beneficiary, DEPLOYMENT.mint),
            rent_payer=bond.rent_payer,
            code=bond.code,
        )

    def teardown(self) -> None:
        """Nobody can keep anybody's bond: not by any state, and not for longer than promised."""
        if self.healthy and hasattr(self, "world"):
            self.flush()
            self._everybody_gets_their_money()

    def _everybody_gets_their_money(self) -> None:
        """With no owner doing anything any more: holders retire, wait and take it back."""
        self.thaw_everything()
        asked_at = self.now
        opened = dict(open_bonds(self.seen))
        for at, bond in opened.items():
            if bond.state is BondState.POSTED:
                self.act(Retire(signer=bond.beneficiary, bond=at, code=bond.code))
                assert self.seen.bonds[at].state is BondState.RETIRING
        holds = {at: longest_hold_seconds(bond, PAUSE_SECONDS) for at, bond in opened.items()}
        for at in sorted(opened, key=lambda each: holds[each]):
            self.set_clock(asked_at + holds[at])
            if self.seen.bonds[at].seizure_state is not SeizureState.NONE:
                self.act(Lapse(bond=at, code=opened[at].code))
            release = replace(self._release(at, opened[at]), destination=second("carol"))
            self.act(release, signed=True)
            assert self.seen.bonds[at].state is BondState.RELEASED
        assert self.seen.escrow.open_count == 0
