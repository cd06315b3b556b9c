"""Builds `getTransaction` answers by hand: valid by default, a test names only what it breaks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import base58
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from indexer.decode import Watch
from settlement.chain import program
from settlement.chain.program import TOKEN_PROGRAM, Deployment
from settlement.money import MicroUsdc

Json = dict[str, Any]
Balance = tuple[Pubkey, Pubkey, int | None, int | None]  # account, mint, before, after


def key(name: str) -> Pubkey:
    """A stable address with a name."""
    return Pubkey(name.encode().ljust(32, b"\0")[:32])


DEPLOYMENT: Final = Deployment(key("program"), key("mint"))
WATCH: Final = Watch(cluster="test", deployment=DEPLOYMENT)
TILL: Final = DEPLOYMENT.till_vault
BOND: Final = DEPLOYMENT.bond_vault
ALICE: Final = key("alice")
ALICE_ATA: Final = program.associated_token_address(ALICE, DEPLOYMENT.mint)
SIGNATURE: Final = base58.b58encode(bytes([7]) * 64).decode()
START: Final = 10**15  # what a vault held before
BLOCK_TIME: Final = 1_790_000_000


def signature(number: int) -> str:
    """A signature of 64 bytes, different for each number."""
    return base58.b58encode(number.to_bytes(8, "big") + bytes([9]) * 56).decode()


@dataclass
class Call:
    """One instruction and what it called, in order."""

    program: Pubkey
    accounts: Sequence[Pubkey]
    data: bytes
    calls: "Sequence[Call]" = ()


def call(instruction: Instruction, *calls: Call) -> Call:
    """A built instruction as an executed one."""
    accounts = [meta.pubkey for meta in instruction.accounts]
    return Call(instruction.program_id, accounts, bytes(instruction.data), calls)


def transfer(
    source: Pubkey,
    destination: Pubkey,
    amount: int,
    *,
    checked: bool = False,
    by: Pubkey = TOKEN_PROGRAM,
    extra: Sequence[Pubkey] = (),
) -> Call:
    """A token transfer, as wallets (`checked`) or older programs write it."""
    if checked:
        accounts = [source, DEPLOYMENT.mint, destination, ALICE, *extra]
        return Call(by, accounts, bytes([12]) + amount.to_bytes(8, "little") + bytes([6]))
    accounts = [source, destination, ALICE, *extra]
    return Call(by, accounts, bytes([3]) + amount.to_bytes(8, "little"))


def batch(*parts: Call, trailing: Sequence[Pubkey] = ()) -> Call:
    """A token Batch instruction."""
    data, accounts = bytes([255]), list[Pubkey]()
    for part in parts:
        data += bytes([len(part.accounts), len(part.data)]) + part.data
        accounts += part.accounts
    return Call(TOKEN_PROGRAM, [*accounts, *trailing], data)


def memo(text: str | bytes, by: str = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr") -> Call:
    """A memo."""
    data = text.encode() if isinstance(text, str) else text
    return Call(Pubkey.from_string(by), [ALICE], data)


def checked(source: Pubkey, destination: Pubkey, amount: int) -> Call:
    """The transfer our program makes."""
    return transfer(source, destination, amount, checked=True)


def deposit(code: bytes, amount: int, *, depositor: Pubkey = ALICE) -> Call:
    """`deposit_usdc` with its inner transfer."""
    built = program.deposit_usdc(
        DEPLOYMENT, depositor=depositor, code=code, amount_microusdc=MicroUsdc(amount)
    )
    source = program.associated_token_address(depositor, DEPLOYMENT.mint)
    return call(built, checked(source, TILL, amount))


@dataclass
class Answer:
    """A `getTransaction` answer in the making; `balances` is what changed in token accounts."""

    calls: Sequence[Call]
    balances: Sequence[Balance]
    signature: str = SIGNATURE
    slot: int = 100
    version: object = 0
    failed: bool = False
    loaded_writable: Sequence[Pubkey] = ()
    keys: list[Pubkey] = field(default_factory=lambda: [ALICE])

    def json(self) -> Json:
        """The answer."""
        instructions, inner = list[Json](), list[Json]()
        for outer, one in enumerate(self.calls):
            instructions.append(self._compiled(one, None))
            below = self._below(one, 2)
            if below:
                inner.append({"index": outer, "instructions": below})
        for account, *_ in self.balances:
            self._index(account)
        before, after = self._token_balances(2), self._token_balances(3)
        static = [one for one in self.keys if one not in self.loaded_writable]
        assert self.keys == [*static, *self.loaded_writable] or not self.loaded_writable
        error: object = {"InstructionError": [0, {"Custom": 1}]} if self.failed else None
        lookup: Json = {
            "accountKey": str(key("table")),
            "writableIndexes": list(range(len(self.loaded_writable))),
            "readonlyIndexes": [],
        }
        message: Json = {
            "header": {},
            "accountKeys": [str(one) for one in static],
            "instructions": instructions,
        }
        if self.version == 0:
            message["addressTableLookups"] = [lookup]
        return {
            "slot": self.slot,
            "blockTime": BLOCK_TIME + self.slot,
            "version": self.version,
            "transaction": {"signatures": [self.signature], "message": message},
            "meta": {
                "err": error,
                "status": {"Err": error} if self.failed else {"Ok": None},
                "fee": 5_000,
                "innerInstructions": inner,
                "preTokenBalances": before,
                "postTokenBalances": after,
                "logMessages": [],
                "loadedAddresses": {
                    "writable": [str(one) for one in self.loaded_writable],
                    "readonly": [],
                },
            },
        }

    def _index(self, account: Pubkey) -> int:
        if account not in self.keys:
            self.keys.append(account)
        return self.keys.index(account)

    def _compiled(self, one: Call, height: int | None) -> Json:
        return {
            "programIdIndex": self._index(one.program),
            "accounts": [self._index(account) for account in one.accounts],
            "data": base58.b58encode(one.data).decode(),
            "stackHeight": height,
        }

    def _below(self, one: Call, height: int) -> list[Json]:
        found: list[Json] = []
        for child in one.calls:
            found += [self._compiled(child, height), *self._below(child, height + 1)]
        return found

    def _token_balances(self, position: int) -> list[Json]:
        return [
            {
                "accountIndex": self._index(entry[0]),
                "mint": str(entry[1]),
                "owner": str(ALICE),
                "programId": str(TOKEN_PROGRAM),
                "uiTokenAmount": {"amount": str(entry[position]), "decimals": 6, "uiAmount": None},
            }
            for entry in self.balances
            if entry[position] is not None
        ]


def _names(one: Call, account: Pubkey) -> bool:
    return account in one.accounts or any(_names(child, account) for child in one.calls)


def answer(
    *calls: Call,
    till: int = 0,
    bond: int = 0,
    balances: Sequence[Balance] = (),
    version: object = 0,
    failed: bool = False,
    slot: int = 100,
    signature: str = SIGNATURE,
) -> Answer:
    """An answer whose vaults changed by these amounts, from a large start.

    A vault that did not change and is not named by an instruction is not in the transaction.
    """
    vaults = [
        (vault, DEPLOYMENT.mint, START, START + change)
        for vault, change in ((TILL, till), (BOND, bond))
        if change or any(_names(one, vault) for one in calls)
    ]
    return Answer(
        calls=calls,
        balances=[*vaults, *balances],
        version=version,
        failed=failed,
        slot=slot,
        signature=signature,
    )
