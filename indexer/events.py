"""What can happen on chain that concerns the books: one frozen class each. Pure.

`attribution` makes them, `apply` books them; both are total over `Event`. Every event is named by
the key of the movement it explains, or of the instruction it was, so it is the same event however
often it is read. When it happened stands beside it, in the transaction.
"""

from dataclasses import dataclass

from solders.pubkey import Pubkey

from settlement.chain.movement import MovementKey, Vault
from settlement.money import MicroUsdc


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
    """A vault changed by this much and we cannot say why, or the amount is beyond the books."""

    key: MovementKey
    vault: Vault
    delta_microusdc: int  # beyond the books: above 2^63 - 1 either way


@dataclass(frozen=True, kw_only=True)
class Initialized:
    """The deployment was set up. Nothing to book."""

    key: MovementKey


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
    | Paid
    | Skipped
    | Outflow
    | Quarantined
    | Initialized
    | Unrecognized
)
