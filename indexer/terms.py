"""A bond's frozen terms, read from its account before the database transaction is opened.

Instructions do not carry them. The account is read at finalized, at or after the transaction's
slot, so it may have lived on: a bond that has since been released is a tombstone without terms.
That loses nothing, because terms only matter while the bond is open.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from solders.pubkey import Pubkey

from indexer.events import BondFunded, BondPosted, BondRetired, Event, SeizureStepped
from settlement.bonds.rules import SeizureTimes
from settlement.chain import program
from settlement.chain.answers import AccountAt
from settlement.chain.movement import ChainMoment
from settlement.money import Slot

_WITH_TERMS = BondPosted | BondFunded | BondRetired | SeizureStepped


class AccountReader(Protocol):
    """What reads accounts at finalized; `RpcClient` is one."""

    async def account(self, address: Pubkey, *, min_context_slot: Slot | None = None) -> AccountAt:
        """The account's bytes and the slot at which the node held them."""
        ...


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a bond's account says now; zeros once it is a tombstone or gone."""

    rent_payer: Pubkey | None = None
    cooldown_seconds: int = 0
    release_at_unix: int = 0
    seizure_times: SeizureTimes | None = None  # of the seizure that is open now

    def released_from(self, retired: ChainMoment) -> datetime:
        """From when on the bond retired at this moment may be released, in chain time."""
        if self.release_at_unix > 0:
            return datetime.fromtimestamp(self.release_at_unix, retired.block_time.tzinfo)
        return retired.block_time + timedelta(seconds=self.cooldown_seconds)


async def read_terms(
    reader: AccountReader, events: Iterable[Event], *, program_id: Pubkey, slot: Slot
) -> Mapping[Pubkey, Terms]:
    """The terms of every bond these events open or retire, or whose seizure gets its times."""
    addresses = {event.address for event in events if isinstance(event, _WITH_TERMS)}
    return {
        address: _terms(await reader.account(address, min_context_slot=slot), program_id)
        for address in sorted(addresses, key=bytes)
    }


def _terms(found: AccountAt, program_id: Pubkey) -> Terms:
    if found.account is None or found.account.owner != program_id:
        return Terms()
    try:
        bond = program.decode_account(found.account.data)
    except program.UnknownAccount:
        return Terms()
    if not isinstance(bond, program.Bond) or bond.amount_microusdc == 0:
        return Terms()
    return Terms(
        rent_payer=bond.rent_payer,
        cooldown_seconds=bond.cooldown_seconds,
        release_at_unix=bond.release_at,
        seizure_times=_seizure_times(bond),
    )


def _seizure_times(bond: program.Bond) -> SeizureTimes | None:
    if bond.seizure_state is program.SeizureState.NONE:
        return None
    return SeizureTimes(
        execute_after=datetime.fromtimestamp(bond.execute_after, UTC),
        decide_by=datetime.fromtimestamp(bond.decide_by, UTC),
        dies_at=datetime.fromtimestamp(bond.dies_at, UTC),
    )
