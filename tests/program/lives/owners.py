"""Rules about the owners: parameters, roles, the admin, pauses."""

from dataclasses import fields, replace
from typing import Any, Final, cast

from hypothesis import strategies as st
from hypothesis.stateful import rule

from settlement.chain.abi import InitialRoles, PauseBit, Role
from settlement.chain.governance import (
    AcceptAdmin,
    ApplyParams,
    ApplyRole,
    CancelNomination,
    CancelParams,
    CancelRole,
    GrantRole,
    Initialize,
    NominateAdmin,
    Pause,
    RevokeRole,
    SetParams,
    Unpause,
)
from settlement.chain.layouts import NO_CAP, Parameters
from tests.program.lives.aims import Aims, people
from tests.program.lives.chain import PEOPLE, key
from tests.program.lives.stage import Spoil, spoils
from tests.program.world import USDC

_DAY: Final = 86_400
_CAPS: Final = (NO_CAP, 100 * USDC, 60 * USDC, 1, 0)
# Within bounds from loose to tight, then just outside.
_LEVELS: Final = {
    "bond_amount_microusdc": (60 * USDC, 50 * USDC, USDC, USDC - 1, 10_000 * USDC + 1),
    "cooldown_seconds": (90 * _DAY, 30 * _DAY, 7 * _DAY, 7 * _DAY - 1, 90 * _DAY + 1),
    "dispute_seconds": (3 * _DAY, 7 * _DAY, 14 * _DAY, 3 * _DAY - 1, 14 * _DAY + 1),
    "decision_seconds": (7 * _DAY, 14 * _DAY, 21 * _DAY, 7 * _DAY - 1, 21 * _DAY + 1),
    "execution_seconds": (21 * _DAY, 14 * _DAY, 7 * _DAY, 7 * _DAY - 1, 21 * _DAY + 1),
    "payout_single_cap_microusdc": _CAPS,
    "payout_window_cap_microusdc": _CAPS,
}
_FIELDS: Final = tuple(field.name for field in fields(Parameters))

changes = st.tuples(st.sampled_from(_FIELDS), st.sampled_from((0, 0, 1, 1, 2, 2, 3, 4)))
roles = st.sampled_from((*tuple(Role) * 6, 0, 5)).map(lambda role: cast("Role", role))
bits = st.sampled_from((*tuple(PauseBit) * 6, 4)).map(lambda bit: cast("PauseBit", bit))
newcomers = st.sampled_from((*("alice", "bob", "carol") * 4, *PEOPLE, "till", "escrow", "nobody"))


class OwnerRules(Aims):
    """What those with a role may do to the rules of the game."""

    @rule(by=people, spoil=spoils)
    def initialize_again(self, by: str, spoil: Spoil) -> None:
        self.act(
            Initialize(
                upgrade_authority=self.who(by, key("authority")),
                funder=key("funder"),
                roles=InitialRoles(admin=key("carol")),
                parameters=Parameters(),
            ),
            spoil,
        )

    @rule(first=changes, then=changes, by=people, spoil=spoils)
    def set_params(
        self, first: tuple[str, int], then: tuple[str, int], by: str, spoil: Spoil
    ) -> None:
        changed = {name: _LEVELS[name][level] for name, level in (first, then)}
        parameters = replace(self.config.parameters, **cast("dict[str, Any]", changed))
        self.act(SetParams(admin=self.who(by, self.config.admin), parameters=parameters), spoil)

    @rule(spoil=spoils)
    def apply_params(self, spoil: Spoil) -> None:
        self.act(ApplyParams(), spoil)

    @rule(by=st.sampled_from(("admin", "guardian", "payer")), spoil=spoils)
    def cancel_params(self, by: str, spoil: Spoil) -> None:
        self.act(CancelParams(signer=getattr(self.config, by)), spoil)

    @rule(role=roles, holder=newcomers, by=people, spoil=spoils)
    def grant_role(self, role: Role, holder: str, by: str, spoil: Spoil) -> None:
        admin = self.who(by, self.config.admin)
        self.act(GrantRole(admin=admin, role=role, holder=key(holder)), spoil)

    @rule(spoil=spoils)
    def apply_role(self, spoil: Spoil) -> None:
        self.act(ApplyRole(), spoil)

    @rule(by=st.sampled_from(("admin", "guardian", "arbiter")), spoil=spoils)
    def cancel_role(self, by: str, spoil: Spoil) -> None:
        self.act(CancelRole(signer=getattr(self.config, by)), spoil)

    @rule(role=roles, by=st.sampled_from(("admin", "guardian", "payer")), spoil=spoils)
    def revoke_role(self, role: Role, by: str, spoil: Spoil) -> None:
        self.act(RevokeRole(signer=getattr(self.config, by), role=role), spoil)

    @rule(
        nominee=newcomers,
        by=st.sampled_from(("admin", "admin", "authority", "authority", "guardian")),
        spoil=spoils,
    )
    def nominate_admin(self, nominee: str, by: str, spoil: Spoil) -> None:
        signer = self.config.admin if by == "admin" else key(by)
        self.act(NominateAdmin(signer=signer, nominee=key(nominee)), spoil)

    @rule(by=people, spoil=spoils)
    def accept_admin(self, by: str, spoil: Spoil) -> None:
        self.act(AcceptAdmin(nominee=self.who(by, self.config.pending_admin)), spoil)

    @rule(by=people, spoil=spoils)
    def cancel_nomination(self, by: str, spoil: Spoil) -> None:
        self.act(CancelNomination(admin=self.who(by, self.config.admin)), spoil)

    @rule(bit=bits, by=st.sampled_from(("admin", "guardian", "guardian", "payer")), spoil=spoils)
    def pause(self, bit: PauseBit, by: str, spoil: Spoil) -> None:
        self.act(Pause(signer=getattr(self.config, by), bit=bit), spoil)

    @rule(bit=bits, by=people, spoil=spoils)
    def unpause(self, bit: PauseBit, by: str, spoil: Spoil) -> None:
        self.act(Unpause(admin=self.who(by, self.config.admin), bit=bit), spoil)
