"""What is asked of the payout key, wherever it lives: its address, and a signature.

Whoever holds the key may be another process, another machine or a device. So what comes back is
checked against the address before anything is stored: a holder that signs with another key, or
something else, is as good as one that does not answer.
"""

from typing import Final, Protocol

from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import Transaction

from settlement.errors import Refused, Unavailable

SIGNATURE_BYTES: Final = 64


class KeyRefused(Refused):
    """The payout key cannot be used as the settings say."""


class KeyAway(Unavailable):
    """Whoever holds the payout key does not answer, or answers nonsense."""


class SigningKey(Protocol):
    """A key of ed25519 that signs whole messages. Its secret half may be anywhere."""

    @property
    def address(self) -> Pubkey:
        """The public half: fee payer and payer role."""
        ...

    async def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the signature. Raises `KeyAway` when the holder cannot say."""
        ...


async def signed(key: SigningKey, message: Message) -> tuple[str, bytes]:
    """The signature and the bytes to send; the same message always gives the same.

    Raises `KeyAway`, also when what came back is no signature of this key over this message.
    """
    assert message.signer_keys() == [key.address], "we sign only what we alone pay for"
    raw = bytes(message)
    given = await key.sign(raw)
    if len(given) != SIGNATURE_BYTES:
        raise KeyAway(problem="not a signature", length=len(given))
    signature = Signature.from_bytes(given)
    if not signature.verify(key.address, raw):
        raise KeyAway(problem="not a signature of this key over this message")
    return str(signature), bytes(Transaction.populate(message, [signature]))
