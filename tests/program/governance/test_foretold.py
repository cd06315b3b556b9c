"""What `pod admin` foretells is what the program does, whatever is asked in whatever order."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cli.admin.plans import handover, pauses, policy, roles
from cli.admin.plans.policy import BOUNDS, NothingChanges, OutOfBounds, SetWaiting
from settlement.chain.layouts import Parameters
from settlement.chain.program import PauseBit, Role
from tests.program.governance.office import DAY, Office, new_office


@st.composite
def values(draw: st.DrawFn, name: str) -> int:
    """Mostly a few values around the bounds, so that equal ones are met; sometimes outside."""
    floor, ceiling = BOUNDS[name].floor, BOUNDS[name].ceiling
    middle = (floor + ceiling) // 2
    inside = [floor, floor + 1, middle, ceiling - 1, ceiling]
    outside = [] if "cap" in name else [floor - 1, ceiling + 1]
    return draw(st.sampled_from([*inside, *inside, *outside]))


@st.composite
def asked(draw: st.DrawFn) -> dict[str, int]:
    names = draw(st.lists(st.sampled_from(list(BOUNDS)), min_size=1, max_size=3, unique=True))
    return {name: draw(values(name)) for name in names}


def ask(office: Office, changed: dict[str, int]) -> None:
    """Set parameters: the program does what was foretold, or refuses as foretold."""
    named: dict[str, Any] = dict(changed)
    config, now = office.config, office.world.now
    wanted = replace(config.parameters, **named)
    step = office.set_params(wanted)
    try:
        foreseen = policy.foresee(policy.policy_of(config), wanted, now=now)
    except OutOfBounds:
        assert office.refuse(step) == "ParamOutOfBounds"
    except SetWaiting:
        assert office.refuse(step) == "PolicyPending"
    except NothingChanges:
        office.send(step)
        assert office.config == config
    else:
        office.send(step)
        assert policy.policy_of(office.config) == foreseen.policy


@given(
    steps=st.lists(
        st.one_of(asked(), st.sampled_from([DAY, 7 * DAY - 1, 7 * DAY])), min_size=1, max_size=12
    )
)
def test_every_change_of_parameters_is_foretold(steps: list[dict[str, int] | int]) -> None:
    office = new_office()
    for step in steps:
        if isinstance(step, dict):
            ask(office, step)
            continue
        office.world.advance(step)
        waits = policy.policy_of(office.config)
        if waits.waiting is not None and office.world.now >= waits.ready_at:
            office.send(office.apply_params())
            assert policy.policy_of(office.config) == policy.Policy(in_force=waits.waiting)


def test_the_bounds_are_those_of_the_program() -> None:
    office = new_office()
    for name, bounds in BOUNDS.items():
        for value, inside in (
            (bounds.floor, True),
            (bounds.ceiling, True),
            (bounds.floor - 1, False),
            (bounds.ceiling + 1, False),
        ):
            if not 0 <= value < 2**64:
                continue  # no such number can be written down
            changed: dict[str, Any] = {name: value}
            step = office.set_params(replace(Parameters(), **changed))
            if inside:
                office.send(step)
                office.send(*([office.cancel_params()] if waits(office) else []))
            else:
                assert office.refuse(step) == "ParamOutOfBounds"


def waits(office: Office) -> bool:
    return office.config.pending_parameters_ready_at != 0


def test_the_delays_are_those_of_the_program() -> None:
    for role in Role:
        office = new_office()
        office.send(office.grant(role, office.world.nominee.pubkey()))
        ready_at = office.world.now + roles.wait_of(role)
        assert office.config.pending_role_ready_at == ready_at
    for by, (ready, ends) in (
        ("admin", handover.NOMINATION_SECONDS),
        ("upgrade_authority", handover.RESCUE_SECONDS),
    ):
        office = new_office()
        office.send(office.nominate(by=office.person(by)))
        now = office.world.now
        assert office.config.pending_admin_ready_at == now + ready
        assert office.config.pending_admin_expires_at == now + ends
    office = new_office()
    office.send(office.pause(PauseBit.DEPOSITS))
    assert office.config.pauses.deposits.paused_until == office.world.now + pauses.PAUSE_SECONDS
