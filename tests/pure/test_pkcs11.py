"""A payout key in a PKCS#11 device: SoftHSM, from Debian."""

import asyncio
import importlib
import os
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from solders.hash import Hash
from solders.message import Message
from solders.signature import Signature

from settlement.keys.choice import KeyPlace, open_key
from settlement.keys.pkcs11 import TokenKey, TokenPlace, TokenRefused
from settlement.keys.protocol import KeyAway, signed

pytestmark = pytest.mark.foreign
MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "5678"
EDWARDS25519 = b"\x13\x0cedwards25519"  # a PrintableString, as PKCS#11 3.0 names the curve


@dataclass(frozen=True)
class Device:
    place: TokenPlace
    uri: str


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Generator[Device]:
    """A new token with the key pairs `payer` (ed25519) and `curve` (another curve)."""
    directory = tmp_path_factory.mktemp("device")
    config = directory / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {directory}\nobjectstore.backend = file\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(config))
        subprocess.run(
            [
                "softhsm2-util",
                "--init-token",
                "--free",
                "--label",
                "pod",
                "--so-pin",
                "1234",
                "--pin",
                "5678",
            ],
            check=True,
            capture_output=True,
        )
        _make_keys()
        pin = directory / "pin"
        pin.write_text(PIN + "\n")
        pin.chmod(0o600)
        uri = f"pkcs11:token=pod;object=payer?module-path={MODULE}&pin-source=file:{pin}"
        yield Device(place=TokenPlace.of(uri), uri=uri)


def _make_keys() -> None:
    made: Any = importlib.import_module("pkcs11")
    named = importlib.import_module("pkcs11.util.ec").encode_named_curve_parameters
    curves = {
        "payer": (made.KeyType.EC_EDWARDS, EDWARDS25519, made.Mechanism.EC_EDWARDS_KEY_PAIR_GEN),
        "curve": (made.KeyType.EC, named("secp256r1"), None),
    }
    with made.lib(str(MODULE)).get_token(token_label="pod").open(user_pin=PIN, rw=True) as session:
        for label, (kind, parameters, mechanism) in curves.items():
            domain = session.create_domain_parameters(
                kind, {made.Attribute.EC_PARAMS: parameters}, local=True
            )
            more = {} if mechanism is None else {"mechanism": mechanism}
            domain.generate_keypair(label=label, store=True, **more)


async def test_a_key_in_a_device_signs_transactions(device: Device) -> None:
    key = await open_key(KeyPlace.of(device.uri))
    message = Message.new_with_blockhash([], key.address, Hash.default())
    signature, _ = await signed(key, message)
    assert Signature.from_string(signature).verify(key.address, bytes(message))
    assert repr(key) == f"TokenKey({key.address})"
    again = await asyncio.gather(*(signed(key, message) for _ in range(5)))
    assert {each for each, _ in again} == {signature}


async def test_a_lost_session_is_opened_again(device: Device) -> None:
    key = TokenKey(device.place)
    key._session.close()
    with pytest.raises(KeyAway):
        await key.sign(b"x")
    assert Signature.from_bytes(await key.sign(b"x")).verify(key.address, b"x")


async def test_what_does_not_fit_is_refused(device: Device, tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.write_text(PIN)
    open_to_all.chmod(0o644)
    for wrong in (
        replace(device.place, label="nobody"),
        replace(device.place, label="curve"),
        replace(device.place, token="another"),
        replace(device.place, module=tmp_path / "nowhere.so"),
        replace(device.place, pin_file=open_to_all),
        replace(device.place, pin_file=tmp_path / "nowhere"),
    ):
        with pytest.raises(TokenRefused) as failed:
            TokenKey(wrong)
        assert PIN not in str(failed.value)


def test_a_wrong_pin_is_one_line(device: Device, tmp_path: Path) -> None:
    """In a process of its own: a login counts for all of a process."""
    pin = tmp_path / "pin"
    pin.write_text("0000")
    pin.chmod(0o600)
    right = str(device.place.pin_file)
    settings = {"POD_KEY": device.uri.replace(right, str(pin)), "POD_KEY_SOCKET": "/tmp/x/s"}
    ended = subprocess.run(
        [sys.executable, "-m", "settlement", "hold-key"],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert len(ended.stderr.splitlines()) == 1
    assert "PinIncorrect" in ended.stderr
    assert "0000" not in ended.stderr
