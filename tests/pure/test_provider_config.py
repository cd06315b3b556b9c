"""agent.toml: what setup writes reads back as meant, and bad files are refused with a reason."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localnet.provider_config import (
    ActivatedModel,
    BackendEntry,
    ConfigInvalid,
    Paired,
    Price,
    connect_url,
    cut_short,
    parse_config,
    render_config,
)

MINIMAL = """
[coordinator]
url = "ws://127.0.0.1:1/provider/connect"
[pricing]
default_input_per_1m = 400000
default_output_per_1m = 600000
"""


PAIRED = Paired(
    coordinator="http://127.0.0.1:8402",
    key_path="/home/op/identity.key",
    public_key="A6EH",
    provider_id="0b0e9a52-0b6b-4c52-9d8e-3a2a7f6f1c11",
    host_token_hint="pod_host…wxyz",
    backends=[BackendEntry(kind="vllm", url="http://127.0.0.1:8000")],
    models=[ActivatedModel("tiny-chat", 300_000, 600_000, 2)],
    default_price=Price(500_000, 1_000_000),
    default_max_concurrent=4,
)


def test_what_setup_writes_reads_back() -> None:
    config = parse_config(render_config(PAIRED))
    assert config.coordinator.url == "ws://127.0.0.1:8402/provider/connect"
    assert config.coordinator.enrollment_code is None
    assert config.identity.key_path == "/home/op/identity.key"
    assert config.backends == (BackendEntry(kind="vllm", url="http://127.0.0.1:8000"),)
    assert config.pricing.of("tiny-chat") == Price(300_000, 600_000)
    assert config.pricing.of("another") == Price(500_000, 1_000_000)
    assert config.limits.max_concurrent == 2


def test_without_activated_models_the_setup_counts() -> None:
    config = parse_config(render_config(replace(PAIRED, models=[], default_max_concurrent=7)))
    assert config.limits.max_concurrent == 7
    assert config.pricing.of("tiny-chat") == Price(500_000, 1_000_000)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_any_model_id_survives_the_file(model_id: str) -> None:
    models = [ActivatedModel(model_id, 1, 2, 3)]
    config = parse_config(render_config(replace(PAIRED, models=models)))
    assert dict(config.pricing.models) == {model_id: Price(1, 2)}


def test_of_a_host_token_only_the_ends_are_kept() -> None:
    token = "pod_host_" + "a" * 36 + "wxyz"
    assert cut_short(token) == "pod_host…wxyz"
    assert cut_short("short") == "short"


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://127.0.0.1:8402", "ws://127.0.0.1:8402/provider/connect"),
        ("http://127.0.0.1:8402/", "ws://127.0.0.1:8402/provider/connect"),
        ("https://api.example", "wss://api.example/provider/connect"),
    ],
)
def test_where_to_connect(base: str, url: str) -> None:
    assert connect_url(base) == url


def test_a_file_written_by_hand() -> None:
    config = parse_config(
        MINIMAL.replace("[pricing]", 'enrollment_code = "POD-ENROLL-AB12CD34"\n[pricing]')
        + '[pricing.models."a/b"]\ninput_per_1m = 0\noutput_per_1m = 5\n'
        + '[[backends]]\nkind = "ollama"\nurl = "http://127.0.0.1:2"\nmodels = ["a/b"]\n'
        + '[observability]\nlog_level = "info"\n[operator]\nwallet = ""\n'
    )
    assert config.coordinator.enrollment_code == "POD-ENROLL-AB12CD34"
    assert config.pricing.of("a/b") == Price(0, 5)
    assert config.backends[0].models == ("a/b",)
    assert config.limits.max_concurrent == 8


_BACKEND = '[[backends]]\nkind = "vllm"\nurl = "http://127.0.0.1:2"\n'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("not toml", "Expected '='"),
        ("", "coordinator"),
        (MINIMAL.replace("ws://", "http://"), "wss://"),
        (MINIMAL.replace("400000", "0"), "> 0"),
        (MINIMAL.replace("400000", "1.5"), "int"),
        (MINIMAL + "[limits]\nmax_concurrent = 0\n", "max_concurrent"),
        (MINIMAL + "[limits]\nmax_concurrent = 999\n", "max_concurrent"),
        (MINIMAL + _BACKEND + _BACKEND, "duplicate backend"),
        (MINIMAL + _BACKEND.replace("vllm", "unknown"), "unknown kind"),
        (MINIMAL + _BACKEND + "surprise = 1\n", "surprise"),
    ],
)
def test_a_bad_file_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ConfigInvalid, match=complaint):
        parse_config(text)
