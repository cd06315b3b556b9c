"""The whole system: the order in which roles start, what must be true between, and how it stops.

    database, chain  →  migrations, the program's initialize  →  settlement, signer, indexer,
    coordinator, provider  →  healthy: run.json says where everything is

Stopping goes the other way. A role that has been ready once is restarted for ever; one that ends
again and again before it was ever ready stops the start with the end of its log.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from cli.supervisor.bootstrap import prepare_chain, prepare_database
from cli.supervisor.chain import Chain, plan_chain
from cli.supervisor.child import CannotStart, Child, Role
from cli.supervisor.ports import ChosenPorts, require_free
from cli.supervisor.roles import DatabasePlace, Services, plan_database, plan_services
from cli.supervisor.screen import Screen
from cli.workspace import Running, RunningRole, Workspace
from localnet.settings import Settings
from settlement.settings import Address

_FAILURES_BEFORE_READY = 6
_START_SECONDS = 180.0
_POLL_SECONDS = 0.05
_LOG_TAIL_LINES = 12


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What to run and where."""

    workspace: Workspace
    localnet_file: Path
    localnet: Settings
    listen: Address
    database_url: str | None


class System:
    """A running system; made by `run_system`."""

    def __init__(self, configuration: Configuration, screen: Screen, supervisor: int) -> None:
        self.stopping = asyncio.Event()
        self._configuration = configuration
        self._workspace = configuration.workspace
        self._screen = screen
        self._supervisor = supervisor
        self._stages: list[list[Child]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._published = False
        self._plan: tuple[Chain, DatabasePlace, Services] | None = None

    async def start(self, http: aiohttp.ClientSession) -> Running | None:
        """Start everything and publish it. None when it was stopped before it was healthy.

        Raises `CannotStart`.
        """
        settings = self._configuration
        workspace, ports = self._workspace, ChosenPorts(self._workspace.directory / "ports.json")
        chain = await plan_chain(http, workspace, ports, settings.localnet_file, settings.localnet)
        await require_free(list(chain.fixed_ports))
        database = await plan_database(workspace, ports, settings.database_url)
        services = await plan_services(http, workspace, ports, chain, database, settings.listen)
        await require_free(list(services.fixed_ports))
        self._plan = chain, database, services
        below = [role for role in (database.role, chain.role) if role is not None]
        self._add(below)
        self._add(services.roles)
        self._screen.show([child for stage in self._stages for child in stage])
        steps: tuple[Callable[[], Awaitable[None]], ...] = (
            lambda: self._bring_up(0),
            lambda: self._prepare(chain, database),
            lambda: self._bring_up(1),
        )
        for step in steps:
            if not await self._unless_stopped(step):
                return None
        return self.publish()

    def publish(self) -> Running:
        """Write where everything is."""
        assert self._plan is not None
        chain, database, services = self._plan
        running = Running(
            supervisor=self._supervisor,
            coordinator=services.coordinator_url,
            rpc=chain.rpc,
            ws=chain.ws,
            database=database.dsn,
            provider=services.provider_url,
            program_id=str(chain.program.id),
            usdc_mint=str(chain.mint),
            keys=str(self._workspace.keys.absolute()),
            roles={
                child.role.name: RunningRole(
                    pid=child.pid, url=child.role.url, metrics=child.role.metrics
                )
                for stage in self._stages
                for child in stage
            },
        )
        self._workspace.publish(running)
        self._published = True
        return running

    async def stop(self) -> None:
        """Stop everything, the last started first."""
        self._workspace.withdraw()
        self._published = False
        for stage in reversed(self._stages):
            await asyncio.gather(*(child.stop() for child in stage))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def kill(self) -> None:
        """End every process at once."""
        for child in (child for stage in self._stages for child in stage):
            child.kill()

    def _add(self, roles: Sequence[Role]) -> None:
        self._stages.append([Child(role, self._workspace.logs, self._changed) for role in roles])

    def _changed(self, child: Child) -> None:
        self._screen.changed(child)
        if self._published and child.state in {"starting", "ready"}:
            self.publish()  # it may have another pid

    async def _bring_up(self, number: int) -> None:
        stage = self._stages[number]
        self._tasks += [asyncio.create_task(child.run()) for child in stage]
        async with asyncio.timeout(_START_SECONDS):
            while not all(child.ready.is_set() for child in stage):
                for child in stage:
                    if child.failures >= _FAILURES_BEFORE_READY and not child.ready.is_set():
                        raise CannotStart(_told_by_log(child))
                await asyncio.sleep(_POLL_SECONDS)

    async def _prepare(self, chain: Chain, database: DatabasePlace) -> None:
        async with asyncio.timeout(_START_SECONDS):
            await asyncio.gather(
                prepare_database(database, self._screen.say),
                prepare_chain(chain, self._screen.say),
            )

    async def _unless_stopped(self, step: Callable[[], Awaitable[None]]) -> bool:
        """Carry out a step, or give it up when somebody stops us meanwhile."""
        work = asyncio.ensure_future(step())
        stop = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                return False
            work.result()
        except TimeoutError:
            raise CannotStart(f"not healthy after {_START_SECONDS:.0f} s: {self._late()}") from None
        finally:
            for task in (work, stop):
                task.cancel()
            await asyncio.gather(work, stop, return_exceptions=True)
        return True

    def _late(self) -> str:
        late = [
            f"{child.role.name} ({child.line or child.state})"
            for stage in self._stages
            for child in stage
            if not child.ready.is_set()
        ]
        return ", ".join(late) or "the chain or the database does not answer"


async def run_system(
    configuration: Configuration,
    screen: Screen,
    supervisor: int,
    healthy: Callable[[Running], None],
) -> None:
    """Run until SIGINT, SIGTERM or SIGHUP; call `healthy` once. Raises `CannotStart`."""
    system = System(configuration, screen, supervisor)
    loop = asyncio.get_running_loop()

    def asked_to_stop() -> None:
        if system.stopping.is_set():
            system.kill()
        system.stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, asked_to_stop)
    async with aiohttp.ClientSession() as http:
        try:
            running = await system.start(http)
            if running is not None:
                healthy(running)
                await system.stopping.wait()
            screen.say("stopping")
        finally:
            await system.stop()


def _told_by_log(child: Child) -> str:
    lines = child.log.read_text(errors="replace").splitlines() if child.log.exists() else []
    tail = "\n".join(f"    {line}" for line in lines[-_LOG_TAIL_LINES:])
    return f"{child.role.name} does not start ({child.line}); the end of {child.log}:\n{tail}"
