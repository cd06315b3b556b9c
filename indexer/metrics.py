"""What the indexer counts, for Prometheus. One registry for each process.

`docs/alerts.yml` has the rules that read it: one for each invariant, and for what leads there.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from settlement.chain.node import Experience

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
        self._stand()
        self._watch_over()
        self.providers = ProviderMeters(self.registry)
        self.vaults = VaultMeters(self.registry)

    def _stand(self) -> None:
        """Where the indexer stands."""
        self.finalized = self._gauge("indexer_finalized_slot", "The chain's finalized slot")
        self.frontier = self._gauge(
            "indexer_frontier_slot",
            "Up to which slot an address has been read and booked",
            "purpose",
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

    def _watch_over(self) -> None:
        """What a person may have to look at."""
        self.incidents = self._gauge("indexer_open_incidents", "Incidents nobody has closed")
        self.awake = self._gauge(
            "indexer_websocket_connected", "1 while the websocket wakes us, 0 while only the timer"
        )
        self.incidents_of = self._gauge(
            "indexer_open_incidents_of_kind", "Incidents nobody has closed, by kind", "kind"
        )
        self.unlisted = self._gauge(
            "indexer_unlisted_signatures", "Signatures one provider lists and another does not"
        )
        self.oldest_open_seconds = self._gauge(
            "indexer_oldest_open_seconds",
            "For how long the oldest signature without a final state has been waiting",
        )
        self.active = self._gauge(
            "indexer_active", "1 while this process has the lock, 0 while it stands by"
        )
        self.last_round = self._gauge(
            "indexer_last_round_timestamp_seconds", "When a round last ended well"
        )
        self.violations = self._gauge(
            "indexer_invariant_violations",
            "What contradicts an invariant of chain.md 7.5, as the books and the index tell it",
            "invariant",
        )
        self.audited = self._gauge(
            "indexer_audit_timestamp_seconds", "When the invariants were last looked at"
        )

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)


class ProviderMeters:
    """What each provider is like."""

    def __init__(self, registry: CollectorRegistry) -> None:
        label = ["provider"]
        self.calls = Counter(
            "indexer_rpc_calls_total",
            "Calls of a provider, by how they ended",
            ["provider", "ended"],
            registry=registry,
        )
        self.usable = Gauge(
            "indexer_provider_usable",
            "1 while a provider is asked, 0 while it is not believed or not there",
            label,
            registry=registry,
        )
        self.leads = Gauge(
            "indexer_provider_leads", "1 for the provider that leads", label, registry=registry
        )
        self.lag_slots = Gauge(
            "indexer_provider_lag_slots",
            "How far a provider is behind the others, in slots",
            label,
            registry=registry,
        )
        self.error_rate = Gauge(
            "indexer_provider_error_rate",
            "Share of a provider's newest calls that failed",
            label,
            registry=registry,
        )
        self.latency_seconds = Gauge(
            "indexer_provider_latency_seconds",
            "How long a provider's newest answers took",
            label,
            registry=registry,
        )
        self.provers = Gauge(
            "indexer_provers", "Providers that can prove a frontier now", registry=registry
        )
        self.needed = Gauge(
            "indexer_provers_needed",
            "Providers that must prove a frontier: 1 where one source is allowed",
            registry=registry,
        )
        self._counted: dict[str, tuple[int, int]] = {}

    def take(
        self, provider: str, experience: Experience, *, usable: bool, leads: bool, lag_slots: int
    ) -> None:
        """Take in what a provider is like now."""
        answers, faults = self._counted.get(provider, (0, 0))
        self._counted[provider] = (experience.answers, experience.faults)
        self.calls.labels(provider=provider, ended="answer").inc(experience.answers - answers)
        self.calls.labels(provider=provider, ended="fault").inc(experience.faults - faults)
        self.usable.labels(provider=provider).set(usable)
        self.leads.labels(provider=provider).set(leads)
        self.lag_slots.labels(provider=provider).set(lag_slots)
        self.error_rate.labels(provider=provider).set(experience.error_rate)
        self.latency_seconds.labels(provider=provider).set(experience.latency_seconds)


class VaultMeters:
    """What is known of each vault besides its frontier: checkpoints, stops, arrivals."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.checkpoints = Counter(
            "indexer_checkpoints_total",
            "Balances compared with the sum of the movements, by vault and by how it ended",
            ["vault", "verdict"],
            registry=registry,
        )
        self.slot = Gauge(
            "indexer_checkpoint_slot",
            "Up to which slot the movements are known to be the balance",
            ["vault"],
            registry=registry,
        )
        self.difference = Gauge(
            "indexer_checkpoint_difference_microusdc",
            "Balance minus movements, as last compared",
            ["vault"],
            registry=registry,
        )
        self.stopped = Gauge(
            "indexer_crediting_stopped",
            "1 while a vault's deposits are held, else 0",
            ["vault"],
            registry=registry,
        )
        self.dissents = Counter(
            "indexer_provider_dissents_total",
            "Balances of a provider that another provider and the movements contradict",
            ["provider"],
            registry=registry,
        )
        self.arriving = Gauge(
            "indexer_arriving_deposits",
            "Deposits that are confirmed and not final yet",
            registry=registry,
        )
