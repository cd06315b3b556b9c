"""The alert rules: they parse, each invariant has one, and every name in them is exported."""

import re
from pathlib import Path
from typing import Any, Final, cast

import pytest
import yaml

from indexer.metrics import Meters
from indexer.store import IncidentKind
from settlement.chain.node import Experience
from settlement.metrics import SignerMetrics, WorkerMetrics
from settlement.payouts.policy import Cause
from settlement.payouts.states import PayoutState
from settlement.reconcile.compare import Verdict

RULES: Final = Path(__file__).parents[2] / "docs" / "alerts.yml"
Rule = dict[str, Any]
_NAME: Final = re.compile(r"\b(?:indexer|settlement|coordinator)_[a-z0-9_]+\b")
_SELECTOR: Final = re.compile(r"([a-z_]+)\{([^}]*)\}")
_LABEL: Final = re.compile(r'([a-z_]+)(=~|=)"([^"]*)"')
# Which values a label has: those of the code.
VALUES: Final[dict[str, set[str]]] = {
    "invariant": {"I1", "I2", "I4", "I9"},
    "kind": {str(kind) for kind in IncidentKind},
    "verdict": {str(verdict) for verdict in Verdict},
    "state": {str(state) for state in PayoutState},
    "step": {
        *("numbered", "built", "sent", "expired", "confirmed", "failed", "passed_by"),
        "bond_requested",
    },
    "cause": {str(cause) for cause in Cause},
    "booked_as": {"itself", "unexplained", "nothing"},
}


def rules() -> list[Rule]:
    document = cast("dict[str, Any]", yaml.safe_load(RULES.read_text()))
    return [rule for group in document["groups"] for rule in group["rules"]]


def exported() -> dict[str, set[str]]:
    """The name of every sample of our processes, and its labels."""
    meters = Meters()
    meters.providers.take("a", Experience(), usable=True, leads=True, lag_slots=0)
    meters.events.labels(kind="deposit", booked_as="itself")
    meters.frontier.labels(purpose="till_vault")
    meters.incidents_of.labels(kind="x")
    meters.violations.labels(invariant="I1")
    meters.vaults.checkpoints.labels(vault="till", verdict="equal")
    for gauge in (meters.vaults.stopped, meters.vaults.difference):
        gauge.labels(vault="till")
    meters.vaults.dissents.labels(provider="a")
    worker = WorkerMetrics()
    worker.bonds_requested(1)
    names: dict[str, set[str]] = {}
    for registry in (meters.registry, worker.registry, SignerMetrics().registry):
        for family in registry.collect():
            names.setdefault(family.name, set())
            for sample in family.samples:
                names.setdefault(sample.name, set()).update(sample.labels)
    return names


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_is_whole(rule: Rule) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert set(rule["annotations"]) == {"summary", "action"}
    assert re.fullmatch(r"\d+[smhd]", rule.get("for", "0s"))
    expression: str = rule["expr"]
    for opened, closed in ("()", "{}", "[]"):
        assert expression.count(opened) == expression.count(closed)
    assert expression.count('"') % 2 == 0


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_metric_and_label_in_a_rule_exists(rule: Rule) -> None:
    names = exported()
    expression: str = rule["expr"]
    found = _NAME.findall(re.sub(r'"[^"]*"', '""', expression))
    assert found
    assert set(found) <= names.keys()
    for metric, selector in _SELECTOR.findall(expression):
        for label, how, value in _LABEL.findall(selector):
            assert label in names[metric]
            values = value.split("|") if how == "=~" else [value]
            assert set(values) <= VALUES[label]


def test_every_invariant_has_a_rule() -> None:
    covered = {rule["labels"].get("invariant") for rule in rules()} - {None}
    assert covered == {f"I{number}" for number in range(1, 11)}


def test_every_metric_of_the_indexer_is_worth_a_rule_or_is_named_here() -> None:
    shown_only = {
        "indexer_rounds_total",
        "indexer_finalized_slot",
        "indexer_frontier_slot",
        "indexer_wanted_signatures",
        "indexer_rpc_calls_total",
        "indexer_provider_leads",
        "indexer_checkpoint_slot",
        "indexer_arriving_deposits",
    }
    text = RULES.read_text()
    for family in Meters().registry.collect():
        names = {family.name, f"{family.name}_total"}
        assert names & shown_only or family.name in text, family.name


def test_names_of_alerts_are_their_own() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
