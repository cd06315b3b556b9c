"""Websocket subscriptions as a node offers them.

Notifications are made once per slot, for every subscription whose commitment moved: a change is
told when the block that holds it reaches the commitment. A client that does not read is
disconnected, as a node does.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, cast

import msgspec
from aiohttp import WSMsgType, web
from solders.pubkey import Pubkey

from localnet.cluster import Cluster, Commitment, Tip
from localnet.encode import Json
from localnet.history import Entry
from localnet.rpc import Dispatcher, Method
from localnet.rpc_accounts import encode
from localnet.rpc_errors import invalid_params
from localnet.rpc_params import Config, Params, as_list, as_map, as_pubkey, as_signature, as_u64
from localnet.sysvars import account_at

_QUEUED_MESSAGES: Final = 10_000
_MAX_FRAME_BYTES: Final = 64 * 1024
Notify = Callable[[Tip, Tip], Iterable[object]]
"""Given the tip before and after a slot, the results to send."""


Ending = Literal["open", "closed", "aborted"]


class Gate(Protocol):
    """What stands between a connection and its client: the adversary's faults."""

    @property
    def ending(self) -> Ending:
        """Whether the connection is to be closed, or cut off, after the last `pass_on`."""
        ...

    def pass_on(self, message: bytes) -> Sequence[bytes]:
        """What the client gets for a message."""
        ...


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """What one subscription sends: `method` is the name in the notification."""

    method: str
    notify: Notify
    ends_after_final: bool = False


class PubSub:
    """All websocket connections of one node."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        observe: Callable[[str, str], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        """Listen to the cluster's slots; the callbacks are those of `Dispatcher`."""
        self._cluster = cluster
        self._observe = observe
        self._fail = fail
        self._ids = itertools.count(1)
        self._connections: set[_Connection] = set()
        cluster.listeners.append(self._on_slot)

    @property
    def subscription_count(self) -> int:
        """How many subscriptions are open."""
        return sum(len(connection.subscriptions) for connection in self._connections)

    async def serve(self, request: web.Request, gate: Gate | None = None) -> web.WebSocketResponse:
        """One connection, until either side closes it, or the gate does."""
        socket = web.WebSocketResponse(max_msg_size=_MAX_FRAME_BYTES, heartbeat=30)
        await socket.prepare(request)
        connection = _Connection(self._cluster, self._ids, socket, request.transport, gate)
        dispatcher = Dispatcher(
            self._cluster, connection.methods(), observe=self._observe, fail=self._fail
        )
        self._connections.add(connection)
        writer = asyncio.create_task(connection.write())
        try:
            async for message in socket:
                if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    break
                data = message.data
                body = data.encode() if isinstance(data, str) else bytes(data)
                connection.send(await dispatcher.answer(body))
                connection.tell_at_once()
        finally:
            self._connections.discard(connection)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await writer
        return socket

    async def close(self) -> None:
        """Say goodbye to everybody."""
        for connection in list(self._connections):
            await connection.close()

    def _on_slot(self, before: Tip, after: Tip) -> None:
        for connection in self._connections:
            connection.on_slot(before, after)


