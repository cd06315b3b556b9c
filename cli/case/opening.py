"""`pod case open`: what somebody says an operator did, with the evidence and who was harmed."""

import json
from pathlib import Path
from typing import Annotated

import typer

from cli.case import bundle, shown
from cli.case.noun import Actor, case, operator_of, write_books
from cli.ledger_reading import Database, told_plainly
from cli.options import DEFAULT_DIRECTORY, AsJson, Directory
from settlement.cases.opening import Opening, open_case
from settlement.cases.reading import Case
from settlement.clock import SystemClock
from settlement.db import pool as db
from settlement.db.pool import Pool

Operator = Annotated[
    str, typer.Option(metavar="ID|CODE", help="The operator: its id, or POD-BOND-XXXXXXXX.")
]
ReasonCode = Annotated[int, typer.Option(min=0, help="The reason's number in the policy.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="What happened; the operator reads it.")]
Evidence = Annotated[
    list[Path],
    typer.Option(
        metavar="PATH",
        help="A file or a directory of evidence; may be repeated. The operator sees all of it:"
        " leave out who the users are.",
    ),
]
Requests = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The requests that harmed somebody, one a line: its id, or the id, a comma and"
        " how many USDC are claimed of it.",
    ),
]
OneRequest = Annotated[
    list[str] | None,
    typer.Option(metavar="ID[,USDC]", help="The same for one request; may be repeated."),
]
Bond = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Which bond, where there are several.")
]
NoBond = Annotated[
    bool, typer.Option("--no-bond", help="There is no bond to seize: the treasury alone pays.")
]
HashOnly = Annotated[
    bool, typer.Option("--hash-only", help="Keep the files' hashes and not the files: keep them.")
]


@case.command("open")
def open_(
    operator: Operator,
    reason_code: ReasonCode,
    reason: Reason,
    evidence: Evidence,
    actor: Actor,
    requests: Requests = None,
    request: OneRequest = None,
    bond: Bond = None,
    no_bond: NoBond = False,
    hash_only: HashOnly = False,
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Open a case: what an operator did, the evidence, and the requests that harmed somebody.

    It is written down whole and never changed. Somebody else reviews it.

    Example: pod case open --operator POD-BOND-a1B2c3D4 --reason-code 3 --reason "another model"
    --evidence bundle/ --requests requests.csv --actor ann
    """
    with told_plainly(as_json=as_json):
        claims = bundle.claims_in(requests, request or ())
        files = bundle.pack(evidence, kept=not hash_only)

        async def work(pool: Pool) -> Case:
            async with db.reading(pool) as conn:
                provider_id = await operator_of(conn, operator)
            said = Opening(
                provider_id=provider_id,
                bond=bond,
                no_bond=no_bond,
                reason_code=reason_code,
                reason=reason,
                files=files,
                claims=claims,
                actor=actor,
            )
            return await open_case(pool, SystemClock(), said)

        opened = write_books(directory, database, work)
    if as_json:
        print(json.dumps(shown.case_json(opened), indent=2))
        return
    print(f"opened case {opened.case_id}: evidence SHA-256 {opened.evidence.hex()}")
    print(f"bond {opened.bond or 'none'}, {len(claims)} requests, {len(files)} files")
    print(f"next, somebody else: pod case review {opened.case_id} --actor NAME --note TEXT")
