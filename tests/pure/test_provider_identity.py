"""The key file: the real agent's format, its test vector, and every way it can be broken."""

import base64
import stat
from pathlib import Path

import pytest

from localnet.provider_identity import Identity, IdentityInvalid

# wire.md §2.2: seed bytes 00..1f, nonce bytes 20..3f.
SEED = bytes(range(0x20))
NONCE = bytes(range(0x20, 0x40))
PUBLIC = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
SIGNATURE = (
    "RvwJzG8dl9JB4bem/R5G94jmhB0l6rvztamkRZAIYYfkK+3QSr/5dtIeA4dgC0nyVSAS5Km8SxWWaoK0RNswAQ=="
)


def test_the_published_vector() -> None:
    identity = Identity(created="2026-01-01T00:00:00+00:00", seed=SEED)
    assert identity.public_key == PUBLIC
    assert identity.sign(NONCE) == SIGNATURE


def test_the_file_is_the_real_agents() -> None:
    identity = Identity(created="2026-01-01T00:00:00+00:00", seed=SEED, provider_id="p-1")
    assert identity.text().splitlines() == [
        "-----BEGIN USEPOD AGENT KEY-----",
        "version: 1",
        "created: 2026-01-01T00:00:00+00:00",
        "secret: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        f"public: {PUBLIC}",
        "provider_id: p-1",
        "-----END USEPOD AGENT KEY-----",
    ]
    assert Identity.parse(identity.text()) == identity


def test_saved_private_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "identity.key"
    made = Identity.load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Identity.load_or_create(path) == made
    bound = made.bound_to("p-2")
    bound.save(path)
    assert Identity.load(path) == bound
    assert [file.name for file in path.parent.iterdir()] == ["identity.key"]


def test_a_leftover_of_a_killed_write_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    (tmp_path / "identity.key.new").write_text("half a fi")
    assert Identity.load_or_create(path) == Identity.load(path)


def test_the_secret_is_not_in_the_repr() -> None:
    identity = Identity.new()
    assert base64.b64encode(identity.seed).decode() not in repr(identity)
    assert repr(identity.seed) not in repr(identity)


def test_keys_nobody_knows_are_passed_over() -> None:
    identity = Identity.new()
    text = identity.text().replace("version: 1\n", "version: 1\n\nfuture: yes\n")
    assert Identity.parse(text) == identity


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("-----BEGIN USEPOD AGENT KEY-----", "", "first or last line"),
        ("-----END USEPOD AGENT KEY-----", "", "first or last line"),
        ("version: 1", "version: 2", "version 2"),
        ("version: 1\n", "", "version None"),
        ("version: 1", "version 1", "not `key: value`"),
        ("secret: AAEC", "secret: !!!!", "`secret` is not base64"),
        ("secret: AAEC", "secret: ", "32 bytes"),
        ("secret: AAEC", "secret: BBBB", "does not match"),
        (f"public: {PUBLIC}\n", "", "`public` is missing"),
        ("created: 2026\n", "", "`created` is missing"),
    ],
)
def test_a_broken_file_is_refused(old: str, new: str, complaint: str) -> None:
    text = Identity(created="2026", seed=SEED).text()
    assert old in text
    with pytest.raises(IdentityInvalid, match=complaint):
        Identity.parse(text.replace(old, new))


def test_a_file_that_is_not_there_names_itself(tmp_path: Path) -> None:
    with pytest.raises(IdentityInvalid, match="nowhere"):
        Identity.load(tmp_path / "nowhere")
