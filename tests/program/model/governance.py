"""What the owners may do: parameters, roles, the admin, pauses. Each with its delay."""

from dataclasses import fields, replace
from typing import Final

from solders.pubkey import Pubkey

from settlement.chain.abi import PauseBit, Role
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
from settlement.chain.layouts import VACANT, Config, Parameters, PauseRecord
from settlement.chain.program import associated_token_address
from settlement.money import MicroUsdc
from tests.program.model.state import Call, Refusal, State, refuse_if

HOUR: Final = 3_600
DAY: Final = 24 * HOUR
USDC: Final = 1_000_000
LOOSENING_SECONDS: Final = 7 * DAY
PAUSE_SECONDS: Final = 72 * HOUR
GRANT_SECONDS: Final = 48 * HOUR
ARBITER_SECONDS: Final = 21 * DAY
NOMINATION_SECONDS: Final = 48 * HOUR
RESCUE_SECONDS: Final = 14 * DAY
NOMINATION_LIFE_SECONDS: Final = 14 * DAY
LARGEST: Final = 2**64 - 1

# Floor and ceiling of each parameter, and which direction needs no warning.
BOUNDS: Final = {
    "bond_amount_microusdc": (USDC, 10_000 * USDC, min),
    "cooldown_seconds": (7 * DAY, 90 * DAY, min),
    "dispute_seconds": (3 * DAY, 14 * DAY, max),
    "decision_seconds": (7 * DAY, 21 * DAY, max),
    "execution_seconds": (7 * DAY, 21 * DAY, min),
    "payout_single_cap_microusdc": (0, LARGEST, min),
    "payout_window_cap_microusdc": (0, LARGEST, min),
}
NO_PARAMETERS: Final = Parameters(
    bond_amount_microusdc=MicroUsdc(0),
    cooldown_seconds=0,
    dispute_seconds=0,
    decision_seconds=0,
    execution_seconds=0,
    payout_single_cap_microusdc=MicroUsdc(0),
    payout_window_cap_microusdc=MicroUsdc(0),
)
ROLE_FIELDS: Final = {
    Role.PROPOSER: "proposer",
    Role.ARBITER: "arbiter",
    Role.GUARDIAN: "guardian",
    Role.PAYER: "payer",
}
PAUSE_FIELDS: Final = {
    PauseBit.DEPOSITS: "deposits",
    PauseBit.PAYOUTS: "payouts",
    PauseBit.SEIZURES: "seizures",
    PauseBit.RELEASES: "releases",
}


def values(parameters: Parameters) -> dict[str, int]:
    """The parameters by name."""
    return {field.name: getattr(parameters, field.name) for field in fields(parameters)}


def initialize(state: State, call: Call, it: Initialize) -> None:
    """Once: this deployment is set up, so it can only be refused."""
    del it
    deployment = state.deployment
    call.check_shape()
    _check_program_data(state, call)
    for name in ("config", "escrow", "payouts", "till_authority"):
        state.check_address(call, name, getattr(deployment, name))
    call.check_writable()
    state.check_mint(call)
    for name, owner in (
        ("till_vault", deployment.till_authority),
        ("bond_vault", deployment.escrow),
    ):
        canonical = associated_token_address(owner, call["mint"])
        refuse_if(call[name] != canonical, "WrongTokenAccount")
    call.check_signed()
    refuse_if(call["upgrade_authority"] != state.upgrade_authority, "Unauthorized")
    raise Refusal("AlreadyInitialized")


def _check_program_data(state: State, call: Call) -> None:
    refuse_if(call["program_data"] != state.deployment.program_data, "WrongOwner")


