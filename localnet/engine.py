"""LiteSVM as the executor: one transaction in, what it did out. Knows no slots and no commitment.

Blockhashes and duplicates are checked by the cluster, so LiteSVM's own checks of both are off;
signatures are checked here. Everything a node reports about a transaction and LiteSVM does not
(balances before and after, loaded addresses) is read around the execution.

LiteSVM executes version 1 but does not read its config: the priority fee in it is taken here, from
the payer and before execution, as a node does. The limits in it (compute units, account data, heap)
are not held; those of compute budget instructions are, which a node ignores in version 1.
"""

from dataclasses import dataclass, replace
from typing import Final

import msgspec
from solders.account import Account
from solders.clock import Clock
from solders.hash import Hash
from solders.litesvm import LiteSVM
from solders.message import MessageV0, MessageV1
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import (
    FailedTransactionMetadata,
    SimulatedTransactionInfo,
    TransactionMetadata,
)

from localnet.records import StoredAccount, load

LOADER: Final = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
_NOTHING: Final = Account(0, b"", Pubkey.default())
_LOOKUP_TABLE_HEAD: Final = 56
_ACCOUNT_BYTES: Final = 64


class InvalidTransaction(Exception):
    """The bytes are a transaction, but one that no bank would look at."""


@dataclass(frozen=True, kw_only=True)
class Inner:
    """One instruction that a program called: indices into the account keys, and the raw data."""

    program_index: int
    accounts: bytes
    data: bytes
    stack_height: int | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What execution reported. `err` is a node's JSON of the error, or None."""

    err: object
    logs: list[str]
    inner: list[list[Inner]]
    units: int
    return_program: str
    return_data: bytes
    fee: int
    has_executed: bool


class Engine:
    """One LiteSVM and the state it holds: always the newest."""

    def __init__(self) -> None:
        """The standard programs and nothing else."""
        svm = LiteSVM().with_blockhash_check(False).with_transaction_history(0)
        self._svm = svm.with_sigverify(True)

    def account(self, address: Pubkey) -> Account | None:
        """The newest state of an account."""
        return self._svm.get_account(address)

    def put(self, address: Pubkey, account: Account | None) -> None:
        """Overwrite an account; None removes it."""
        self._svm.set_account(address, account or _NOTHING)

    def restore(self, accounts: dict[Pubkey, Account | None]) -> None:
        """Overwrite many accounts: programs last, they are loaded from their data accounts."""
        programs: list[tuple[Pubkey, Account]] = []
        for address, account in accounts.items():
            if account is not None and account.executable:
                programs.append((address, account))
            elif account is not None or self.account(address) is not None:
                self.put(address, account)
        for address, account in programs:
            self.put(address, account)

    def loaded_bytes(self, keys: list[Pubkey]) -> int:
        """How much account data a transaction loads: 64 bytes per account, programs with code."""
        size = 0
        for account in map(self.account, keys):
            if account is None:
                continue
            size += _ACCOUNT_BYTES + len(account.data)
            if account.executable and account.owner == LOADER:
                code = self.account(Pubkey.from_bytes(bytes(account.data)[4:36]))
                size += _ACCOUNT_BYTES + len(code.data) if code else 0
        return size

    def set_time(self, clock: Clock, slot_hashes: list[tuple[int, bytes]]) -> None:
        """Set the Clock and SlotHashes sysvars."""
        self._svm.set_clock(clock)
        self._svm.set_slot_hashes([(slot, Hash.from_bytes(raw)) for slot, raw in slot_hashes])

    def rent_exempt_minimum(self, data_bytes: int) -> int:
        """Lamports an account of this size must hold."""
        return self._svm.minimum_balance_for_rent_exemption(data_bytes)

    def execute(self, transaction: VersionedTransaction) -> Outcome:
        """Run and keep the effects; a transaction that fails while running pays its fee."""
        payer, priority_fee = transaction.message.account_keys[0], _priority_fee(transaction)
        funds = self.account(payer)
        if priority_fee:
            self.put(payer, _without(funds, priority_fee))
        outcome = _outcome(self._svm.send_transaction(transaction))
        if priority_fee and not outcome.has_executed:
            self.put(payer, funds)
        return _with_fee(outcome, priority_fee)

    def simulate(
        self,
        transaction: VersionedTransaction,
        overlay: dict[Pubkey, Account | None],
        *,
        verify_signatures: bool,
    ) -> tuple[Outcome, dict[Pubkey, Account]]:
        """Run on top of `overlay` and keep nothing; also the accounts it would have written."""
        payer, priority_fee = transaction.message.account_keys[0], _priority_fee(transaction)
        if priority_fee:
            funds = overlay[payer] if payer in overlay else self.account(payer)
            overlay = overlay | {payer: _without(funds, priority_fee)}
        newest = {address: self.account(address) for address in overlay}
        try:
            for address, account in overlay.items():
                self.put(address, account)
            self._svm.with_sigverify(verify_signatures)
            result = self._svm.simulate_transaction(transaction)
        finally:
            self._svm.with_sigverify(True)
            for address, account in newest.items():
                self.put(address, account)
        outcome = _outcome(result)
        after = dict(result.post_accounts()) if isinstance(result, SimulatedTransactionInfo) else {}
        return _with_fee(outcome, priority_fee), after

    def program_accounts(
        self, program_id: Pubkey, code: bytes, upgrade_authority: Pubkey
    ) -> list[tuple[Pubkey, Account]]:
        """The two accounts of an upgradeable program with this code, data account first."""
        self._svm.add_program(program_id, code)
        program = self._svm.get_account(program_id)
        assert program is not None
        data_address = Pubkey.from_bytes(bytes(program.data)[4:36])
        data_account = self._svm.get_account(data_address)
        assert data_account is not None
        # LiteSVM leaves the upgrade authority out: an option tag at 12 and the key after it.
        raw = bytearray(data_account.data)
        raw[12] = 1
        raw[13:45] = bytes(upgrade_authority)
        patched = Account(data_account.lamports, bytes(raw), LOADER)
        self._svm.set_account(data_address, patched)
        return [(data_address, patched), (program_id, program)]