class _Connection:
    """One websocket: its subscriptions, and what is still to be sent."""

    def __init__(
        self,
        cluster: Cluster,
        ids: "itertools.count[int]",
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        gate: Gate | None,
    ) -> None:
        self._cluster = cluster
        self._ids = ids
        self._socket = socket
        self._transport = transport
        self._gate = gate
        # An empty message is the last: the connection is closed instead of sending it.
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue(_QUEUED_MESSAGES)
        self._new: list[int] = []
        self.subscriptions: dict[int, Subscription] = {}

    def methods(self) -> dict[str, Method]:
        methods = {
            "accountSubscribe": Method(self._account, 1, 2),
            "logsSubscribe": Method(self._logs, 1, 2),
            "signatureSubscribe": Method(self._signature, 1, 2),
            "slotSubscribe": Method(self._slot, 0, 0),
            "rootSubscribe": Method(self._root, 0, 0),
        }
        for name in list(methods):
            methods[name.replace("Subscribe", "Unsubscribe")] = Method(self._unsubscribe, 1, 1)
        return methods

    def send(self, message: bytes) -> None:
        """Queue a message; a client that lets the queue fill up is cut off."""
        if not message:
            return
        gate = self._gate
        if gate is None:
            self._queue(message)
            return
        for passed in gate.pass_on(message):
            self._queue(passed)
        if gate.ending == "closed":
            self._queue(b"")
        elif gate.ending == "aborted":
            self._abort()

    def _queue(self, message: bytes) -> None:
        try:
            self._outbox.put_nowait(message)
        except asyncio.QueueFull:
            self._abort()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def write(self) -> None:
        while message := await self._outbox.get():
            await self._socket.send_str(message.decode())
        await self._socket.close(code=1011, message=b"internal error")

    async def close(self) -> None:
        await self._socket.close(code=1001, message=b"shutting down")

    def on_slot(self, before: Tip, after: Tip) -> None:
        for subscription_id in list(self.subscriptions):
            self._notify(subscription_id, before, after)

    def tell_at_once(self) -> None:
        """A new subscription to a signature that has already got there is told so."""
        nothing = Tip(complete=-1, confirmed=-1, finalized=-1)
        for subscription_id in self._new:
            subscription = self.subscriptions.get(subscription_id)
            if subscription is not None and subscription.ends_after_final:
                self._notify(subscription_id, nothing, self._cluster.tip)
        self._new.clear()

    def _notify(self, subscription_id: int, before: Tip, after: Tip) -> None:
        subscription = self.subscriptions[subscription_id]
        for result in subscription.notify(before, after):
            params: Json = {"result": result, "subscription": subscription_id}
            self.send(
                msgspec.json.encode(
                    {"jsonrpc": "2.0", "method": subscription.method, "params": params}
                )
            )
            if subscription.ends_after_final and not _is_received(result):
                del self.subscriptions[subscription_id]
                return

    def _add(self, subscription: Subscription) -> int:
        subscription_id = next(self._ids)
        self.subscriptions[subscription_id] = subscription
        self._new.append(subscription_id)
        return subscription_id

    def _unsubscribe(self, _cluster: Cluster, params: Params) -> object:
        subscription_id = as_u64(params[0])
        if subscription_id not in self.subscriptions:
            raise invalid_params("Invalid subscription id.")
        del self.subscriptions[subscription_id]
        return True

    def _account(self, cluster: Cluster, params: Params) -> object:
        address, config = as_pubkey(params[0]), params.config(1)
        commitment = config.commitment()
        encode(cluster, None, config, 0, "binary")  # refuses a wrong encoding or slice now

        def notify(before: Tip, after: Tip) -> Iterable[object]:
            old, new = _level(before, commitment), _level(after, commitment)
            if cluster.is_changed(address, old, new):
                account = account_at(cluster, address, new)
                value = encode(cluster, account, config, new, "binary") or _empty(config)
                yield _context(new, value)

        return self._add(Subscription(method="accountNotification", notify=notify))

    def _logs(self, cluster: Cluster, params: Params) -> object:
        mentions, commitment = _mentions(params[0]), params.config(1).commitment()

        def is_wanted(entry: Entry) -> bool:
            return mentions is None or bytes(mentions) in cluster.landed(entry).account_keys

        def notify(before: Tip, after: Tip) -> Iterable[object]:
            for slot in range(_level(before, commitment) + 1, _level(after, commitment) + 1):
                for entry in cluster.history.in_slot(slot):
                    if is_wanted(entry):
                        yield _context(slot, _logs_value(cluster, entry))

        return self._add(Subscription(method="logsNotification", notify=notify))

    def _signature(self, cluster: Cluster, params: Params) -> object:
        signature, config = as_signature(params[0]), params.config(1)
        commitment = config.commitment()
        with_received = config.boolean("enableReceivedNotification")

        def notify(before: Tip, after: Tip) -> Iterable[object]:
            entry = cluster.history.get(signature)
            if entry is None:
                return
            if with_received and before.complete < entry.slot <= after.complete:
                yield _context(after.complete, "receivedSignature")
            if entry.slot <= _level(after, commitment):
                yield _context(_level(after, commitment), {"err": entry.err})

        return self._add(
            Subscription(method="signatureNotification", notify=notify, ends_after_final=True)
        )

    def _slot(self, cluster: Cluster, _params: Params) -> object:
        def notify(_before: Tip, after: Tip) -> Iterable[object]:
            yield {"slot": cluster.slot, "parent": after.complete, "root": after.finalized}

        return self._add(Subscription(method="slotNotification", notify=notify))

    def _root(self, cluster: Cluster, _params: Params) -> object:
        def notify(before: Tip, after: Tip) -> Iterable[object]:
            for slot in range(before.finalized + 1, after.finalized + 1):
                if cluster.timeline.has_block(slot):
                    yield slot

        return self._add(Subscription(method="rootNotification", notify=notify))


def _level(tip: Tip, commitment: Commitment) -> int:
    """What a subscription at a commitment has reached: only complete blocks are told."""
    if commitment == "processed":
        return tip.complete
    return tip.confirmed if commitment == "confirmed" else tip.finalized


def _context(slot: int, value: object) -> Json:
    return {"context": {"slot": slot}, "value": value}


def _is_received(result: object) -> bool:
    return isinstance(result, dict) and cast("Json", result).get("value") == "receivedSignature"


def _empty(config: Config) -> Json:
    """A closed account is told as an empty one."""
    base64 = config.get("encoding") not in (None, "binary", "base58")
    return {
        "lamports": 0,
        "data": ["", "base64"] if base64 else "",
        "owner": str(Pubkey.default()),
        "executable": False,
        "rentEpoch": 0,
        "space": 0,
    }


def _mentions(value: object) -> Pubkey | None:
    """The address that logs must mention, or None for all logs."""
    if value in ("all", "allWithVotes"):
        return None
    given = as_map(value)
    if "mentions" not in given:
        raise invalid_params("Invalid params: expected `all`, `allWithVotes` or `mentions`.")
    addresses = as_list(given["mentions"])
    if len(addresses) != 1:
        raise invalid_params("Invalid Request: Only 1 address supported")
    return as_pubkey(addresses[0])


def _logs_value(cluster: Cluster, entry: Entry) -> Json:
    meta: Json = msgspec.json.decode(cluster.landed(entry).meta)
    return {
        "signature": str(entry.signature),
        "err": entry.err,
        "logs": meta["logMessages"],
    }