def set_params(state: State, call: Call, it: SetParams) -> None:
    config = _config_to_write(state, call)
    refuse_if(call["admin"] != config.admin, "Unauthorized")
    old, new = values(config.parameters), values(it.parameters)
    for name, (floor, ceiling, _) in BOUNDS.items():
        refuse_if(not floor <= new[name] <= ceiling, "ParamOutOfBounds")
    tightened = {name: tighter(old[name], new[name]) for name, (_, _, tighter) in BOUNDS.items()}
    waits = config.pending_parameters_ready_at != 0
    if tightened != new:
        refuse_if(waits, "PolicyPending")
        state.set_config(
            parameters=_parameters(tightened),
            pending_parameters=it.parameters,
            pending_parameters_ready_at=state.now + LOOSENING_SECONDS,
        )
        return
    state.set_config(parameters=it.parameters)
    if waits:
        changed = {name: new[name] for name in new if new[name] != old[name]}
        waiting = _parameters({**values(config.pending_parameters), **changed})
        if waiting == it.parameters:
            _nothing_waits(state)
        else:
            state.set_config(pending_parameters=waiting)


def _parameters(named: dict[str, int]) -> Parameters:
    return Parameters(**named)  # pyright: ignore[reportArgumentType]  # microunits are ints


def _nothing_waits(state: State) -> None:
    state.set_config(pending_parameters=NO_PARAMETERS, pending_parameters_ready_at=0)


def apply_params(state: State, call: Call, it: ApplyParams) -> None:
    del it
    config = _config_to_write(state, call)
    refuse_if(config.pending_parameters_ready_at == 0, "NothingPending")
    refuse_if(state.now < config.pending_parameters_ready_at, "PolicyPending")
    state.set_config(parameters=config.pending_parameters)
    _nothing_waits(state)


def cancel_params(state: State, call: Call, it: CancelParams) -> None:
    del it
    config = _config_to_write(state, call)
    _check_stopper(config, call["signer"])
    refuse_if(config.pending_parameters_ready_at == 0, "NothingPending")
    _nothing_waits(state)


def grant_role(state: State, call: Call, it: GrantRole) -> None:
    config = _config_to_write(state, call, data_error=_role_error(it.role))
    refuse_if(call["admin"] != config.admin, "Unauthorized")
    refuse_if(config.pending_role != 0, "PolicyPending")
    _check_newcomer(state, it.holder)
    delay = ARBITER_SECONDS if it.role == Role.ARBITER else GRANT_SECONDS
    state.set_config(
        pending_role=int(it.role),
        pending_role_key=it.holder,
        pending_role_ready_at=state.now + delay,
    )


def apply_role(state: State, call: Call, it: ApplyRole) -> None:
    del it
    config = _config_to_write(state, call)
    refuse_if(config.pending_role == 0, "NothingPending")
    refuse_if(state.now < config.pending_role_ready_at, "PolicyPending")
    role = ROLE_FIELDS[Role(config.pending_role)]
    others = [key for name, key in _held(config).items() if name != role]
    refuse_if(config.pending_role_key in others, "RolesNotDistinct")
    state.set_config(**{role: config.pending_role_key})
    _no_role_pending(state)


def cancel_role(state: State, call: Call, it: CancelRole) -> None:
    del it
    config = _config_to_write(state, call)
    _check_stopper(config, call["signer"])
    refuse_if(config.pending_role == 0, "NothingPending")
    _no_role_pending(state)


def _no_role_pending(state: State) -> None:
    state.set_config(pending_role=0, pending_role_key=VACANT, pending_role_ready_at=0)


def revoke_role(state: State, call: Call, it: RevokeRole) -> None:
    config = _config_to_write(state, call, data_error=_role_error(it.role))
    _check_stopper(config, call["signer"])
    by_guardian = call["signer"] != config.admin
    guarded = it.role in (Role.PROPOSER, Role.PAYER)
    refuse_if(by_guardian and not guarded, "Unauthorized")
    role = ROLE_FIELDS[Role(it.role)]
    refuse_if(getattr(config, role) == VACANT, "RoleVacant")
    state.set_config(**{role: VACANT})


