"""`pod deposit`: USDC into the till, under a code that says whose it is.

The only verb that does more when it is repeated: every run moves money. So its signature is told
before the bytes leave, and whoever is interrupted asks for it before trying again.
"""

import re
from typing import Annotated, Final

import typer
from solders.pubkey import Pubkey
from solders.sysvar import CLOCK

from cli.transaction.codes import (
    NotADepositCode,
    deposit_code,
    is_bond_code,
    told_code,
)
from cli.transaction.moments import chain_now, check_not_paused
from cli.transaction.phone import Coordinator, Qr, show_deposit_link
from cli.transaction.proposal import Line, Proposal
from cli.transaction.purse import Purse, check_can_pay, check_vault, purse_address, purse_of
from cli.transaction.request import Request, Road, run, takes_request
from settlement.chain import program
from settlement.chain.program import Config, Deployment
from settlement.chain.rpc import Commitment
from settlement.money import InvalidAmount, MicroUsdc, format_usdc, parse_usdc

_DOLLARS: Final = re.compile(r"[0-9]{1,13}(\.[0-9]{1,6})?")


def _code(text: str) -> bytes:
    try:
        return deposit_code(text)
    except NotADepositCode as error:
        raise typer.BadParameter(str(error)) from None


def _amount(text: str) -> MicroUsdc:
    """Dollars as people write them, exactly: no float ever sees them, and no guess is made."""
    problem = f"{text!r} is not an amount in dollars: like 25.5, at most 6 decimals, above 0"
    if not _DOLLARS.fullmatch(text):
        raise typer.BadParameter(problem)
    try:
        return parse_usdc(text, field="--amount")
    except InvalidAmount:
        raise typer.BadParameter(problem) from None


@takes_request
def deposit(
    request: Request,
    code: Annotated[
        bytes,
        typer.Option(
            "--code",
            metavar="CODE",
            parser=_code,
            help="The deposit code of registration (16 hex digits), or POD-BOND-XXXXXXXX.",
        ),
    ],
    amount: Annotated[
        MicroUsdc,
        typer.Option("--amount", metavar="DOLLARS", parser=_amount, help="Such as 25.5."),
    ],
    qr: Qr = False,
    coordinator: Coordinator = None,
) -> None:
    """Deposit USDC: prepaid money under a user's code.

    Example: pod deposit --code 00ff00ff00ff00ff --amount 25.5 --keypair wallet.json
    """
    if qr:
        show_deposit_link(request, told_code(code), amount, coordinator)

    async def prepare(road: Road) -> Proposal:
        deployment = road.target.deployment
        asked = [purse_address(deployment, road.wallet), deployment.till_vault, CLOCK]
        found = await road.target.rpc.accounts(asked, commitment=Commitment.CONFIRMED)
        config = road.target.config
        check_not_paused(config.pauses.deposits, chain_now(found[2]), "deposits and new bonds")
        purse = purse_of(deployment, road.wallet, found[0])
        check_can_pay(purse, amount)
        check_vault(found[1], deployment.till_vault)
        return plan(deployment, config, purse, code=code, amount=amount, payer=road.payer)

    run(request, prepare)


def plan(
    deployment: Deployment,
    config: Config,
    purse: Purse,
    *,
    code: bytes,
    amount: MicroUsdc,
    payer: Pubkey,
) -> Proposal:
    """The proposal of a deposit."""
    instruction = program.deposit_usdc(
        deployment, depositor=purse.owner, code=code, amount_microusdc=amount
    )
    return Proposal(
        name="deposit_usdc",
        title=f"Deposit {format_usdc(amount)} USDC under {told_code(code)}",
        lines=(
            Line(label="moves", text=f"{format_usdc(amount)} USDC"),
            Line(
                label="from",
                text=f"{purse.address}, your USDC, which holds {format_usdc(purse.has_microusdc)}",
            ),
            Line(label="to", text=f"{deployment.till_vault}, the till vault"),
            *_about(config, code, amount),
        ),
        instructions=(instruction,),
        payer=payer,
        irreversible="money under a wrong code stays where it is until a person looks at it",
        facts={"code": told_code(code), "amount_microusdc": amount},
    )


def _about(config: Config, code: bytes, amount: MicroUsdc) -> tuple[Line, ...]:
    if not is_bond_code(code):
        return (Line(label="credited to", text=f"the user whose deposit code is {code.hex()}"),)
    price = config.parameters.bond_amount_microusdc
    told = [
        Line(
            label="not yet a bond",
            text="it becomes one when the till funds it;"
            f" `pod bond post {told_code(code)}` puts it into escrow at once",
        )
    ]
    if amount != price:
        told.append(Line(label="but", text=f"a bond is {format_usdc(price)} USDC"))
    return tuple(told)
