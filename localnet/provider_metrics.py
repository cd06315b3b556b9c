"""The provider's counters, under the names the operators' documentation gives the real agent's."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class JobMetrics:
    """Jobs and the connection they come over."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._jobs = Counter(
            "usepod_agent_jobs", "Jobs ended, by how they ended.", ["outcome"], registry=registry
        )
        self._failures = Counter(
            "usepod_agent_dispatch_failures",
            "Jobs refused before a backend was asked, by error code.",
            ["code"],
            registry=registry,
        )
        self._duration = Histogram(
            "usepod_agent_job_duration_seconds",
            "Seconds from a job's start to its last byte.",
            registry=registry,
        )
        self._connected = Gauge(
            "usepod_agent_ws_connected", "1 while the coordinator is connected.", registry=registry
        )
        self._reconnects = Counter(
            "usepod_agent_ws_reconnects", "Connections to the coordinator lost.", registry=registry
        )
        self._backend_ok = Gauge(
            "usepod_agent_backend_ok", "Models the last discovery found.", registry=registry
        )

    def ended(self, outcome: str, seconds: float | None) -> None:
        """A job is over; a cancelled one has no duration."""
        self._jobs.labels(outcome).inc()
        if seconds is not None:
            self._duration.observe(seconds)

    def refused(self, code: str) -> None:
        """A job was turned away."""
        self._failures.labels(code).inc()

    def connected(self, models: int) -> None:
        """The coordinator knows what we have."""
        self._connected.set(1)
        self._backend_ok.set(models)

    def disconnected(self) -> None:
        """The connection is gone."""
        self._connected.set(0)
        self._reconnects.inc()
