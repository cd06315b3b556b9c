"""Faults to put into a valid call, many at once: each knows the error it is told by.

A fault changes the world before the call, or the call itself, or the bytes of its data.
"""

from collections.abc import Callable
from dataclasses import dataclass

from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain.abi import SHAPES
from settlement.chain.program import SYSTEM_PROGRAM
from tests.program.case import Case
from tests.program.world import with_account, with_data

STATE_AT, SEIZURE_AT, PROPOSALS_AT, RETIRING_AT = 10, 11, 12, 136
TOKEN_STATE_AT = 108


@dataclass(kw_only=True)
class Call:
    """A valid call being spoiled, and who may sign it in the end."""

    name: str
    case: Case
    instruction: Instruction
    imposter: Keypair

    def place(self, account: str) -> int:
        return [each for each, _ in SHAPES[self.name].accounts].index(account)

    def key(self, account: str) -> Pubkey:
        """The account that stands there in the valid call."""
        return self.case.instruction.accounts[self.place(account)].pubkey

    def change(self, account: str, **changes: object) -> None:
        self.instruction = with_account(self.instruction, self.place(account), **changes)


@dataclass(frozen=True)
class Fault:
    """What is told, and how the call comes to deserve it."""

    error: str
    spoil: Callable[[Call], None]


def one_byte_more() -> Fault:
    def spoil(call: Call) -> None:
        data = bytes(call.instruction.data) + b"\0"
        call.instruction = with_data(call.instruction, data)

    return Fault("InvalidInstruction", spoil)


def bytes_at(error: str, at: int, value: bytes) -> Fault:
    """These bytes of the data are others."""

    def spoil(call: Call) -> None:
        data = bytes(call.instruction.data)
        data = data[:at] + value + data[at + len(value) :]
        call.instruction = with_data(call.instruction, data)

    return Fault(error, spoil)


def one_account_more() -> Fault:
    def spoil(call: Call) -> None:
        extra = AccountMeta(Pubkey.new_unique(), is_signer=False, is_writable=False)
        accounts = [*call.instruction.accounts, extra]
        call.instruction = Instruction(call.instruction.program_id, call.instruction.data, accounts)

    return Fault("WrongAccountCount", spoil)


def one_account_fewer() -> Fault:
    def spoil(call: Call) -> None:
        accounts = list(call.instruction.accounts)[:-1]
        call.instruction = Instruction(call.instruction.program_id, call.instruction.data, accounts)

    return Fault("WrongAccountCount", spoil)


def stranger(error: str, account: str) -> Fault:
    """Somebody else stands in this place."""
    return Fault(error, lambda call: call.change(account, pubkey=Pubkey.new_unique()))


def imposter(account: str) -> Fault:
    """Somebody else signs in this place."""
    return Fault("Unauthorized", lambda call: call.change(account, pubkey=call.imposter.pubkey()))


def unsigned(account: str) -> Fault:
    return Fault("MissingSignature", lambda call: call.change(account, is_signer=False))


def readonly(*accounts: str) -> Fault:
    def spoil(call: Call) -> None:
        for account in accounts:
            call.change(account, is_writable=False)

    return Fault("NotWritable", spoil)


def doubled(account: str, other: str) -> Fault:
    """What stands in the other place stands here too."""

    def spoil(call: Call) -> None:
        key = call.instruction.accounts[call.place(other)].pubkey
        call.change(account, pubkey=key)

    return Fault("DuplicateAccount", spoil)


def no_token_account(account: str) -> Fault:
    """The account itself is spoiled: no token program owns it any more."""

    def spoil(call: Call) -> None:
        key = call.key(account)
        real = call.case.world.svm.get_account(key)
        assert real is not None
        call.case.world.set_account(key, real.data, SYSTEM_PROGRAM)

    return Fault("WrongTokenAccount", spoil)


def frozen(account: str) -> Fault:
    def spoil(call: Call) -> None:
        call.case.world.patch(call.key(account), TOKEN_STATE_AT, b"\x02")

    return Fault("FrozenTokenAccount", spoil)


def balance(error: str, account: str, amount: int) -> Fault:
    """The token account holds only this much."""
    return Fault(error, lambda call: call.case.world.set_balance(call.key(account), amount))


def paused(bit: str) -> Fault:
    def spoil(call: Call) -> None:
        call.case.world.pause(bit, 2**62)

    return Fault("Paused", spoil)


def patched(error: str, account: str, at: int, value: bytes) -> Fault:
    """The state of one of our accounts is another."""
    return Fault(error, lambda call: call.case.world.patch(call.key(account), at, value))


def at_time(error: str, seconds: int) -> Fault:
    """The clock stands so much later (or earlier) than the call would like."""
    return Fault(error, lambda call: call.case.world.advance(seconds))


def skipped(sequence: int) -> Fault:
    return Fault("AlreadySkipped", lambda call: call.case.world.skip(first=sequence))


def capped() -> Fault:
    return Fault("CapExceeded", lambda call: call.case.world.set_caps(single=0))
