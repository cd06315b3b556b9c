"""What can happen on chain that concerns the books: one frozen class each. Pure.

`attribution` makes them, `apply` books them; both are total over `Event`. Every event is named by
the key of the movement it explains, or of the instruction it was, so it is the same event however
often it is read. When it happened stands beside it, in the transaction.
"""

from dataclasses import dataclass
from enum import StrEnum

from solders.pubkey import Pubkey

from settlement.bonds.rules import SeizureStep
from settlement.chain import program
from settlement.chain.movement import MovementKey, Vault
from settlement.money import Lamports, MicroUsdc


@dataclass(frozen=True, kw_only=True)
class Deposit:
    """Money arrived in a vault. Without a code nobody has been named: it is held in suspense."""

    key: MovementKey
    vault: Vault
    amount_microusdc: MicroUsdc
    code: bytes | None
    source: Pubkey | None  # the paying token account; None: minted straight into the vault


@dataclass(frozen=True, kw_only=True)
class BondPosted:
    """A bond was opened with the depositor's own money."""

    key: MovementKey
    address: Pubkey
    code: bytes
    beneficiary: Pubkey
    amount_microusdc: MicroUsdc
    funder: Pubkey


@dataclass(frozen=True, kw_only=True)
class BondFunded:
    """A bond was opened with money of the till, under a payout number."""

    key: MovementKey
    sequence: int
    address: Pubkey
    code: bytes
    beneficiary: Pubkey
    amount_microusdc: MicroUsdc
    funder: Pubkey


@dataclass(frozen=True, kw_only=True)
class BondRetired:
    """A bond's cooldown started; when it ends stands in the bond's account."""

    key: MovementKey
    address: Pubkey
    code: bytes


@dataclass(frozen=True, kw_only=True)
class BondReleased:
    """A bond went back."""

    key: MovementKey
    address: Pubkey
    code: bytes
    beneficiary: Pubkey
    destination: Pubkey
    amount_microusdc: MicroUsdc


@dataclass(frozen=True, kw_only=True)
class BondRetireCancelled:
    """A bond's cooldown was stopped."""

    key: MovementKey
    address: Pubkey
    code: bytes
    beneficiary: Pubkey


@dataclass(frozen=True, kw_only=True)
class BondHandedOver:
    """A bond has another beneficiary."""

    key: MovementKey
    address: Pubkey
    code: bytes
    beneficiary: Pubkey  # until now
    new_beneficiary: Pubkey


@dataclass(frozen=True, kw_only=True)
class SeizureStepped:
    """A seizure was proposed, contested, decided or dropped; nothing moved."""

    key: MovementKey
    step: SeizureStep
    address: Pubkey
    code: bytes
    signer: Pubkey | None = None  # None: nobody needs to sign
    evidence_hash: bytes | None = None  # of a proposal
    reason: int | None = None  # of a proposal
    reply_hash: bytes | None = None  # of a contest


@dataclass(frozen=True, kw_only=True)
class BondSeized:
    """A bond went to the till."""

    key: MovementKey
    address: Pubkey
    code: bytes
    amount_microusdc: MicroUsdc


@dataclass(frozen=True, kw_only=True)
class SurplusSwept:
    """What the bond vault held beyond the bonds went to the till."""

    key: MovementKey
    amount_microusdc: MicroUsdc


@dataclass(frozen=True, kw_only=True)
class StrayRecovered:
    """Money that lay in another token account of ours came into the till."""

    key: MovementKey
    amount_microusdc: MicroUsdc
    stray: Pubkey
    authority: Pubkey
    admin: Pubkey


@dataclass(frozen=True, kw_only=True)
class Paid:
    """A numbered payment left the till."""

    key: MovementKey
    sequence: int
    amount_microusdc: MicroUsdc
    destination: Pubkey
    reference: bytes
    code: bytes


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """Payout numbers were burned: none of them was paid or ever will be."""

    key: MovementKey
    sequences: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Outflow:
    """Money left a vault and no instruction we know explains it."""

    key: MovementKey
    vault: Vault
    amount_microusdc: MicroUsdc
    destination: Pubkey | None  # None: burned


@dataclass(frozen=True, kw_only=True)
class Quarantined:
    """A vault changed by this much and we cannot say why, or the amount is beyond the books.

    By 0: its balance denies what instructions say they moved, and there is nothing to book.
    """

    key: MovementKey
    vault: Vault
    delta_microusdc: int  # may be beyond the books: above 2^63 - 1 either way


@dataclass(frozen=True, kw_only=True)
class Governed:
    """The owners set or changed something, or anybody let it take effect. Nothing to book."""

    key: MovementKey
    what: str  # the instruction's name
    signer: Pubkey | None  # None: nobody needs to sign
    given: program.GovernanceInstruction | program.ApprovePay | program.RecoverStray


class LamportsPurpose(StrEnum):
    """What lamports of a fee payer moved for; each has a posting of its own."""

    FEE = "fee"
    RENT = "rent"
    RENT_RETURNED = "rent_returned"
    FUNDED = "funded"
    DRAWN = "drawn"


@dataclass(frozen=True, kw_only=True)
class LamportsMoved:
    """One purpose's share of what a transaction did to a fee payer's SOL."""

    key: MovementKey
    payer: Pubkey
    purpose: LamportsPurpose
    amount_lamports: Lamports
    priority_lamports: Lamports  # of a fee; else 0


@dataclass(frozen=True, kw_only=True)
class Unrecognized:
    """Our program did something this version does not know. Its movements are booked anyway."""

    key: MovementKey
    problem: str


Event = (
    Deposit
    | BondPosted
    | BondFunded
    | BondRetired
    | BondReleased
    | BondRetireCancelled
    | BondHandedOver
    | SeizureStepped
    | BondSeized
    | SurplusSwept
    | StrayRecovered
    | Paid
    | Skipped
    | Outflow
    | Quarantined
    | Governed
    | LamportsMoved
    | Unrecognized
)
