"""How plan, trial and unsigned bytes are shown: lines for people, a JSON object for programs."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text
from solders.pubkey import Pubkey

from cli.transaction.proposal import InstructionInWords, Opened, Proposal, in_words
from cli.transaction.simulate import Trial, format_sol
from cli.transaction.unsigned import Unsigned

_LABEL_WIDTH = 16


def show_plan(console: Console, proposal: Proposal, program_id: Pubkey) -> None:
    """What would happen, between whom, and what cannot be undone."""
    console.print(Text(proposal.title, style="bold"))
    for line in proposal.lines:
        console.print(_line(line.label, line.text))
    console.print(_line("fee paid by", str(proposal.payer)))
    for signer in proposal.signers_needed:
        console.print(_line("signs", str(signer)))
    for told in in_words(program_id, proposal.instructions):
        console.print(Text(f"  {told.name}  (program {told.program})", style="dim"))
        for account in told.accounts:
            marks = [
                *(["signs"] if account.signs else []),
                *(["written"] if account.written else []),
            ]
            note = f"  {', '.join(marks)}" if marks else ""
            console.print(Text(f"    {account.place:<26} {account.address}{note}", style="dim"))
    if proposal.irreversible:
        console.print(_line("not undoable", proposal.irreversible, style="yellow"))


def show_trial(console: Console, trial: Trial, opens: Sequence[Opened]) -> None:
    """What the chain said when it was tried; `opens` are the accounts the rent is for."""
    if trial.refusal is None:
        console.print(_line("simulation", "would succeed", style="green"))
    else:
        console.print(_line("simulation", f"would fail: {trial.refusal}", style="red"))
        for log in trial.logs:
            console.print(Text(f"    {log}", style="dim"))
    console.print(_line("compute", f"{trial.used_units} units used, limit {trial.limit_units}"))
    console.print(_line("fee", f"{format_sol(trial.fee_lamports)} SOL"))
    if trial.rent_lamports:
        made = ", ".join(one.what for one in opens)
        console.print(_line("rent", f"{format_sol(trial.rent_lamports)} SOL for the new {made}"))


def show_unsigned(console: Console, unsigned: Unsigned) -> None:
    """Everything about the bytes but the bytes, which go to stdout alone."""
    for signer in unsigned.signers:
        console.print(_line("must sign", str(signer)))
    until = (
        "good until its nonce is used"
        if unsigned.last_valid_height is None
        else f"good up to block height {unsigned.last_valid_height}: a minute or two"
    )
    console.print(_line("blockhash", f"{unsigned.blockhash}, {until}"))


def _line(label: str, text: str, *, style: str = "") -> Text:
    return Text(f"  {label:<{_LABEL_WIDTH}} ") + Text(text, style=style)


def plan_json(proposal: Proposal, program_id: Pubkey) -> dict[str, object]:
    """The plan for a program."""
    return {
        "name": proposal.name,
        "title": proposal.title,
        "plan": {line.label: line.text for line in proposal.lines},
        "irreversible": proposal.irreversible,
        "payer": str(proposal.payer),
        "signers": [str(signer) for signer in proposal.signers_needed],
        "instructions": [_told(told) for told in in_words(program_id, proposal.instructions)],
        **proposal.facts,
    }


def _told(told: InstructionInWords) -> dict[str, object]:
    return {
        "name": told.name,
        "program": str(told.program),
        "accounts": [
            {
                "place": account.place,
                "address": str(account.address),
                "signs": account.signs,
                "written": account.written,
            }
            for account in told.accounts
        ],
    }


def trial_json(trial: Trial) -> dict[str, object]:
    """The trial for a program; lamports and compute units."""
    refusal = trial.refusal
    return {
        "succeeds": refusal is None,
        "error": None if refusal is None else refusal.name,
        "error_number": None if refusal is None else refusal.number,
        "meaning": None if refusal is None else refusal.meaning,
        "units": trial.used_units,
        "limit_units": trial.limit_units,
        "price_microlamports": trial.price_microlamports,
        "fee_lamports": trial.fee_lamports,
        "rent_lamports": trial.rent_lamports,
        "payer_lamports": trial.payer_lamports,
        "logs": list(trial.logs),
    }


def unsigned_json(unsigned: Unsigned) -> dict[str, object]:
    """The unsigned transaction for a program."""
    return {
        "transaction": unsigned.transaction,
        "message": unsigned.message,
        "encoding": unsigned.encoding.value,
        "must_sign": [str(signer) for signer in unsigned.signers],
        "blockhash": str(unsigned.blockhash),
        "last_valid_height": unsigned.last_valid_height,
    }