def nominate_admin(state: State, call: Call, it: NominateAdmin) -> None:
    call.check_shape()
    config = state.check_config(call)
    _check_program_data(state, call)
    call.check_writable()
    call.check_signed()
    if call["signer"] == config.admin:
        ready_at, expires_at = NOMINATION_SECONDS, NOMINATION_LIFE_SECONDS
    elif call["signer"] == state.upgrade_authority:
        ready_at, expires_at = RESCUE_SECONDS, RESCUE_SECONDS + NOMINATION_LIFE_SECONDS
    else:
        raise Refusal("Unauthorized")
    _check_newcomer(state, it.nominee)
    _nominate(state, it.nominee, ready_at=state.now + ready_at, expires_at=state.now + expires_at)


def accept_admin(state: State, call: Call, it: AcceptAdmin) -> None:
    del it
    config = _config_to_write(state, call)
    refuse_if(config.pending_admin == VACANT, "NoNomination")
    refuse_if(call["nominee"] != config.pending_admin, "Unauthorized")
    refuse_if(state.now < config.pending_admin_ready_at, "NominationTooEarly")
    refuse_if(state.now >= config.pending_admin_expires_at, "NominationExpired")
    refuse_if(config.pending_admin in _held(config).values(), "RolesNotDistinct")
    state.set_config(admin=config.pending_admin)
    _nominate(state, VACANT, ready_at=0, expires_at=0)


def cancel_nomination(state: State, call: Call, it: CancelNomination) -> None:
    del it
    config = _config_to_write(state, call)
    refuse_if(call["admin"] != config.admin, "Unauthorized")
    refuse_if(config.pending_admin == VACANT, "NoNomination")
    _nominate(state, VACANT, ready_at=0, expires_at=0)


def _nominate(state: State, nominee: Pubkey, *, ready_at: int, expires_at: int) -> None:
    state.set_config(
        pending_admin=nominee,
        pending_admin_ready_at=ready_at,
        pending_admin_expires_at=expires_at,
    )


def pause(state: State, call: Call, it: Pause) -> None:
    config = _config_to_write(state, call, data_error=_bit_error(it.bit))
    _check_stopper(config, call["signer"])
    name = PAUSE_FIELDS[PauseBit(it.bit)]
    record: PauseRecord = getattr(config.pauses, name)
    refuse_if(state.now < record.not_before, "PauseTooSoon")
    paused_until = state.now + PAUSE_SECONDS
    started = PauseRecord(
        paused_until=paused_until, not_before=paused_until + PAUSE_SECONDS, by=call["signer"]
    )
    state.set_config(pauses=replace(config.pauses, **{name: started}))


def unpause(state: State, call: Call, it: Unpause) -> None:
    config = _config_to_write(state, call, data_error=_bit_error(it.bit))
    refuse_if(call["admin"] != config.admin, "Unauthorized")
    name = PAUSE_FIELDS[PauseBit(it.bit)]
    record: PauseRecord = getattr(config.pauses, name)
    refuse_if(state.now >= record.paused_until, "WrongState")
    ended = replace(record, paused_until=state.now, not_before=state.now + PAUSE_SECONDS)
    state.set_config(pauses=replace(config.pauses, **{name: ended}))


def _config_to_write(state: State, call: Call, *, data_error: str | None = None) -> Config:
    """All these instructions write Config and nothing else."""
    call.check_shape(data_error=data_error)
    config = state.check_config(call)
    call.check_writable()
    call.check_signed()
    return config


def _role_error(role: int) -> str | None:
    return None if role in tuple(Role) else "InvalidInstruction"


def _bit_error(bit: int) -> str | None:
    return None if bit in tuple(PauseBit) else "InvalidInstruction"


def _check_stopper(config: Config, signer: Pubkey) -> None:
    """Admin or guardian: those who may stop things."""
    refuse_if(signer not in (config.admin, config.guardian), "Unauthorized")


def _check_newcomer(state: State, key: Pubkey) -> None:
    """Somebody who can sign, and holds nothing yet."""
    refuse_if(state.is_ours(key), "ForbiddenAddress")
    refuse_if(key in _held(state.config).values(), "RolesNotDistinct")


def _held(config: Config) -> dict[str, Pubkey]:
    names = ("admin", *ROLE_FIELDS.values())
    return {name: getattr(config, name) for name in names}
