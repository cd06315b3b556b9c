"""Accounts at every commitment: the finalized state, and the versions of the slots above it.

There is one fork at a time, so "the state of a bank" is, per account, the newest version not above
the bank's slot. Versions at or below the finalized slot are folded into the base; those above it
can be undone.
"""

from collections.abc import Callable, Iterator

from solders.account import Account
from solders.pubkey import Pubkey

Version = tuple[int, Account | None]


class AccountVersions:
    """Every account that any transaction wrote, plus a way to read the ones nobody did."""

    def __init__(self, untouched: Callable[[Pubkey], Account | None]) -> None:
        """`untouched` reads an account that was never written: the engine's own programs."""
        self._untouched = untouched
        self._base: dict[Pubkey, Version] = {}
        self._newer: dict[Pubkey, list[Version]] = {}

    def put(
        self, slot: int, address: Pubkey, account: Account | None, before: Account | None = None
    ) -> None:
        """The account as of this slot; slots never go down but by `undo`.

        `before` is what was there: kept if nobody wrote it, as the engine's own programs.
        """
        if before is not None and address not in self._base and address not in self._newer:
            self._base[address] = (0, before)
        versions = self._newer.setdefault(address, [])
        assert not versions or versions[-1][0] <= slot
        if versions and versions[-1][0] == slot:
            versions[-1] = (slot, account)
        else:
            versions.append((slot, account))

    def at(self, address: Pubkey, slot: int) -> Account | None:
        """The account in the bank of this slot, which is not below the finalized one."""
        newer = self._newer.get(address)
        for version_slot, account in reversed(newer or ()):
            if version_slot <= slot:
                return account
        if address in self._base:
            return self._base[address][1]
        # An address with versions but no base did not exist before the first of them.
        return None if newer else self._untouched(address)

    def changed_between(self, address: Pubkey, after: int, up_to: int) -> bool:
        """Whether a version has a slot in (after, up_to]."""
        versions = self._newer.get(address, ())
        return any(after < slot <= up_to for slot, _ in versions)

    def owned_by(self, owner: Pubkey, slot: int) -> Iterator[tuple[Pubkey, Account]]:
        """All written accounts of a program in the bank of this slot, by address."""
        for address in sorted(self._base.keys() | self._newer.keys(), key=bytes):
            account = self.at(address, slot)
            if account is not None and account.owner == owner:
                yield address, account

    def newer_than(self, address: Pubkey, slot: int) -> bool:
        """Whether the account was written after the bank of this slot."""
        newer = self._newer.get(address)
        return bool(newer) and newer[-1][0] > slot

    def finalize(self, slot: int) -> None:
        """Fold everything at or below this slot into the base."""
        for address in list(self._newer):
            versions = self._newer[address]
            settled = [version for version in versions if version[0] <= slot]
            if not settled:
                continue
            self._base[address] = settled[-1]
            if len(settled) == len(versions):
                del self._newer[address]
            else:
                self._newer[address] = versions[len(settled) :]

    def undo(self, slot: int) -> dict[Pubkey, Account | None]:
        """Forget every version above this slot, not below the finalized one; what is there now."""
        undone: dict[Pubkey, Account | None] = {}
        for address in list(self._newer):
            versions = self._newer[address]
            if versions[-1][0] <= slot:
                continue
            kept = [version for version in versions if version[0] <= slot]
            if kept:
                self._newer[address] = kept
            else:
                del self._newer[address]
            base = self._base.get(address, (0, None))
            undone[address] = (kept or [base])[-1][1]
        return undone

    def all_versions(self) -> Iterator[tuple[Pubkey, list[Version]]]:
        """Everything, oldest version first; `put` in this order gives the same state."""
        for address in self._base.keys() | self._newer.keys():
            base = [self._base[address]] if address in self._base else []
            yield address, base + self._newer.get(address, [])
