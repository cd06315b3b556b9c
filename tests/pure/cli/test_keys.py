"""Which key file is meant, which ones are refused, and that a secret is never told."""

import json
import stat
from pathlib import Path

import pytest
from solders.keypair import Keypair

from cli.transaction.keys import (
    KeypairUnusable,
    NoKeypair,
    WalletKey,
    find_keypair,
    read_keypair,
)


def write(path: Path, content: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(mode)
    return path


def numbers(key: Keypair) -> str:
    return json.dumps(list(bytes(key)))


def configured(home: Path, text: str) -> None:
    write(home / ".config/solana/cli/config.yml", text)


def test_what_was_named_comes_first(tmp_path: Path) -> None:
    configured(tmp_path, "keypair_path: /elsewhere/id.json\n")
    environment = {"POD_KEYPAIR": "/from/environment.json"}
    assert find_keypair(Path("given.json"), environment, tmp_path) == Path("given.json")
    assert find_keypair(None, environment, tmp_path) == Path("/from/environment.json")
    assert find_keypair(None, {"POD_KEYPAIR": ""}, tmp_path) == Path("/elsewhere/id.json")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("json_rpc_url: x\nkeypair_path: /a/b c.json\ncommitment: confirmed\n", "/a/b c.json"),
        ("keypair_path: '/a/quoted.json'\n", "/a/quoted.json"),
        ('keypair_path: "/a/quoted.json"  \n', "/a/quoted.json"),
        ("keypair_path: ~/wallet.json\n", "HOME/wallet.json"),
        ("  keypair_path: /indented.json\n", "HOME/.config/solana/id.json"),
        ("keypair_path:\n", "HOME/.config/solana/id.json"),
        ("", "HOME/.config/solana/id.json"),
    ],
)
def test_the_wallet_of_the_solana_command_line(tmp_path: Path, text: str, expected: str) -> None:
    configured(tmp_path, text)
    assert str(find_keypair(None, {}, tmp_path)) == expected.replace("HOME", str(tmp_path))


def test_without_anything_the_standard_place(tmp_path: Path) -> None:
    assert find_keypair(None, {}, tmp_path) == tmp_path / ".config/solana/id.json"


def test_a_hardware_wallet_is_sent_to_unsigned(tmp_path: Path) -> None:
    configured(tmp_path, "keypair_path: usb://ledger?key=0\n")
    with pytest.raises(KeypairUnusable, match="--unsigned"):
        find_keypair(None, {}, tmp_path)


def test_settings_that_are_no_text_count_as_none(tmp_path: Path) -> None:
    configured(tmp_path, "")
    (tmp_path / ".config/solana/cli/config.yml").write_bytes(b"\xff\xfe")
    assert find_keypair(None, {}, tmp_path) == tmp_path / ".config/solana/id.json"


def test_a_private_file_is_read(tmp_path: Path) -> None:
    key = Keypair()
    path = write(tmp_path / "id.json", numbers(key))
    found = read_keypair(path)
    assert found.address == key.pubkey()
    assert found.keypair == key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o610])
def test_a_file_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    key = Keypair()
    path = write(tmp_path / "id.json", numbers(key), mode)
    with pytest.raises(KeypairUnusable, match="chmod 600") as refused:
        read_keypair(path)
    assert f"{mode:04o}" in str(refused.value)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NoKeypair, match=r"--keypair FILE.*solana-keygen.*--unsigned"):
        read_keypair(tmp_path / "none.json")


def test_a_directory_is_no_key(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(KeypairUnusable):
        read_keypair(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        "[1, 2, 3]",
        json.dumps([256] * 64),
        json.dumps([-1] * 64),
        json.dumps(["1"] * 64),
        json.dumps([1] * 64),  # the two halves do not belong together
        json.dumps([True] * 64),
        "not json",
        "\x00" * 64,
    ],
)
def test_what_is_not_a_keypair_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(KeypairUnusable, match="64 numbers"):
        read_keypair(write(tmp_path / "id.json", content))


def test_no_secret_is_told(tmp_path: Path) -> None:
    key = Keypair()
    wallet = WalletKey(key)
    assert repr(wallet) == str(wallet) == f"WalletKey({key.pubkey()})"
    broken = json.dumps([*list(bytes(key))[:-1], 300])
    with pytest.raises(KeypairUnusable) as refused:
        read_keypair(write(tmp_path / "id.json", broken))
    told = f"{refused.value!r} {refused.value} {refused.value.details}"
    assert str(list(bytes(key))[0:3])[1:-1] not in told
    assert str(key) not in told
