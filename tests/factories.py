"""Makes valid things by default; a test names only what it is about."""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from typing import Final
from uuid import UUID, uuid4

from solders.keypair import Keypair

from settlement.chain.movement import ChainMoment, MovementKey, Vault
from settlement.clock import SystemClock, new_id
from settlement.ledger import accounts
from settlement.ledger.operations import (
    AccountName,
    Capture,
    Charge,
    Hold,
    HoldPurpose,
    Post,
    TransactionKind,
    Transfer,
)
from settlement.money import TREASURY_SPLIT_BPS, MicroUsdc, Slot

NOW = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
TILL = accounts.chain_vault(Vault.TILL)
LEASE_END = datetime(2126, 1, 1, tzinfo=UTC)
_numbers = count(1)


@dataclass(kw_only=True)
class FixedClock:
    """A clock that stands still until it is set."""

    moment: datetime = NOW

    def now(self) -> datetime:
        """Wall time, as the test wants it."""
        return self.moment


def wallet() -> str:
    """The base58 address of a key somebody could sign with."""
    return str(Keypair().pubkey())


def signature() -> str:
    """A text like a transaction's signature, never the same twice."""
    return f"sig{next(_numbers)}x{uuid4().hex}"


def movement(cluster: str = "localnet", *, outer: int = 0, inner: int = -1) -> MovementKey:
    """The name of a movement nobody has seen before."""
    return MovementKey(cluster=cluster, signature=signature(), outer=outer, inner=inner)


def moment(slot: int = 100, block_time: datetime = NOW) -> ChainMoment:
    """Where a finalized transaction stands."""
    return ChainMoment(slot=Slot(slot), block_time=block_time)


def bond_address(name: str = "") -> str:
    """An address like a bond account's: off no curve in particular, base58."""
    seed = sha256((name or uuid4().hex).encode()).digest()
    return str(Keypair.from_seed(seed).pubkey())


def transfer(debit: AccountName, credit: AccountName, amount: int) -> Transfer:
    """An amount from one account to another."""
    return Transfer(debit=debit, credit=credit, amount_microusdc=MicroUsdc(amount))


def post(
    *transfers: Transfer,
    transaction_id: UUID | None = None,
    external_ref: str | None = None,
    reverses: UUID | None = None,
    slot: int | None = None,
    kind: TransactionKind = TransactionKind.ADJUSTMENT,
) -> Post:
    """A business event of these transfers."""
    return Post(
        transaction_id=transaction_id or uuid4(),
        kind=kind,
        transfers=transfers,
        event_at=NOW,
        effective_on=NOW.date(),
        actor="test",
        slot=None if slot is None else Slot(slot),
        external_ref=external_ref,
        reverses=reverses,
    )


def deposit(credit: AccountName, amount: int = 25_000_000, *, slot: int = 100) -> Post:
    """Money that came into the till for an account."""
    return post(transfer(TILL, credit, amount), kind=TransactionKind.DEPOSIT_CREDITED, slot=slot)


def hold(
    account: AccountName,
    amount: int,
    *,
    hold_id: UUID | None = None,
    purpose: HoldPurpose = HoldPurpose.REQUEST,
) -> Hold:
    """Money of an account, set aside. Its id may also name the request that it is for."""
    return Hold(
        hold_id=hold_id or request_id(),
        account=account,
        amount_microusdc=MicroUsdc(amount),
        purpose=purpose,
        expires_at=LEASE_END if purpose is HoldPurpose.LEASE else None,
    )


def request_id() -> UUID:
    """A name for a request of this moment."""
    return new_id(SystemClock())


OWN: Final = UUID(int=1)


def charge(
    request_id: UUID,
    user: AccountName,
    operator: AccountName,
    gross: int,
    split_bps: int = TREASURY_SPLIT_BPS,
    *,
    hold_id: UUID | None = OWN,
) -> Charge:
    """One paid request; if nothing else is said, from the hold of its own name."""
    return Charge(
        request_id=request_id,
        hold_id=request_id if hold_id == OWN else hold_id,
        user=user,
        operator=operator,
        gross_microusdc=MicroUsdc(gross),
        split_bps=split_bps,
    )


def payment(hold_id: UUID, account: AccountName, amount: int) -> Capture:
    """A withdrawal that was paid out of the till."""
    paid = post(transfer(account, TILL, amount), kind=TransactionKind.WITHDRAWAL_PAID, slot=200)
    return Capture(hold_id=hold_id, post=paid)
