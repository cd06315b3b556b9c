"""Chain and model side by side: every transaction goes to both, and all is compared after it.

`Stage` is the part of the machine without rules. Rules (in the files beside it) say what is tried;
`act` sends it, perhaps spoiled, perhaps together with the next ones in one transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from hypothesis.stateful import RuleBasedStateMachine, invariant
from solders.instruction import AccountMeta, Instruction
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction_metadata import TransactionMetadata

from settlement.chain import program
from settlement.chain.abi import SHAPES
from settlement.chain.instructions import (
    ProgramInstruction,
    Release,
    decode_instruction,
    instruction_name,
)
from settlement.chain.layouts import Config
from settlement.chain.program import InitialParameters
from tests.program import model
from tests.program.lives import chain
from tests.program.lives.beginning import first_state
from tests.program.lives.chain import DEPLOYMENT, FIRST_TOKENS, FOREIGN_MINT, KEYS, PEOPLE, key
from tests.program.lives.spoils import UNSPOILED, Spoil
from tests.program.lives.tally import Tally
from tests.program.lives.watch import Happened, Watch
from tests.program.model import refusals
from tests.program.model.state import Call, State
from tests.program.world import World

CODES: Final = (b"Enroll01", b"Enroll02", b"zzzzzzz9")
BAD_CODE: Final = b"Enroll0-"


@dataclass(frozen=True, kw_only=True)
class Act:
    """One instruction about to be sent."""

    meant: ProgramInstruction
    built: Instruction
    data_is_whole: bool


class Stage(RuleBasedStateMachine):
    """One life."""

    tally: Tally

    world: World
    state: State
    watch: Watch

    def __init__(self) -> None:
        super().__init__()
        self.together: list[Act] = []
        self.wanted_together = 1
        self.healthy = True

    def begin(self, parameters: InitialParameters, base: int) -> None:
        """Set up chain and model."""
        chain.forget()
        self.world = chain.new_chain(parameters, base)
        self.state = first_state(self.world, parameters, base)
        self.watch = Watch(base=base)
        self.seen = self._read()

    @property
    def now(self) -> int:
        """The chain's clock."""
        return self.state.now

    @property
    def config(self) -> Config:
        """As the model has it; compared with the chain's after every step."""
        return self.state.config

    def set_clock(self, now: int) -> None:
        """Another time; what was to be sent together is sent before."""
        self.flush()
        clock = self.world.svm.get_clock()
        clock.unix_timestamp = now
        self.world.svm.set_clock(clock)
        self.state.now = now

    # Sending.

    def act(
        self, meant: ProgramInstruction, spoil: Spoil = UNSPOILED, *, signed: bool = False
    ) -> None:
        """Send the instruction, or keep it for the transaction being put together."""
        self.together.append(self._spoiled(meant, spoil, signed=signed))
        if len(self.together) >= self.wanted_together:
            self.flush()

    def refusal_of(self, meant: ProgramInstruction) -> str | None:
        """What the model says of this instruction, sent now and alone by who must."""
        act = self._spoiled(meant, UNSPOILED, signed=False)
        signing = {meta.pubkey for meta in act.built.accounts if meta.is_signer}
        writable = {meta.pubkey for meta in act.built.accounts if meta.is_writable}
        _, told = model.apply(self.state, [_call(act, frozenset(signing), frozenset(writable))])
        return None if told is None else told[1]

    def flush(self) -> None:
        """Send what was put together."""
        acts, self.together, self.wanted_together = self.together, [], 1
        if acts:
            self._send(acts)

    def _spoiled(self, meant: ProgramInstruction, spoil: Spoil, *, signed: bool) -> Act:
        if spoil.kind == "code" and hasattr(meant, "code"):
            code = CODES[spoil.other]
            meant = replace(meant, code=code)  # pyright: ignore[reportCallIssue]
        built = program.build(DEPLOYMENT, meant)
        metas = list(built.accounts)
        data = bytes(built.data)
        if signed and isinstance(meant, Release):
            metas[1] = AccountMeta(meant.beneficiary, is_signer=True, is_writable=False)
        match spoil.kind:
            case "trailing":
                data += b"\0"
            case "truncated":
                data = data[:-1]
            case "surplus":
                metas.append(AccountMeta(key("alice"), is_signer=False, is_writable=False))
            case "missing":
                metas.pop()
            case "readonly" | "unsigned" | "swapped":
                self._spoil_account(metas, spoil)
            case _:
                pass
        instruction = Instruction(built.program_id, data, [_signable(meta) for meta in metas])
        whole = spoil.kind not in ("trailing", "truncated")
        return Act(meant=meant, built=instruction, data_is_whole=whole)

    def _spoil_account(self, metas: list[AccountMeta], spoil: Spoil) -> None:
        chosen = [
            place
            for place, meta in enumerate(metas)
            if spoil.kind == "swapped"
            or (spoil.kind == "readonly" and meta.is_writable)
            or (spoil.kind == "unsigned" and meta.is_signer)
        ]
        if not chosen:
            return
        place = chosen[spoil.place % len(chosen)]
        meta = metas[place]
        pool = self._others()
        metas[place] = AccountMeta(
            pool[spoil.other % len(pool)] if spoil.kind == "swapped" else meta.pubkey,
            meta.is_signer and spoil.kind != "unsigned",
            meta.is_writable and spoil.kind != "readonly",
        )

    def _others(self) -> list[Pubkey]:
        """What may stand in the place of another account."""
        ours = [DEPLOYMENT.config, DEPLOYMENT.escrow, DEPLOYMENT.payouts]
        vaults = [DEPLOYMENT.till_vault, DEPLOYMENT.bond_vault, DEPLOYMENT.till_authority]
        mints = [DEPLOYMENT.mint, FOREIGN_MINT]
        people = [key(name) for name in (*PEOPLE, "funder")]
        return [*people, *ours, *vaults, *mints, *FIRST_TOKENS, *self.state.bonds]

    def _send(self, acts: Sequence[Act]) -> None:
        instructions = [act.built for act in acts]
        metas = [meta for each in instructions for meta in each.accounts]
        signing = {meta.pubkey for meta in metas if meta.is_signer}
        keys = [pair for pair in KEYS.values() if pair.pubkey() in signing]
        fees = key("fees")
        signers = frozenset(signing | {fees})
        writable = frozenset({meta.pubkey for meta in metas if meta.is_writable} | {fees})
        calls = [_call(act, signers, writable) for act in acts]
        self.healthy = False
        after, expected = model.apply(self.state, calls)
        sent = self.world._run(instructions, keys)
        found = chain.outcome(sent)
        told = [act.meant for act in acts]
        assert found == expected, f"the chain says {found}, the model {expected}: {told}"
        self.state = after
        self._count(calls, expected)
        before, self.seen = self.seen, self._read()
        if isinstance(sent, TransactionMetadata):
            happened = _happened(instructions, sent, signers, fees)
            self.watch.saw(before, happened, self.seen, self.now)
        self.healthy = True

    def _count(self, calls: Sequence[Call], expected: tuple[int, str] | None) -> None:
        self.tally.transactions += 1
        self.tally.of_several += len(calls) > 1
        if expected is None:
            self.tally.outcomes.update((call.name, "done") for call in calls)
        else:
            place, error = expected
            assert error in refusals.possible(calls[place].name), (calls[place].name, error)
            self.tally.outcomes[calls[place].name, error] += 1

    def _read(self) -> chain.Snapshot:
        vaults = (DEPLOYMENT.till_vault, DEPLOYMENT.bond_vault)
        return chain.read_chain(self.world, (*FIRST_TOKENS, *vaults))

    def outside(self, *instructions: Instruction) -> None:
        """A transaction that is not ours: sent, and the model told by whoever calls."""
        self.flush()
        signing = {meta.pubkey for each in instructions for meta in each.accounts if meta.is_signer}
        keys = [pair for pair in KEYS.values() if pair.pubkey() in signing]
        self.world.send(*instructions, signers=keys)

    # What holds after every step.

    @invariant()
    def chain_and_model_agree(self) -> None:
        """Every account, every balance, every lamport of rent."""
        self.tally.steps += 1
        if not hasattr(self, "world"):
            return
        self.healthy = False
        state = self.state
        self.seen = self._read()
        assert self.seen.config == state.config
        assert self.seen.escrow == state.escrow
        assert self.seen.payouts == state.numbers.account()
        assert self.seen.bonds == state.bonds
        assert {at: token for at, token in self.seen.tokens.items() if token} == state.tokens
        balances = {at: self.world.svm.get_balance(at) for at in state.lamports}
        assert balances == state.lamports
        self.watch.check(self.seen)
        self.healthy = True


