"""What settlement's processes count, for Prometheus."""

from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge

from settlement.chain.movement import Vault
from settlement.cranks.rounds import CrankRound
from settlement.cranks.step import CrankKind
from settlement.payouts.policy import Cause
from settlement.payouts.rounds import Round
from settlement.payouts.sign import Signed
from settlement.payouts.states import FINAL, PayoutState
from settlement.reconcile.compare import Reconciliation, Verdict


class PayoutMeters:
    """The road of payouts to the chain."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._waiting = Gauge(
            "settlement_payouts_waiting",
            "Payouts that are not over, by state",
            ["state"],
            registry=registry,
        )
        self._oldest = Gauge(
            "settlement_payout_oldest_age_seconds",
            "Age of the oldest payout that is not over; 0 when there is none",
            registry=registry,
        )
        self.steps = Counter(
            "settlement_payout_steps_total",
            "Steps taken on the road to the chain",
            ["step"],
            registry=registry,
        )
        self._blocked = Gauge(
            "settlement_payouts_blocked",
            "1 while payouts do not move: halted, till frozen or fee payer low",
            registry=registry,
        )
        self._payer = Gauge(
            "settlement_payer_balance_lamports",
            "What the fee payer has for fees and rent",
            registry=registry,
        )
        self._payer_needs = Gauge(
            "settlement_payer_needs_lamports",
            "What the fee payer should have for what waits; never below the low water",
            registry=registry,
        )
        self._gate = Gauge(
            "settlement_payout_gate_closed",
            "1 while no payout is numbered because the books may have forgotten some",
            registry=registry,
        )

    def round(self, found: Round, now: datetime) -> None:
        """Take in what a round found and did."""
        for state in PayoutState:
            if state not in FINAL:
                self._waiting.labels(state=state.value).set(found.waiting.get(state, 0))
        oldest = found.oldest_requested_at
        self._oldest.set(0 if oldest is None else (now - oldest).total_seconds())
        self._blocked.set(1 if found.blocked else 0)
        if found.payer_lamports is not None:
            self._payer.set(found.payer_lamports)
        if found.payer_needs_lamports is not None:
            self._payer_needs.set(found.payer_needs_lamports)
        self._gate.set(1 if found.gate_closed else 0)
        for step in ("numbered", "built", "sent", "expired", "confirmed", "failed", "passed_by"):
            self.steps.labels(step=step).inc(getattr(found, step))


class WorkerMetrics:
    """The payout worker's figures."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._payouts = PayoutMeters(self.registry)
        self._difference = Gauge(
            "settlement_reconcile_difference_microusdc",
            "Chain minus books of a vault at the last comparison",
            ["vault"],
            registry=self.registry,
        )
        self._slot = Gauge(
            "settlement_reconcile_slot", "Slot of the last comparison", registry=self.registry
        )
        self._runs = Counter(
            "settlement_reconcile_runs_total",
            "Comparisons of books and chain, by how they ended",
            ["verdict"],
            registry=self.registry,
        )
        self._charge_days = Gauge(
            "settlement_charge_days_ahead",
            "Days after today that requests can be settled in; fewer than 2 is an alarm",
            registry=self.registry,
        )
        self._leases = Counter(
            "settlement_leases_given_back_total",
            "Leases given back for processes that are gone",
            registry=self.registry,
        )
        self._cranks = CrankMeters(self.registry)
        self._scheduled = _scheduled_payouts(self.registry)
        for vault in Vault:
            self._difference.labels(vault=vault.value)
        for verdict in Verdict:
            self._runs.labels(verdict=verdict.value)

    def round(self, found: Round, now: datetime) -> None:
        """Take in what a round found and did."""
        self._payouts.round(found, now)

    def bonds_requested(self, made: int) -> None:
        """Bond fundings that were asked for."""
        self._payouts.steps.labels(step="bond_requested").inc(made)

    def scheduled(self, done: int) -> None:
        """Take in for how many operators scheduled payouts were looked at."""
        self._scheduled.inc(done)

    def cranked(self, found: CrankRound) -> None:
        """Take in what a round of cranks found and did."""
        self._cranks.round(found)

    def reconciled(self, found: Reconciliation) -> None:
        """Take in a comparison."""
        self._runs.labels(verdict=found.verdict.value).inc()
        self._slot.set(found.slot)
        for line in found.lines:
            self._difference.labels(vault=line.vault.value).set(line.difference_microusdc)

    def leases_given_back(self, count: int) -> None:
        """Leases of processes that died, given back by us."""
        self._leases.inc(count)

    def charge_days(self, ahead: int) -> None:
        """How many days ahead there is a partition for."""
        self._charge_days.set(ahead)

    def not_reconciled(self) -> None:
        """A comparison was not possible."""
        self._runs.labels(verdict=Verdict.NO_DATA.value).inc()


def _scheduled_payouts(registry: CollectorRegistry) -> Counter:
    return Counter(
        "settlement_scheduled_payouts_total",
        "Operators whose six hours were looked at for a payout",
        registry=registry,
    )


class CrankMeters:
    """Figures of the steps that anybody may take on chain."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._waiting = Gauge(
            "settlement_cranks_waiting",
            "Steps that are due and that the books have not seen yet, by kind",
            ["kind"],
            registry=registry,
        )
        self._put_off = Gauge(
            "settlement_cranks_put_off",
            "Of those, how many are not possible now: frozen accounts, pauses",
            registry=registry,
        )
        self._overdue = Gauge(
            "settlement_crank_overdue_seconds",
            "For how long the oldest of them has been due, in chain time",
            registry=registry,
        )
        self._steps = Counter(
            "settlement_crank_steps_total",
            "What was done for them",
            ["step"],
            registry=registry,
        )

    def round(self, found: CrankRound) -> None:
        """Take in what a round found and did."""
        for kind in CrankKind:
            self._waiting.labels(kind=kind.value).set(found.waiting.get(kind, 0))
        self._put_off.set(found.put_off)
        self._overdue.set(found.longest_overdue.total_seconds())
        for step in ("opened", "built", "sent", "expired"):
            self._steps.labels(step=step).inc(getattr(found, step))


class SignerMetrics:
    """The signer's figures."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._signed = Counter(
            "settlement_messages_signed_total", "Messages signed", registry=self.registry
        )
        self._refused = Counter(
            "settlement_messages_refused_total",
            "Messages the signer would not sign, by why: each one is an alarm",
            ["cause"],
            registry=self.registry,
        )
        for cause in Cause:
            self._refused.labels(cause=cause.value)

    def round(self, done: Signed) -> None:
        """Take in what a round signed and refused."""
        self._signed.inc(done.signed)
        for cause, count in done.causes.items():
            self._refused.labels(cause=cause.value).inc(count)
