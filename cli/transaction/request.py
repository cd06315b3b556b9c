"""What every verb that makes a transaction is asked with, and how it runs from there.

    @app.command()
    @takes_request
    def retire(request: Request, code: CodeArgument) -> None:
        \"\"\"Start the cooldown.\"\"\"
        run(request, lambda road: proposal_for(road, code))

`takes_request` puts the shared options behind the verb's own ones. Exit codes: 0 done (or shown, or
so already), 1 refused or failed, 2 the command was typed wrongly.
"""

import asyncio
import inspect
import json
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, NoReturn, assert_never

import typer
from rich.console import Console
from rich.text import Text
from solders.pubkey import Pubkey

from cli.options import DEFAULT_DIRECTORY, AsJson, Directory, give_up, workspace_at
from cli.transaction import options
from cli.transaction.carry_out import (
    Client,
    Manner,
    Outcome,
    SecondOpinion,
    Sender,
    Status,
    carry_out,
    send,
)
from cli.transaction.keys import WalletKey, find_keypair, read_keypair
from cli.transaction.proposal import NothingToDo, Proposal
from cli.transaction.simulate import Trial
from cli.transaction.target import Place, Target, TargetIncomplete, find_target, place_of
from cli.transaction.unsigned import Encoding, Nonce
from cli.wallet import Landed, patient_rpc
from settlement.chain.rpc import RetryPolicy, RpcClient, open_rpc
from settlement.errors import PodError

# A person waits: a wrong URL is told in seconds. A node that restarts while we send is waited for.
_PATIENCE: Final = RetryPolicy(
    attempts=1_000, total_seconds=10.0, longest_pause_seconds=0.5, budget=10_000.0
)


@dataclass(frozen=True, kw_only=True)
class Request:
    """The shared options as they were typed."""

    directory: Path
    place: Callable[[], Place]
    keypair: Path | None
    cosigners: tuple[Path, ...]
    wallet: Pubkey | None
    fee_payer: Pubkey | None
    manner: Manner


@dataclass(frozen=True, kw_only=True)
class Road:
    """What a verb plans with: the deployment, whose wallet acts, and who pays fee and rent."""

    target: Target
    wallet: Pubkey
    payer: Pubkey
    manner: Manner


Prepare = Callable[[Road], Awaitable[Proposal | NothingToDo]]
Find = Callable[[RpcClient, Place], Awaitable[Target]]


def takes_request(verb: Callable[..., None]) -> Callable[..., None]:
    """The command of a verb `(request: Request, …)`: its own parameters, then the shared options.

    Typer reads a command's parameters from its signature, so the joined one is written there.
    """
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(verb, eval_str=True).parameters.items()
        if name != "request"
    ]
    shared = list(inspect.signature(_request, eval_str=True).parameters.values())

    def command(**given: object) -> None:
        mine = {parameter.name: given.pop(parameter.name) for parameter in own}
        verb(_request(**given), **mine)  # pyright: ignore[reportArgumentType]

    parameters = [*own, *shared]
    command.__name__, command.__doc__ = verb.__name__, verb.__doc__
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    command.__dict__["__signature__"] = inspect.Signature(parameters)
    return command


def _request(
    *,
    directory: Directory = DEFAULT_DIRECTORY,
    rpc: options.RpcUrl = None,
    program: options.ProgramId = None,
    mint: options.Mint = None,
    keypair: options.KeypairFile = None,
    cosigner: options.Cosigners = None,
    wallet: options.Wallet = None,
    fee_payer: options.FeePayer = None,
    dry_run: options.DryRun = False,
    yes: options.Yes = False,
    unsigned: options.PrintUnsigned = False,
    encoding: options.UnsignedEncoding = Encoding.BASE64,
    nonce: options.NonceAccount = None,
    nonce_authority: options.NonceAuthority = None,
    price: options.Price = 0,
    client: options.SendingClient = Client.NATIVE,
    as_json: AsJson = False,
) -> Request:
    if nonce is not None and not unsigned:
        raise typer.BadParameter("--nonce needs --unsigned")
    if nonce is None and nonce_authority is not None:
        raise typer.BadParameter("--nonce-authority needs --nonce")
    if unsigned and client is not Client.NATIVE:
        raise typer.BadParameter("--client is about signing and sending: not with --unsigned")
    return Request(
        directory=directory,
        place=lambda: place_of(workspace_at(directory), rpc=rpc, program_id=program, mint=mint),
        keypair=keypair,
        cosigners=tuple(cosigner or ()),
        wallet=wallet,
        fee_payer=fee_payer,
        manner=Manner(
            dry_run=dry_run,
            yes=yes,
            as_json=as_json,
            unsigned=unsigned,
            encoding=encoding,
            nonce=None if nonce is None else Nonce(account=nonce, authority=nonce_authority),
            price_microlamports=price,
            client=client,
        ),
    )


