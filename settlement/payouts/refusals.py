"""What a node's refusal of a transaction means for the payouts in it."""

from typing import Final, cast

from settlement.chain.program import ERRORS, FIRST_ERROR
from settlement.chain.transport import RpcRefused

# Refusals of our program that pass by themselves, or that the indexer explains: nobody gives up.
_PASSING: Final = frozenset(
    {
        "Unauthorized",
        "RoleVacant",
        "Paused",
        "AlreadyPaid",
        "AlreadySkipped",
        "SequenceTooFar",
        "SequenceTooOld",
        "CapExceeded",
        "PolicyPending",
        "InsufficientVault",
        "ApprovalMismatch",
    }
)


def program_said_no(error: RpcRefused) -> bool:
    """Whether an instruction failed: what the transaction does, not when or through whom."""
    return _instruction_error(error) is not None


def lasts(error: RpcRefused) -> bool:
    """Whether the chain would say no again, whenever it were asked."""
    return program_said_no(error) and _custom(error)[1] not in _PASSING


def refusal_text(error: RpcRefused) -> str:
    """What the node said, with the program's own name for its error when there is one."""
    number, name = _custom(error)
    if number is not None:
        return f"{name or 'Custom'} ({number})"
    told = _told(error)
    return f"{error.error_code}: {error.text}" + (f" {told}" if told is not None else "")


def _told(error: RpcRefused) -> object:
    data = error.data
    return cast("dict[str, object]", data).get("err") if isinstance(data, dict) else None


def _instruction_error(error: RpcRefused) -> list[object] | None:
    told = _told(error)
    inner = (
        cast("dict[str, object]", told).get("InstructionError") if isinstance(told, dict) else None
    )
    return cast("list[object]", inner) if isinstance(inner, list) else None


def _custom(error: RpcRefused) -> tuple[int | None, str | None]:
    parts = _instruction_error(error) or []
    what = parts[1] if len(parts) == 2 else None
    number = cast("dict[str, object]", what).get("Custom") if isinstance(what, dict) else None
    if not isinstance(number, int):
        return None, None
    return number, ERRORS.get(number) if number >= FIRST_ERROR else None
