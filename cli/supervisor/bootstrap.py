"""What a fresh database and a fresh chain need before our roles can work. Repeating it is harmless.

The database is created (if it is ours) and migrated. On chain the bond program is set up by its
upgrade authority through `initialize`, sent over RPC like anyone else would.
"""

import asyncio
import hashlib
from collections.abc import Callable

import asyncpg
from solders.pubkey import Pubkey

from cli.supervisor.chain import Chain
from cli.supervisor.child import CannotStart
from cli.supervisor.roles import DATABASE, DatabasePlace
from cli.wallet import ChainFailed, carry_out, patient_rpc
from cli.workspace import Workspace
from localnet import postgres
from settlement.chain import program
from settlement.chain.rpc import Commitment, RpcClient
from settlement.db.migrate import migrate, migrations_of
from settlement.db.pool import DatabaseUnavailable
from settlement.errors import PodError

PACKAGES = ("settlement", "indexer", "coordinator")
_MARKER = "prepared"
_PAUSE_SECONDS = 0.3
_TRIES = 100
_LEAST_LAMPORTS = 1_000_000_000
_AIRDROP_LAMPORTS = 5_000_000_000
_ROLES = ("admin", "proposer", "arbiter", "guardian", "payer")


def is_prepared(workspace: Workspace, chain: Chain, place: DatabasePlace) -> bool:
    """Whether this database and this chain went through all of this before, with these migrations.

    Only for an embedded database: nobody else can have changed it.
    """
    wanted = _fingerprint(chain)
    markers = (workspace.postgres / _MARKER, workspace.chain / _MARKER)
    return place.cluster is not None and all(
        marker.exists() and marker.read_text() == wanted for marker in markers
    )


def remember_prepared(workspace: Workspace, chain: Chain, place: DatabasePlace) -> None:
    """The next start may rely on it. Each half is marked beside its own data."""
    if place.cluster is not None:
        for directory in (workspace.postgres, workspace.chain):
            (directory / _MARKER).write_text(_fingerprint(chain))


def _fingerprint(chain: Chain) -> str:
    hashes = [migration.sha256 for package in PACKAGES for migration in migrations_of(package)]
    parts = [*hashes, str(chain.program.id), str(chain.mint), chain.rpc]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


async def prepare_database(place: DatabasePlace, say: Callable[[str], None]) -> None:
    """Create the database where it is ours, and bring it to the present."""
    if place.cluster is not None:
        await asyncio.to_thread(postgres.create_database, place.cluster, DATABASE)
    for attempt in range(_TRIES):
        try:
            applied = await migrate(place.dsn, PACKAGES)
        except DatabaseUnavailable:
            if attempt == _TRIES - 1:
                raise CannotStart("the database does not answer") from None
            await asyncio.sleep(_PAUSE_SECONDS)
            continue
        except (PodError, asyncpg.PostgresError) as error:
            why = str(error).splitlines()[0]  # PostgreSQL repeats the whole statement
            raise CannotStart(f"the database cannot be migrated: {why}") from error
        if applied:
            say(f"database: {len(applied)} migrations applied")
        return


async def prepare_chain(chain: Chain, say: Callable[[str], None]) -> None:
    """Fund our keys where the chain gives SOL away, and set the program up once."""
    async with patient_rpc(chain.rpc) as rpc:
        try:
            await _fund(rpc, chain)
            await _initialize(rpc, chain, say)
        except (ChainFailed, PodError) as error:
            raise CannotStart(f"the chain cannot be prepared: {error}") from error


async def _fund(rpc: RpcClient, chain: Chain) -> None:
    """Ask for SOL for the keys that have none and need some."""
    for name in ("payer", chain.program.upgrade_authority):
        address = chain.wallet(name).pubkey()
        if await rpc.balance(address) < _LEAST_LAMPORTS:
            await rpc.call("requestAirdrop", [str(address), _AIRDROP_LAMPORTS])
            await _until_funded(rpc, address)


async def _until_funded(rpc: RpcClient, address: Pubkey) -> None:
    for _ in range(_TRIES):
        if await rpc.balance(address) >= _LEAST_LAMPORTS:
            return
        await asyncio.sleep(_PAUSE_SECONDS)
    raise CannotStart(f"{address} has no SOL, and the chain gave it none")


async def _initialize(rpc: RpcClient, chain: Chain, say: Callable[[str], None]) -> None:
    deployment = program.Deployment(chain.program.id, chain.mint)
    if await _is_there(rpc, deployment.config):
        return
    if not await _is_there(rpc, deployment.program_id):
        raise CannotStart(f"there is no program {deployment.program_id} at {chain.rpc}")
    authority = chain.wallet(chain.program.upgrade_authority)
    keys = {name: chain.wallets[name].pubkey() for name in _ROLES if name in chain.wallets}
    instruction = program.initialize(
        deployment,
        upgrade_authority=authority.pubkey(),
        funder=authority.pubkey(),
        roles=program.InitialRoles(**{"admin": authority.pubkey(), **keys}),
        parameters=program.InitialParameters(),
    )
    landed = await carry_out(rpc, [instruction], authority)
    say(f"program {deployment.program_id} initialized: {landed.signature}")


async def _is_there(rpc: RpcClient, address: Pubkey) -> bool:
    found = await rpc.account(address, commitment=Commitment.CONFIRMED)
    return found.account is not None
