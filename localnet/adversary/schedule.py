"""The faults that a seed stands for: what goes wrong for a while, then a calm that lasts.

Everything ends before `slots` are over, so that who reads the chain can be held to the truth
afterwards. The adversary is unlucky or careless, never forging: no fault here makes up a
transaction or says of one that it failed.
"""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, get_args

from localnet.adversary.cluster_faults import cluster_faults
from localnet.adversary.error_codes import ERRORS
from localnet.adversary.faults import (
    CallFault,
    CallKind,
    Fault,
    Script,
    SocketFault,
    SocketKind,
    ViewFault,
    ViewKind,
)
from localnet.adversary.script import load_script

DEFAULT_SLOTS: Final = 3_000
_BACKENDS: Final = ("a", "b", "c", "d")
# What everybody asks most; faults of every method come as often.
_ASKED_MOST: Final = ("getSignaturesForAddress", "getTransaction", "getSlot")
_HTTP_ERRORS: Final = (500, 502, 503, 504)
# A call fault that goes on for long with certainty is an outage; most are passing.
_PROBABILITIES: Final = (0.05, 0.1, 0.2, 0.4, 1.0)
_LONGEST_SHARE: Final = 0.6
_CLUSTER_FAULTS: Final = 24
_LEAST_GAP_SLOTS: Final = 12


def script_of_seed(seed: int, *, slots: int = DEFAULT_SLOTS, slot_time_ms: int = 200) -> Script:
    """The schedule of a seed: always the same for the same arguments."""
    dice = random.Random(f"schedule {seed}")
    backends = _BACKENDS[: dice.randint(1, len(_BACKENDS))]
    last_slot = max(1, slots - 1)
    faults: list[Fault] = [
        _call_fault(dice, backends, last_slot) for _ in range(dice.randint(6, 16))
    ]
    faults += [_view_fault(dice, backends, last_slot) for _ in range(dice.randint(4, 10))]
    faults += [_socket_fault(dice, backends, last_slot) for _ in range(dice.randint(1, 4))]
    faults += cluster_faults(
        seed,
        first_slot=1,
        last_slot=last_slot,
        slot_time_ms=slot_time_ms,
        mean_gap_slots=max(_LEAST_GAP_SLOTS, slots // _CLUSTER_FAULTS),
    )
    return Script(
        seed=seed,
        backends=backends,
        routing=dice.choice(("random", "random", "round-robin")),
        faults=tuple(faults),
    )


def script_from(
    path: Path | None, seed: int | None, *, slots: int, slot_time_ms: int
) -> Script | None:
    """What a command line asks for: a file, a seed's schedule, or a file under other dice.

    None when neither is given. Raises `SettingsError`.
    """
    if path is None:
        if seed is None:
            return None
        return script_of_seed(seed, slots=slots, slot_time_ms=slot_time_ms)
    script = load_script(path)
    if seed is None:
        return script
    return Script(seed=seed, backends=script.backends, routing=script.routing, faults=script.faults)


def _window(dice: random.Random, backends: Sequence[str], last_slot: int) -> dict[str, Any]:
    """Somewhere between the first and the last slot; half of the time on one backend only."""
    start = dice.randint(0, last_slot - 1)
    longest = max(1, int(last_slot * _LONGEST_SHARE))
    until = min(last_slot, start + dice.randint(1, longest))
    return {
        "backend": dice.choice((None, dice.choice(backends))),
        "from_slot": start,
        "until_slot": until,
    }


def _call_fault(dice: random.Random, backends: Sequence[str], last_slot: int) -> CallFault:
    kind = dice.choice(get_args(CallKind))
    options: dict[str, Any] = _CALL_OPTIONS.get(kind, lambda _dice: {})(dice)
    return CallFault(
        kind=kind,
        method=dice.choice((None, dice.choice(_ASKED_MOST))),
        probability=dice.choice(_PROBABILITIES),
        **_window(dice, backends, last_slot),
        **options,
    )


_CALL_OPTIONS: Final[dict[CallKind, Callable[[random.Random], dict[str, Any]]]] = {
    "http-429": lambda dice: {"retry_after_seconds": dice.choice((None, 0, 1, 2))},
    "http-error": lambda dice: {"status": dice.choice(_HTTP_ERRORS)},
    "error": lambda dice: {
        "code": dice.choice(tuple(ERRORS)),
        "with_data": dice.choice((True, False)),
    },
    "timeout": lambda dice: {"executed": dice.choice((True, False))},
    "reset-before": lambda dice: {"executed": dice.choice((True, False))},
}


def _view_fault(dice: random.Random, backends: Sequence[str], last_slot: int) -> ViewFault:
    kind = dice.choice(get_args(ViewKind))
    options: dict[str, Any] = _VIEW_OPTIONS.get(kind, lambda _dice, _slot: {})(dice, last_slot)
    return ViewFault(kind=kind, **_window(dice, backends, last_slot), **options)


def _lag(dice: random.Random, _last_slot: int) -> dict[str, Any]:
    return {"slots": dice.choice((2, 4, 8, 16, 40))}


def _share(dice: random.Random, _last_slot: int) -> dict[str, Any]:
    return {"share": dice.choice((0.2, 0.5, 0.8, 1.0))}


_VIEW_OPTIONS: Final[dict[ViewKind, Callable[[random.Random, int], dict[str, Any]]]] = {
    "lag": _lag,
    "index-lag": _lag,
    "transaction-lag": _lag,
    "pruned": lambda dice, last_slot: {"below_slot": dice.randint(1, last_slot)},
    "lost-signatures": _share,
    "lost-transactions": _share,
    "version-ceiling": lambda dice, _slot: {"version": dice.choice((0, 0, 1))},
}


def _socket_fault(dice: random.Random, backends: Sequence[str], last_slot: int) -> SocketFault:
    return SocketFault(
        kind=dice.choice(get_args(SocketKind)),
        after_messages=dice.choice((0, 1, 5, 20)),
        probability=dice.choice(_PROBABILITIES),
        **_window(dice, backends, last_slot),
    )
