"""Reading JSON-RPC parameters the way a node does: positional, typed, and complained about."""

import base64
import binascii
from collections.abc import Callable
from typing import Final, cast

import base58
from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.signature import Signature

from localnet.cluster import Bank, Cluster, Commitment
from localnet.rpc_errors import (
    INVALID_PARAMS,
    RpcError,
    invalid_params,
    min_context_slot_not_reached,
)

_COMMITMENTS: Final = ("processed", "confirmed", "finalized")
ACCOUNT_ENCODINGS: Final = ("binary", "base58", "base64", "base64+zstd", "jsonParsed")
TRANSACTION_ENCODINGS: Final = ("binary", "base58", "base64", "json", "jsonParsed")
MAX_U64: Final = 2**64 - 1
PACKET_BYTES: Final = 1232
MAX_V1_BYTES: Final = 4096


def type_name(value: object) -> str:
    """What a value is called in an error message."""
    match value:
        case None:
            return "null"
        case bool():
            return f"boolean `{str(value).lower()}`"
        case int():
            return f"integer `{value}`"
        case float():
            return f"floating point `{value}`"
        case str():
            return f'string "{value[:64]}"'
        case list():
            return "sequence"
        case _:
            return "map"


def wrong_type(value: object, expected: str) -> RpcError:
    """The value is not of the type that the method takes."""
    return invalid_params(f"Invalid params: invalid type: {type_name(value)}, expected {expected}.")


def as_string(value: object) -> str:
    """A string."""
    if not isinstance(value, str):
        raise wrong_type(value, "a string")
    return value


