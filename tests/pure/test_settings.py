"""Settings: environment before file before default, and a refusal that names what is wrong."""

from pathlib import Path

import pytest

from settlement.config import withdrawal_limits
from settlement.settings import Address, SettingInvalid, SettingsReader


def reader(environment: dict[str, str] | None = None, **file: object) -> SettingsReader:
    return SettingsReader(environment or {}, file)


def test_the_environment_wins_over_the_file_and_the_file_over_the_default() -> None:
    settings = reader({"POD_CLUSTER": "here"}, pod_cluster="there", pod_public_url="url")
    assert settings.text("POD_CLUSTER", "nowhere") == "here"
    assert settings.text("POD_PUBLIC_URL", "nowhere") == "url"
    assert settings.text("POD_OTHER", "nowhere") == "nowhere"


@pytest.mark.parametrize("environment", [{}, {"DATABASE_URL": ""}])
def test_what_is_required_is_missed_by_name(environment: dict[str, str]) -> None:
    with pytest.raises(SettingInvalid, match="DATABASE_URL"):
        reader(environment).text("DATABASE_URL")


def test_what_is_optional_may_be_absent() -> None:
    assert reader().optional("POD_WS_URL") is None
    assert reader({"POD_WS_URL": ""}).optional("POD_WS_URL") is None
    assert reader({"POD_WS_URL": "ws://x"}).optional("POD_WS_URL") == "ws://x"


def test_whole_numbers() -> None:
    assert reader({"N": "7"}).integer("N") == 7
    assert reader(n=8).integer("N") == 8
    assert reader().integer("N", 9) == 9
    assert reader({"N": "-3"}).integer("N", least=-3) == -3


@pytest.mark.parametrize("written", ["", "x", "1.5", "1e3", "-1", "0x10"])
def test_what_is_no_whole_number(written: str) -> None:
    with pytest.raises(SettingInvalid) as refused:
        reader({"N": written}).integer("N")
    assert refused.value.details["setting"] == "N"


def test_a_whole_number_may_have_a_bound() -> None:
    assert reader({"N": "7"}).integer("N", most=7) == 7
    with pytest.raises(SettingInvalid, match="more than 7"):
        reader({"N": "8"}).integer("N", most=7)
    with pytest.raises(SettingInvalid, match="more than"):
        reader({"N": str(2**63)}).integer("N")


@pytest.mark.parametrize(
    "name", ["NEWCOMER_DAYS", "FIRST_USE_DELAY_SECONDS", "CHANGED_DELAY_SECONDS"]
)
def test_delays_of_withdrawals_stay_within_the_calendar(name: str) -> None:
    setting = f"POD_WITHDRAWAL_{name}"
    with pytest.raises(SettingInvalid) as caught:
        withdrawal_limits(reader({setting: str(10**12)}))
    assert caught.value.details["setting"] == setting


def test_lists() -> None:
    assert reader({"POD_RPC_URLS": " a, b ,,c"}).words("POD_RPC_URLS") == ("a", "b", "c")
    assert reader().words("POD_RPC_URLS", "a") == ("a",)
    with pytest.raises(SettingInvalid):
        reader({"POD_RPC_URLS": " , "}).words("POD_RPC_URLS")


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("127.0.0.1:8402", Address(host="127.0.0.1", port=8402)),
        ("localhost:0", Address(host="localhost", port=0)),
        ("[::1]:65535", Address(host="[::1]", port=65_535)),
    ],
)
def test_addresses(written: str, address: Address) -> None:
    found = reader({"A": written}).address("A")
    assert found == address
    assert str(found) == written


@pytest.mark.parametrize(
    "written", ["8402", ":8402", "host", "host:", "host:x", "host:65536", "h:-1"]
)
def test_what_is_no_address(written: str) -> None:
    with pytest.raises(SettingInvalid):
        reader({"A": written}).address("A")


def test_files_must_be_there(tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    key.write_text("[]")
    assert reader({"K": str(key)}).file("K") == key
    for missing in (tmp_path, tmp_path / "other"):
        with pytest.raises(SettingInvalid):
            reader({"K": str(missing)}).file("K")


def test_the_process_has_an_environment_and_perhaps_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pod.toml"
    monkeypatch.setenv("POD_CONFIG", str(file))
    with pytest.raises(SettingInvalid, match="POD_CONFIG"):
        SettingsReader.from_process()
    file.write_text("not = toml = at all")
    with pytest.raises(SettingInvalid, match="POD_CONFIG"):
        SettingsReader.from_process()
    file.write_text('pod_cluster = "filed"\n')
    assert SettingsReader.from_process().text("POD_CLUSTER") == "filed"
    monkeypatch.delenv("POD_CONFIG")
    assert SettingsReader.from_process().text("POD_CLUSTER", "default") == "default"
