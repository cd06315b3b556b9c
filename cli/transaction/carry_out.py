"""The one way a proposal is carried out: shown, tried, confirmed, signed, sent until it is final.

It stops at the first of: a dry run has been told; the chain says it would fail; the unsigned bytes
have been made; a signature cannot be made here; the person says no. Nothing is signed before that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, cast

from rich.console import Console
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from cli import wallet
from cli.transaction.keys import KeyMissing, WalletKey
from cli.transaction.meanings import ChainRefusal, explain
from cli.transaction.proposal import Proposal
from cli.transaction.show import (
    plan_json,
    show_plan,
    show_trial,
    show_unsigned,
    trial_json,
    unsigned_json,
)
from cli.transaction.simulate import Trial, budgeted, try_out
from cli.transaction.target import Target
from cli.transaction.unsigned import Encoding, Nonce, Unsigned, make_unsigned
from settlement.chain.rpc import Commitment, RpcClient, RpcRefused
from settlement.errors import PodError, Refused, Unavailable

_NOT_ASKED: Final = "there is no terminal to ask on: add --yes if this plan is what you want"


class Declined(Refused):
    """Nothing was signed and nothing was sent."""


class ChainSaidNo(Refused):
    """The chain refused the transaction: nothing moved."""


class NotFinal(Unavailable):
    """The transaction was not seen to become final; ask for its signature before trying again."""


class Client(StrEnum):
    """Who signs and sends what was confirmed."""

    NATIVE = "native"
    ANCHORPY = "anchorpy"  # shares nothing with us but the program's IDL


class Status(StrEnum):
    """How a command ended."""

    DONE = "done"
    DRY_RUN = "dry_run"
    UNSIGNED = "unsigned"
    NOTHING_TO_DO = "nothing_to_do"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How the person wants it carried out."""

    dry_run: bool = False
    yes: bool = False
    as_json: bool = False
    unsigned: bool = False
    encoding: Encoding = Encoding.BASE64
    nonce: Nonce | None = None
    price_microlamports: int = 0
    client: Client = Client.NATIVE


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How it ended, and everything about it for `--json`."""

    status: Status
    report: dict[str, object]
    bytes_to_sign: str | None = None

    @property
    def exit_code(self) -> int:
        """0: what was asked for is so (or was shown); 1: it is not."""
        return 1 if self.status is Status.REFUSED else 0


class Sender(Protocol):
    """Signs what was confirmed and returns once it is final; raises what `send` raises."""

    async def __call__(
        self,
        target: Target,
        proposal: Proposal,
        trial: Trial,
        keys: Sequence[WalletKey],
        *,
        console: Console,
    ) -> wallet.Landed: ...


class SecondOpinion(Protocol):
    """Another client tries the same plan; what it says, for the report of a dry run."""

    async def __call__(
        self, target: Target, proposal: Proposal, trial: Trial, *, console: Console
    ) -> dict[str, object]: ...


async def carry_out(
    target: Target,
    proposal: Proposal,
    keys: Sequence[WalletKey],
    manner: Manner,
    *,
    console: Console,
    ask: Callable[[], bool] | None,
    sender: Sender | None = None,
    opinion: SecondOpinion | None = None,
) -> Outcome:
    """Show, try, confirm, send. `ask` is None where there is nobody to ask; `sender` is ours, or
    the independent client's, and `opinion` what that one says in a dry run.

    Raises `NotEnoughSol`, `KeyMissing`, `Declined`, `ChainSaidNo`, `NotFinal` and the RPC client's
    errors. What the trial refuses is an outcome, not an error: its plan and logs are worth showing.
    """
    program_id = target.deployment.program_id
    show_plan(console, proposal, program_id)
    trial = await try_out(
        target.rpc, proposal, program_id, price_microlamports=manner.price_microlamports
    )
    show_trial(console, trial, proposal.opens)
    report = plan_json(proposal, program_id) | {"simulation": trial_json(trial)}
    if trial.refusal is not None:
        return _ended(Status.REFUSED, report)
    if manner.dry_run:
        if opinion is not None:
            report["second_opinion"] = await opinion(target, proposal, trial, console=console)
        return _ended(Status.DRY_RUN, report)
    if manner.unsigned:
        made = await make_unsigned(target.rpc, proposal, trial, manner.encoding, manner.nonce)
        show_unsigned(console, made)
        return _made(report, made)
    _check_keys(proposal, keys)
    _confirm(manner, ask)
    landed = await (sender or send)(target, proposal, trial, keys, console=console)
    return _ended(Status.DONE, report | {"signature": landed.signature, "slot": landed.slot})


async def send(
    target: Target,
    proposal: Proposal,
    trial: Trial,
    keys: Sequence[WalletKey],
    *,
    console: Console,
) -> wallet.Landed:
    """Sign and send until it is final; its signature is told before the first bytes leave.

    Raises `ChainSaidNo` or `NotFinal`.
    """
    by_address = {key.address: key.keypair for key in keys}
    payer, *others = [by_address[address] for address in proposal.signers_needed]
    instructions = budgeted(proposal.instructions, trial.limit_units, trial.price_microlamports)
    sent: list[str] = []

    def told(signature: str) -> None:
        sent.append(signature)
        console.print(f"  sent as          {signature}", markup=False)

    try:
        return await wallet.carry_out(target.rpc, instructions, payer, *others, told=told)
    except wallet.ChainFailed as failure:
        refusal = await _why(target.rpc, failure, instructions, target.deployment.program_id)
        if refusal is not None:
            raise ChainSaidNo(
                error=refusal.name, meaning=refusal.meaning, signature=failure.signature
            ) from failure
        raise NotFinal(problem=str(failure), signature=", ".join(sent) or None) from failure


async def _why(
    rpc: RpcClient,
    failure: wallet.ChainFailed,
    instructions: Sequence[Instruction],
    program_id: Pubkey,
) -> ChainRefusal | None:
    """Why it failed, by the node's refusal of the bytes or by the transaction that failed on chain.

    None: nobody refused it. A node that refuses to say how it went has not refused the transaction.
    """
    cause = failure.__cause__
    if isinstance(cause, RpcRefused) and cause.details["method"] == "sendTransaction":
        told = cast("dict[str, object]", cause.data) if isinstance(cause.data, dict) else {}
        refusal = explain(told.get("err"), instructions, program_id)
        return refusal or ChainRefusal(name="Refused", meaning=cause.text)
    if failure.signature is None:
        return None
    try:
        found = await rpc.transaction(failure.signature, commitment=Commitment.CONFIRMED)
    except PodError:
        found = None
    meta = None if found is None else found.get("meta")
    error = cast("dict[str, object]", meta).get("err") if isinstance(meta, dict) else None
    return explain(error, instructions, program_id) or ChainRefusal(
        name="Failed", meaning="the transaction failed on chain"
    )


def _check_keys(proposal: Proposal, keys: Sequence[WalletKey]) -> None:
    held = {key.address for key in keys}
    missing = [str(signer) for signer in proposal.signers_needed if signer not in held]
    if missing:
        raise KeyMissing(missing=", ".join(missing))


def _confirm(manner: Manner, ask: Callable[[], bool] | None) -> None:
    if manner.yes:
        return
    if ask is None:
        raise Declined(_NOT_ASKED)
    if not ask():
        raise Declined()


def _ended(status: Status, report: dict[str, object]) -> Outcome:
    return Outcome(status=status, report={"status": status.value, **report})


def _made(report: dict[str, object], made: Unsigned) -> Outcome:
    return Outcome(
        status=Status.UNSIGNED,
        report={"status": Status.UNSIGNED.value, **report, "unsigned": unsigned_json(made)},
        bytes_to_sign=made.transaction,
    )