def as_u64(value: object) -> int:
    """A whole number from 0 to 2^64 - 1."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(value, "u64")
    if not 0 <= value <= MAX_U64:
        raise invalid_params(f"Invalid params: invalid value: integer `{value}`, expected u64.")
    return value


def as_bool(value: object) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise wrong_type(value, "a boolean")
    return value


def as_list(value: object) -> list[object]:
    """An array."""
    if not isinstance(value, list):
        raise wrong_type(value, "a sequence")
    return cast("list[object]", value)


def as_map(value: object) -> dict[str, object]:
    """An object."""
    if not isinstance(value, dict):
        raise wrong_type(value, "a map")
    return cast("dict[str, object]", value)


def one_of(value: object, variants: tuple[str, ...]) -> str:
    """One of the strings of an enumeration."""
    text = as_string(value)
    if text not in variants:
        known = ", ".join(f"`{variant}`" for variant in variants)
        raise invalid_params(
            f"Invalid params: unknown variant `{text[:64]}`, expected one of {known}."
        )
    return text


def as_pubkey(value: object) -> Pubkey:
    """An address in base58."""
    return Pubkey.from_bytes(_fixed(value, 32, "WrongSize"))


def as_signature(value: object) -> Signature:
    """A signature in base58."""
    return Signature.from_bytes(_fixed(value, 64, "WrongSize"))


def as_hash(value: object) -> Hash:
    """A hash in base58."""
    return Hash.from_bytes(_fixed(value, 32, "WrongSize"))


def _fixed(value: object, size: int, wrong_size: str) -> bytes:
    text = as_string(value)
    if len(text) > 2 * size:
        raise invalid_params(f"Invalid param: {wrong_size}")
    try:
        raw = base58.b58decode(text.encode("ascii"))
    except ValueError:
        raise invalid_params("Invalid param: Invalid") from None
    if len(raw) != size:
        raise invalid_params(f"Invalid param: {wrong_size}")
    return raw


def as_wire(value: object, encoding: str, name: str) -> bytes:
    """Encoded bytes of a transaction or message (`name`), not longer than the network takes."""
    text = as_string(value)
    if len(text) > 2 * MAX_V1_BYTES:
        raise invalid_params(
            f"{encoding} encoded {name} too large: {len(text)} bytes"
            f" (max: encoded/raw {2 * MAX_V1_BYTES}/{MAX_V1_BYTES})"
        )
    try:
        if encoding == "base58":
            raw = base58.b58decode(text.encode("ascii"))
        else:
            raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, binascii.Error) as error:
        raise invalid_params(f"invalid {encoding} encoding: {error}") from None
    # Only version 1 may be larger than a packet; the top bit of a message marks the version.
    limit = MAX_V1_BYTES if raw[:1] == b"\x81" else PACKET_BYTES
    if len(raw) > limit:
        raise invalid_params(f"decoded {name} too large: {len(raw)} bytes (max: {limit} bytes)")
    return raw


class Config:
    """The last, optional parameter: an object of settings. Unknown members are ignored."""

    def __init__(self, value: object) -> None:
        """`value` is None when the parameter was left out."""
        self._values = {} if value is None else as_map(value)

    def get(self, key: str) -> object:
        """A member, or None."""
        return self._values.get(key)

    def boolean(self, key: str) -> bool:
        """A switch that is off by default."""
        value = self.get(key)
        return value is not None and as_bool(value)

    def u64(self, key: str) -> int | None:
        """A number, if given."""
        value = self.get(key)
        return None if value is None else as_u64(value)

    def encoding(self, variants: tuple[str, ...], default: str) -> str:
        """The encoding of data in the answer."""
        value = self.get("encoding")
        return default if value is None else one_of(value, variants)

    def commitment(self, key: str = "commitment", default: Commitment = "finalized") -> Commitment:
        """How settled the state must be; a node's default is finalized."""
        value = self.get(key)
        return default if value is None else cast("Commitment", one_of(value, _COMMITMENTS))

    def settled(self) -> Commitment:
        """The commitment of a method that reads blocks: confirmed or finalized."""
        commitment = self.commitment()
        if commitment == "processed":
            raise invalid_params("Method does not support commitment below `confirmed`")
        return commitment

    def bank(self, cluster: Cluster, commitment: Commitment | None = None) -> Bank:
        """The bank to answer from; refuses when it is below `minContextSlot`."""
        bank = cluster.bank(commitment or self.commitment())
        least = self.u64("minContextSlot")
        if least is not None and bank.slot < least:
            raise min_context_slot_not_reached(bank.slot)
        return bank

    def data_slice(self) -> tuple[int, int] | None:
        """Offset and length of the part of the data that is wanted."""
        value = self.get("dataSlice")
        if value is None:
            return None
        part = as_map(value)
        for key in ("offset", "length"):
            if key not in part:
                raise invalid_params(f"Invalid params: missing field `{key}`.")
        return as_u64(part["offset"]), as_u64(part["length"])


class Params:
    """The positional parameters of one call."""

    def __init__(self, value: object, at_least: int, at_most: int) -> None:
        """Refuse a wrong number of parameters."""
        self._values = [] if value is None else _sequence(value)
        if len(self._values) < at_least:
            raise invalid_params(f"`params` should have at least {at_least} argument(s)")
        if len(self._values) > at_most:
            raise RpcError(
                INVALID_PARAMS,
                f"Invalid parameters: Expected from {at_least} to {at_most} parameters.",
                f'"Got: {len(self._values)}"',
            )

    def __getitem__(self, index: int) -> object:
        """The parameter, or None when it was left out."""
        return self._values[index] if index < len(self._values) else None

    def config(self, index: int) -> Config:
        """The settings object at this place."""
        return Config(self[index])

    def edited(self, edit: Callable[[dict[str, object]], dict[str, object]]) -> "Params":
        """The same parameters with every settings object changed."""
        values = [
            edit(cast("dict[str, object]", value)) if isinstance(value, dict) else value
            for value in self._values
        ]
        return Params(values, len(values), len(values))


def _sequence(value: object) -> list[object]:
    if not isinstance(value, list):
        raise wrong_type(value, "a sequence")
    return cast("list[object]", value)