def load_all(writes: list[tuple[bytes, StoredAccount | None]]) -> dict[Pubkey, Account | None]:
    """Stored accounts by address."""
    return {Pubkey.from_bytes(address): load(stored) for address, stored in writes}


def decode_transaction(wire: bytes) -> VersionedTransaction:
    """Read and sanitize a transaction; raises `ValueError` or `InvalidTransaction`."""
    try:
        transaction = VersionedTransaction.from_bytes(wire)
    except (KeyboardInterrupt, SystemExit, ValueError):
        raise
    except BaseException as panic:  # the binding panics on some malformed input
        raise ValueError(str(panic)) from None
    try:
        transaction.sanitize()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise InvalidTransaction(str(error)) from None
    return transaction


def loaded_addresses(
    transaction: VersionedTransaction, table_at: dict[Pubkey, Account | None]
) -> tuple[list[Pubkey], list[Pubkey]]:
    """What a v0 message loads from tables: writable, then read-only addresses, in table order."""
    message = transaction.message
    if not isinstance(message, MessageV0):
        return [], []
    writable: list[Pubkey] = []
    readonly: list[Pubkey] = []
    for lookup in message.address_table_lookups:
        table = table_at.get(lookup.account_key)
        addresses = bytes(table.data)[_LOOKUP_TABLE_HEAD:] if table else b""
        for indexes, into in (
            (lookup.writable_indexes, writable),
            (lookup.readonly_indexes, readonly),
        ):
            for index in bytes(indexes):
                raw = addresses[32 * index : 32 * index + 32]
                if len(raw) < 32:
                    raise InvalidTransaction("Address lookup table index is out of bounds")
                into.append(Pubkey.from_bytes(raw))
    return writable, readonly


def lookup_tables(transaction: VersionedTransaction) -> list[Pubkey]:
    """The tables that a v0 message refers to."""
    message = transaction.message
    if not isinstance(message, MessageV0):
        return []
    return [lookup.account_key for lookup in message.address_table_lookups]


def _priority_fee(transaction: VersionedTransaction) -> int:
    """The lamports that the config of version 1 offers on top of the signatures' price."""
    message = transaction.message
    return (message.config.priority_fee or 0) if isinstance(message, MessageV1) else 0


def _without(funds: Account | None, lamports: int) -> Account | None:
    """The payer after a fee; who has not enough keeps too little for the rest of it."""
    if funds is None:
        return None
    left = max(funds.lamports - lamports, 1)
    return Account(left, funds.data, funds.owner, funds.executable, funds.rent_epoch)


def _with_fee(outcome: Outcome, priority_fee: int) -> Outcome:
    """What was not even begun costs nothing."""
    return replace(outcome, fee=outcome.fee + priority_fee) if outcome.has_executed else outcome


_Result = TransactionMetadata | FailedTransactionMetadata | SimulatedTransactionInfo


def _outcome(result: _Result) -> Outcome:
    meta = result if isinstance(result, TransactionMetadata) else result.meta()
    failure = result if isinstance(result, FailedTransactionMetadata) else None
    raw = msgspec.json.decode(failure.to_json())["err"] if failure else None
    returned = meta.return_data()
    has_executed = any(bytes(meta.signature())) or failure is None
    return Outcome(
        err=raw,
        logs=meta.logs(),
        inner=[
            [
                Inner(
                    program_index=inner.instruction().program_id_index,
                    accounts=bytes(inner.instruction().accounts),
                    data=bytes(inner.instruction().data),
                    stack_height=inner.stack_height(),
                )
                for inner in group
            ]
            for group in meta.inner_instructions()
        ],
        units=meta.compute_units_consumed(),
        return_program=str(returned.program_id),
        return_data=bytes(returned.data),
        fee=meta.fee() if has_executed else 0,
        has_executed=has_executed,
    )
