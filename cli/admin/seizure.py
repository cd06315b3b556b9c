"""`pod admin seizure`: the steps by which a bond can be taken, each by whom it belongs to."""

from pathlib import Path
from typing import Annotated

import typer

from cli.admin.plans import seizures
from cli.admin.road import follow_bond
from cli.admin.words import BondArgument
from cli.transaction.options import Beneficiary
from cli.transaction.request import Request, fail, takes_request
from settlement.errors import PodError

seizure = typer.Typer(no_args_is_help=True, help="Seize a bond, step by step.")
EvidenceFile = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        readable=True,
        help="The evidence; its SHA-256 goes on chain, the file does not.",
    ),
]
EvidenceHash = Annotated[
    str | None, typer.Option(metavar="HEX", help="The SHA-256 of the evidence, instead.")
]
Reason = Annotated[
    int,
    typer.Option(min=0, max=seizures.LARGEST_REASON, help="The reason's number in the policy."),
]


@seizure.command()
@takes_request
def propose(
    request: Request,
    bond: BondArgument,
    reason: Reason,
    evidence_file: EvidenceFile = None,
    evidence_hash: EvidenceHash = None,
    beneficiary: Beneficiary = None,
) -> None:
    """Propose to seize a bond; the proposer."""
    content = None if evidence_file is None else evidence_file.read_bytes()
    try:
        evidence = seizures.evidence_hash(content, evidence_hash)
    except PodError as error:
        fail(error, as_json=request.manner.as_json)
    follow_bond(
        request,
        bond,
        beneficiary,
        lambda overview, wallet, place: seizures.propose(
            overview, wallet, place, evidence=evidence, reason=reason
        ),
    )


@seizure.command()
@takes_request
def withdraw(request: Request, bond: BondArgument, beneficiary: Beneficiary = None) -> None:
    """Take a proposed seizure back; the proposer."""
    follow_bond(request, bond, beneficiary, seizures.withdraw)


@seizure.command()
@takes_request
def uphold(request: Request, bond: BondArgument, beneficiary: Beneficiary = None) -> None:
    """Decide a contested seizure for the proposer; the arbiter."""
    follow_bond(request, bond, beneficiary, seizures.uphold)


@seizure.command()
@takes_request
def dismiss(request: Request, bond: BondArgument, beneficiary: Beneficiary = None) -> None:
    """Decide a contested seizure for the beneficiary; the arbiter."""
    follow_bond(request, bond, beneficiary, seizures.dismiss)


@seizure.command()
@takes_request
def execute(request: Request, bond: BondArgument, beneficiary: Beneficiary = None) -> None:
    """Carry a seizure out within its time; anybody may."""
    follow_bond(request, bond, beneficiary, seizures.execute)


@seizure.command()
@takes_request
def lapse(request: Request, bond: BondArgument, beneficiary: Beneficiary = None) -> None:
    """Clear a seizure that is past its time; anybody may."""
    follow_bond(request, bond, beneficiary, seizures.lapse)
