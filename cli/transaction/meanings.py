"""What a refusal of the chain means, in a sentence for who wanted the transaction. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from settlement.chain.program import ATA_PROGRAM, ERRORS, SYSTEM_PROGRAM, TOKEN_PROGRAM

MEANINGS: Final[Mapping[str, str]] = {
    "InvalidInstruction": "the instruction's name, length or an argument is not one of the program",
    "WrongAccountCount": "too few accounts, or too many",
    "WrongProgram": "a program account is not the program it must be",
    "WrongOwner": "an account that the program must own is not there or belongs to another program:"
    " there is no such bond, or the wrong deployment was named",
    "WrongTag": "an account is of another kind or size",
    "WrongVersion": "an account is of a version this program does not know",
    "WrongAddress": "an account is not at its canonical address: wrong code or wrong beneficiary",
    "WrongMint": "not the mint of this deployment",
    "WrongTokenAccount": "not an initialized token account, or not of the owner it must have",
    "FrozenTokenAccount": "a token account is frozen by the issuer of USDC: nothing has changed,"
    " try again when it is thawed",
    "MissingSignature": "a signature that is needed is missing",
    "Unauthorized": "the signer is not the one who may do this",
    "NotWritable": "an account must be writable",
    "DuplicateAccount": "one account was given in two places",
    "AlreadyInitialized": "it exists already",
    "WrongState": "not possible in the state it is in",
    "Paused": "paused for now: a pause ends by itself within 72 hours",
    "PauseTooSoon": "it was paused too recently to be paused again",
    "WrongAmount": "the amount is zero, or more than the account holds",
    "CooldownNotOver": "the cooldown is not over",
    "SeizureOpen": "a seizure is open: it must be decided, executed or lapse first",
    "NoSeizure": "no seizure is open",
    "WindowNotOver": "the window is not over yet",
    "WindowOver": "the window for this is over",
    "SeizureExpired": "the seizure is past its time: it can only lapse",
    "SeizureLimit": "too many proposals while retiring",
    "EvidenceReused": "this evidence was used before",
    "AlreadyContested": "the seizure was contested already",
    "NotContested": "the seizure was not contested",
    "ParamOutOfBounds": "a parameter is outside its floor and ceiling",
    "RolesNotDistinct": "two roles would be held by one key",
    "NoNomination": "nobody is nominated",
    "NominationTooEarly": "the nomination cannot be accepted yet",
    "NominationExpired": "the nomination has expired",
    "AlreadyPaid": "this payout number was paid",
    "AlreadySkipped": "this payout number was skipped",
    "SequenceTooFar": "this payout number is beyond the window",
    "SequenceTooOld": "this payout number is below the window: it is used for ever",
    "CapExceeded": "above a payout cap",
    "PolicyPending": "a policy change is pending, or its time has not come",
    "Overflow": "a sum does not fit",
    "Tombstoned": "the bond is over: only its tombstone is left, and the code cannot be used again",
    "WrongCode": "the code is malformed, or the bond's is another one",
    "InsufficientVault": "the vault does not hold enough",
    "ForbiddenAddress": "an address that must not stand here: one of the program's own, or nobody",
    "NothingToSweep": "there is nothing to move",
    "RoleVacant": "nobody holds the role",
    "SeizureTooLate": "the cooldown is over: no seizure can be proposed any more",
    "NothingPending": "nothing is pending",
    "ApprovalMismatch": "the open approval is for something else",
}
_TRANSACTION_MEANINGS: Final[Mapping[str, str]] = {
    "AccountNotFound": "the paying wallet does not exist on this chain: send it some SOL",
    "InsufficientFundsForFee": "the paying wallet has too little SOL for the fee",
    "InsufficientFundsForRent": "an account would be left with too little SOL for its rent",
    "BlockhashNotFound": "the transaction's blockhash is too old or of another chain: make it anew",
    "AlreadyProcessed": "this very transaction was carried out before",
    "ProgramAccountNotFound": "there is no program at this address of this chain",
}
_BARE_CUSTOM: Final = {
    (TOKEN_PROGRAM, 1): ("InsufficientFunds", "the token account holds too little"),
    (TOKEN_PROGRAM, 17): ("AccountFrozen", "the token account is frozen"),
    (SYSTEM_PROGRAM, 1): ("InsufficientFunds", "the paying wallet has too little SOL"),
}


@dataclass(frozen=True, kw_only=True)
class ChainRefusal:
    """Why the chain would not, or did not, carry a transaction out."""

    name: str
    meaning: str
    number: int | None = None
    instruction: int | None = None  # which one, counted from 1, compute budget included

    def __str__(self) -> str:
        numbered = f" {self.number}" if self.number is not None else ""
        return f"{self.name}{numbered}: {self.meaning}"


def explain(
    error: object, instructions: Sequence[Instruction], program_id: Pubkey
) -> ChainRefusal | None:
    """Read a node's `err`; None when there is none."""
    if error is None:
        return None
    if isinstance(error, str):
        return _whole(error)
    named = cast("dict[str, object]", error) if isinstance(error, dict) else {}
    if not named:
        return ChainRefusal(name="Unknown", meaning="the chain refused the transaction")
    detail = named.get("InstructionError")
    if isinstance(detail, list) and len(cast("list[object]", detail)) == 2:
        at, cause = cast("list[object]", detail)
        return _inside(at, cause, instructions, program_id)
    return _whole(next(iter(named)))


def _whole(name: str) -> ChainRefusal:
    return ChainRefusal(
        name=name, meaning=_TRANSACTION_MEANINGS.get(name, "the chain refused the transaction")
    )


def _inside(
    at: object, cause: object, instructions: Sequence[Instruction], program_id: Pubkey
) -> ChainRefusal:
    index = at if isinstance(at, int) else -1
    place = index + 1 if index >= 0 else None
    custom = cast("dict[str, object]", cause).get("Custom") if isinstance(cause, dict) else None
    if not isinstance(custom, int):
        name = cause if isinstance(cause, str) else "InstructionError"
        meaning = "an instruction failed with one of the chain's own errors"
        return ChainRefusal(name=name, meaning=meaning, instruction=place)
    called = instructions[index].program_id if 0 <= index < len(instructions) else program_id
    name, meaning = f"Custom{custom}", f"an error of the program {called}"
    if called == program_id and custom in ERRORS:
        name = ERRORS[custom]
        meaning = MEANINGS[name]
    elif (called, custom) in _BARE_CUSTOM:
        name, meaning = _BARE_CUSTOM[called, custom]
    elif called == ATA_PROGRAM:
        meaning = "the token account could not be created"
    return ChainRefusal(name=name, meaning=meaning, number=custom, instruction=place)
