"""`python -m settlement`: what it takes, and what it says about a wrong setting."""

import json
from pathlib import Path

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement import __main__ as command
from settlement import config
from settlement.keys.choice import KeyKind, KeyPlace
from settlement.keys.file import KeyFileRefused
from settlement.keys.protocol import KeyRefused
from settlement.payouts.roles import RolesShareKey
from settlement.settings import SettingInvalid, SettingsReader
from settlement.signing.process import sign


def settings(path: Path, **changed: str) -> dict[str, str]:
    """Settings with nothing wrong in them but what is changed."""
    pair = Keypair()
    file = path / "payer.json"
    file.write_text(json.dumps(list(bytes(pair))))
    file.chmod(0o600)
    right = {
        "DATABASE_URL": "postgresql://x@127.0.0.1:1/x",
        "POD_RPC_URLS": "http://127.0.0.1:9",
        "POD_PROGRAM_ID": str(Keypair().pubkey()),
        "POD_USDC_MINT": str(Keypair().pubkey()),
        "POD_PAYER_ADDRESS": str(pair.pubkey()),
        "POD_PAYER_KEYFILE": str(file),
        "POD_KEY": f"file:{file}",
        "POD_KEY_SOCKET": str(path / "key.sock"),
    }
    return right | changed


@pytest.mark.parametrize("arguments", [[], ["dance"], ["--help"], ["resume"]])
def test_what_it_can_do(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = command.main(arguments)
    said = capsys.readouterr()
    assert code == (0 if arguments == ["--help"] else 2)
    assert "work" in said.out + said.err


@pytest.mark.parametrize(
    ("role", "setting", "value"),
    [
        ("work", "POD_PROGRAM_ID", "x"),
        ("work", "POD_PAYER_ADDRESS", ""),
        ("work", "POD_RPC_URLS", ","),
        ("work", "POD_LOG_LEVEL", "LOUD"),
        ("work", "POD_METRICS_LISTEN", "nowhere"),
        ("work", "POD_RECONCILE_EVERY_SECONDS", "0"),
        ("work", "POD_SETTLEMENT_ROUND_MILLISECONDS", "1.5"),
        ("sign", "POD_PAYER_KEYFILE", "/nowhere"),
        ("sign", "POD_PAYER_ADDRESS", "x"),
        ("sign", "POD_USDC_MINT", ""),
        ("sign", "POD_PAYER_KEY", "file:/tmp"),
        ("sign", "POD_GUARDIAN_ADDRESS", "x"),
        ("sign", "POD_SIGNER_LARGEST_PAYMENT_MICROUSDC", "0"),
        ("sign", "POD_SIGNER_LARGEST_HOUR_MICROUSDC", "-1"),
        ("sign", "POD_SIGNER_LARGEST_DAY_MICROUSDC", "much"),
        ("sign", "POD_SIGNER_MOST_OPENINGS_AN_HOUR", "1.5"),
        ("hold-key", "POD_KEY", ""),
        ("hold-key", "POD_KEY", "remote:/run/key"),
        ("hold-key", "POD_KEY_SOCKET", ""),
        ("reconcile", "DATABASE_URL", ""),
    ],
)
def test_a_wrong_setting_ends_with_one_line_that_names_it(
    role: str,
    setting: str,
    value: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, right in settings(tmp_path, **{setting: value}).items():
        monkeypatch.setenv(name, right)
    assert command.main([role]) == 1
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert setting in said


def test_the_largest_payment_is_what_the_setting_says(tmp_path: Path) -> None:
    reader = SettingsReader(settings(tmp_path, POD_SIGNER_LARGEST_PAYMENT_MICROUSDC="7000000"), {})
    assert config.signer_settings(reader).policy.largest_payment_microusdc == 7_000_000
    worker = config.worker_settings(reader)
    assert worker.reconcile.cluster == "localnet"
    assert isinstance(worker.payer, Pubkey)


def test_the_rates_are_what_the_settings_say(tmp_path: Path) -> None:
    names = ("LARGEST_HOUR_MICROUSDC", "LARGEST_DAY_MICROUSDC", "MOST_OPENINGS_AN_HOUR")
    given = {f"POD_SIGNER_{name}": str(at) for at, name in enumerate(names)}
    policy = config.signer_settings(SettingsReader(settings(tmp_path, **given), {})).policy
    assert (policy.largest_hour_microusdc, policy.largest_day_microusdc) == (0, 1)
    assert policy.most_openings_an_hour == 2


def test_where_the_key_is(tmp_path: Path) -> None:
    right = settings(tmp_path)
    file = right.pop("POD_PAYER_KEYFILE")
    here = KeyPlace(kind=KeyKind.FILE, where=file)

    def place(**given: str) -> KeyPlace:
        return config.signer_settings(SettingsReader(right | given, {})).key

    assert place(POD_PAYER_KEYFILE=file) == place(POD_PAYER_KEY=f"file:{file}") == here
    assert place(POD_PAYER_KEY="env:MY_KEY", MY_KEY=file) == here
    assert place(POD_PAYER_KEY="remote:/run/key").kind is KeyKind.REMOTE
    assert place(POD_PAYER_KEY="pkcs11:token=x").kind is KeyKind.PKCS11
    wrongs: tuple[tuple[dict[str, str], str], ...] = (
        ({}, "POD_PAYER_KEYFILE"),
        ({"POD_PAYER_KEY": "env:MY_KEY"}, "MY_KEY"),
        ({"POD_PAYER_KEY": "env:MY_KEY", "MY_KEY": "/nowhere"}, "MY_KEY"),
        ({"POD_PAYER_KEY": "[1, 2, 3]"}, "POD_PAYER_KEY"),
        ({"POD_PAYER_KEY": f"file:{file}", "POD_PAYER_KEYFILE": file}, "POD_PAYER_KEY"),
    )
    for wrong, named in wrongs:
        with pytest.raises(SettingInvalid) as failed:
            place(**wrong)
        assert failed.value.details["setting"] == named
        assert "1, 2, 3" not in str(failed.value)


@pytest.mark.parametrize("role", ["ADMIN", "PROPOSER", "ARBITER", "GUARDIAN"])
async def test_the_signer_refuses_a_key_that_has_another_role(tmp_path: Path, role: str) -> None:
    right = settings(tmp_path)
    right[f"POD_{role}_ADDRESS"] = right["POD_PAYER_ADDRESS"]
    with pytest.raises(RolesShareKey, match=role.lower()):
        await sign(config.signer_settings(SettingsReader(right, {})))


async def test_the_signer_refuses_another_key_than_it_was_told(tmp_path: Path) -> None:
    reader = SettingsReader(settings(tmp_path, POD_PAYER_ADDRESS=str(Keypair().pubkey())), {})
    with pytest.raises(KeyRefused, match="another key"):
        await sign(config.signer_settings(reader))


async def test_the_signer_refuses_a_key_file_that_others_can_read(tmp_path: Path) -> None:
    reader = SettingsReader(settings(tmp_path), {})
    (tmp_path / "payer.json").chmod(0o644)
    with pytest.raises(KeyFileRefused, match="chmod 600"):
        await sign(config.signer_settings(reader))
