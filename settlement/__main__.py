"""`python -m settlement migrate | work | sign | hold-key | reconcile [--json] | resume NAME`.

`reconcile` ends with 0 when books and chain are equal, 1 when they differ, 3 when they could not be
compared. `hold-key` offers the payout key to a signer elsewhere. `resume` lets halted payouts move
again; NAME says which person decided it.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Final

from settlement import app, config
from settlement.db.migrate import migrate
from settlement.db.pool import open_pool, transaction
from settlement.errors import PodError, Unavailable
from settlement.money import format_usdc
from settlement.observability import configure_logging
from settlement.payouts.halt import lift
from settlement.process import until_stopped
from settlement.reconcile.compare import Reconciliation, Verdict
from settlement.settings import SettingsReader
from settlement.signing.hold import hold
from settlement.signing.process import sign

USAGE: Final = (
    "usage: python -m settlement"
    " migrate | work | sign | hold-key | reconcile [--json] | resume NAME"
)
_WRONG_USE: Final = 2
_NO_DATA: Final = 3


def main(arguments: list[str]) -> int:
    """Run one command; 0 when it ended well."""
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if command in ("-h", "--help"):
        sys.stdout.write(USAGE + "\n")
        return 0
    run = COMMANDS.get(command)
    if run is None:
        sys.stderr.write(USAGE + "\n")
        return _WRONG_USE
    try:
        return run(SettingsReader.from_process(), rest)
    except PodError as error:
        sys.stderr.write(f"settlement {command}: {error}\n")
        return 1


def _migrate(reader: SettingsReader, _rest: list[str]) -> int:
    for name in asyncio.run(migrate(reader.text("DATABASE_URL"), ("settlement",))):
        sys.stdout.write(name + "\n")
    return 0


def _work(reader: SettingsReader, _rest: list[str]) -> int:
    settings = config.worker_settings(reader)
    configure_logging("settlement", settings.reconcile.log_level)
    asyncio.run(until_stopped(app.work(settings)))
    return 0


def _sign(reader: SettingsReader, _rest: list[str]) -> int:
    settings = config.signer_settings(reader)
    configure_logging("signer", settings.log_level)
    asyncio.run(until_stopped(sign(settings)))
    return 0


def _hold_key(reader: SettingsReader, _rest: list[str]) -> int:
    settings = config.holder_settings(reader)
    configure_logging("key-holder", settings.log_level)
    asyncio.run(until_stopped(hold(settings)))
    return 0


def _reconcile(reader: SettingsReader, rest: list[str]) -> int:
    settings = config.reconcile_settings(reader)
    configure_logging("reconcile", settings.log_level)
    try:
        found = asyncio.run(app.reconcile_once(settings))
    except Unavailable as error:
        sys.stderr.write(f"not reconciled: {error}\n")
        return _NO_DATA
    if "--json" in rest:
        sys.stdout.write(json.dumps(found.as_json()) + "\n")
    else:
        sys.stdout.write(_told(found))
    return 0 if found.verdict is Verdict.EQUAL else 1


def _told(found: Reconciliation) -> str:
    lines = [f"slot {found.slot}: {found.verdict.value}"]
    for line in found.lines:
        lines.append(
            f"{line.vault.value}: books {format_usdc(line.books_microusdc)}"
            f" chain {format_usdc(line.chain_microusdc)}"
            f" difference {format_usdc(line.difference_microusdc)} USDC"
        )
    return "\n".join(lines) + "\n"


def _resume(reader: SettingsReader, rest: list[str]) -> int:
    if len(rest) != 1 or not rest[0].strip():
        sys.stderr.write(USAGE + "\n")
        return _WRONG_USE
    configure_logging("settlement")
    reasons = asyncio.run(_lift(reader.text("DATABASE_URL"), rest[0]))
    sys.stdout.write(f"lifted: {', '.join(reasons) or 'nothing was halted'}\n")
    return 0


async def _lift(dsn: str, by: str) -> tuple[str, ...]:
    pool = await open_pool(dsn, role="pod_settlement", application="resume", size=1)
    try:
        async with transaction(pool) as tx:
            return await lift(tx, by=by)
    finally:
        await pool.close()


COMMANDS: Final[dict[str, Callable[[SettingsReader, list[str]], int]]] = {
    "migrate": _migrate,
    "work": _work,
    "sign": _sign,
    "hold-key": _hold_key,
    "reconcile": _reconcile,
    "resume": _resume,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
