"""What the coordinator counts, under names with their units."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from coordinator.journal import Entry

_FIRST_CHUNK_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """One registry per process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "pod_coordinator_requests",
            "Paid requests that ended, by how.",
            ["outcome"],
            registry=self.registry,
        )
        self.refused = Counter(
            "pod_coordinator_requests_refused",
            "Inference requests refused before anything was set aside for them, by error code.",
            ["code"],
            registry=self.registry,
        )
        self.first_chunk = Histogram(
            "pod_coordinator_first_chunk_seconds",
            "From admission of a request to the first chunk of its answer.",
            buckets=_FIRST_CHUNK_BUCKETS,
            registry=self.registry,
        )
        self.gross = Counter(
            "pod_coordinator_gross_microusdc",
            "Gross of settled requests in microunits of USDC.",
            registry=self.registry,
        )
        self.attempt_failures = Counter(
            "pod_coordinator_attempt_failures",
            "Attempts at a provider that failed, by the provider's code or ours.",
            ["code"],
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "pod_coordinator_requests_in_flight",
            "Requests admitted and not yet answered.",
            registry=self.registry,
        )
        self.providers = Gauge(
            "pod_coordinator_providers_connected",
            "Agents connected now.",
            registry=self.registry,
        )

    def watch_money(self, *, reserved: Callable[[], int], leased: Callable[[], int]) -> None:
        """Show what is set aside, whenever somebody looks."""
        for name, help_text, amount in (
            ("reserved", "Reserved for running requests, in microunits of USDC.", reserved),
            ("leased", "Set aside for requests that run or will, in microunits of USDC.", leased),
        ):
            gauge = Gauge(f"pod_coordinator_{name}_microusdc", help_text, registry=self.registry)
            gauge.set_function(amount)

    def request_ended(self, entry: Entry) -> None:
        """Count a finished row of the request log."""
        self.requests.labels(outcome=entry.outcome.value).inc()
        if entry.first_chunk_ms is not None:
            self.first_chunk.observe(entry.first_chunk_ms / 1000)
        if entry.gross_microusdc:
            self.gross.inc(entry.gross_microusdc)
