"""What the indexer counts, for Prometheus. One registry for each process."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_ROUND_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


class Meters:
    """The indexer's metrics on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.events = Counter(
            "indexer_events_total",
            "Events booked, by kind and by what the books took them as",
            ["kind", "booked_as"],
            registry=self.registry,
        )
        self.rounds = Counter(
            "indexer_rounds_total",
            "Rounds of discovery and booking, by how they ended",
            ["ended"],
            registry=self.registry,
        )
        self.round_seconds = Histogram(
            "indexer_round_seconds",
            "How long a round took, in seconds",
            buckets=_ROUND_SECONDS,
            registry=self.registry,
        )
        self.finalized = self._gauge("indexer_finalized_slot", "The chain's finalized slot")
        self.frontier = Gauge(
            "indexer_frontier_slot",
            "Up to which slot an address has been read and booked",
            ["purpose"],
            registry=self.registry,
        )
        self.behind = self._gauge(
            "indexer_behind_slots", "Finalized slot minus the lowest frontier, in slots"
        )
        self.wanted = self._gauge(
            "indexer_wanted_signatures", "Signatures discovered and not booked yet"
        )
        self.unreadable = self._gauge(
            "indexer_unreadable_signatures", "Signatures whose transaction cannot be read"
        )
        self.incidents = self._gauge("indexer_open_incidents", "Incidents nobody has closed")
        self.awake = self._gauge(
            "indexer_websocket_connected", "1 while the websocket wakes us, 0 while only the timer"
        )

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)
