"""Recorded answers of a node, and what the decoder makes of them, told without addresses.

`answers/NAME.json` is what a node said about one transaction, with the names of whoever appears in
it. `decoded.txt` tells what the decoder and the attribution make of each; it opens with the
decoder's version. When the same answer is read otherwise, the version has to be another one: rows
of the database say by which version they were read, so that those of an older one can be found.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from solders.pubkey import Pubkey

from indexer.attribution import events_of
from indexer.decode import DECODER_VERSION, Movement, Transaction, Watch, decode
from indexer.events import Event
from indexer.raw import Unreadable
from settlement.chain.movement import MovementKey
from settlement.chain.program import Deployment
from settlement.errors import snake_case

HERE: Final = Path(__file__).parent
ANSWERS: Final = HERE / "answers"
DECODED: Final = HERE / "decoded.txt"
_SHOWN_HASH: Final = 12
_SCENE: Final = re.compile(r"^== (?P<name>\S+) \(answer (?P<answer>[0-9a-f]+)\)", re.MULTILINE)


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """What a node answered about one transaction."""

    name: str
    why: str
    signature: str
    program_id: str
    mint: str
    names: dict[str, str]  # by address
    answer: dict[str, Any]

    @property
    def watch(self) -> Watch:
        """What was ours on that chain."""
        return _watch(self.program_id, self.mint)

    @property
    def answer_hash(self) -> str:
        """The beginning of the answer's SHA-256."""
        raw = msgspec.json.encode(self.answer, order="sorted")
        return hashlib.sha256(raw).hexdigest()[:_SHOWN_HASH]


@cache
def _watch(program_id: str, mint: str) -> Watch:
    deployment = Deployment(Pubkey.from_string(program_id), Pubkey.from_string(mint))
    return Watch(cluster="recorded", deployment=deployment)


def kept() -> list[Recording]:
    """All recordings of the repository, by name."""
    return sorted(map(load, ANSWERS.glob("*.json")), key=lambda one: one.name)


def load(path: Path) -> Recording:
    """One of them."""
    return msgspec.json.decode(path.read_bytes(), type=Recording)


def keep(recordings: Iterable[Recording]) -> None:
    """Write them, in place of those that are there."""
    recordings = list(recordings)
    ANSWERS.mkdir(exist_ok=True)
    for path in ANSWERS.glob("*.json"):
        path.unlink()
    for one in recordings:
        raw = msgspec.json.format(msgspec.json.encode(_without_unused_names(one)), indent=1)
        (ANSWERS / f"{one.name}.json").write_bytes(raw + b"\n")


def _without_unused_names(one: Recording) -> Recording:
    """Only the names of addresses that appear, or follow from what appears."""
    text = msgspec.json.encode(one.answer).decode()
    told = "\n".join(_told(one))
    used = {
        address: name
        for address, name in one.names.items()
        if address in text or re.search(rf"\b{re.escape(name)}\b", told)
    }
    return msgspec.structs.replace(one, names=used)


def decoded(recordings: Iterable[Recording]) -> str:
    """What the decoder makes of them: decoded.txt."""
    scenes = [
        "\n".join([f"== {one.name} (answer {one.answer_hash})", one.why, *_told(one)])
        for one in recordings
    ]
    return "\n\n".join([f"decoder version {DECODER_VERSION}", *scenes]) + "\n"


def readings(text: str) -> Mapping[str, tuple[str, str]]:
    """The scenes of a decoded.txt: hash of the answer and what was made of it, by name."""
    found = list(_SCENE.finditer(text))
    ends = [one.start() for one in found[1:]] + [len(text)]
    return {
        one["name"]: (one["answer"], text[one.end() : end].strip())
        for one, end in zip(found, ends, strict=True)
    }


def version_of(text: str) -> str:
    """The decoder's version a decoded.txt was made by."""
    return text.partition("\n")[0].removeprefix("decoder version ")


def read_otherwise(old: str, new: str) -> list[str]:
    """Scenes whose answer is the same and whose reading is not, under one decoder version."""
    if version_of(old) != version_of(new):
        return []
    before, now = readings(old), readings(new)
    return [
        name
        for name, (answer, text) in before.items()
        if name in now and now[name][0] == answer and now[name][1] != text
    ]


def _told(one: Recording) -> Iterator[str]:
    try:
        found = decode(one.answer, signature=one.signature, watch=one.watch)
    except Unreadable as why:
        yield f"unreadable: {why.details['problem']}"
        return
    yield f"version {one.answer['version']}, {_state(found)}"
    for move in found.movements:
        yield _movement(move, one.names)
    for event in events_of(found, one.watch):
        yield _event(event, one.names)


def _state(found: Transaction) -> str:
    if found.failed:
        return "failed"
    return "explained" if found.explained else f"doubted: {', '.join(sorted(found.doubted))}"


def _movement(move: Movement, names: Mapping[str, str]) -> str:
    source, to = _plain(move.source, names), _plain(move.destination, names)
    return f"moved {_place(move.key)} {move.kind} {move.amount_microusdc} from {source} to {to}"


def _event(event: Event, names: Mapping[str, str]) -> str:
    facts = [
        f"{field.name}={_plain(getattr(event, field.name), names)}"
        for field in fields(event)
        if field.name != "key"
    ]
    return f"event {_place(event.key)} {snake_case(type(event).__name__)} {', '.join(facts)}"


def _place(key: MovementKey) -> str:
    return f"{key.outer}.{key.inner}.{key.sub}"


def _plain(value: object, names: Mapping[str, str]) -> str:
    match value:
        case Pubkey():
            return names[str(value)]  # whoever appears has a name
        case bytes():
            return value.hex()
        case Enum():
            return value.name.lower()
        case _ if is_dataclass(value) and not isinstance(value, type):
            inner = [
                f"{field.name}={_plain(getattr(value, field.name), names)}"
                for field in fields(value)
            ]
            return f"{type(value).__name__}({', '.join(inner)})"
        case _:
            return str(value)
