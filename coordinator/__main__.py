"""`python -m coordinator [serve]` and `python -m coordinator migrate`."""

import asyncio
import sys

import asyncpg
import uvloop

from coordinator import app, config
from settlement.db.migrate import migrate
from settlement.errors import PodError
from settlement.observability import configure_logging
from settlement.settings import SettingsReader

USAGE = "usage: python -m coordinator [serve | migrate]"


def main(arguments: list[str]) -> int:
    """Run one command; 0 when it ended well."""
    command = arguments[0] if arguments else "serve"
    if command in ("-h", "--help"):
        sys.stdout.write(USAGE + "\n")
        return 0
    if command not in ("serve", "migrate") or len(arguments) > 1:
        sys.stderr.write(USAGE + "\n")
        return 2
    try:
        reader = SettingsReader.from_process()
        if command == "migrate":
            asyncio.run(migrate(reader.text("DATABASE_URL"), ("settlement", "coordinator")))
            return 0
        settings = config.read(reader)
        configure_logging("coordinator", settings.log_level)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(app.serve(settings))
    except (PodError, OSError, asyncpg.PostgresError) as error:
        sys.stderr.write(f"coordinator: {error}\n")
        return 1
    except BaseExceptionGroup as group:
        known = group.subgroup(PodError)
        if known is None:
            raise
        # What failed first is what to say; the rest followed from it.
        sys.stderr.write(f"coordinator: {_first(known)}\n")
        return 1
    return 0


def _first(group: BaseExceptionGroup[PodError]) -> PodError:
    """The error itself, out of the groups it came in."""
    for each in group.exceptions:
        return each if isinstance(each, PodError) else _first(each)
    raise AssertionError("a group is never empty")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
