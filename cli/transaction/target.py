"""Which deployment a command means: the running system of a directory, or one named by options.

Never a mixture: with `--rpc` the program is named too, so that a plan made for one chain cannot
reach another. The mint follows from the program's Config; naming it as well has it compared.
"""

from dataclasses import dataclass

from solders.pubkey import Pubkey

from cli.workspace import Workspace
from settlement.chain import program
from settlement.chain.rpc import Commitment, RpcClient
from settlement.errors import NotFound, Refused


class NoTarget(NotFound):
    """Nothing runs in this directory: start it with `pod up`, or say which deployment is meant
    with --rpc URL --program ID."""


class TargetIncomplete(Refused):
    """--rpc and --program go together (and --mint only with both)."""


class NotDeployed(NotFound):
    """There is no set-up bond program at this address of this chain."""


class OtherMint(Refused):
    """The program was set up for another mint than the one named."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where to ask, and for which program; `coordinator` is its URL where one is known."""

    rpc: str
    program_id: Pubkey
    mint: Pubkey | None
    coordinator: str | None


@dataclass(frozen=True, kw_only=True)
class Target:
    """A deployment that was found on its chain, and its Config as it is now."""

    rpc: RpcClient
    deployment: program.Deployment
    config: program.Config
    coordinator: str | None


def place_of(
    workspace: Workspace, *, rpc: str | None, program_id: Pubkey | None, mint: Pubkey | None
) -> Place:
    """What the options mean. Raises `NoTarget` or `TargetIncomplete`."""
    if rpc is not None and program_id is not None:
        return Place(rpc=rpc, program_id=program_id, mint=mint, coordinator=None)
    if rpc is not None or program_id is not None or mint is not None:
        raise TargetIncomplete(rpc=rpc is not None, program=program_id is not None)
    running = workspace.running()
    if running is None:
        raise NoTarget(directory=str(workspace.directory))
    return Place(
        rpc=running.rpc,
        program_id=Pubkey.from_string(running.program_id),
        mint=Pubkey.from_string(running.usdc_mint),
        coordinator=running.coordinator,
    )


async def find_target(rpc: RpcClient, place: Place) -> Target:
    """Read the deployment's Config. Raises `NotDeployed` or `OtherMint`."""
    address = program.Deployment(place.program_id, Pubkey.default()).config
    found = (await rpc.account(address, commitment=Commitment.CONFIRMED)).account
    if found is None or found.owner != place.program_id:
        raise NotDeployed(program=str(place.program_id))
    config = program.decode_account(found.data)
    if not isinstance(config, program.Config):
        raise NotDeployed(program=str(place.program_id))
    if place.mint not in (None, config.mint):
        raise OtherMint(named=str(place.mint), program_says=str(config.mint))
    return Target(
        rpc=rpc,
        deployment=program.Deployment(place.program_id, config.mint),
        config=config,
        coordinator=place.coordinator,
    )
