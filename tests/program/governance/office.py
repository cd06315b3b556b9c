"""One deployment and everyone with a say in it: each step of its owners by name.

A step is an instruction and who signs it; `send` wants it done, `refuse` wants it refused and
returns the error.
"""

from dataclasses import dataclass
from typing import Any, Final

from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain import program
from settlement.chain.layouts import VACANT
from settlement.chain.program import (
    Config,
    InitialParameters,
    PauseBit,
    Role,
)
from tests.program.cases import CODE, EVIDENCE, ready
from tests.program.steps import Step, Trying

HOUR: Final = 3_600
DAY: Final = 24 * HOUR
LARGEST_TIME: Final = 2**63 - 1
PEOPLE: Final = (
    "admin",
    "proposer",
    "arbiter",
    "guardian",
    "payer",
    "upgrade_authority",
    "nominee",
    "funder",
)
# What the arbiter and the guardian of `Office.holds` hear, who may but have nothing to act on.
_NOTHING_TO_ACT_ON: Final = ("NoSeizure", "NothingPending")
NOTHING_WAITS: Final[dict[str, Any]] = {
    "pending_role": 0,
    "pending_role_key": VACANT,
    "pending_role_ready_at": 0,
}
NOBODY_NOMINATED: Final[dict[str, Any]] = {
    "pending_admin": VACANT,
    "pending_admin_ready_at": 0,
    "pending_admin_expires_at": 0,
}


@dataclass(kw_only=True)
class Office(Trying):
    """The owners of one deployment, and what they can try."""

    @property
    def config(self) -> Config:
        return self.world.config()

    def person(self, name: str) -> Keypair:
        """Somebody of the world by name."""
        found: Keypair = getattr(self.world, name)
        return found

    def set_params(self, parameters: InitialParameters, by: Keypair | None = None) -> Step:
        by = by or self.world.admin
        return self._step(program.SetParams(admin=by.pubkey(), parameters=parameters), by)

    def apply_params(self) -> Step:
        return self._step(program.ApplyParams())

    def cancel_params(self, by: Keypair | None = None) -> Step:
        by = by or self.world.admin
        return self._step(program.CancelParams(signer=by.pubkey()), by)

    def grant(self, role: Role, holder: Pubkey, by: Keypair | None = None) -> Step:
        by = by or self.world.admin
        grant = program.GrantRole(admin=by.pubkey(), role=role, holder=holder)
        return self._step(grant, by)

    def apply_role(self) -> Step:
        return self._step(program.ApplyRole())

    def cancel_role(self, by: Keypair | None = None) -> Step:
        by = by or self.world.admin
        return self._step(program.CancelRole(signer=by.pubkey()), by)

    def revoke(self, role: Role, by: Keypair | None = None) -> Step:
        by = by or self.world.admin
        return self._step(program.RevokeRole(signer=by.pubkey(), role=role), by)

    def nominate(self, nominee: Pubkey | None = None, by: Keypair | None = None) -> Step:
        by = by or self.world.admin
        nominee = nominee or self.world.nominee.pubkey()
        return self._step(program.NominateAdmin(signer=by.pubkey(), nominee=nominee), by)

    def accept(self, by: Keypair | None = None) -> Step:
        by = by or self.world.nominee
        return self._step(program.AcceptAdmin(nominee=by.pubkey()), by)

    def cancel_nomination(self, by: Keypair | None = None) -> Step:
        by = by or self.world.admin
        return self._step(program.CancelNomination(admin=by.pubkey()), by)

    def pause(self, bit: PauseBit, by: Keypair | None = None) -> Step:
        by = by or self.world.guardian
        return self._step(program.Pause(signer=by.pubkey(), bit=bit), by)

    def unpause(self, bit: PauseBit, by: Keypair | None = None) -> Step:
        by = by or self.world.admin
        return self._step(program.Unpause(admin=by.pubkey(), bit=bit), by)

    def as_role(self, role: Role, by: Keypair) -> Step:
        """What only the holder of this role can do: see `holds`."""
        bond, key = self.world.deployment.bond(CODE, self.world.funder.pubkey()), by.pubkey()
        match role:
            case Role.PROPOSER:
                return self._step(
                    program.ProposeSeizure(
                        proposer=key, bond=bond, code=CODE, evidence_hash=EVIDENCE, reason=1
                    ),
                    by,
                )
            case Role.ARBITER:
                return self._step(program.Dismiss(arbiter=key, bond=bond, code=CODE), by)
            case Role.GUARDIAN:
                return self._step(program.CancelParams(signer=key), by)
            case Role.PAYER:
                return self._step(program.Skip(signer=key, first=0, mask=0b1), by)

    def holds(self, role: Role, by: Keypair) -> bool:
        """Whether this key may act in this role, tried against a bond of `with_bond`.

        Whoever may not is told so before the state is looked at; so the others hear about that.
        """
        # A second instruction that is always refused takes back what the first one did.
        never = with_byte(self.grant(Role.PAYER, VACANT), 0)
        told = self.refuse(self.as_role(role, by), never)
        assert told in ("InvalidInstruction", "Unauthorized", "RoleVacant", *_NOTHING_TO_ACT_ON)
        return told not in ("Unauthorized", "RoleVacant")


def new_office() -> Office:
    """The program set up with the real parameters."""
    return Office(world=ready())


def with_bond() -> Office:
    """The same with one bond posted, for `Office.holds`."""
    office = new_office()
    office.world.post_bond(CODE, office.world.funder.pubkey())
    return office


def with_byte(step: Step, value: int) -> Step:
    """The step with the first byte of its arguments replaced: a role or bit of any number."""
    old = step.instruction
    data = bytes(old.data)
    spoiled = data[:8] + bytes([value]) + data[9:]
    return Step(Instruction(old.program_id, spoiled, list(old.accounts)), step.signers)
