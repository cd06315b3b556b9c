"""Where a provider stands, in one file that survives a kill at any moment.

`state.json` is replaced in one step. Each setup has a folder of its own for its key and agent.toml,
so a new one leaves the old alone until the coordinator has answered; then the old key is deleted.
"""

from pathlib import Path
from typing import Literal

import msgspec

from localnet.provider_config import ActivatedModel
from localnet.provider_identity import write_private

_MODEL_ID_LIMIT = 200
_PRICE_LIMIT = 2**63 - 1
_CONCURRENT_LIMIT = 256


class SetupInvalid(Exception):
    """A setup request that cannot be carried out as it stands."""


class StateUnreadable(Exception):
    """state.json is not what this program wrote."""


class Setup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the operator wants to offer; prices are µUSDC per million tokens."""

    model_id: str
    input_per_1m: int
    output_per_1m: int
    max_concurrent: int = 4


class Pairing(msgspec.Struct, frozen=True, tag="pairing"):
    """A pair code is out; `folder` holds the new key."""

    folder: str
    setup: Setup
    pair_code: str
    poll_token: str


class Paired(msgspec.Struct, frozen=True, tag="paired"):
    """The operator has activated us; enough is kept to write agent.toml again."""

    folder: str
    setup: Setup
    provider_id: str
    host_token_hint: str
    models: tuple[ActivatedModel, ...]


class Idle(msgspec.Struct, frozen=True, tag="idle"):
    """Nothing to do until somebody asks for a setup; `reason` says why the last one ended."""

    reason: str | None = None


State = Idle | Pairing | Paired


class StateFile:
    """The file itself."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "state.json"

    def load(self) -> State:
        """What was saved last. Raises `StateUnreadable`."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=State)
        except FileNotFoundError:
            return Idle()
        except (OSError, msgspec.MsgspecError) as error:
            raise StateUnreadable(f"{self._path}: {error}") from error

    def save(self, state: State) -> None:
        """Replace it; on the disk when this returns."""
        write_private(self._path, msgspec.json.encode(state).decode())


def parse_setup(body: bytes) -> Setup:
    """Read a setup request. Raises `SetupInvalid` saying what to change."""
    try:
        setup = msgspec.json.decode(body, type=Setup)
    except msgspec.MsgspecError as error:
        raise SetupInvalid(str(error)) from error
    model_id = setup.model_id
    if not model_id or len(model_id) > _MODEL_ID_LIMIT or not model_id.isprintable():
        raise SetupInvalid(f"model_id must be 1 to {_MODEL_ID_LIMIT} printable characters")
    _check_range("input_per_1m", setup.input_per_1m, _PRICE_LIMIT)
    _check_range("output_per_1m", setup.output_per_1m, _PRICE_LIMIT)
    _check_range("max_concurrent", setup.max_concurrent, _CONCURRENT_LIMIT)
    return setup


def _check_range(name: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise SetupInvalid(f"{name} must be a whole number from 1 to {most}")


StateName = Literal["idle", "pairing", "connecting", "connected"]
