"""The till's counter: everything that uses a payout number, by name, to send or be refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain import program
from settlement.chain.layouts import NO_CAP
from settlement.chain.program import InitialParameters, Payouts, ProgramInstruction
from settlement.money import MicroUsdc
from tests.program.bonds.life import Step
from tests.program.case import CODE, REFERENCE, USER_CODE, ready
from tests.program.world import USDC, World

ALL_64: Final = 2**64 - 1
BASE_AT: Final = 16


@dataclass(kw_only=True)
class Counter:
    """A till with money in it, and a token account to pay to."""

    world: World
    destination: Pubkey

    @property
    def payouts(self) -> Payouts:
        return self.world.payouts()

    @property
    def paid_out(self) -> int:
        return self.world.balance(self.destination)

    def send(self, *steps: Step) -> None:
        """All of them in one transaction."""
        signers = [key for step in steps for key in step.signers]
        self.world.send(*(step.instruction for step in steps), signers=signers)

    def refuse(self, *steps: Step) -> str:
        signers = [key for step in steps for key in step.signers]
        return self.world.refuse(*(step.instruction for step in steps), signers=signers)

    def step(self, instruction: ProgramInstruction, *signers: Keypair) -> Step:
        return Step(program.build(self.world.deployment, instruction), signers)

    def pay(
        self,
        sequence: int,
        amount: int = 1,
        *,
        destination: Pubkey | None = None,
        reference: bytes = REFERENCE,
        by: Keypair | None = None,
    ) -> Step:
        by = by or self.world.payer
        payment = program.Pay(
            payer=by.pubkey(),
            destination=destination or self.destination,
            sequence=sequence,
            amount_microusdc=MicroUsdc(amount),
            code=USER_CODE,
            reference=reference,
        )
        return self.step(payment, by)

    def fund(self, sequence: int, beneficiary: Pubkey | None = None) -> Step:
        beneficiary = beneficiary or Keypair().pubkey()
        world = self.world
        bond = program.FundBond(
            payer=world.payer.pubkey(),
            funder=world.funder.pubkey(),
            bond=world.deployment.bond(CODE, beneficiary),
            sequence=sequence,
            code=CODE,
            beneficiary=beneficiary,
        )
        return self.step(bond, world.payer, world.funder)

    def skip(self, first: int, mask: int = 1, by: Keypair | None = None) -> Step:
        by = by or self.world.payer
        return self.step(program.Skip(signer=by.pubkey(), first=first, mask=mask), by)

    def approve(
        self,
        sequence: int,
        amount: int,
        *,
        destination: Pubkey | None = None,
        reference: bytes = REFERENCE,
        by: Keypair | None = None,
    ) -> Step:
        by = by or self.world.admin
        approval = program.ApprovePay(
            admin=by.pubkey(),
            sequence=sequence,
            amount_microusdc=MicroUsdc(amount),
            destination=destination or self.destination,
            reference=reference,
        )
        return self.step(approval, by)

    def cap(self, *, single: int = NO_CAP, window: int = NO_CAP) -> None:
        """Cut the caps, as an admin may at once."""
        in_force = self.world.config().parameters
        caps = replace(
            in_force,
            payout_single_cap_microusdc=MicroUsdc(single),
            payout_window_cap_microusdc=MicroUsdc(window),
        )
        self.set_params(caps)
        assert self.world.config().parameters == caps

    def set_params(self, parameters: InitialParameters) -> None:
        admin = self.world.admin
        self.send(self.step(program.SetParams(admin=admin.pubkey(), parameters=parameters), admin))

    def base_at(self, base: int) -> None:
        """A window that stands here, all free; for places no walk of ours would reach."""
        assert base % 64 == 0
        self.world.patch(self.world.deployment.payouts, BASE_AT, base.to_bytes(8, "little"))

    def burn_words(self, first: int, words: int) -> None:
        """Skip every number from here on, so many words of 64, a few at a time."""
        for start in range(first, first + words * 64, 8 * 64):
            end = min(start + 8 * 64, first + words * 64)
            self.send(*(self.skip(number, ALL_64) for number in range(start, end, 64)))


def new_counter(till_microusdc: int = 10_000 * USDC) -> Counter:
    """A till with this much, nothing paid yet."""
    world = ready(till_microusdc=till_microusdc)
    return Counter(world=world, destination=world.ata(world.wallet().pubkey()))


# Everything that uses one number.
VERBS: Final[Mapping[str, Callable[[Counter, int], Step]]] = {
    "pay": lambda counter, number: counter.pay(number),
    "fund_bond": lambda counter, number: counter.fund(number),
    "skip": lambda counter, number: counter.skip(number),
}
