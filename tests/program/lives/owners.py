"""Rules about the owners: parameters, roles, the admin, pauses."""

from dataclasses import fields, replace
from typing import Any, Final, cast

from hypothesis import strategies as st
from hypothesis.stateful import rule
from solders.pubkey import Pubkey

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
from settlement.chain.layouts import NO_CAP, VACANT, Parameters, PauseRecord
from tests.program.lives.aims import Aims, idle, patience, people
from tests.program.lives.chain import PEOPLE, key
from tests.program.lives.spoils import Spoil, spoils
from tests.program.model.governance import PAUSE_FIELDS
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
roles = st.sampled_from((*tuple(Role) * 15, 0, 5)).map(lambda role: cast("Role", role))
bits = st.sampled_from((*tuple(PauseBit) * 15, 4)).map(lambda bit: cast("PauseBit", bit))
newcomers = st.sampled_from(
    (*("alice", "bob", "carol", "nominee") * 8, *PEOPLE, "till", "escrow", "nobody")
)


class OwnerRules(Aims):
    """What those with a role may do to the rules of the game."""

    def holder(self, role: str) -> Pubkey:
        """Who holds the role now; somebody when it is vacant."""
        return self.who("right", getattr(self.config, role))

    def newcomer(self, name: str) -> Pubkey:
        """Who may be given a part; the nominee may be carol when there is none."""
        return self.who("right", self.config.pending_admin) if name == "nominee" else key(name)

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

    @rule(offset=patience, idle=idle, spoil=spoils)
    def apply_params(self, offset: int | None, idle: bool, spoil: Spoil) -> None:
        if not (idle or self.config.pending_parameters_ready_at):
            self._loosen()
        self.wait_for(self.config.pending_parameters_ready_at, offset)
        self.act(ApplyParams(), spoil)

    @rule(by=st.sampled_from(("admin", "guardian", "guardian", "payer")), idle=idle, spoil=spoils)
    def cancel_params(self, by: str, idle: bool, spoil: Spoil) -> None:
        if not (idle or self.config.pending_parameters_ready_at):
            self._loosen()
        self.act(CancelParams(signer=self.holder(by)), spoil)

    def _loosen(self) -> None:
        for name in _FIELDS:
            loosest = replace(
                self.config.parameters, **cast("dict[str, Any]", {name: _LEVELS[name][0]})
            )
            if loosest != self.config.parameters:
                self.act(SetParams(admin=self.config.admin, parameters=loosest))
                return

    @rule(role=roles, holder=newcomers, by=people, spoil=spoils)
    def grant_role(self, role: Role, holder: str, by: str, spoil: Spoil) -> None:
        admin = self.who(by, self.config.admin)
        self.act(GrantRole(admin=admin, role=role, holder=self.newcomer(holder)), spoil)

    @rule(offset=patience, idle=idle, role=roles, holder=newcomers, spoil=spoils)
    def apply_role(
        self, offset: int | None, idle: bool, role: Role, holder: str, spoil: Spoil
    ) -> None:
        if not (idle or self.config.pending_role):
            self.act(GrantRole(admin=self.config.admin, role=role, holder=self.newcomer(holder)))
        self.wait_for(self.config.pending_role_ready_at, offset)
        self.act(ApplyRole(), spoil)

    @rule(by=st.sampled_from(("admin", "guardian", "guardian", "arbiter")), spoil=spoils)
    def cancel_role(self, by: str, spoil: Spoil) -> None:
        self.act(CancelRole(signer=self.holder(by)), spoil)

    @rule(
        role=roles,
        by=st.sampled_from(("admin", "admin", "guardian", "guardian", "payer")),
        spoil=spoils,
    )
    def revoke_role(self, role: Role, by: str, spoil: Spoil) -> None:
        self.act(RevokeRole(signer=self.holder(by), role=role), spoil)

    @rule(
        nominee=newcomers,
        by=st.sampled_from(("admin", "admin", "authority", "authority", "guardian")),
        spoil=spoils,
    )
    def nominate_admin(self, nominee: str, by: str, spoil: Spoil) -> None:
        signer = key("authority") if by == "authority" else self.holder(by)
        self.act(NominateAdmin(signer=signer, nominee=self.newcomer(nominee)), spoil)

    @rule(offset=patience, late=st.integers(0, 3), idle=idle, by=people, spoil=spoils)
    def accept_admin(
        self, offset: int | None, late: int, idle: bool, by: str, spoil: Spoil
    ) -> None:
        if not idle and self.config.pending_admin == VACANT:
            self.act(NominateAdmin(signer=self.config.admin, nominee=key("carol")))
        moment = self.config.pending_admin_ready_at
        self.wait_for(moment if late else self.config.pending_admin_expires_at, offset)
        self.act(AcceptAdmin(nominee=self.who(by, self.config.pending_admin)), spoil)

    @rule(role=st.sampled_from(Role), admin_first=st.booleans())
    def one_person_two_offices(self, role: Role, admin_first: bool) -> None:
        """Each was free when it was promised; whichever is taken up second is refused."""
        admin = self.config.admin
        if self.config.pending_admin == VACANT:
            self.act(NominateAdmin(signer=admin, nominee=key("carol")))
        person = self.who("right", self.config.pending_admin)
        if not self.config.pending_role:
            self.act(GrantRole(admin=admin, role=role, holder=person))
        config = self.config
        self.wait_for(max(config.pending_admin_ready_at, config.pending_role_ready_at), 0)
        taking = [AcceptAdmin(nominee=person), ApplyRole()]
        for act in taking if admin_first else reversed(taking):
            self.act(act)

    @rule(by=people, spoil=spoils)
    def cancel_nomination(self, by: str, spoil: Spoil) -> None:
        self.act(CancelNomination(admin=self.who(by, self.config.admin)), spoil)

    @rule(
        bit=bits,
        by=st.sampled_from(("admin", "guardian", "guardian", "guardian", "payer")),
        offset=patience,
        spoil=spoils,
    )
    def pause(self, bit: PauseBit, by: str, offset: int | None, spoil: Spoil) -> None:
        self.wait_for(self._record(bit).not_before, offset)
        self.act(Pause(signer=self.holder(by), bit=bit), spoil)

    @rule(bit=bits, by=people, offset=patience, idle=idle, spoil=spoils)
    def unpause(self, bit: PauseBit, by: str, offset: int | None, idle: bool, spoil: Spoil) -> None:
        record = self._record(bit)
        if not idle and self.now >= record.paused_until:
            self.act(Pause(signer=self.config.admin, bit=bit))
        self.wait_for(record.paused_until, None if offset == 0 else offset)
        self.act(Unpause(admin=self.who(by, self.config.admin), bit=bit), spoil)

    def _record(self, bit: int) -> PauseRecord:
        name = PAUSE_FIELDS.get(cast("PauseBit", bit), "deposits")
        return getattr(self.config.pauses, name)
