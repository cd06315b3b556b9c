"""What an operator is accused of, for that operator alone: the case, its evidence, how to contest.

A case is shown once a second person has agreed to it, or the chain knows of it; before that it is
one person's word. Whose requests they were is not said.
"""

from datetime import datetime
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from coordinator.api.desk import Desk, desk_of, told
from coordinator.store import Host
from coordinator.transcode.request import BodyInvalid
from settlement.cases import reading as case_files
from settlement.cases.reading import Case, CaseUnknown, ChainStep
from settlement.db.pool import ReadConn, reading
from settlement.money import format_usdc

router = APIRouter(prefix="/v1/host/cases", tags=["hosts"])


@router.get("", summary="Cases about me")
async def list_cases(request: Request, before: str | None = None) -> Response:
    """Newest first, a page at a time; `before` is the last id of the page before."""
    desk, host = await _caller(request)
    last = case_files.NEWEST if before is None else _id(before, field="before")
    async with reading(desk.pool) as conn:
        found = await case_files.cases(conn, host.provider_id, before=last, shown_only=True)
        shown = [_summary(one, await case_files.steps(conn, one.case_id)) for one in found]
    following = str(found[-1].case_id) if len(found) == case_files.PAGE else None
    return told({"cases": shown, "next": following})


@router.get("/{case_id}", summary="What I am accused of, and until when I can contest it")
async def show_case(request: Request, case_id: str) -> Response:
    """The reason, the evidence, the requests, what the chain did, and what can be done now."""
    desk, host = await _caller(request)
    async with reading(desk.pool) as conn:
        found, taken = await _shown(conn, host, case_id)
        files = await case_files.files(conn, found.case_id)
        affected = await case_files.requests(conn, found.case_id)
    path = f"{router.prefix}/{found.case_id}/evidence"
    return told(
        _summary(found, taken)
        | {
            "evidence": {
                "hash": found.evidence.hex(),
                "manifest": found.manifest,
                "files": [
                    {
                        "name": one.name,
                        "size_bytes": one.size_bytes,
                        "sha256": one.digest.hex(),
                        "path": f"{path}/{quote(one.name)}" if one.kept else None,
                    }
                    for one in files
                ],
            },
            "requests": [
                {
                    "request_id": str(one.request_id),
                    "paid_microusdc": one.paid_microusdc,
                    "claimed_microusdc": one.claimed_microusdc,
                    "claimed_usdc": format_usdc(one.claimed_microusdc),
                }
                for one in affected
            ],
            "steps": [_step(one) for one in taken],
            "contest": _contest(host, taken),
        }
    )


@router.get("/{case_id}/evidence", summary="The text whose SHA-256 is on chain")
async def show_manifest(request: Request, case_id: str) -> Response:
    """The manifest, byte for byte: hash it and compare."""
    desk, host = await _caller(request)
    async with reading(desk.pool) as conn:
        found, _ = await _shown(conn, host, case_id)
    return _download(found.manifest.encode(), "manifest.txt")


@router.get("/{case_id}/evidence/{name:path}", summary="A file of the evidence")
async def show_file(request: Request, case_id: str, name: str) -> Response:
    """The bytes, where they are kept and not only their hash."""
    desk, host = await _caller(request)
    async with reading(desk.pool) as conn:
        found, _ = await _shown(conn, host, case_id)
        file = await case_files.file(conn, found.case_id, name)
    assert file.content is not None, "else it is elsewhere"
    return _download(file.content, file.name.rsplit("/", 1)[-1])


async def _caller(request: Request) -> tuple[Desk, Host]:
    desk = desk_of(request)
    host, _ = await desk.callers.host(request.headers.get("authorization"))
    return desk, host


async def _shown(conn: ReadConn, host: Host, case_id: str) -> tuple[Case, list[ChainStep]]:
    """The case, if it may be shown to this operator. Raises `CaseUnknown`, also for others'."""
    found = await case_files.case(conn, _id(case_id, field="case_id"))
    taken = await case_files.steps(conn, found.case_id)
    if found.provider_id != host.provider_id or not (found.review_accepts or taken):
        raise CaseUnknown(field="case_id", got=case_id)
    return found, taken


def _id(text: str, *, field: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise BodyInvalid(problem="not a UUID", field=field) from None


def _summary(found: Case, taken: list[ChainStep]) -> dict[str, object]:
    return {
        "case_id": str(found.case_id),
        "status": found.state.value,
        "reason_code": found.reason_code,
        "reason": found.reason,
        "bond": found.bond,
        "opened_at": found.opened_at.isoformat(),
        "closed_at": found.closing.at.isoformat() if found.closing else None,
        "contest_before": _contest_before(taken),
    }


def _step(taken: ChainStep) -> dict[str, object]:
    return {
        "step": taken.step.value,
        "at": taken.at.isoformat(),
        "slot": taken.slot,
        "reference": taken.reference,
        "signer": taken.signer,
        "reply_hash": taken.reply_hash.hex() if taken.reply_hash else None,
        "execute_after": _moment(taken.execute_after),
        "decide_by": _moment(taken.decide_by),
        "dies_at": _moment(taken.dies_at),
    }


def _contest(host: Host, taken: list[ChainStep]) -> dict[str, object] | None:
    """How to contest; None when there is nothing to contest."""
    if case_files.contestable(taken) is None:
        return None
    return {
        "before": _contest_before(taken),
        "command": f"pod bond contest POD-BOND-{host.code} --reply-file REPLY",
        "how": "write your reply to a file, keep it as it is, and sign the program's `contest` with"
        " the bond's wallet before that moment of chain time: the arbiter then decides",
    }


def _contest_before(taken: list[ChainStep]) -> str | None:
    proposed = case_files.contestable(taken)
    return None if proposed is None else _moment(proposed.execute_after)


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _download(content: bytes, name: str) -> Response:
    """Bytes that a browser stores and never shows: they may be anybody's."""
    return Response(
        content,
        media_type="application/octet-stream",
        headers={
            "cache-control": "no-store",
            "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
            "x-content-type-options": "nosniff",
        },
    )
