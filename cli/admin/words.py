"""What is typed behind the words of `pod admin`: roles, pause bits, amounts, lengths of time."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated

import typer
from solders.pubkey import Pubkey

from cli.admin.plans.lengths import parse_length
from cli.transaction.codes import bond_code
from cli.transaction.options import address
from settlement.chain.abi import PauseBit, Role
from settlement.chain.layouts import NO_CAP
from settlement.errors import PodError
from settlement.money import MicroUsdc, parse_usdc


class RoleWord(StrEnum):
    """The roles as they are typed."""

    PROPOSER = "proposer"
    ARBITER = "arbiter"
    GUARDIAN = "guardian"
    PAYER = "payer"

    @property
    def role(self) -> Role:
        """As the chain numbers it."""
        return Role[self.name]


class PauseWord(StrEnum):
    """What can be paused, as it is typed."""

    DEPOSITS = "deposits"
    PAYOUTS = "payouts"
    SEIZURES = "seizures"
    RELEASES = "releases"

    @property
    def bit(self) -> PauseBit:
        """As the chain numbers it."""
        return PauseBit[self.name]


def usdc(text: str) -> MicroUsdc:
    """An amount in USDC, above zero. Raises `typer.BadParameter`."""
    try:
        return parse_usdc(text, field="amount")
    except PodError as error:
        raise typer.BadParameter(str(error)) from None


def cap(text: str) -> MicroUsdc:
    """A cap in USDC, `0` for no payment at all, `none` for no cap. Raises `typer.BadParameter`."""
    if text.strip().lower() == "none":
        return NO_CAP
    try:
        nothing = Decimal(text).is_zero()
    except InvalidOperation:
        nothing = False
    return MicroUsdc(0) if nothing else usdc(text)


def time_length(text: str) -> int:
    """A length of time in seconds. Raises `typer.BadParameter`."""
    try:
        return parse_length(text)
    except PodError as error:
        raise typer.BadParameter(str(error)) from None


@dataclass(frozen=True, kw_only=True)
class BondWord:
    """A bond as it is typed: by its code or by its address."""

    code: bytes | None = None
    address: Pubkey | None = None


def bond_word(text: str) -> BondWord:
    """Whichever of the two it is. Raises `typer.BadParameter`."""
    try:
        return BondWord(code=bond_code(text))
    except PodError:
        return BondWord(address=address(text))


BondArgument = Annotated[
    BondWord,
    typer.Argument(
        metavar="BOND",
        parser=bond_word,
        help="The bond's code (POD-BOND-XXXXXXXX, or the last eight), or its address.",
    ),
]
RoleArgument = Annotated[RoleWord, typer.Argument(help="Which role.")]
PauseArgument = Annotated[PauseWord, typer.Argument(help="What to stop.")]
