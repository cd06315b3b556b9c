"""A process that holds the payout key and signs for the signer: the reference of the protocol.

It is as small as it can be, so that it may run where nothing else does. It knows no intents; what
it refuses by itself is everything that is no transaction message paid and signed by this key
alone.
"""

import base64
import binascii
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from solders.message import Message

from settlement.keys.protocol import SigningKey
from settlement.keys.remote import AddressTold, Ask, Question, SignatureTold
from settlement.local_socket import RequestInvalid, listening, understood


@asynccontextmanager
async def holding(key: SigningKey, path: Path) -> AsyncGenerator[None]:
    """Sign for whoever may open the socket at `path`, as long as the block lasts."""

    async def answer(line: bytes) -> object:
        question = understood(line, Question)
        if question.ask is Ask.ADDRESS:
            return AddressTold(address=str(key.address))
        message = _message(question.message, key)
        return SignatureTold(signature=base64.b64encode(await key.sign(message)).decode())

    async with listening(path, answer):
        yield


def _message(text: str, key: SigningKey) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
        signers = Message.from_bytes(raw).signer_keys()
    except (binascii.Error, ValueError):
        raise RequestInvalid(field="message", problem="not a transaction message") from None
    if signers != [key.address]:
        raise RequestInvalid(field="message", problem="not paid and signed by this key alone")
    return raw
