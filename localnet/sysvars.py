"""Accounts that change without a transaction: the Clock, as of the bank that is read."""

import struct
from typing import Final

from solders.account import Account
from solders.pubkey import Pubkey
from solders.sysvar import CLOCK

from localnet.cluster import Cluster

_CLOCK: Final = struct.Struct("<QqQQq")
SYSVAR_OWNER: Final = Pubkey.from_string("Sysvar1111111111111111111111111111111111111")
_CLOCK_LAMPORTS: Final = 1_169_280


def account_at(cluster: Cluster, address: Pubkey, slot: int) -> Account | None:
    """An account, or the Clock sysvar, in the bank of a slot."""
    if address != CLOCK:
        return cluster.account(address, slot)
    clock = cluster.clock(slot)
    data = _CLOCK.pack(
        clock.slot,
        clock.epoch_start_timestamp,
        clock.epoch,
        clock.leader_schedule_epoch,
        clock.unix_timestamp,
    )
    return Account(_CLOCK_LAMPORTS, data, SYSVAR_OWNER)
