"""The bond program's instructions, read from raw bytes and written to them.

One class an instruction (those of the owners are in `governance`), with the accounts that differ
from call to call and its arguments; `abi.SHAPES` says how it stands in bytes. Lengths are strict:
an instruction that is not fully understood raises, it is never guessed. Pure; the amounts of
`post_bond`, `fund_bond`, `release` and `execute_seizure` are not in their data but in the inner
token transfer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, cast, get_args

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from settlement.chain.abi import KINDS, OPEN_ENDED, SHAPES, instruction_discriminator
from settlement.chain.governance import GovernanceInstruction
from settlement.chain.layouts import WORD_BITS, Reader
from settlement.errors import Refused, snake_case
from settlement.money import MicroUsdc


class UnknownInstruction(Refused):
    """These bytes and accounts are not an instruction of the bond program."""


@dataclass(frozen=True, kw_only=True)
class DepositUsdc:
    """A coded deposit into the till vault."""

    depositor: Pubkey
    depositor_ata: Pubkey
    code: bytes
    amount_microusdc: MicroUsdc


@dataclass(frozen=True, kw_only=True)
class PostBond:
    """A bond opened with the depositor's money."""

    depositor: Pubkey
    funder: Pubkey
    depositor_ata: Pubkey
    bond: Pubkey
    code: bytes
    beneficiary: Pubkey


@dataclass(frozen=True, kw_only=True)
class FundBond:
    """A bond opened with the till's money, under a payout number."""

    payer: Pubkey
    funder: Pubkey
    bond: Pubkey
    sequence: int
    code: bytes
    beneficiary: Pubkey


@dataclass(frozen=True, kw_only=True)
class Retire:
    """A bond's cooldown started."""

    signer: Pubkey
    bond: Pubkey
    code: bytes


@dataclass(frozen=True, kw_only=True)
class CancelRetire:
    """A bond's cooldown was stopped: it is Posted again."""

    beneficiary: Pubkey
    bond: Pubkey
    code: bytes


@dataclass(frozen=True, kw_only=True)
class SetBeneficiary:
    """A bond was handed to somebody else, both signing. Its address stays."""

    beneficiary: Pubkey
    new_beneficiary: Pubkey
    bond: Pubkey
    code: bytes


@dataclass(frozen=True, kw_only=True)
class Release:
    """A bond went back to its beneficiary."""

    bond: Pubkey
    beneficiary: Pubkey
    destination: Pubkey
    rent_payer: Pubkey
    code: bytes


@dataclass(frozen=True, kw_only=True)
class ProposeSeizure:
    """A seizure was proposed; its clocks run from now."""

    proposer: Pubkey
    bond: Pubkey
    code: bytes
    evidence_hash: bytes
    reason: int


@dataclass(frozen=True, kw_only=True)
class WithdrawProposal:
    """The proposer took a seizure back."""

    proposer: Pubkey
    bond: Pubkey
    code: bytes


@dataclass(frozen=True, kw_only=True)
class Contest:
    """The beneficiary contested a seizure: now the arbiter decides."""

    beneficiary: Pubkey
    bond: Pubkey
    code: bytes
    reply_hash: bytes


@dataclass(frozen=True, kw_only=True)
class Uphold:
    """The arbiter found for the proposer."""

    arbiter: Pubkey
    bond: Pubkey
    code: bytes


@dataclass(frozen=True, kw_only=True)
class Dismiss:
    """The arbiter found for the beneficiary: the seizure is over."""

    arbiter: Pubkey
    bond: Pubkey
    code: bytes


@dataclass(frozen=True, kw_only=True)
class ExecuteSeizure:
    """A bond went to the till vault, after its windows. Anybody may do it."""

    bond: Pubkey
    rent_payer: Pubkey
    code: bytes


@dataclass(frozen=True, kw_only=True)
class Lapse:
    """A seizure past its time was cleared. Anybody may do it."""

    bond: Pubkey
    code: bytes


@dataclass(frozen=True, kw_only=True)
class Pay:
    """A numbered payment out of the till vault."""

    payer: Pubkey
    destination: Pubkey
    sequence: int
    amount_microusdc: MicroUsdc
    code: bytes
    reference: bytes


