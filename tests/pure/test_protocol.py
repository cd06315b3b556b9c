"""The frames of an agent: what is strict, what is lenient, and the signature."""

import base64
import json
from contextlib import suppress
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator import protocol
from coordinator.protocol import (
    AuthChallenge,
    AuthFailed,
    AuthOk,
    AuthResponse,
    Capabilities,
    FrameInvalid,
    Heartbeat,
    JobCancel,
    JobChunk,
    JobDone,
    JobError,
    JobStart,
    Unknown,
    claimed,
    decode,
    encode,
    is_signed,
)

JOB = UUID("6a1f0c1e-7a0e-4b52-8a44-000000000001")
NONCE = bytes(range(0x20, 0x40))
# The test vector of wire.md §2.2.
PUBLIC = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
SIGNATURE = (
    "RvwJzG8dl9JB4bem/R5G94jmhB0l6rvztamkRZAIYYfkK+3QSr/5dtIeA4dgC0nyVSAS5Km8SxWWaoK0RNswAQ=="
)


def auth(**changes: object) -> str:
    frame = {"type": "auth_response", "pubkey": PUBLIC, "signature": SIGNATURE}
    return json.dumps(frame | {"agent_version": "0.3.3"} | changes)


def test_the_vector_of_the_wire_page_verifies() -> None:
    response = decode(auth(enrollment_code="POD-ENROLL-AB12CD34"))
    assert isinstance(response, AuthResponse)
    assert response.enrollment_code == "POD-ENROLL-AB12CD34"
    assert is_signed(response, NONCE)


@pytest.mark.parametrize(
    "changes",
    [
        {"pubkey": base64.b64encode(bytes(32)).decode()},
        {"pubkey": base64.b64encode(bytes(31)).decode()},
        {"signature": base64.b64encode(bytes(64)).decode()},
        {"signature": base64.b64encode(bytes(63)).decode()},
        {"signature": ""},
        {"pubkey": ""},
    ],
)
def test_another_key_or_signature_does_not(changes: dict[str, object]) -> None:
    response = decode(auth(**changes))
    assert isinstance(response, AuthResponse)
    assert not is_signed(response, NONCE)


def test_another_nonce_does_not() -> None:
    response = decode(auth())
    assert isinstance(response, AuthResponse)
    assert not is_signed(response, bytes(32))


def test_what_we_send_is_what_the_page_says() -> None:
    assert json.loads(encode(AuthChallenge(nonce=NONCE))) == {
        "type": "auth_challenge",
        "nonce": "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=",
    }
    assert json.loads(encode(AuthOk(provider_id="p"))) == {"type": "auth_ok", "provider_id": "p"}
    assert json.loads(encode(AuthFailed(reason="r"))) == {"type": "auth_failed", "reason": "r"}
    assert json.loads(encode(JobCancel(job_id=JOB))) == {"type": "job_cancel", "job_id": str(JOB)}
    start = JobStart(
        job_id=JOB, model_id="tiny", request=msgspec.Raw(b'{"a": [1]}'), deadline_ms=300_000
    )
    assert json.loads(encode(start)) == {
        "type": "job",
        "job_id": str(JOB),
        "model_id": "tiny",
        "request": {"a": [1]},
        "format": "openai",
        "deadline_ms": 300_000,
    }


def of_job(kind: str, **fields: object) -> str:
    return json.dumps({"type": kind, "job_id": str(JOB)} | fields)


def test_frames_are_read_and_unknown_fields_ignored() -> None:
    chunk = decode(of_job("job_chunk", data="aGVsbG8g", seq=4))
    assert chunk == JobChunk(job_id=JOB, data=b"hello ")
    done = decode(of_job("job_done", job_id=JOB.hex.upper(), tokens={}, duration_ms=1))
    assert isinstance(done, JobDone)
    assert done.job_id == JOB
    error = decode(of_job("job_error"))
    assert error == JobError(job_id=JOB, error_code="internal", message="")
    assert isinstance(decode('{"type":"heartbeat","last_error_at":{"odd":true}}'), Heartbeat)
    told = decode(
        '{"type":"capabilities","models":[7,{}],"limits":{"max_concurrent_total":2,'
        '"max_tokens_per_minute":null},"metadata":null}'
    )
    assert isinstance(told, Capabilities)
    assert [protocol.advertised(each) for each in told.models] == [None, None]


def test_an_unknown_type_is_no_error() -> None:
    assert decode('{"type":"config_ack","x":1}') == Unknown(type="config_ack")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        '{"type":7}',
        '{"type":"job_chunk"}',
        '{"type":"job_chunk","job_id":"no","data":""}',
        '{"type":"capabilities","models":[]}',
        '{"type":"capabilities","models":{},"limits":{"max_concurrent_total":1}}',
        '{"type":"capabilities","models":[],"limits":{"max_concurrent_total":"1"}}',
        '{"type":"auth_response","pubkey":"AA","signature":""}',
        '{"type":"auth_response","pubkey":"' + "-_" * 22 + '","signature":""}',
        "[" * 100_000,
        '{"type":"heartbeat"} trailing',
    ],
)
def test_what_cannot_be_read_is_one_kind_of_error(text: str) -> None:
    with pytest.raises(FrameInvalid) as raised:
        decode(text)
    assert raised.value.job_id is None


def test_a_broken_frame_of_a_job_names_the_job() -> None:
    with pytest.raises(FrameInvalid) as raised:
        decode(of_job("job_chunk", data="@@"))
    assert raised.value.job_id == JOB


@given(st.text())
def test_no_text_at_all_breaks_the_reader(text: str) -> None:
    with suppress(FrameInvalid):
        decode(text)


@pytest.mark.parametrize(
    ("tokens", "claim"),
    [
        (b'{"input":7,"output":13,"input_tokens":7,"output_tokens":13}', (7, 13)),
        (b'{"input":7,"output":13}', (7, 13)),
        (b'{"input_tokens":7}', (7, 0)),
        (b"{}", (0, 0)),
        (b"null", (0, 0)),
        (b'{"input":-1,"output":true}', (0, 0)),
        (b'{"input":"7","output":1.5}', (0, 0)),
        (b'{"input":4294967295,"output":4294967296}', (4_294_967_295, 0)),
    ],
)
def test_a_claim_is_read_in_either_spelling(tokens: bytes, claim: tuple[int, int]) -> None:
    told = claimed(msgspec.Raw(tokens))
    assert (told.input_tokens, told.output_tokens) == claim


@pytest.mark.parametrize(
    ("message", "mistake"),
    [
        ("backend returned HTTP 400: too long", True),
        ("backend returned HTTP 413: {}", True),
        ("backend returned HTTP 422: no", True),
        ("backend returned HTTP 401: key", False),
        ("backend returned HTTP 404: model", False),
        ("backend returned HTTP 429: slow", False),
        ("backend returned HTTP 500: HTTP/400", False),
        ("transport error: reset", False),
    ],
)
def test_a_users_mistake_is_told_from_a_providers(message: str, mistake: bool) -> None:
    assert JobError(job_id=JOB, message=message).is_users_mistake is mistake
