"""The books as a model in plain Python: what every operation answers and where accounts stand.

Written from the rules, not from the SQL: a dict of accounts, a dict of holds, a dict of
transactions. The property machine compares it with Postgres after each step.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never
from uuid import UUID

from settlement.ledger.accounts import InvalidAccount, describe
from settlement.ledger.operations import (
    AccountName,
    Capture,
    Charge,
    Code,
    Hold,
    HoldPurpose,
    Operation,
    Outcome,
    Post,
    Transfer,
    Void,
    Writer,
)
from settlement.money import LARGEST_AMOUNT_MICROUSDC, split_gross


class _Refusal(Exception):
    """The operation ends with this code and changes nothing."""

    def __init__(self, code: Code, told: int | None = None, *, balance: bool = False) -> None:
        available, after = (None, told) if balance else (told, None)
        self.outcome = Outcome(code=code, available_microusdc=available, balance_microusdc=after)
        super().__init__(code)


@dataclass
class Account:
    """Turnovers, holds and number of entries."""

    floored: bool
    closed: bool = False
    dr: int = 0
    cr: int = 0
    held: int = 0
    version: int = 0

    @property
    def available(self) -> int:
        return self.cr - self.dr - self.held


@dataclass
class _HoldState:
    placed: Hold
    writer_id: int
    available_placed: int
    open: bool = True
    captured: int = 0
    void: Void | None = None
    available_voided: int = 0

    @property
    def rest(self) -> int:
        """What is still set aside, while it is open."""
        return self.placed.amount_microusdc - self.captured

    def spend(self, account: Account, amount: int) -> None:
        """A lease gives up what is spent; every other hold all that it set aside, and ends."""
        lease = self.placed.purpose is HoldPurpose.LEASE
        account.held -= amount if lease else self.rest
        self.captured += amount
        self.open = lease


@dataclass
class Model:
    """Applies operations like `settlement.apply_v2`, one after the other."""

    accounts: dict[AccountName, Account] = field(default_factory=dict[AccountName, Account])
    holds: dict[UUID, _HoldState] = field(default_factory=dict[UUID, _HoldState])
    posts: dict[UUID, tuple[Post | Capture, int | None]] = field(
        default_factory=dict[UUID, tuple[Post | Capture, int | None]]
    )
    charges: dict[UUID, tuple[Charge, int]] = field(default_factory=dict[UUID, tuple[Charge, int]])

    def apply(self, writer: Writer, operations: Sequence[Operation]) -> list[Outcome]:
        """The outcome of each; a refused operation changes nothing."""
        return [self._apply(writer, operation) for operation in operations]

    def _apply(self, writer: Writer, operation: Operation) -> Outcome:
        before = copy.deepcopy((self.accounts, self.holds, self.posts, self.charges))
        try:
            _representable(operation)
            told = self._do(writer, operation)
        except _Refusal as refusal:
            self.accounts, self.holds, self.posts, self.charges = before
            return refusal.outcome
        if isinstance(operation, Charge):
            return Outcome(code=Code.APPLIED, balance_microusdc=told)
        return Outcome(code=Code.APPLIED, available_microusdc=told)

    def _do(self, writer: Writer, operation: Operation) -> int | None:
        match operation:
            case Hold():
                return self._hold(writer, operation)
            case Charge():
                return self._charge(writer, operation)
            case Void():
                return self._void(writer, operation)
            case Capture():
                return self._capture(writer, operation)
            case Post():
                self._same_before(operation.transaction_id, operation)
                self._claim(operation)
                self._move(operation.transfers)
                self.posts[operation.transaction_id] = operation, None
                return None
            case _:
                assert_never(operation)

    def _hold(self, writer: Writer, hold: Hold) -> int:
        known = self.holds.get(hold.hold_id)
        if known is not None:
            same = known.placed == hold and known.writer_id == writer.writer_id
            raise _replay(same, known.available_placed)
        if hold.purpose is not HoldPurpose.PAYOUT and not hold.account.startswith("user:"):
            raise _Refusal(Code.ACCOUNT_UNKNOWN)
        account = self._open_account(hold.account)
        if account.floored and account.available < hold.amount_microusdc:
            raise _Refusal(Code.INSUFFICIENT, account.available)
        account.held += hold.amount_microusdc
        _fits(account.dr + account.held)
        self.holds[hold.hold_id] = _HoldState(
            placed=hold, writer_id=writer.writer_id, available_placed=account.available
        )
        return account.available

    def _charge(self, writer: Writer, charge: Charge) -> int:
        user, operator = self._parties(charge)
        gross = charge.gross_microusdc
        hold = None if charge.hold_id is None else self._hold_of(charge.hold_id)
        if hold is None:
            self._open_account(charge.user)
            if user.available < gross:
                raise _Refusal(Code.INSUFFICIENT, user.available)
        else:
            self._bears(hold, writer, charge)
        treasury = self.accounts[writer.treasury]
        # Told by the whole gross on purpose: nobody gets near this with money that exists.
        _fits(max(operator.cr, treasury.cr) + gross)
        share = split_gross(gross, charge.split_bps)
        if hold is not None:
            hold.spend(user, gross)
        user.dr += gross
        operator.cr += share.operator_microusdc
        treasury.cr += share.treasury_microusdc
        for account in (user, operator, treasury):
            account.version += 1
        self.charges[charge.request_id] = charge, user.cr - user.dr
        return user.cr - user.dr

    def _parties(self, charge: Charge) -> tuple[Account, Account]:
        """Who pays and who earns, where the name is free and may be taken now."""
        if charge.request_id in self.charges:
            known, balance = self.charges[charge.request_id]
            raise _replay(known == charge, balance, balance=True)
        if charge.request_id.version != 7:
            raise _Refusal(Code.OUTSIDE_WINDOW)
        if charge.request_id in self.posts:
            raise _Refusal(Code.CONFLICT)
        user, operator = self.accounts.get(charge.user), self.accounts.get(charge.operator)
        kinds = charge.user.partition(":")[0], charge.operator.partition(":")[0]
        if user is None or operator is None or kinds != ("user", "host"):
            raise _Refusal(Code.ACCOUNT_UNKNOWN)
        return user, operator

    def _bears(self, hold: _HoldState, writer: Writer, charge: Charge) -> None:
        """Whether this hold is there to pay for this charge."""
        payout = hold.placed.purpose is HoldPurpose.PAYOUT
        if hold.placed.account != charge.user or payout:
            raise _Refusal(Code.CONFLICT)
        _mine_and_open(hold, writer)
        if charge.gross_microusdc > hold.rest:
            raise _Refusal(Code.HOLD_EXCEEDED)

    def _void(self, writer: Writer, void: Void) -> int:
        hold = self._hold_of(void.hold_id)
        lease_ended = hold.placed.purpose is HoldPurpose.LEASE and not hold.open
        if not lease_ended and not _mine(hold, writer):
            raise _Refusal(Code.CONFLICT)
        if hold.void == void:
            raise _replay(True, hold.available_voided)
        if not hold.open:
            raise _Refusal(Code.HOLD_CLOSED)
        account = self.accounts[hold.placed.account]
        account.held -= hold.rest
        hold.open, hold.void, hold.available_voided = False, void, account.available
        return account.available

    def _capture(self, writer: Writer, capture: Capture) -> int:
        self._same_before(capture.post.transaction_id, capture)
        hold = self._hold_of(capture.hold_id)
        _mine_and_open(hold, writer)
        self._claim(capture.post)
        for transfer in capture.post.transfers:
            self._both_open(transfer)
        taken = sum(
            transfer.amount_microusdc
            for transfer in capture.post.transfers
            if transfer.debit == hold.placed.account
        )
        if taken == 0:
            raise _Refusal(Code.CONFLICT)
        if taken > hold.rest:
            raise _Refusal(Code.HOLD_EXCEEDED)
        account = self.accounts[hold.placed.account]
        hold.spend(account, taken)
        self._move(capture.post.transfers)
        self.posts[capture.post.transaction_id] = capture, account.available
        return account.available

    def _move(self, transfers: Sequence[Transfer]) -> None:
        for transfer in transfers:
            self._both_open(transfer)
        for transfer in transfers:
            debit, credit = self.accounts[transfer.debit], self.accounts[transfer.credit]
            _fits(max(debit.dr, credit.cr) + transfer.amount_microusdc)
            debit.dr += transfer.amount_microusdc
            credit.cr += transfer.amount_microusdc
            debit.version += 1
            credit.version += 1
        for transfer in transfers:
            account = self.accounts[transfer.debit]
            if account.floored and account.available < 0:
                raise _Refusal(Code.INSUFFICIENT)
            _fits(account.dr + account.held)

    def _same_before(self, transaction_id: UUID, operation: Post | Capture) -> None:
        if transaction_id in self.posts:
            known, available = self.posts[transaction_id]
            raise _replay(known == operation, available)
        if transaction_id in self.charges:
            raise _Refusal(Code.CONFLICT)

    def _claim(self, post: Post) -> None:
        booked = [_post_of(known) for known, _ in self.posts.values()]
        if post.external_ref in {known.external_ref for known in booked if known.external_ref}:
            raise _Refusal(Code.CONFLICT)
        if post.reverses is None:
            return self._refund(post)
        if post.reverses not in self.posts or post.reverses in {known.reverses for known in booked}:
            raise _Refusal(Code.CONFLICT)
        return self._refund(post)

    def _refund(self, post: Post) -> None:
        """Refunds of a request, all together, stay within what was paid for it."""
        if post.refunds is None:
            return
        for transfer in post.transfers:
            self._both_open(transfer)
        if post.refunds not in self.charges:
            raise _Refusal(Code.REQUEST_UNKNOWN)
        charge, _ = self.charges[post.refunds]
        back = _credited(post, charge.user)
        if back == 0:
            raise _Refusal(Code.CONFLICT)
        before = sum(
            _credited(known, charge.user)
            for known in (_post_of(operation) for operation, _ in self.posts.values())
            if known.refunds == post.refunds
        )
        if before + back > charge.gross_microusdc:
            raise _Refusal(Code.REFUND_EXCEEDED)

    def _hold_of(self, hold_id: UUID) -> _HoldState:
        if hold_id not in self.holds:
            raise _Refusal(Code.HOLD_UNKNOWN)
        return self.holds[hold_id]

    def _both_open(self, transfer: Transfer) -> None:
        if transfer.debit not in self.accounts or transfer.credit not in self.accounts:
            raise _Refusal(Code.ACCOUNT_UNKNOWN)
        self._open_account(transfer.debit)
        self._open_account(transfer.credit)

    def _open_account(self, name: AccountName) -> Account:
        account = self.accounts.get(name)
        if account is None:
            raise _Refusal(Code.ACCOUNT_UNKNOWN)
        if account.closed:
            raise _Refusal(Code.ACCOUNT_CLOSED)
        return account


def account_of(name: AccountName) -> Account:
    """A fresh account with the floor its kind has."""
    try:
        return Account(floored=describe(name).floored)
    except InvalidAccount as error:
        raise AssertionError(name) from error


def _credited(post: Post, account: AccountName) -> int:
    return sum(each.amount_microusdc for each in post.transfers if each.credit == account)


def _mine(hold: _HoldState, writer: Writer) -> bool:
    """Whether this writer may end it: a payout's outcome is seen by whoever sees it."""
    return hold.placed.purpose is HoldPurpose.PAYOUT or hold.writer_id == writer.writer_id


def _mine_and_open(hold: _HoldState, writer: Writer) -> None:
    if not _mine(hold, writer):
        raise _Refusal(Code.CONFLICT)
    if not hold.open:
        raise _Refusal(Code.HOLD_CLOSED)


def _replay(same: bool, told: int | None, *, balance: bool = False) -> _Refusal:
    return _Refusal(Code.REPLAYED, told, balance=balance) if same else _Refusal(Code.CONFLICT)


def _post_of(operation: Post | Capture) -> Post:
    return operation.post if isinstance(operation, Capture) else operation


def _fits(turnover: int) -> None:
    if turnover > LARGEST_AMOUNT_MICROUSDC:
        raise _Refusal(Code.OVERFLOW)


def _representable(operation: Operation) -> None:
    """An amount the database has no number for is an overflow whatever else is wrong."""
    match operation:
        case Hold():
            amounts = [operation.amount_microusdc]
        case Charge():
            amounts = [operation.gross_microusdc]
        case Void():
            amounts = []
        case Post() | Capture():
            amounts = [each.amount_microusdc for each in _post_of(operation).transfers]
        case _:
            assert_never(operation)
    for amount in amounts:
        _fits(amount)
