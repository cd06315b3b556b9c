"""A foreign program on the chain, and instructions that go through it.

What is forwarded asks the program to make the same call: same accounts, same data, one deeper. For
its own derived addresses it signs itself, as a multisig does; everyone else signs the transaction.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from tests.program.calls.build import CALLER
from tests.program.world import World

SIGNS, WRITTEN = 1, 2
SIGNER_SEED = b"signer"


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """The deployed foreign program."""

    program_id: Pubkey

    def signer(self, place: int = 0) -> Pubkey:
        """An address this program alone can sign for; it holds nothing and is on no curve."""
        return self._derived(place)[0]

    def forward(self, *calls: Instruction, signing: int = 0) -> Instruction:
        """One instruction that makes all these calls, signing for its first `signing` addresses."""
        own = [self._derived(place) for place in range(signing)]
        metas = _merged(calls, unsigned={key for key, _ in own})
        places = {key: place for place, key in enumerate(metas)}
        data = bytes([signing, *(bump for _, bump in own)])
        data += b"".join(_call(each, places) for each in calls)
        return Instruction(self.program_id, data, list(metas.values()))

    def _derived(self, place: int) -> tuple[Pubkey, int]:
        return Pubkey.find_program_address([SIGNER_SEED, bytes([place])], self.program_id)


def deploy_foreign(world: World) -> Foreign:
    """Put the foreign program on the chain."""
    foreign = Foreign(program_id=Pubkey.new_unique())
    world.svm.add_program(foreign.program_id, CALLER.read_bytes())
    return foreign


def _merged(calls: Iterable[Instruction], unsigned: set[Pubkey]) -> Mapping[Pubkey, AccountMeta]:
    merged: dict[Pubkey, AccountMeta] = {}
    for call in calls:
        program = AccountMeta(call.program_id, is_signer=False, is_writable=False)
        for meta in (*call.accounts, program):
            known = merged.get(meta.pubkey, meta)
            merged[meta.pubkey] = AccountMeta(
                meta.pubkey,
                is_signer=(known.is_signer or meta.is_signer) and meta.pubkey not in unsigned,
                is_writable=known.is_writable or meta.is_writable,
            )
    return merged


def _call(call: Instruction, places: Mapping[Pubkey, int]) -> bytes:
    listed = bytes([places[call.program_id], len(call.accounts)])
    for meta in call.accounts:
        listed += bytes([places[meta.pubkey], SIGNS * meta.is_signer | WRITTEN * meta.is_writable])
    data = bytes(call.data)
    return listed + len(data).to_bytes(2, "little") + data
