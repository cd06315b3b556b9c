"""The whole system: what starts in which order, what must be true between, and how it stops.

    database, chain  →  migrations, the program's initialize  →  settlement, signer, indexer,
    coordinator, provider  →  healthy: run.json says where everything is

Stopping goes the other way. Where a database and a chain were prepared before, everything starts at
once: the roles wait for what they need, and the time they take to load is not added up.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from cli.supervisor.bootstrap import (
    is_prepared,
    prepare_chain,
    prepare_database,
    remember_prepared,
)
from cli.supervisor.chain import Chain, plan_chain
from cli.supervisor.child import CannotStart, Child
from cli.supervisor.ports import ChosenPorts, require_free
from cli.supervisor.roles import DatabasePlace, Services, plan_database, plan_services
from cli.supervisor.screen import Screen
from cli.supervisor.stages import START_SECONDS, Stages
from cli.workspace import Running, RunningRole, Workspace
from localnet.settings import Settings
from settlement.settings import Address


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What to run and where."""

    workspace: Workspace
    localnet_file: Path
    localnet: Settings
    cluster: str
    listen: Address
    database_url: str | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Where everything will be."""

    chain: Chain
    database: DatabasePlace
    services: Services


class System:
    """A system on its way up, running, or on its way down; `run_system` makes one."""

    def __init__(self, configuration: Configuration, screen: Screen, supervisor: int) -> None:
        self.stopping = asyncio.Event()
        self.stages = Stages(configuration.workspace.logs, self._changed)
        self._configuration = configuration
        self._workspace = configuration.workspace
        self._screen = screen
        self._supervisor = supervisor
        self._published: Plan | None = None

    async def start(self, http: aiohttp.ClientSession) -> Running | None:
        """Start everything and publish it. None when it was stopped before it was healthy.

        Raises `CannotStart`.
        """
        plan = await self._plan(http)
        below = self.stages.add(
            [role for role in (plan.database.role, plan.chain.role) if role is not None]
        )
        services = self.stages.add(plan.services.roles)
        self._screen.show(list(self.stages))

        async def prepared() -> None:
            await self.stages.bring_up(below)
            await self._prepare(plan)

        async def one_after_the_other() -> None:
            await prepared()
            await self.stages.bring_up(services)

        async def all_at_once() -> None:
            await asyncio.gather(prepared(), self.stages.bring_up(services))

        known = is_prepared(self._workspace, plan.chain, plan.database)
        if not await self._unless_stopped(all_at_once if known else one_after_the_other):
            return None
        remember_prepared(self._workspace, plan.chain, plan.database)
        return self._publish(plan)

    async def stop(self) -> None:
        """Stop everything, the last started first."""
        self._published = None
        self._workspace.withdraw()
        await self.stages.stop()

    async def _plan(self, http: aiohttp.ClientSession) -> Plan:
        given, workspace = self._configuration, self._workspace
        ports = ChosenPorts(workspace.directory / "ports.json")
        chain = await plan_chain(
            http, workspace, ports, given.localnet_file, given.localnet, name=given.cluster
        )
        await require_free(list(chain.fixed_ports))
        database = await plan_database(workspace, ports, given.database_url)
        services = await plan_services(http, workspace, ports, chain, database, given.listen)
        await require_free(list(services.fixed_ports))
        return Plan(chain=chain, database=database, services=services)

    async def _prepare(self, plan: Plan) -> None:
        try:
            async with asyncio.timeout(START_SECONDS):
                await asyncio.gather(
                    prepare_database(plan.database, self._screen.say),
                    prepare_chain(plan.chain, self._screen.say),
                )
        except TimeoutError:
            raise CannotStart("the chain or the database does not answer") from None

    async def _unless_stopped(self, step: Callable[[], Awaitable[None]]) -> bool:
        """Carry out a step, or give it up when somebody stops us meanwhile."""
        work = asyncio.ensure_future(step())
        stop = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                return False
            work.result()
        finally:
            for task in (work, stop):
                task.cancel()
            await asyncio.gather(work, stop, return_exceptions=True)
        return True

    def _changed(self, child: Child) -> None:
        self._screen.changed(child)
        if self._published is not None and child.state in {"starting", "ready"}:
            self._publish(self._published)  # it may have another pid

    def _publish(self, plan: Plan) -> Running:
        """Write where everything is."""
        running = Running(
            supervisor=self._supervisor,
            coordinator=plan.services.coordinator_url,
            rpc=plan.chain.rpc,
            ws=plan.chain.ws,
            database=plan.database.dsn,
            provider=plan.services.provider_url,
            cluster=plan.chain.name,
            program_id=str(plan.chain.program.id),
            usdc_mint=str(plan.chain.mint),
            keys=str(self._workspace.keys.absolute()),
            roles={
                child.role.name: RunningRole(
                    pid=child.pid, url=child.role.url, metrics=child.role.metrics
                )
                for child in self.stages
            },
        )
        self._workspace.publish(running)
        self._published = plan
        return running


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
        if system.stopping.is_set():  # asked again: somebody is in a hurry
            system.stages.kill()
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
