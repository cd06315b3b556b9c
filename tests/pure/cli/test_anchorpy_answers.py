"""What a person hears of the independent client's answers; a script stands in for it here."""

import asyncio
import io
import json
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from cli.transaction.anchorpy import (
    AnchorpyDisagrees,
    AnchorpyFailed,
    AnchorpyMissing,
    ask_anchorpy,
    by_name,
    send_with_anchorpy,
    try_with_anchorpy,
)
from cli.transaction.carry_out import ChainSaidNo, NotFinal
from cli.transaction.keys import KeyMissing, WalletKey
from cli.transaction.proposal import Proposal
from cli.transaction.simulate import Trial
from cli.transaction.target import Target
from cli.wallet import Landed
from settlement.chain import program
from settlement.chain.layouts import CONFIG_SIZE, account_discriminator
from settlement.chain.rpc import open_rpc
from settlement.errors import PodError
from settlement.money import Lamports

DEPLOYMENT = program.Deployment(Pubkey.new_unique(), Pubkey.new_unique())
OPERATOR = Keypair()
SIGNATURE = "4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi"
SENT = json.dumps({"sent": SIGNATURE}, separators=(",", ":"))
RPC = "http://127.0.0.1:1"
PLAN = (
    Proposal(
        name="retire",
        title="",
        lines=(),
        instructions=(
            program.retire(
                DEPLOYMENT,
                signer=OPERATOR.pubkey(),
                code=b"Operator",
                beneficiary=OPERATOR.pubkey(),
            ),
        ),
        payer=OPERATOR.pubkey(),
    ),
    Trial(
        refusal=None,
        logs=(),
        used_units=4_000,
        limit_units=5_800,
        price_microlamports=3,
        fee_lamports=Lamports(5_000),
        rent_lamports=Lamports(0),
        payer_lamports=Lamports(10**9),
    ),
)


@dataclass(kw_only=True)
class Stand:
    """Everything a sending needs, and the script that answers it."""

    target: Target
    folder: Path
    keys: tuple[WalletKey, ...]
    shown: io.StringIO = field(default_factory=io.StringIO)

    def script(self, text: str) -> Path:
        """A stand-in for the other environment's Python; what it was asked lands in `asked`."""
        path = self.folder / "python"
        path.write_text(f"#!/bin/sh\ncat >{self.folder}/asked\n{text}\n")
        path.chmod(0o700)
        return path

    async def send(self, script: str) -> Landed:
        return await send_with_anchorpy(
            RPC, self.target, *PLAN, self.keys, console=self.console, python=self.script(script)
        )

    async def try_out(self, script: str) -> dict[str, object]:
        return await try_with_anchorpy(
            RPC, self.target, *PLAN, console=self.console, python=self.script(script)
        )

    @property
    def console(self) -> Console:
        return Console(file=self.shown, width=200)

    @property
    def asked(self) -> dict[str, Any]:
        return json.loads((self.folder / "asked").read_text())


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncGenerator[Stand]:
    data = bytearray(account_discriminator("Config") + bytes(CONFIG_SIZE - 8))
    data[40] = 1
    config = program.decode_account(bytes(data))
    assert isinstance(config, program.Config)
    async with open_rpc(["http://127.0.0.1:1"]) as rpc:
        target = Target(rpc=rpc, deployment=DEPLOYMENT, config=config, coordinator=None)
        key = WalletKey(OPERATOR, tmp_path / "operator.json")
        yield Stand(target=target, folder=tmp_path, keys=(key,))


def answering(**answer: object) -> str:
    return f"echo '{json.dumps(answer)}'"


async def test_what_landed_and_its_signature_told_before(stand: Stand) -> None:
    said = f"echo '{SENT}' >&2\n" + answering(signature=SIGNATURE, slot=77)
    landed = await stand.send(said)
    assert (landed.signature, landed.slot) == (SIGNATURE, 77)
    assert f"sent as          {SIGNATURE}  (by anchorpy)" in stand.shown.getvalue()


async def test_a_dry_run_is_another_opinion_without_keys(stand: Stand) -> None:
    stand.keys = ()
    said = await stand.try_out(answering(succeeds=True, units=4_321, logs=[]))
    assert said == {"client": "anchorpy", "succeeds": True, "units": 4_321}
    assert "by anchorpy      would succeed, 4321 units" in stand.shown.getvalue()
    assert (stand.asked["do"], "keys" in stand.asked) == ("simulate", False)
    refused = answering(**{**REFUSED, "name": "SeizureOpen", "err": None})
    said = await stand.try_out(refused + "; exit 1")
    assert (said["succeeds"], said["error"]) == (False, "SeizureOpen")
    assert "would fail: SeizureOpen: a seizure is open" in stand.shown.getvalue()
    for answer, error in (
        ({"error": "Disagreement", "message": "", "instruction": "retire"}, AnchorpyDisagrees),
        ({"error": "Unreachable", "message": "gone"}, AnchorpyFailed),
    ):
        with pytest.raises(error):
            await stand.try_out(answering(**answer) + "; exit 1")


