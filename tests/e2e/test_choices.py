"""Somebody else's Postgres and somebody else's chain: `pod up` starts neither, and uses both."""

import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.supervisor.ports import free_port
from localnet import postgres
from tests.e2e.system import TestSystem, check_story, demo_report, running_system

_START_SECONDS = 60.0


@contextmanager
def _chain_of_somebody_else(system: TestSystem, directory: Path) -> Generator[str]:
    """A localnet that was started by hand; its key files are where the system looks for them."""
    port = free_port()
    address = directory / "address.json"
    command = [sys.executable, "-m", "localnet", "--rpc-port", str(port)]
    command += ["--config", system.environment["POD_LOCALNET"]]
    command += ["--data", str(directory), "--keys", str(system.workspace.keys)]
    with subprocess.Popen(command, env=system.environment) as process:
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not address.exists():
                assert process.poll() is None, "the localnet ended"
                assert time.monotonic() < deadline, "the localnet did not start"
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_given_database_and_a_given_chain_are_used(
    tmp_path: Path, postgres_cluster: postgres.Cluster
) -> None:
    postgres.create_database(postgres_cluster, "somebody_elses")
    with (
        running_system(tmp_path) as system,
        _chain_of_somebody_else(system, tmp_path / "chain") as rpc,
    ):
        localnet = Path(system.environment["POD_LOCALNET"])
        chosen = f'kind = "rpc"\nrpc_url = "{rpc}"'
        localnet.write_text(localnet.read_text().replace('kind = "embedded"', chosen))
        system.environment["DATABASE_URL"] = postgres_cluster.dsn("somebody_elses")
        running = system.up()
        assert running.database == postgres_cluster.dsn("somebody_elses")
        assert running.rpc == rpc
        assert not {"postgres", "localnet"} & set(running.roles)
        check_story(demo_report(system.pod("demo", "--json").stdout))
        system.down()
        assert postgres.is_ready(postgres_cluster)