@dataclass(frozen=True, kw_only=True)
class ApprovePay:
    """The admin approved one payment above the caps, for 24 hours."""

    admin: Pubkey
    sequence: int
    amount_microusdc: MicroUsdc
    destination: Pubkey
    reference: bytes


@dataclass(frozen=True, kw_only=True)
class Skip:
    """Payout numbers burned: `first + i` for every bit `i` of the mask. None of them was paid."""

    signer: Pubkey
    first: int
    mask: int

    @property
    def sequences(self) -> tuple[int, ...]:
        """The numbers burned, ascending."""
        return tuple(self.first + bit for bit in range(WORD_BITS) if self.mask >> bit & 1)


@dataclass(frozen=True, kw_only=True)
class SweepSurplus:
    """What the bond vault held beyond the bonds went to the till vault. Anybody may do it."""


@dataclass(frozen=True, kw_only=True)
class RecoverStray:
    """Tokens sent to an account of ours by mistake: USDC to the till vault, others as named."""

    admin: Pubkey
    authority: Pubkey
    stray: Pubkey
    destination: Pubkey
    stray_mint: Pubkey


BondInstruction = (
    PostBond
    | FundBond
    | Retire
    | CancelRetire
    | SetBeneficiary
    | Release
    | ProposeSeizure
    | WithdrawProposal
    | Contest
    | Uphold
    | Dismiss
    | ExecuteSeizure
    | Lapse
)
ProgramInstruction = (
    DepositUsdc
    | Pay
    | ApprovePay
    | Skip
    | SweepSurplus
    | RecoverStray
    | BondInstruction
    | GovernanceInstruction
)


def instruction_name(kind: type[ProgramInstruction]) -> str:
    """The name in the program's table: the class name in snake case."""
    return snake_case(kind.__name__)


_CLASSES: Final[Mapping[str, type[ProgramInstruction]]] = {
    instruction_name(kind): kind for kind in get_args(ProgramInstruction)
}
_FIELDS: Final = {
    kind: tuple(field.name for field in fields(kind)) for kind in get_args(ProgramInstruction)
}
_ACCOUNTS: Final = {name: tuple(account for account, _ in SHAPES[name].accounts) for name in SHAPES}
_NAMES: Final = {instruction_discriminator(name): name for name in SHAPES}


def encode_instruction(
    program_id: Pubkey, known: Mapping[str, Pubkey], instruction: ProgramInstruction
) -> Instruction:
    """Write one instruction; `known` are the accounts that follow from the deployment."""
    name = instruction_name(type(instruction))
    shape = SHAPES[name]
    named = {field.name: getattr(instruction, field.name) for field in fields(instruction)}
    data = b"".join(KINDS[kind].write(named[argument]) for argument, kind in shape.arguments)
    keys = {**known, **named}
    accounts = [
        AccountMeta(keys[account], "s" in flags, "w" in flags) for account, flags in shape.accounts
    ]
    return Instruction(program_id, instruction_discriminator(name) + data, accounts)


def decode_instruction(data: bytes, accounts: Sequence[Pubkey]) -> ProgramInstruction:
    """Read one instruction that the program carried out.

    Raises `UnknownInstruction` for an unknown discriminator, a wrong number of bytes or accounts,
    or a role or pause bit without a name. Only `deposit_usdc` may carry extra accounts, as the
    wire's clients may add reference keys.
    """
    name = _NAMES.get(bytes(data[:8]))
    if name is None or len(data) != 8 + SHAPES[name].argument_size:
        raise UnknownInstruction(discriminator=bytes(data[:8]).hex(), length=len(data))
    shape = SHAPES[name]
    extra = len(accounts) - len(shape.accounts)
    if extra < 0 or (extra > 0 and name not in OPEN_ENDED):
        raise UnknownInstruction(instruction=name, accounts=len(accounts))
    reader = Reader(bytes(data))
    found: dict[str, object] = dict(zip(_ACCOUNTS[name], accounts, strict=False))
    try:
        found |= {argument: KINDS[kind].read(reader) for argument, kind in shape.arguments}
    except ValueError as error:
        raise UnknownInstruction(instruction=name, problem=str(error)) from None
    reader.end()
    kind = _CLASSES[name]
    chosen = {field: found[field] for field in _FIELDS[kind]}
    return kind(**cast("dict[str, Any]", chosen))
