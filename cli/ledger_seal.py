"""`pod ledger seal`, `pod ledger proof` and `pod ledger check-proof`.

Sealing connects as the role of settlement, which alone may seal; proofs are made as the role that
may only read, and checked without any database. Exit codes: 0 done, or it holds; 1 refused, it does
not hold, or no answer; 2 typed wrongly; 130 stopped.
"""

import asyncio
import json
import signal
from pathlib import Path
from typing import Annotated
from uuid import UUID

import asyncpg
import typer

from cli.ledger_archive import NoSuchHash
from cli.ledger_reading import (
    BooksUnreadable,
    Database,
    Mistyped,
    database_of,
    progress,
    read_books,
    told_plainly,
)
from cli.options import DEFAULT_DIRECTORY, AsJson, Directory
from settlement.db.pool import TRANSIENT, DatabaseUnavailable, open_pool
from settlement.errors import NotFound
from settlement.ledger.merkle import HASH_BYTES
from settlement.ledger.seal import make_seal
from settlement.ledger.seal_file import GrowthProof, ProofFails, RowProof, read_proof, said
from settlement.ledger.seal_proofs import prove_growth, prove_row
from settlement.ledger.seal_rows import Seal, SealHead


class ProofUnclear(Mistyped):
    """Name one request or transaction by its id, or two seals with --consistency."""


class NoSuchFile(NotFound):
    """The file cannot be read."""


def seal(
    directory: Directory = DEFAULT_DIRECTORY, database: Database = None, as_json: AsJson = False
) -> None:
    """Seal the books now: a tree over all rows, and where each account stands that has moved.

    What came since the last seal is verified first; what does not verify is not sealed. Publish or
    sign the seal's hash, and nobody can change what it covers unseen. The settlement worker does it
    every POD_SEAL_SECONDS by itself.

    Example: pod ledger seal --json
    """
    with told_plainly(as_json=as_json):
        made = _sealed(database_of(directory, database), shown=not as_json)
    if as_json:
        told = {"status": "nothing new"} if made is None else {"status": "sealed", **_fields(made)}
        print(json.dumps(told, indent=2))
    elif made is None:
        print("nothing came since the last seal")
    else:
        print(f"{_in_words(made)}\n  root {made.root.hex()}")


def proof(
    row: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A request or a transaction.")
    ] = None,
    seal_no: Annotated[
        int | None, typer.Option("--seal", min=1, help="In which seal.", show_default="the newest")
    ] = None,
    consistency: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="N M", help="Instead: that one seal goes on from the other."),
    ] = None,
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Prove that a row is in a seal, and what it says; or that a seal goes on from an older one.

    With --json the proof is what is printed: whoever gets that file can check it without us, with
    nothing but the seal's hash.

    Example: pod ledger proof 019a4f0c-… --json > proof.json
    """
    with told_plainly(as_json=as_json):
        if (row is None) == (consistency is None):
            raise ProofUnclear
        row_id = None if row is None else _typed_id(row)
        dsn = database_of(directory, database)
        made: RowProof | GrowthProof
        if row_id is not None:
            made = read_books(dsn, lambda pool: prove_row(pool, row_id, seal_no))
        else:
            assert consistency is not None, "one of the two was typed"
            old, new = consistency
            made = read_books(dsn, lambda pool: prove_growth(pool, old, new))
    print(json.dumps(made.as_json(), indent=2) if as_json else _proof_in_words(made))


def check_proof(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What proof --json printed.")],
    seal_hash: Annotated[
        str | None,
        typer.Option(
            "--seal-hash", metavar="HEX", help="The seal's hash, as it was published or signed."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a proof by itself: no database is asked.

    Without --seal-hash the seal is taken as the file tells it: compare the hash that is printed
    with what was published.

    Example: pod ledger check-proof proof.json --seal-hash 5f0c…
    """
    with told_plainly(as_json=as_json):
        trusted = _typed_hash(seal_hash)
        found = read_proof(_text_of(file))
        found.check()
        told = found.seal if isinstance(found, RowProof) else found.new
        if trusted not in (None, told.hash):
            raise ProofFails(problem="the seal is another one", seal_hash=told.hash.hex())
    if as_json:
        row = said(found.text) if isinstance(found, RowProof) else None
        fields = {"status": "holds", "seal_no": told.seal_no, "seal_hash": told.hash.hex()}
        print(json.dumps({**fields, **({} if row is None else {"row": row})}, indent=2))
        return
    print(f"the proof holds\n{_proof_in_words(found)}")
    if trusted is None:
        print(f"if the hash of seal {told.seal_no} is {told.hash.hex()}")


def _sealed(dsn: str, *, shown: bool) -> Seal | None:
    """Raises `PodError`."""
    try:
        return asyncio.run(_seal(dsn, shown=shown))
    except TRANSIENT as error:
        raise DatabaseUnavailable(problem=error) from error
    except asyncpg.PostgresError as error:
        raise BooksUnreadable(problem=error) from error


async def _seal(dsn: str, *, shown: bool) -> Seal | None:
    task = asyncio.current_task()
    assert task is not None, "asyncio.run has a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    pool = await open_pool(dsn, role="pod_settlement", application="ledger-seal", size=4)
    seen = 0
    try:
        with progress("rows", total=0, shown=shown) as more:

            def told(done: int, _: int) -> None:
                nonlocal seen
                more(done - seen)
                seen = done

            return await make_seal(pool, told)
    finally:
        await pool.close()


def _typed_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ProofUnclear(got=text) from None


def _typed_hash(text: str | None) -> bytes | None:
    try:
        found = None if text is None else bytes.fromhex(text)
    except ValueError:
        raise NoSuchHash(got=text) from None
    if found is not None and len(found) != HASH_BYTES:
        raise NoSuchHash(got=text)
    return found


def _text_of(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise NoSuchFile(file=file, problem=error) from error


def _fields(seal: SealHead) -> dict[str, object]:
    return {
        "seal_no": seal.seal_no,
        "era": seal.era,
        "rows": seal.rows,
        "tree_size": seal.tree_size,
        "made_at": seal.made_at.isoformat(),
        "root": seal.root.hex(),
        "hash": seal.hash.hex(),
    }


def _in_words(seal: SealHead) -> str:
    return (
        f"seal {seal.seal_no} of era {seal.era}: {seal.rows} rows more, {seal.tree_size} in all\n"
        f"  hash {seal.hash.hex()}"
    )


def _proof_in_words(proof: RowProof | GrowthProof) -> str:
    if isinstance(proof, GrowthProof):
        return (
            f"seal {proof.new.seal_no} ({proof.new.tree_size} rows) goes on from seal"
            f" {proof.old.seal_no} ({proof.old.tree_size} rows)"
        )
    lines = [
        f"{proof.row_id} is row {proof.inclusion.index + 1} of {proof.inclusion.size} in seal"
        f" {proof.seal.seal_no}, and says:"
    ]
    told = {name: value for name, value in said(proof.text).items() if value is not None}
    lines += [f"  {name} {value}" for name, value in told.items()]
    return "\n".join(lines)
