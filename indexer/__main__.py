"""`python -m indexer follow` and `python -m indexer migrate`."""

import asyncio
import signal
import sys

import uvloop

from indexer import app, config
from settlement.db.migrate import migrate
from settlement.errors import PodError
from settlement.observability import configure_logging
from settlement.settings import SettingsReader

USAGE = "usage: python -m indexer follow | migrate"
_PACKAGES = ("settlement", "indexer")


def main(arguments: list[str]) -> int:
    """Run one command; 0 when it ended well."""
    if arguments in (["-h"], ["--help"]):
        sys.stdout.write(USAGE + "\n")
        return 0
    if arguments not in (["follow"], ["migrate"]):
        sys.stderr.write(USAGE + "\n")
        return 2
    try:
        reader = SettingsReader.from_process()
        if arguments == ["migrate"]:
            asyncio.run(migrate(reader.text("DATABASE_URL"), _PACKAGES))
            return 0
        settings = config.read(reader)
        configure_logging("indexer", settings.log_level)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_told(settings))
    except PodError as error:
        sys.stderr.write(f"indexer: {error}\n")
        return 1
    return 0


async def _until_told(settings: config.IndexerSettings) -> None:
    """Follow until SIGTERM or SIGINT, which is a good end."""
    following = asyncio.create_task(app.follow(settings))
    loop = asyncio.get_running_loop()
    for told in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(told, following.cancel)
    try:
        await following
    except asyncio.CancelledError:
        if not following.cancelled():
            raise


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
