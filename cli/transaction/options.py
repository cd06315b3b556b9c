"""The options that every transaction of the command line shares, described once."""

from pathlib import Path
from typing import Annotated, Final

import typer
from solders.pubkey import Pubkey

from cli.transaction.carry_out import Client
from cli.transaction.codes import NotABondCode, bond_code
from cli.transaction.unsigned import Encoding

_WHERE: Final = "Which deployment"
_WHO: Final = "Who signs"
_HOW: Final = "How it is carried out"


def address(text: str) -> Pubkey:
    """An address as people write it. Raises `typer.BadParameter`."""
    try:
        return Pubkey.from_string(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not an address (base58, 32 bytes)") from None


def typed_bond_code(text: str) -> bytes:
    """The eight bytes of a bond's code. Raises `typer.BadParameter`."""
    try:
        return bond_code(text)
    except NotABondCode as error:
        raise typer.BadParameter(str(error)) from None


Address = Annotated[Pubkey, typer.Argument(metavar="ADDRESS", parser=address)]
Beneficiary = Annotated[
    Pubkey | None,
    typer.Option(
        "--beneficiary",
        metavar="ADDRESS",
        parser=address,
        help="Whose bond, where several people bonded the code.",
    ),
]
RpcUrl = Annotated[
    str | None,
    typer.Option(
        "--rpc",
        envvar="POD_RPC_URL",
        help="URL of a node; needs --program. Without both: the system of --directory.",
        rich_help_panel=_WHERE,
    ),
]
ProgramId = Annotated[
    Pubkey | None,
    typer.Option(
        "--program",
        metavar="ADDRESS",
        parser=address,
        help="The bond program, with --rpc.",
        rich_help_panel=_WHERE,
    ),
]
Mint = Annotated[
    Pubkey | None,
    typer.Option(
        "--mint",
        metavar="ADDRESS",
        parser=address,
        help="The mint to expect; the program's Config says which it is.",
        rich_help_panel=_WHERE,
    ),
]
KeypairFile = Annotated[
    Path | None,
    typer.Option(
        "--keypair",
        help="Key file of the wallet, mode 0600. Else POD_KEYPAIR, else the Solana command line's.",
        rich_help_panel=_WHO,
    ),
]
Cosigners = Annotated[
    list[Path] | None,
    typer.Option("--cosigner", help="A further key file; may be repeated.", rich_help_panel=_WHO),
]
Wallet = Annotated[
    Pubkey | None,
    typer.Option(
        "--wallet",
        metavar="ADDRESS",
        parser=address,
        help="Whose wallet acts when its key is elsewhere: with --unsigned or --dry-run.",
        rich_help_panel=_WHO,
    ),
]
FeePayer = Annotated[
    Pubkey | None,
    typer.Option(
        "--fee-payer",
        metavar="ADDRESS",
        parser=address,
        help="Who pays fee and rent, if not the wallet; signs too.",
        rich_help_panel=_WHO,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Plan, simulation, fee and compute only.", rich_help_panel=_HOW),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.", rich_help_panel=_HOW)]
PrintUnsigned = Annotated[
    bool,
    typer.Option(
        "--unsigned",
        help="Print the transaction without signatures, for a multisig or a hardware wallet."
        " It expires within a minute or two unless --nonce is given.",
        rich_help_panel=_HOW,
    ),
]
UnsignedEncoding = Annotated[
    Encoding, typer.Option("--encoding", help="Of --unsigned.", rich_help_panel=_HOW)
]
NonceAccount = Annotated[
    Pubkey | None,
    typer.Option(
        "--nonce",
        metavar="ADDRESS",
        parser=address,
        help="A durable nonce account for --unsigned: it then does not expire.",
        rich_help_panel=_HOW,
    ),
]
NonceAuthority = Annotated[
    Pubkey | None,
    typer.Option(
        "--nonce-authority",
        metavar="ADDRESS",
        parser=address,
        help="Who may advance the nonce; signs too. The fee payer, if not given.",
        rich_help_panel=_HOW,
    ),
]
Price = Annotated[
    int,
    typer.Option(
        "--price",
        min=0,
        help="Microlamports per compute unit, for priority.",
        rich_help_panel=_HOW,
    ),
]
SendingClient = Annotated[
    Client,
    typer.Option(
        "--client",
        help="Who signs and sends: ours, or one that knows only the program's IDL.",
        rich_help_panel=_HOW,
    ),
]
