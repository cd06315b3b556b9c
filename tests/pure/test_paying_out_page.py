"""The page about paying out says what the code does: its states, its settings, its alarms."""

import re
from pathlib import Path

import pytest
import yaml
from solders.keypair import Keypair

from settlement.config import worker_settings
from settlement.payouts.states import TRANSITIONS
from settlement.settings import SettingInvalid, SettingsReader

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "paying-out.md").read_text()
NEEDED = {
    "DATABASE_URL": "postgresql://x",
    "POD_RPC_URLS": "http://127.0.0.1:1",
    **{
        name: str(Keypair().pubkey())
        for name in ("POD_PROGRAM_ID", "POD_USDC_MINT", "POD_PAYER_ADDRESS")
    },
}
SETTINGS = re.findall(r"^\| `(POD_SETTLEMENT_\w+)` \| ([^|]+) \|", PAGE, re.MULTILINE)


def test_the_table_of_states_is_the_one_in_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| `(\w+)` \|$", PAGE, re.MULTILINE)
    assert rows == [(a.value, e.value, b.value) for (a, e), b in TRANSITIONS.items()]


@pytest.mark.parametrize(("setting", "told"), SETTINGS)
def test_a_setting_is_read_and_is_what_the_page_says_unless_set(setting: str, told: str) -> None:
    with pytest.raises(SettingInvalid, match=setting):
        worker_settings(SettingsReader(NEEDED | {setting: "-1"}, {}))
    if told.strip().isdigit():
        same = worker_settings(SettingsReader(NEEDED | {setting: told.strip()}, {}))
        assert same == worker_settings(SettingsReader(NEEDED, {}))


def test_the_page_names_the_settings_of_the_road() -> None:
    assert len(SETTINGS) == 13


def test_twice_the_lowest() -> None:
    policy = worker_settings(
        SettingsReader(NEEDED | {"POD_SETTLEMENT_LOWEST_PAYER_LAMPORTS": "7"}, {})
    ).payer_policy
    assert policy is not None
    assert (policy.lowest, policy.resume, policy.low_water) == (7, 14, 14)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("POD_SETTLEMENT_FEE_PERCENTILE", "101"),
        ("POD_SETTLEMENT_LARGEST_COMPUTE_UNIT_PRICE_MICROLAMPORTS", "999"),
        ("POD_SETTLEMENT_RESUME_PAYER_LAMPORTS", "49999999"),
        ("POD_SETTLEMENT_LARGEST_BATCH", "0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(setting: str, value: str) -> None:
    with pytest.raises(SettingInvalid, match=setting):
        worker_settings(SettingsReader(NEEDED | {setting: value}, {}))


def test_the_alarms_of_the_page_exist() -> None:
    document = yaml.safe_load((DOCS / "alerts.yml").read_text())
    known = {rule["alert"] for group in document["groups"] for rule in group["rules"]}
    named = set(re.findall(r"^\| `([A-Z]\w+)` \| [a-z]", PAGE, re.MULTILINE)) - {
        name for name, _ in SETTINGS
    }
    assert named
    assert named <= known
