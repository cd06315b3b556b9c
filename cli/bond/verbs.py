"""The verbs of `pod bond`. Each reads what it must know and hands a proposal to the shared road."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer
from solders.pubkey import Pubkey

from cli.bond import plans
from cli.bond.facts import Facts, locate, read_facts
from cli.bond.releasing import named_destination
from cli.bond.releasing import release as plan_release
from cli.bond.status import status
from cli.payment_link import BondStep
from cli.transaction import options
from cli.transaction.codes import told_code
from cli.transaction.phone import Coordinator, Qr, show_bond_link, show_step_link
from cli.transaction.proposal import NothingToDo, Proposal
from cli.transaction.request import Request, Road, run, takes_request

_HASH: Final = re.compile(r"[0-9a-fA-F]{64}")
_CODE: Final = "POD-BOND-a1B2c3D4"

bond = typer.Typer(no_args_is_help=True, help="An operator's bond, from posting to its return.")
bond.command(epilog=f"Example: pod bond status {_CODE} --json")(status)

Planned = Proposal | NothingToDo


def _hash(text: str) -> bytes:
    if not _HASH.fullmatch(text):
        raise typer.BadParameter("a SHA-256 is 64 hex digits")
    return bytes.fromhex(text)


Code = Annotated[
    bytes,
    typer.Argument(
        metavar="CODE", parser=options.typed_bond_code, help="POD-BOND-XXXXXXXX, or the last eight."
    ),
]


@bond.command(epilog=f"Example: pod bond post {_CODE} --keypair operator.json --dry-run")
@takes_request
def post(
    request: Request,
    code: Code,
    beneficiary: Annotated[
        Pubkey | None,
        typer.Option(
            "--beneficiary",
            metavar="ADDRESS",
            parser=options.address,
            help="Who gets the bond back; must be the enrolled wallet. The paying one by default.",
        ),
    ] = None,
    qr: Qr = False,
    coordinator: Coordinator = None,
) -> None:
    """Post the bond: its amount goes from your USDC into the bond vault, under the code.

    A bond that is posted already is success.
    """
    if qr and beneficiary is not None:
        raise typer.BadParameter("--qr posts for the enrolled wallet: leave --beneficiary out")
    if qr:
        show_bond_link(request, told_code(code), coordinator)

    async def prepare(road: Road) -> Planned:
        owner = beneficiary or road.wallet
        address = road.target.deployment.bond(code, owner)
        facts = await read_facts(road.target, code, address, road.wallet)
        return plans.post(facts, _actor(road), owner)

    run(request, prepare)


@bond.command(epilog=f"Example: pod bond retire {_CODE} --yes")
@takes_request
def retire(
    request: Request,
    code: Code,
    beneficiary: options.Beneficiary = None,
    qr: Qr = False,
    coordinator: Coordinator = None,
) -> None:
    """Start the cooldown, after which the bond can be released. Only the beneficiary may."""
    if qr:
        show_step_link(request, told_code(code), BondStep.RETIRE, coordinator)
    _run(request, code, beneficiary, plans.retire)


@bond.command(epilog=f"Example: pod bond cancel {_CODE}")
@takes_request
def cancel(
    request: Request,
    code: Code,
    beneficiary: options.Beneficiary = None,
    qr: Qr = False,
    coordinator: Coordinator = None,
) -> None:
    """Stop the cooldown: the bond counts for new jobs again."""
    if qr:
        show_step_link(request, told_code(code), BondStep.CANCEL, coordinator)
    _run(request, code, beneficiary, plans.cancel)


@bond.command(epilog=f"Example: pod bond release {_CODE} --to TREASURY_WALLET")
@takes_request
def release(
    request: Request,
    code: Code,
    beneficiary: options.Beneficiary = None,
    to: Annotated[
        Pubkey | None,
        typer.Option(
            "--to",
            metavar="ADDRESS",
            parser=options.address,
            help="Another wallet or USDC account; the beneficiary signs. Without it anybody may"
            " send the bond to the beneficiary's own USDC account.",
        ),
    ] = None,
    qr: Qr = False,
    coordinator: Coordinator = None,
) -> None:
    """Send the bond back after its cooldown. Clears an expired seizure that is in the way."""
    if qr and to is not None:
        raise typer.BadParameter("--qr releases to the beneficiary's own account: leave --to out")
    if qr:
        show_step_link(request, told_code(code), BondStep.RELEASE, coordinator)

    async def prepare(road: Road) -> Planned:
        destination = None if to is None else await named_destination(road.target, to)
        facts = await _facts(road, code, beneficiary)
        return plan_release(facts, _actor(road), destination)

    run(request, prepare)


@bond.command(epilog=f"Example: pod bond contest {_CODE} --reply-file reply.pdf")
@takes_request
def contest(
    request: Request,
    code: Code,
    beneficiary: options.Beneficiary = None,
    reply_file: Annotated[
        Path | None,
        typer.Option(
            "--reply-file",
            exists=True,
            dir_okay=False,
            help="Your reply; only its SHA-256 goes on chain, so keep the file as it is.",
        ),
    ] = None,
    reply_hash: Annotated[
        bytes | None,
        typer.Option("--reply-hash", metavar="HEX", parser=_hash, help="That SHA-256 itself."),
    ] = None,
) -> None:
    """Contest a seizure: the arbiter then decides. Possible until the dispute window ends."""
    if (reply_file is None) == (reply_hash is None):
        raise typer.BadParameter("give either --reply-file or --reply-hash")
    reply = reply_hash
    if reply_file is not None:
        reply = hashlib.sha256(reply_file.read_bytes()).digest()
    assert reply is not None, "one of the two was given"
    told = reply
    _run(request, code, beneficiary, lambda facts, who: plans.contest(facts, who, told))


@bond.command(epilog=f"Example: pod bond lapse {_CODE}")
@takes_request
def lapse(request: Request, code: Code, beneficiary: options.Beneficiary = None) -> None:
    """Clear a seizure that is past its time. Anybody may; nothing moves."""
    _run(request, code, beneficiary, plans.lapse)


@bond.command(epilog=f"Example: pod bond execute {_CODE} --beneficiary THEIR_WALLET")
@takes_request
def execute(request: Request, code: Code, beneficiary: options.Beneficiary = None) -> None:
    """Carry out a seizure whose time has come: the bond goes to the till. Anybody may."""
    _run(request, code, beneficiary, plans.execute)


@bond.command("hand-over", epilog=f"Example: pod bond hand-over {_CODE} NEW --cosigner new.json")
@takes_request
def hand_over(
    request: Request, code: Code, to: options.Address, beneficiary: options.Beneficiary = None
) -> None:
    """Give the bond to another beneficiary, who signs too (--cosigner, or --unsigned)."""
    _run(request, code, beneficiary, lambda facts, who: plans.hand_over(facts, who, to))


def _run(
    request: Request,
    code: bytes,
    beneficiary: Pubkey | None,
    plan: Callable[[Facts, plans.Actor], Planned],
) -> None:
    """A verb that needs nothing but the facts of its bond."""

    async def prepare(road: Road) -> Planned:
        return plan(await _facts(road, code, beneficiary), _actor(road))

    run(request, prepare)


async def _facts(road: Road, code: bytes, beneficiary: Pubkey | None) -> Facts:
    found = await locate(road.target, code, beneficiary, road.wallet)
    return await read_facts(road.target, code, found.address, found.bond.beneficiary)


def _actor(road: Road) -> plans.Actor:
    return plans.Actor(wallet=road.wallet, payer=road.payer)
