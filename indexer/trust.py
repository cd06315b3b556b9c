"""Up to which slot each vault may be credited: what reconcile does not vouch for has to wait. Pure.

A signature above its vault's ceiling is held, not lost: it stays wanted, and the frontier below it.
What has to come after it waits with it, by the addresses they share. The address that orders the
whole program is not one of them: a stop of one vault must not stop the deposits into the other. In
exchange, what touches no vault at all (a bond retired, a number skipped) waits as long as any vault
does, because what it is about may be among what is held.
"""

from collections.abc import Iterable

from indexer.store import OpenSignature


class Ceilings:
    """The ceilings of this moment; without any, everything may be booked."""

    def __init__(self, vaults: Iterable[str] = (), orders: Iterable[str] = ()) -> None:
        self._vaults = frozenset(vaults)
        self._orders = frozenset(orders)
        self._limits: dict[str, int] = {}

    def put(self, address: str, slot: int | None) -> None:
        """Nothing of this vault above the slot; None: no limit."""
        assert address in self._vaults, "only vaults have a balance to vouch for"
        if slot is None:
            self._limits.pop(address, None)
        else:
            self._limits[address] = slot

    def of(self, address: str) -> int | None:
        """The vault's ceiling; None where there is none."""
        return self._limits.get(address)

    def above(self, one: OpenSignature) -> bool:
        """Whether the signature is about a vault that nobody vouches for at its slot."""
        return any(one.slot > limit for at, limit in self._limits.items() if at in one.addresses)

    def holds(self, one: OpenSignature, held: set[str]) -> bool:
        """Whether the signature has to wait; then `held` grows by what has to wait with it."""
        behind = bool(one.addresses & held)
        if not behind and not self.above(one) and not self._follows_unseen(one, held):
            return False
        held |= one.addresses - (self._orders if self._limits else frozenset())
        return True

    def _follows_unseen(self, one: OpenSignature, held: set[str]) -> bool:
        """Touches no vault, while something of a vault with a ceiling is held."""
        return bool(held & self._limits.keys()) and not one.addresses & self._vaults
