"""What the embedded chain tells Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from localnet.cluster import Cluster, Tip


class Metrics:
    """One registry per chain, so that several can run in one process."""

    def __init__(self) -> None:
        """All at zero."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "localnet_rpc_requests",
            "JSON-RPC calls answered, by method and result (ok or error)",
            ["method", "result"],
            registry=self._registry,
        )
        self._slot = Gauge(
            "localnet_slot", "Newest slot, by commitment", ["commitment"], registry=self._registry
        )
        self._transactions = Gauge(
            "localnet_transactions",
            "Transactions since the start: landed (failed ones included), failed, dropped, and"
            " those that a fork has undone",
            ["outcome"],
            registry=self._registry,
        )
        self._syncs = Histogram(
            "localnet_journal_sync_seconds",
            "How long the disk took to make journal records durable",
            registry=self._registry,
        )
        self._subscriptions = Gauge(
            "localnet_subscriptions", "Open websocket subscriptions", registry=self._registry
        )

    def request(self, method: str, result: str) -> None:
        """Count a call."""
        self._requests.labels(method, result).inc()

    def synced(self, seconds: float) -> None:
        """Note a sync of the journal."""
        self._syncs.observe(seconds)

    def expose(self, cluster: Cluster, subscriptions: int) -> bytes:
        """The text that Prometheus scrapes."""
        tip: Tip = cluster.tip
        self._slot.labels("processed").set(cluster.slot)
        self._slot.labels("confirmed").set(tip.confirmed)
        self._slot.labels("finalized").set(tip.finalized)
        counters = cluster.counters
        self._transactions.labels("landed").set(counters.landed)
        self._transactions.labels("failed").set(counters.failed)
        self._transactions.labels("dropped").set(counters.dropped)
        self._transactions.labels("undone").set(counters.undone)
        self._subscriptions.set(subscriptions)
        return generate_latest(self._registry)
