"""`pod case propose`: the seizure of the case's bond, proposed on chain by the proposer's key.

The case says which bond, which evidence and which reason, so nobody types them; from there it is
the road of `pod admin seizure propose`. That it happened is seen by the indexer, like every step of
others after it.
"""

from uuid import UUID

from solders.pubkey import Pubkey

from cli.case.noun import CaseId, case, case_id_of
from cli.ledger_reading import Database, database_of, read_books
from cli.transaction.request import Request, fail, takes_request
from settlement.cases import reading
from settlement.cases.reading import Case
from settlement.cases.states import CaseNotThere, CaseState
from settlement.db import pool as db
from settlement.db.pool import Pool
from settlement.errors import PodError, Refused


class NoBondOfCase(Refused):
    """This case is about no bond: there is nothing to seize."""


@case.command(epilog="Example: pod case propose CASE --keypair proposer.json")
@takes_request
def propose(request: Request, case_id: CaseId, database: Database = None) -> None:
    """Propose to seize the bond of a reviewed case, with its evidence and reason; the proposer."""
    # The other words of the noun need no chain, and should not wait for what reads one.
    from cli.admin.plans import seizures
    from cli.admin.road import follow_bond
    from cli.admin.words import BondWord

    try:
        found, bond = _proposable(request, case_id_of(case_id), database)
    except PodError as error:
        fail(error, as_json=request.manner.as_json)
    follow_bond(
        request,
        BondWord(address=Pubkey.from_string(bond)),
        None,
        lambda overview, wallet, place: seizures.propose(
            overview, wallet, place, evidence=found.evidence, reason=found.reason_code
        ),
    )


def _proposable(request: Request, case_id: UUID, database: str | None) -> tuple[Case, str]:
    """The case and its bond. Raises `NoBondOfCase`, `CaseNotThere`, or that it cannot be read."""

    async def work(pool: Pool) -> Case:
        async with db.reading(pool) as conn:
            return await reading.case(conn, case_id)

    found = read_books(database_of(request.directory, database), work)
    if found.bond is None:
        raise NoBondOfCase(field="case", got=str(case_id))
    if found.state is not CaseState.REVIEWED:
        raise CaseNotThere(field="case", state=found.state.value)
    return found, found.bond
