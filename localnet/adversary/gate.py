"""Faults of a websocket: what of a node's messages reaches the client, and when it is over."""

from collections.abc import Callable, Sequence
from typing import Final

from localnet.adversary.chance import chance
from localnet.adversary.faults import SocketFault
from localnet.pubsub import Ending

_FOREIGN: Final = b'{"type":"ping","data":{"channel":"trades","sequence":1}}'
_MALFORMED: Final = b'{"jsonrpc":"2.0","method":"logsNotification","params":{"result":'


class FaultyGate:
    """What one connection goes through. Counts messages, not time."""

    def __init__(
        self,
        faults: Sequence[SocketFault],
        backend: str,
        *,
        seed: int,
        connection: int,
        slot: Callable[[], int],
        note: Callable[[str, str], None],
    ) -> None:
        """`note` is told what the message was and which fault met it."""
        self._faults = faults
        self._backend = backend
        self._seed = seed
        self._connection = connection
        self._slot = slot
        self._note = note
        self._messages = 0
        self.ending: Ending = "open"

    def refuses(self) -> bool:
        """Whether the connection is not made at all."""
        return self._meets("ws-refuse")

    def pass_on(self, message: bytes) -> Sequence[bytes]:
        """What the client gets for a message; look at `ending` afterwards."""
        if self.ending != "open":
            return ()
        self._messages += 1
        if self._meets("ws-overflow"):
            self.ending = "aborted"
            return ()
        if self._meets("ws-drop"):
            self.ending = "closed"
            return ()
        if self._meets("ws-stall") or self._meets("ws-lose"):
            return ()
        sent = [message]
        if self._meets("ws-foreign"):
            sent.insert(0, _FOREIGN)
        if self._meets("ws-malformed"):
            sent.insert(0, _MALFORMED)
        if self._meets("ws-repeat"):
            sent.append(message)
        return sent

    def _meets(self, kind: str) -> bool:
        slot = self._slot()
        for fault in self._faults:
            if fault.kind != kind or self._messages < fault.after_messages:
                continue
            if not fault.covers(self._backend, slot):
                continue
            dice = (repr(fault), self._connection, self._messages)
            if chance(self._seed, *dice) < fault.probability:
                self._note("websocket", kind)
                return True
        return False
