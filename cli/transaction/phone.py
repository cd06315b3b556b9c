"""Paying from a phone: instead of a transaction, a link (and its QR code) to the coordinator."""

import json
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from cli import payment_link
from cli.transaction.request import Request, fail
from cli.transaction.target import NoTarget
from settlement.errors import PodError
from settlement.money import MicroUsdc

Qr = Annotated[
    bool,
    typer.Option("--qr", help="Show a QR code for a phone wallet instead (Solana Pay); no key."),
]
Coordinator = Annotated[
    str | None,
    typer.Option(
        "--coordinator",
        metavar="URL",
        help="Where the phone asks, with --qr. The running system's, if not given.",
    ),
]


def show_bond_link(request: Request, code: str, coordinator: str | None) -> NoReturn:
    """Show the link that posts a bond, and exit."""
    try:
        link = payment_link.bond_link(_url(request, coordinator), code=code)
    except PodError as error:
        fail(error, as_json=request.manner.as_json)
    _show(request, link)


def show_deposit_link(
    request: Request, code: str, amount_microusdc: MicroUsdc, coordinator: str | None
) -> NoReturn:
    """Show the link that deposits, and exit."""
    try:
        url = _url(request, coordinator)
        link = payment_link.deposit_link(url, code=code, amount_microusdc=amount_microusdc)
    except PodError as error:
        fail(error, as_json=request.manner.as_json)
    _show(request, link)


def show_step_link(
    request: Request, code: str, step: payment_link.BondStep, coordinator: str | None
) -> NoReturn:
    """Show the link that retires, keeps or releases the bond, and exit."""
    try:
        link = payment_link.step_link(_url(request, coordinator), code=code, step=step)
    except PodError as error:
        fail(error, as_json=request.manner.as_json)
    _show(request, link)


def _url(request: Request, coordinator: str | None) -> str:
    url = coordinator or request.place().coordinator
    if url is None:
        raise NoTarget("name the coordinator a phone can reach: --coordinator https://…")
    return url


def _show(request: Request, link: str) -> NoReturn:
    if request.manner.as_json:
        print(json.dumps({"status": "link", "link": link}, indent=2))
    else:
        payment_link.show(Console(), link)
    raise typer.Exit
