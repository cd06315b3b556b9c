"""The embedded server: durable, closed to strangers, back after kill -9, gone with its parent."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from localnet import postgres
from tests.conftest import free_port


@pytest.fixture
def cluster(tmp_path: Path) -> postgres.Cluster:
    closed = tmp_path / "closed to others"
    closed.mkdir(mode=0o700)
    made = postgres.Cluster(directory=closed / "postgres", port=free_port())
    postgres.create(made)
    return made


@pytest.fixture
def server(cluster: postgres.Cluster) -> Iterator[subprocess.Popen[bytes]]:
    process = postgres.start(cluster, log=cluster.directory / "log")
    postgres.wait_ready(cluster, process)
    yield process
    postgres.stop(process)


async def test_it_is_postgres_18_and_commits_durably(
    cluster: postgres.Cluster, server: subprocess.Popen[bytes]
) -> None:
    connection = await asyncpg.connect(cluster.dsn())
    try:
        assert int(await connection.fetchval("show server_version_num")) // 10_000 == 18
        assert await connection.fetchval("show fsync") == "on"
        assert await connection.fetchval("show synchronous_commit") == "on"
        assert await connection.fetchval("show listen_addresses") == "127.0.0.1"
    finally:
        await connection.close()
    assert server.poll() is None


async def test_a_wrong_password_is_refused(
    cluster: postgres.Cluster, server: subprocess.Popen[bytes]
) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(
            host="127.0.0.1", port=cluster.port, user="postgres", password="guessed", ssl=False
        )
    assert server.poll() is None


def test_secrets_are_readable_by_their_owner_only(cluster: postgres.Cluster) -> None:
    for path in (cluster.password_file, cluster.directory / "password"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secret = (cluster.directory / "password").read_text().strip()
    assert secret not in cluster.dsn()


def test_creating_again_keeps_the_data_and_the_password(cluster: postgres.Cluster) -> None:
    before = (cluster.directory / "password").read_text()
    made = (cluster.data / "PG_VERSION").stat().st_mtime_ns
    postgres.create(cluster)
    assert (cluster.directory / "password").read_text() == before
    assert (cluster.data / "PG_VERSION").stat().st_mtime_ns == made


def test_a_half_made_cluster_is_made_again(cluster: postgres.Cluster) -> None:
    (cluster.directory / "created").unlink()
    (cluster.data / "PG_VERSION").unlink()
    postgres.create(cluster)
    assert (cluster.data / "PG_VERSION").read_text().strip() == "18"


async def test_a_committed_row_survives_kill_9(cluster: postgres.Cluster) -> None:
    process = postgres.start(cluster)
    postgres.wait_ready(cluster, process)
    connection = await asyncpg.connect(cluster.dsn())
    await connection.execute("create table kept (n integer); insert into kept values (7)")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    connection.terminate()
    process = _started_again(cluster)
    try:
        connection = await asyncpg.connect(cluster.dsn())
        assert await connection.fetchval("select n from kept") == 7
        await connection.close()
    finally:
        postgres.stop(process)


def test_a_second_server_on_the_same_data_is_refused(
    cluster: postgres.Cluster, server: subprocess.Popen[bytes]
) -> None:
    with pytest.raises(postgres.PostgresFailed, match=str(server.pid)):
        postgres.start(cluster)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a child to its parent")
def test_it_ends_with_its_parent(cluster: postgres.Cluster) -> None:
    program = (
        "import sys; from pathlib import Path; from localnet import postgres as p\n"
        f"c = p.Cluster(directory=Path({str(cluster.directory)!r}), port={cluster.port})\n"
        "s = p.start(c); p.wait_ready(c, s); print('up', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        assert postgres.is_ready(cluster)
        parent.kill()
    postgres.stop(_started_again(cluster))


def _started_again(cluster: postgres.Cluster) -> subprocess.Popen[bytes]:
    """Start once the killed server's children have let go of the port and the shared memory."""
    while True:
        try:
            process = postgres.start(cluster, log=cluster.directory / "log")
            postgres.wait_ready(cluster, process)
        except postgres.PostgresFailed:
            continue
        return process
