"""Reads transactions in a process of its own, so that a long backlog has two processors to use.

`python -m indexer.reading` is told what is ours, then portions of what a provider answered, on its
standard input, and says on its standard output what is everyday of it. It asks nobody for anything
and keeps nothing: it is `read_everyday` and a pipe, and ends when its input does, however that came
about. Frames are a length (four bytes, the lowest first) and as many bytes of MessagePack.
"""

import signal
import sys
from typing import BinaryIO, Final

import msgspec
from solders.pubkey import Pubkey

from indexer.decode import Watch
from indexer.everyday import Belief, Everyday, read_everyday
from settlement.chain.program import Deployment
from settlement.money import MicroUsdc

LENGTH_BYTES: Final = 4
Asked = list[tuple[str, bytes]]  # signature, and the JSON of the transaction
Answered = list[Everyday | None]


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """The first frame: what is ours, and what is believed."""

    cluster: str
    program_id: bytes
    mint: bytes
    payers: list[bytes]
    verify_signatures: bool
    most_microusdc: int | None

    @classmethod
    def of(cls, watch: Watch, belief: Belief) -> "Beginning":
        """As it goes over the pipe."""
        return cls(
            cluster=watch.cluster,
            program_id=bytes(watch.deployment.program_id),
            mint=bytes(watch.deployment.mint),
            payers=[bytes(payer) for payer in watch.payers],
            verify_signatures=belief.verify_signatures,
            most_microusdc=belief.most_microusdc,
        )

    @property
    def watch(self) -> Watch:
        """What is ours."""
        program_id, mint = Pubkey.from_bytes(self.program_id), Pubkey.from_bytes(self.mint)
        return Watch(
            cluster=self.cluster,
            deployment=Deployment(program_id, mint),
            payers=frozenset(map(Pubkey.from_bytes, self.payers)),
        )

    @property
    def belief(self) -> Belief:
        """When one provider's word is enough."""
        most = None if self.most_microusdc is None else MicroUsdc(self.most_microusdc)
        return Belief(verify_signatures=self.verify_signatures, most_microusdc=most)


def frame(value: object) -> bytes:
    """As it goes over the pipe."""
    body = msgspec.msgpack.encode(value)
    return len(body).to_bytes(LENGTH_BYTES, "little") + body


def serve(asked: BinaryIO, answers: BinaryIO) -> None:
    """Answer portion after portion until nobody asks any more."""
    beginning = _next(asked)
    if beginning is None:
        return
    begun = msgspec.msgpack.decode(beginning, type=Beginning)
    watch, belief = begun.watch, begun.belief
    portions = msgspec.msgpack.Decoder(Asked)
    while (body := _next(asked)) is not None:
        found: Answered = [
            read_everyday(text, signature=signature, watch=watch, belief=belief)
            for signature, text in portions.decode(body)
        ]
        answers.write(frame(found))
        answers.flush()


def _next(asked: BinaryIO) -> bytes | None:
    """The next frame; None when whoever asked is gone, in the middle of a frame too."""
    head = asked.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        return None
    length = int.from_bytes(head, "little")
    body = asked.read(length)
    return body if len(body) == length else None


if __name__ == "__main__":
    # A Ctrl-C is for those who ask: this process ends with them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(sys.stdin.buffer, sys.stdout.buffer)