def run(request: Request, prepare: Prepare, find: Find = find_target) -> NoReturn:
    """Plan with `prepare`, carry the plan out, tell how it ended, exit.

    `find` is for a deployment that is not set up yet.
    """
    manner = request.manner
    quiet = manner.as_json or manner.unsigned
    console = Console(stderr=quiet, highlight=False, soft_wrap=True)
    try:
        outcome = asyncio.run(_run(request, prepare, find, console))
    except PodError as error:
        fail(error, as_json=manner.as_json)
    _tell(outcome, manner, console)
    sys.stdout.flush()
    sys.exit(outcome.exit_code)


def fail(error: PodError, *, as_json: bool) -> NoReturn:
    """Say why, and exit 1; 2 where the command itself was incomplete."""
    if as_json:
        told = {"status": "failed", "error": error.code, "message": str(error)}
        print(json.dumps(told, indent=2), flush=True)
    give_up(str(error), code=2 if isinstance(error, TargetIncomplete) else 1)


@asynccontextmanager
async def open_target(place: Place, find: Find = find_target) -> AsyncGenerator[Target]:
    """The deployment at a place, for as long as the block lasts."""
    async with open_rpc([place.rpc], retry=_PATIENCE) as rpc:
        yield await find(rpc, place)


async def _run(request: Request, prepare: Prepare, find: Find, console: Console) -> Outcome:
    place = request.place()
    keys = keys_of(request)
    wallet = request.wallet or keys[0].address
    manner = request.manner
    async with open_target(place, find) as target:
        road = Road(target=target, wallet=wallet, payer=request.fee_payer or wallet, manner=manner)
        planned = await prepare(road)
        if isinstance(planned, NothingToDo):
            console.print(Text(planned.why))
            report = {"status": Status.NOTHING_TO_DO.value, "name": planned.name}
            told = report | {"why": planned.why, **planned.facts}
            return Outcome(status=Status.NOTHING_TO_DO, report=told)
        return await carry_out(
            target,
            planned,
            keys,
            manner,
            console=console,
            ask=_ask if sys.stdin.isatty() else None,
            sender=_sender(manner.client, place),
            opinion=_opinion(manner.client, place),
        )


def _sender(client: Client, place: Place) -> Sender:
    match client:
        case Client.NATIVE:
            return partial(_send_patiently, place.rpc)
        case Client.ANCHORPY:
            # Hardly anybody asks for it, and it is read with all it needs.
            from cli.transaction.anchorpy import send_with_anchorpy

            return partial(send_with_anchorpy, place.rpc)
        case _:
            assert_never(client)


def _opinion(client: Client, place: Place) -> SecondOpinion | None:
    match client:
        case Client.NATIVE:
            return None
        case Client.ANCHORPY:
            from cli.transaction.anchorpy import try_with_anchorpy

            return partial(try_with_anchorpy, place.rpc)
        case _:
            assert_never(client)


def keys_of(request: Request) -> tuple[WalletKey, ...]:
    """The keys that were named; the standard one only where no --wallet says whose acts.

    Raises `NoKeypair` or `KeypairUnusable`.
    """
    files = list(request.cosigners)
    if request.wallet is None or request.keypair is not None:
        files.insert(0, find_keypair(request.keypair, os.environ, Path.home()))
    return tuple(read_keypair(path) for path in files)


async def _send_patiently(
    url: str,
    target: Target,
    proposal: Proposal,
    trial: Trial,
    keys: Sequence[WalletKey],
    *,
    console: Console,
) -> Landed:
    """Send over a client that waits minutes for a node: what was sent must be seen to its end."""
    async with patient_rpc(url) as rpc:
        return await send(replace(target, rpc=rpc), proposal, trial, keys, console=console)


def _ask() -> bool:
    return typer.confirm("Sign and send?", err=True)


def _tell(outcome: Outcome, manner: Manner, console: Console) -> None:
    if manner.as_json:
        print(json.dumps(outcome.report, indent=2))
    elif outcome.bytes_to_sign is not None:
        print(outcome.bytes_to_sign)
    elif outcome.status is Status.DONE:
        report = outcome.report
        console.print(Text(f"  final            slot {report['slot']}", style="green"))
    elif outcome.status is Status.DRY_RUN:
        console.print(Text("  dry run          nothing was signed or sent"))
    elif outcome.status is Status.REFUSED:
        console.print(Text("  refused          nothing was signed or sent", style="red"))
