"""What the owners of the deployment do: nothing moves, everything is kept."""

from settlement.chain import program
from settlement.errors import snake_case
from settlement.money import MicroUsdc
from tests.chain.recordings.recording import Recording
from tests.chain.recordings.stage import DAY_SECONDS, Stage, opened


async def play() -> list[Recording]:
    """All scenes of the owners."""
    async with opened(initialized=False) as stage:
        authority = stage.wallet("upgrade-authority")
        await stage.scene("initialize", "set up", stage.initialize(), by=[authority])
        await _parameters(stage)
        await _roles(stage)
        await _pauses(stage)
        await _hand_over(stage)
        return await stage.recorded()


async def _does(stage: Stage, who: str, made: program.ProgramInstruction) -> None:
    """A scene called after its instruction."""
    name = snake_case(type(made).__name__).replace("_", "-")
    await stage.scene(name, f"by {who}", stage.build(made), by=[stage.wallet(who)])


def _parameters_of(days: int) -> program.InitialParameters:
    return program.InitialParameters(cooldown_seconds=days * DAY_SECONDS)


async def _parameters(stage: Stage) -> None:
    admin, guardian = stage.key("admin"), stage.key("guardian")
    lower, back = (
        program.SetParams(admin=admin, parameters=_parameters_of(days)) for days in (80, 90)
    )
    await stage.aside(stage.build(lower), by=[stage.wallet("admin")])
    await _does(stage, "admin", back)
    await _does(stage, "guardian", program.CancelParams(signer=guardian))
    await stage.aside(stage.build(back), by=[stage.wallet("admin")])
    await stage.wait(7)
    await _does(stage, "user", program.ApplyParams())
    approve = program.ApprovePay(
        admin=admin,
        sequence=5,
        amount_microusdc=MicroUsdc(9),
        destination=stage.ata("user"),
        reference=bytes(16),
    )
    await _does(stage, "admin", approve)


async def _roles(stage: Stage) -> None:
    admin, user = stage.key("admin"), stage.key("user")
    role = program.Role.PROPOSER
    grant = program.GrantRole(admin=admin, role=role, holder=user)
    await _does(stage, "admin", program.RevokeRole(signer=admin, role=role))
    await _does(stage, "admin", grant)
    await _does(stage, "admin", program.CancelRole(signer=admin))
    await stage.aside(stage.build(grant), by=[stage.wallet("admin")])
    await stage.wait(2)
    await _does(stage, "operator", program.ApplyRole())


async def _pauses(stage: Stage) -> None:
    admin, guardian = stage.key("admin"), stage.key("guardian")
    bit = program.PauseBit.DEPOSITS
    await _does(stage, "guardian", program.Pause(signer=guardian, bit=bit))
    await _does(stage, "admin", program.Unpause(admin=admin, bit=bit))


async def _hand_over(stage: Stage) -> None:
    admin, nominee = stage.key("admin"), stage.key("operator")
    nominate = program.NominateAdmin(signer=admin, nominee=nominee)
    await _does(stage, "admin", nominate)
    await _does(stage, "admin", program.CancelNomination(admin=admin))
    await stage.aside(stage.build(nominate), by=[stage.wallet("admin")])
    await stage.wait(2)
    await _does(stage, "operator", program.AcceptAdmin(nominee=nominee))
