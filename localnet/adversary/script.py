"""A script of faults as a TOML file. A wrong or unknown key is named with the whole path to it.

seed = 7                      # loads the dice

[fleet]
backends = ["a", "b"]         # nodes behind one address
routing = "random"            # or "round-robin"

[[fault]]
kind = "http-429"
method = "getTransaction"     # left out: every method
backend = "b"                 # left out: every backend
until_slot = 50               # counted from the start
probability = 0.3
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast, get_args

from localnet.adversary.cluster_faults import CLUSTER_FAULTS, ClusterFault
from localnet.adversary.faults import (
    OPTIONS,
    CallFault,
    CallKind,
    Fault,
    Routing,
    Script,
    SocketFault,
    SocketKind,
    ViewFault,
    ViewKind,
)
from localnet.toml_table import SettingsError, Table, read_document

_CLUSTER_KINDS: Final = {name.replace("_", "-"): kind for name, kind in CLUSTER_FAULTS.items()}
_CLASSES: Final[Mapping[str, type[CallFault] | type[ViewFault] | type[SocketFault]]] = (
    dict.fromkeys(get_args(CallKind), CallFault)
    | dict.fromkeys(get_args(ViewKind), ViewFault)
    | dict.fromkeys(get_args(SocketKind), SocketFault)
)
_LARGEST: Final = 2**63 - 1
_BOUNDS: Final[Mapping[str, tuple[int, int]]] = {
    "from_slot": (0, _LARGEST),
    "until_slot": (0, _LARGEST),
    "from_call": (1, _LARGEST),
    "until_call": (1, _LARGEST),
    "status": (400, 599),
    "code": (-32_999, 999),
    "retry_after_seconds": (0, 86_400),
    "slots": (1, 1_000_000),
    "below_slot": (1, _LARGEST),
    "version": (0, 127),
    "after_messages": (0, _LARGEST),
}


def load_script(path: Path) -> Script:
    """Read a file. Raises `SettingsError`."""
    try:
        return parse_script(read_document(path))
    except SettingsError as error:
        told = str(error)
        raise error if told.startswith(str(path)) else SettingsError(f"{path}: {told}") from None


def parse_script(document: Mapping[str, Any]) -> Script:
    """The script in a parsed document. Raises `SettingsError`."""
    top = Table("", document)
    fleet = top.table("fleet")
    backends = fleet.strings("backends", Script.backends)
    if not backends or len(set(backends)) < len(backends):
        raise fleet.fail("backends", "expected one or more names, none of them twice")
    if not all(part.isalnum() for name in backends for part in name.split("-")):
        raise fleet.fail("backends", "use letters, digits and single dashes")
    routing = fleet.string("routing", Script.routing)
    if routing not in get_args(Routing):
        raise fleet.fail("routing", f"expected one of {', '.join(get_args(Routing))}")
    fleet.end()
    script = Script(
        seed=top.integer("seed", Script.seed, 0, _LARGEST),
        backends=backends,
        routing=cast("Routing", routing),
        faults=tuple(_fault(table, backends) for table in top.tables("fault")),
    )
    top.end()
    return script


def _fault(table: Table, backends: tuple[str, ...]) -> Fault:
    kind = table.required("kind")
    if kind in _CLUSTER_KINDS:
        fault: Fault = _cluster_fault(table, kind)
    elif kind in _CLASSES:
        fault = _fleet_fault(table, kind, backends)
    else:
        raise table.fail("kind", f"expected one of {', '.join((*_CLASSES, *_CLUSTER_KINDS))}")
    table.end()
    return fault


def _fleet_fault(table: Table, kind: str, backends: tuple[str, ...]) -> Fault:
    made = _CLASSES[kind]
    defaults = {field.name: field.default for field in dataclasses.fields(made)}
    given = {name: _value(table, name, defaults[name]) for name in OPTIONS[kind] if table.has(name)}
    if given.get("backend", backends[0]) not in backends:
        raise table.fail("backend", f"expected one of {', '.join(backends)}")
    for unit in ("slot", "call"):
        until = given.get(f"until_{unit}")
        start = given.get(f"from_{unit}", defaults.get(f"from_{unit}"))
        if until is not None and until <= start:
            raise table.fail(f"until_{unit}", f"must be more than from_{unit}")
    return made(kind=cast("Any", kind), **given)


def _value(table: Table, name: str, default: object) -> Any:  # noqa: ANN401
    if name in ("backend", "method"):
        return table.required(name)
    if name in ("probability", "share"):
        return table.fraction(name, 1.0)
    if isinstance(default, bool):
        return table.boolean(name, default)
    low, high = _BOUNDS[name]
    return table.integer(name, low, low, high)


def _cluster_fault(table: Table, kind: str) -> ClusterFault:
    made = _CLUSTER_KINDS[kind]
    given: dict[str, Any] = {}
    for field in dataclasses.fields(made):
        is_missing = not table.has(field.name)
        if is_missing and field.default is dataclasses.MISSING:
            raise table.fail(field.name, "missing")
        if not is_missing:
            given[field.name] = (
                table.boolean(field.name, default=False)
                if isinstance(field.default, bool)
                else table.integer(field.name, 0, 0, _LARGEST)
            )
    try:
        return made(**given)
    except ValueError as error:
        # It names the field after the kind: "fork.depth_slots: expected …".
        name, _, why = str(error).partition(": ")
        raise table.fail(name.rpartition(".")[2], why) from None


def script_text(script: Script) -> str:
    """The script as a TOML file that `load_script` reads back as the same."""
    names = ", ".join(f'"{name}"' for name in script.backends)
    lines = [f"seed = {script.seed}", "", "[fleet]", f"backends = [{names}]"]
    lines += [f'routing = "{script.routing}"']
    for fault in script.faults:
        lines += ["", "[[fault]]", *_fault_lines(fault)]
    return "\n".join(lines) + "\n"


def _fault_lines(fault: Fault) -> list[str]:
    if isinstance(fault, ClusterFault):
        kind = next(name for name, made in _CLUSTER_KINDS.items() if made is type(fault))
        names = [field.name for field in dataclasses.fields(fault)]
    else:
        kind, names = fault.kind, list(OPTIONS[fault.kind])
    defaults = {field.name: field.default for field in dataclasses.fields(fault)}
    values = {name: getattr(fault, name) for name in names}
    told = {name: value for name, value in values.items() if value != defaults[name]}
    return [f'kind = "{kind}"', *(f"{name} = {_toml(value)}" for name, value in told.items())]


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)