async def test_names_and_a_key_file_are_sent_and_no_secret(stand: Stand) -> None:
    stand.keys = (*stand.keys, WalletKey(Keypair(), stand.folder / "other.json"))
    await stand.send(answering(signature=SIGNATURE, slot=1))
    asked = stand.asked
    assert (asked["do"], asked["rpc"], asked["payer"]) == (
        "send",
        "http://127.0.0.1:1",
        str(OPERATOR.pubkey()),
    )
    assert asked["keys"] == [str(stand.folder / "operator.json")]
    assert (asked["compute_units"], asked["price_microlamports"]) == (5_800, 3)
    [retire] = asked["instructions"]
    assert retire["name"] == "retire"
    assert retire["args"] == {"code": b"Operator".hex()}
    assert set(retire["accounts"]) == {"signer", "bond", "config"}
    assert retire["expected"]["data"].endswith(b"Operator".hex())
    for key in stand.keys:
        assert bytes(key.keypair).hex() not in json.dumps(asked)
        assert str(list(bytes(key.keypair)))[1:-1] not in json.dumps(asked)


REFUSED: dict[str, object] = {
    "error": "Refused",
    "name": None,
    "err": None,
    "message": "the node is behind",
    "signature": None,
}
ANSWERS: list[tuple[dict[str, object], type[PodError], str]] = [
    (REFUSED | {"name": "SeizureOpen", "err": {}}, ChainSaidNo, "a seizure is open"),
    (
        REFUSED | {"err": {"InstructionError": [2, {"Custom": 6019}]}},
        ChainSaidNo,
        "the cooldown is not over",
    ),
    (REFUSED | {"err": "BlockhashNotFound"}, ChainSaidNo, "too old or of another chain"),
    (REFUSED, ChainSaidNo, "the node is behind"),
    (
        {"error": "Disagreement", "message": "", "instruction": "retire"},
        AnchorpyDisagrees,
        "retire",
    ),
    ({"error": "Unreachable", "message": "no answer"}, AnchorpyFailed, "no answer"),
    ({"error": "KeyUnusable", "message": "not a key"}, AnchorpyFailed, "not a key"),
    ({"error": "NotFinal", "message": "not final after 150 s"}, AnchorpyFailed, "after 150 s"),
]


@pytest.mark.parametrize(("answer", "error", "told"), ANSWERS)
async def test_what_an_answer_means(
    stand: Stand, answer: dict[str, object], error: type[PodError], told: str
) -> None:
    with pytest.raises(error, match=told):
        await stand.send(answering(**answer) + "\nexit 1")


@pytest.mark.parametrize(
    "end",
    [
        answering(error="NotFinal", message="late"),
        answering(error="Unreachable", message="gone"),
        "exit 3",
    ],
)
async def test_once_it_was_sent_nobody_says_that_nothing_happened(stand: Stand, end: str) -> None:
    with pytest.raises(NotFinal) as caught:
        await stand.send(f"echo '{SENT}' >&2\n{end}")
    assert caught.value.details["signature"] == SIGNATURE


@pytest.mark.parametrize("end", ["exit 0", "echo nonsense", "kill -9 $$", "echo Boom >&2; exit 1"])
async def test_it_ends_without_an_answer(stand: Stand, end: str) -> None:
    with pytest.raises(AnchorpyFailed) as caught:
        await stand.send(end)
    assert ("Boom" in str(caught.value)) == ("Boom" in end)


async def test_it_ends_before_it_has_read_its_request(stand: Stand) -> None:
    hasty = stand.script("")
    hasty.write_text("#!/bin/sh\nexit 1\n")
    long = {"do": "x" * 1_000_000}
    with pytest.raises(AnchorpyFailed):
        await ask_anchorpy(DEPLOYMENT.program_id, long, python=hasty)


async def test_its_environment_is_not_there(stand: Stand) -> None:
    with pytest.raises(AnchorpyMissing, match="scripts/install --anchorpy"):
        await ask_anchorpy(DEPLOYMENT.program_id, {}, python=stand.folder / "nothing")


async def test_its_environment_is_half_made(stand: Stand) -> None:
    half = stand.script("echo \"ModuleNotFoundError: No module named 'anchorpy'\" >&2; exit 1")
    with pytest.raises(AnchorpyMissing):
        await ask_anchorpy(DEPLOYMENT.program_id, {}, python=half)


async def test_a_key_without_a_file_cannot_sign_there(stand: Stand) -> None:
    stand.keys = (WalletKey(OPERATOR),)
    with pytest.raises(KeyMissing, match=str(OPERATOR.pubkey())):
        await stand.send(answering(signature=SIGNATURE, slot=1))
    assert not (stand.folder / "asked").exists()


async def test_who_stops_waiting_stops_it(stand: Stand) -> None:
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    script = stand.script("""echo '{"sent":"'$$'"}' >&2\nexec sleep 600""")
    running = asyncio.create_task(
        ask_anchorpy(
            DEPLOYMENT.program_id,
            {},
            told=lambda pid: started.set_result(int(pid)),
            python=script,
        )
    )
    pid = await started
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_proxy_meant_for_others_is_not_used(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:9")
    await stand.send(f"env >{stand.folder}/env\n" + answering(signature=SIGNATURE, slot=1))
    assert "_proxy=http" not in (stand.folder / "env").read_text().lower()


def test_a_role_and_parameters_by_the_idls_names() -> None:
    admin = OPERATOR.pubkey()
    granted = program.build(
        DEPLOYMENT,
        program.GrantRole(admin=admin, role=program.Role.ARBITER, holder=Pubkey.default()),
    )
    args = by_name(DEPLOYMENT.program_id, granted)["args"]
    assert args == {"role": 2, "holder": str(Pubkey.default())}
    policy = program.SetParams(admin=admin, parameters=program.InitialParameters())
    args: Any = by_name(DEPLOYMENT.program_id, program.build(DEPLOYMENT, policy))["args"]
    assert args["parameters"]["cooldown"] == 7_776_000
    assert "bond_amount" in args["parameters"]
