"""Which errors the model can give for which instruction, so that a run can tell what it missed.

`OWN` is each instruction's meaning; what any instruction may be told about its bytes and accounts
follows from its shape.
"""

from collections.abc import Mapping
from typing import Final

from settlement.chain.abi import SHAPES

_NUMBER: Final = "AlreadyPaid AlreadySkipped SequenceTooFar SequenceTooOld"
_BOND: Final = "WrongCode Tombstoned"
_OPENING: Final = "WrongCode ForbiddenAddress Paused AlreadyInitialized Tombstoned"
_SOURCE: Final = "DuplicateAccount WrongMint WrongTokenAccount WrongAmount FrozenTokenAccount"
_ROLE: Final = "RoleVacant Unauthorized"

OWN: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(errors.split())
    for name, errors in {
        "initialize": "Unauthorized AlreadyInitialized",
        "deposit_usdc": f"{_SOURCE} Paused",
        "post_bond": f"{_OPENING} {_SOURCE}",
        "fund_bond": f"{_OPENING} {_ROLE} {_NUMBER} CapExceeded FrozenTokenAccount"
        " InsufficientVault",
        "retire": f"{_BOND} Unauthorized WrongState",
        "cancel_retire": f"{_BOND} Unauthorized WrongState",
        "set_beneficiary": f"{_BOND} DuplicateAccount Unauthorized SeizureOpen",
        "release": f"{_BOND} WrongAddress DuplicateAccount WrongMint WrongTokenAccount"
        " ForbiddenAddress Paused WrongState SeizureOpen CooldownNotOver FrozenTokenAccount",
        "propose_seizure": f"{_BOND} {_ROLE} Paused SeizureOpen EvidenceReused SeizureTooLate"
        " SeizureLimit",
        "withdraw_proposal": f"{_BOND} {_ROLE} NoSeizure WrongState",
        "contest": f"{_BOND} Unauthorized NoSeizure AlreadyContested WindowOver",
        "uphold": f"{_BOND} {_ROLE} Paused NoSeizure NotContested WrongState WindowOver",
        "dismiss": f"{_BOND} {_ROLE} NoSeizure NotContested WrongState WindowOver",
        "execute_seizure": f"{_BOND} WrongAddress Paused NoSeizure WrongState WindowNotOver"
        " SeizureExpired FrozenTokenAccount",
        "lapse": f"{_BOND} NoSeizure WindowNotOver",
        "pay": f"DuplicateAccount WrongMint WrongTokenAccount ForbiddenAddress {_ROLE} Paused"
        f" {_NUMBER} CapExceeded ApprovalMismatch WrongAmount FrozenTokenAccount"
        " InsufficientVault",
        "approve_pay": f"Unauthorized {_NUMBER} WrongAmount",
        "skip": f"Unauthorized {_NUMBER}",
        "sweep_surplus": "NothingToSweep FrozenTokenAccount",
        "recover_stray": "WrongAddress DuplicateAccount WrongMint WrongTokenAccount"
        " ForbiddenAddress Unauthorized NothingToSweep FrozenTokenAccount",
        "set_params": "Unauthorized ParamOutOfBounds PolicyPending",
        "apply_params": "NothingPending PolicyPending",
        "cancel_params": "Unauthorized NothingPending",
        "grant_role": "Unauthorized PolicyPending ForbiddenAddress RolesNotDistinct",
        "apply_role": "NothingPending PolicyPending RolesNotDistinct",
        "cancel_role": "Unauthorized NothingPending",
        "revoke_role": "Unauthorized RoleVacant",
        "nominate_admin": "Unauthorized ForbiddenAddress RolesNotDistinct",
        "accept_admin": "NoNomination Unauthorized NominationTooEarly NominationExpired"
        " RolesNotDistinct",
        "cancel_nomination": "Unauthorized NoNomination",
        "pause": "Unauthorized PauseTooSoon",
        "unpause": "Unauthorized WrongState",
    }.items()
}
# Told when another account stands in the place of the right one.
SUBSTITUTION: Final = frozenset(
    ["WrongProgram", "WrongOwner", "WrongTag", "WrongAddress", "WrongMint", "WrongTokenAccount"]
)


def of_its_shape(name: str) -> frozenset[str]:
    """What an instruction is told about its bytes and its accounts' flags."""
    shape = SHAPES[name]
    flags = "".join(flags for _, flags in shape.accounts)
    found = {"InvalidInstruction", "WrongAccountCount"}
    found |= {"NotWritable"} if "w" in flags else set()
    found |= {"MissingSignature"} if "s" in flags else set()
    return frozenset(found)


def possible(name: str) -> frozenset[str]:
    """Every error the model may give for this instruction."""
    return OWN[name] | of_its_shape(name) | SUBSTITUTION


def to_be_seen() -> frozenset[tuple[str, str]]:
    """What a long run must have seen: every instruction done, and refused in every way of its own.

    Substituted accounts are asked for once, by whichever instruction.
    """
    pairs = {(name, error) for name in OWN for error in OWN[name] | of_its_shape(name)}
    done = {(name, "done") for name in OWN if name != "initialize"}
    return frozenset(pairs | done | {("any", error) for error in SUBSTITUTION})


assert set(OWN) == set(SHAPES), "every instruction, and no other"