def _signable(meta: AccountMeta) -> AccountMeta:
    """Only people can sign."""
    signs = meta.is_signer and any(meta.pubkey == pair.pubkey() for pair in KEYS.values())
    return AccountMeta(meta.pubkey, signs, meta.is_writable)


def _call(act: Act, signers: frozenset[Pubkey], writable: frozenset[Pubkey]) -> Call:
    names = [name for name, _ in SHAPES[instruction_name(type(act.meant))].accounts]
    given = [meta.pubkey for meta in act.built.accounts]
    return Call(
        instruction=act.meant,
        accounts=dict(zip(names, given, strict=False)),
        signers=signers,
        writable=writable,
        data_is_whole=act.data_is_whole,
        surplus_accounts=len(given) - len(names),
    )


def _happened(
    instructions: Sequence[Instruction],
    sent: TransactionMetadata,
    signers: frozenset[Pubkey],
    fee_payer: Pubkey,
) -> list[Happened]:
    account_keys = Message(list(instructions), fee_payer).account_keys
    moved = chain.tokens_moved(sent, account_keys)
    return [
        Happened(
            instruction=decode_instruction(
                bytes(each.data), [meta.pubkey for meta in each.accounts]
            ),
            signers=signers,
            moved=tuple(one for one in moved if one.place == place),
        )
        for place, each in enumerate(instructions)
    ]
