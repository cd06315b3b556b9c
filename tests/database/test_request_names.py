"""The same attempt of a client is one request, however often and however close it is sent."""

import asyncio
from hashlib import sha256
from uuid import UUID, uuid4

import asyncpg
import pytest

from settlement.db.pool import transaction
from settlement.ledger.names import InvalidFingerprint, name_request
from tests import factories
from tests.database.conftest import Books

ASKED = sha256(b"the same words").digest()


async def name(books: Books, user_id: UUID, fingerprint: bytes = ASKED) -> UUID:
    async with transaction(books.pool) as tx:
        return await name_request(
            tx, user_id=user_id, fingerprint=fingerprint, fresh=factories.request_id()
        )


async def test_an_attempt_sent_again_has_the_first_ones_id(books: Books) -> None:
    user = uuid4()
    first = await name(books, user)
    assert await name(books, user) == first
    assert await name(books, uuid4()) != first
    assert await name(books, user, sha256(b"other words").digest()) != first


async def test_attempts_at_once_are_told_the_same_id(books: Books) -> None:
    user = uuid4()
    assert len(set(await asyncio.gather(*(name(books, user) for _ in range(20))))) == 1


async def test_a_fingerprint_of_another_size_is_refused_by_name(books: Books) -> None:
    with pytest.raises(InvalidFingerprint) as refused:
        await name(books, uuid4(), b"short")
    assert refused.value.details["field"] == "fingerprint"


async def test_a_name_is_never_changed_or_given_to_two(books: Books) -> None:
    user = uuid4()
    first = await name(books, user)
    for statement in (
        "update settlement.request_name set request_id = gen_random_uuid()",
        "delete from settlement.request_name",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await books.execute(statement, role="pod_coordinator")
    with pytest.raises(asyncpg.UniqueViolationError):
        await books.execute(
            "insert into settlement.request_name (user_id, fingerprint, request_id)"
            " values ($1, $2, $3)",
            *(uuid4(), ASKED, first),
            role="pod_coordinator",
        )
