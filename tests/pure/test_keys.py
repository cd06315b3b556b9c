"""Where the payout key may be, and that what comes back is checked wherever it is."""

import base64
import json
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction

from settlement.keys import pkcs11
from settlement.keys.choice import KeyKind, KeyPlace, open_key
from settlement.keys.file import FileKey
from settlement.keys.holder import holding
from settlement.keys.pkcs11 import TokenPlace, TokenRefused
from settlement.keys.protocol import KeyAway, KeyRefused, SigningKey, signed
from settlement.keys.remote import Ask, Question, RemoteKey, SignatureTold
from settlement.local_socket import Wrong, ask, listening

PAIR = Keypair()


def message(payer: Pubkey | None = None) -> Message:
    by = payer or PAIR.pubkey()
    moved = transfer(TransferParams(from_pubkey=by, to_pubkey=PAIR.pubkey(), lamports=1))
    return Message.new_with_blockhash([moved], by, Hash.default())


@pytest.fixture
def path() -> Generator[Path]:
    with TemporaryDirectory(prefix="pod") as directory:
        yield Path(directory) / "k" / "s"


class Lying:
    """A holder that answers this, whatever it is asked to sign."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    @property
    def address(self) -> Pubkey:
        return PAIR.pubkey()

    async def sign(self, message: bytes) -> bytes:
        return self._answer


LIES = {
    "nothing": b"",
    "too short": bytes(63),
    "too long": bytes(65),
    "zeros": bytes(64),
    "of another key": bytes(Keypair().sign_message(bytes(message()))),
    "over something else": bytes(PAIR.sign_message(b"something else")),
}


@pytest.mark.parametrize("answer", LIES.values(), ids=LIES.keys())
async def test_what_is_no_signature_of_this_key_is_not_taken(answer: bytes) -> None:
    with pytest.raises(KeyAway, match="not a signature"):
        await signed(Lying(answer), message())


async def well_signed(key: SigningKey) -> None:
    signature, wire = await signed(key, message(key.address))
    made = Transaction.from_bytes(wire)
    made.verify()
    assert str(made.signatures[0]) == signature


async def test_a_key_in_another_process_signs_as_one_here(path: Path) -> None:
    async with holding(FileKey(PAIR), path):
        key = await open_key(KeyPlace.of(f"remote:{path}"))
        assert isinstance(key, RemoteKey)
        assert key.address == PAIR.pubkey()
        assert str(PAIR.pubkey()) in repr(key)
        await well_signed(key)
        assert await signed(key, message()) == await signed(FileKey(PAIR), message())


NOT_SIGNED = {
    "noise": b"noise",
    "nothing": b"",
    "paid by another": bytes(message(Keypair().pubkey())),
    "two signers": bytes(
        Message.new_with_blockhash(
            [
                transfer(
                    TransferParams(
                        from_pubkey=Keypair().pubkey(), to_pubkey=PAIR.pubkey(), lamports=1
                    )
                )
            ],
            PAIR.pubkey(),
            Hash.default(),
        )
    ),
}


@pytest.mark.parametrize("raw", NOT_SIGNED.values(), ids=NOT_SIGNED.keys())
async def test_a_holder_signs_only_what_this_key_alone_pays_for(path: Path, raw: bytes) -> None:
    async with holding(FileKey(PAIR), path):
        question = Question(ask=Ask.SIGN, message=base64.b64encode(raw).decode())
        said = await ask(path, question, Wrong, timeout_seconds=5)
        assert (said.error, said.field) == ("request_invalid", "message")
        said = await ask(path, Question(ask=Ask.SIGN, message="?"), Wrong, timeout_seconds=5)
        assert said.field == "message"
        key = await RemoteKey.reach(path)
        with pytest.raises(KeyAway):
            await key.sign(raw)
        await well_signed(key)


async def test_a_holder_that_is_away_is_waited_for(path: Path) -> None:
    with pytest.raises(KeyAway):
        await RemoteKey.reach(path)
    async with holding(FileKey(PAIR), path):
        key = await RemoteKey.reach(path)
    with pytest.raises(KeyAway):
        await key.sign(bytes(message()))
    async with holding(FileKey(PAIR), path):
        await well_signed(key)


@asynccontextmanager
async def telling(path: Path, **said: str) -> AsyncGenerator[None]:
    async def answer(_line: bytes) -> dict[str, str]:
        return said

    async with listening(path, answer):
        yield


async def test_nonsense_from_a_holder_is_no_answer(path: Path) -> None:
    async with telling(path, address="not base58"):
        with pytest.raises(KeyAway):
            await RemoteKey.reach(path)
    async with telling(path, signature="not base64", address=str(PAIR.pubkey())):
        key = await RemoteKey.reach(path)
        with pytest.raises(KeyAway):
            await key.sign(bytes(message()))
    assert SignatureTold(signature="x").signature == "x"


@pytest.mark.parametrize("text", ["", "file", "file:", "usb:x", "/root/payer.json", "[1, 2, 3]"])
def test_what_names_no_place_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(KeyRefused, match="write file:PATH") as failed:
        KeyPlace.of(text)
    assert "1, 2, 3" not in str(failed.value)


async def test_a_file_is_a_place(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text(json.dumps(list(bytes(PAIR))))
    file.chmod(0o600)
    place = KeyPlace.of(f"file:{file}")
    assert place == KeyPlace(kind=KeyKind.FILE, where=str(file))
    await well_signed(await open_key(place))


URI = "token=pod;object=the%20payer?module-path=/lib/x.so&pin-source=file:/run/pin"


def test_a_uri_says_where_in_which_device() -> None:
    found = TokenPlace.of(KeyPlace.of(f"pkcs11:{URI}").where)
    assert found == TokenPlace(
        module=Path("/lib/x.so"), token="pod", label="the payer", pin_file=Path("/run/pin")
    )


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("", "module-path is missing"),
        (URI.replace("token=pod;", ""), "token is missing"),
        (URI.replace("object=the%20payer", "object="), "object is missing"),
        (URI.replace("&pin-source=file:/run/pin", ""), "pin-source is missing"),
        (URI + "&pin-value=1234", "unknown: pin-value"),
    ],
)
def test_a_uri_that_says_too_little_or_too_much(uri: str, problem: str) -> None:
    with pytest.raises(TokenRefused, match=problem):
        TokenPlace.of(uri)


async def test_without_the_package_it_says_how_to_have_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(pkcs11.importlib, "import_module", missing)
    with pytest.raises(TokenRefused, match="scripts/install --pkcs11"):
        await open_key(KeyPlace.of(f"pkcs11:{URI}"))
