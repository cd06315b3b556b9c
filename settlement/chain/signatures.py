"""A transaction's signature: base58 for people and nodes, 64 bytes where it is kept. Pure."""

from solders.signature import Signature


def signature_bytes(text: str) -> bytes:
    """The 64 bytes. Raises `ValueError` when the text is no signature."""
    return bytes(Signature.from_string(text))


def signature_text(kept: bytes) -> str:
    """The base58 of 64 bytes. Raises `ValueError` when there are not so many."""
    return str(Signature.from_bytes(kept))


def is_signature(text: str) -> bool:
    """Whether the text is 64 bytes in base58."""
    try:
        Signature.from_string(text)
    except ValueError:
        return False
    return True
