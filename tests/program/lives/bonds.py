"""Rules about bonds: posted, retired, handed over, released, seized."""

from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from solders.pubkey import Pubkey

from settlement.chain.instructions import (
    CancelRetire,
    Contest,
    Dismiss,
    ExecuteSeizure,
    FundBond,
    Lapse,
    Pay,
    PostBond,
    ProposeSeizure,
    Release,
    Retire,
    SetBeneficiary,
    Uphold,
    WithdrawProposal,
)
from settlement.chain.layouts import Bond, BondState, SeizureState
from settlement.chain.program import associated_token_address
from settlement.money import MicroUsdc
from tests.program.lives.aims import (
    Aims,
    destinations,
    frost,
    idle,
    numbers,
    patience,
    people,
    which,
)
from tests.program.lives.chain import DEPLOYMENT, bond_address, canonical, key
from tests.program.lives.spoils import Spoil, spoils
from tests.program.lives.stage import BAD_CODE, CODES
from tests.program.model.state import OPEN

_EVIDENCE: Final = tuple(bytes([number]) * 32 for number in range(6))
_BENEFICIARIES: Final = (
    *("alice", "bob", "carol") * 20,
    "payer",
    "payer",
    "till",
    "escrow",
    "nobody",
)

seizures = st.sampled_from(
    (*(SeizureState.PROPOSED, SeizureState.UPHELD) * 3, SeizureState.CONTESTED)
)
# Most pay from their own account.
sources = st.sampled_from(
    (*("right",) * 20, "first:alice", "second:alice", "bond vault", "till vault", "foreign")
)
again = st.sampled_from((False,) * 5 + (True,))
codes = st.sampled_from((*CODES * 15, BAD_CODE))
beneficiaries = st.sampled_from(_BENEFICIARIES)
evidence = st.sampled_from((*_EVIDENCE[1:] * 8, _EVIDENCE[0]))


class BondRules(Aims):
    """A bond's life."""

    @rule(
        code=codes,
        depositor=st.sampled_from(("alice", "alice", "bob", "carol", "payer")),
        beneficiary=beneficiaries,
        funder=st.sampled_from(("funder", "funder", "alice", "bob")),
        source=sources,
        again=again,
        spoil=spoils,
    )
    def post_bond(
        self,
        code: bytes,
        depositor: str,
        beneficiary: str,
        funder: str,
        source: str,
        again: bool,
        spoil: Spoil,
    ) -> None:
        if again:
            code, beneficiary = self.closed(code, beneficiary)
        self.act(
            PostBond(
                depositor=key(depositor),
                funder=key(funder),
                depositor_ata=self.destination(source, canonical(depositor)),
                bond=bond_address(code, key(beneficiary)),
                code=code,
                beneficiary=key(beneficiary),
            ),
            spoil,
        )

    def closed(self, code: bytes, beneficiary: str) -> tuple[bytes, str]:
        """A bond that was closed, if there is one; else the one asked for."""
        for one in CODES:
            for name in ("alice", "bob", "carol", "payer"):
                bond = self.state.bonds.get(bond_address(one, key(name)))
                if bond is not None and bond.state not in OPEN:
                    return one, name
        return code, beneficiary

    @rule(
        number=numbers,
        code=codes,
        beneficiary=beneficiaries,
        again=again,
        emptied=again,
        by=people,
        spoil=spoils,
    )
    def fund_bond(
        self,
        number: str,
        code: bytes,
        beneficiary: str,
        again: bool,
        emptied: bool,
        by: str,
        spoil: Spoil,
    ) -> None:
        if again:
            code, beneficiary = self.closed(code, beneficiary)
        if emptied:
            self.act(
                Pay(
                    payer=self.who("right", self.config.payer),
                    destination=canonical("carol"),
                    sequence=self.number("last"),
                    amount_microusdc=MicroUsdc(self.amount("all")),
                    code=code,
                    reference=bytes(16),
                )
            )
        self.act(
            FundBond(
                payer=self.who(by, self.config.payer),
                funder=key("funder"),
                bond=bond_address(code, key(beneficiary)),
                sequence=self.number(number),
                code=code,
                beneficiary=key(beneficiary),
            ),
            spoil,
        )

    @precondition(lambda self: bool(self.state.bonds))
    @rule(draw=which, by=people, spoil=spoils)
    def retire(self, draw: int, by: str, spoil: Spoil) -> None:
        at, bond = self.bond(draw, BondState.POSTED)
        signer = self.who(by, bond.beneficiary)
        self.act(Retire(signer=signer, bond=at, code=bond.code), spoil)

    @precondition(lambda self: bool(self.state.bonds))
    @rule(draw=which, by=people, spoil=spoils)
    def cancel_retire(self, draw: int, by: str, spoil: Spoil) -> None:
        at, bond = self.bond(draw, BondState.RETIRING)
        beneficiary = self.who(by, bond.beneficiary)
        self.act(CancelRetire(beneficiary=beneficiary, bond=at, code=bond.code), spoil)

    @precondition(lambda self: bool(self.state.bonds))
    @rule(
        draw=which, by=people, to=st.sampled_from(("alice", "bob", "carol", "payer")), spoil=spoils
    )
    def set_beneficiary(self, draw: int, by: str, to: str, spoil: Spoil) -> None:
        at, bond = self.bond(draw)
        old = self.who(by, bond.beneficiary)
        self.act(
            SetBeneficiary(beneficiary=old, new_beneficiary=key(to), bond=at, code=bond.code),
            spoil,
        )

    @precondition(lambda self: bool(self.state.bonds))
    @rule(
        draw=which,
        to=destinations,
        signed=st.booleans(),
        by=people,
        rent=people,
        idle=idle,
        frost=frost,
        offset=patience,
        spoil=spoils,
    )
    def release(
        self,
        draw: int,
        to: str,
        signed: bool,
        by: str,
        rent: str,
        idle: bool,
        frost: str,
        offset: int | None,
        spoil: Spoil,
    ) -> None:
        at, bond = self.bond(draw, BondState.RETIRING)
        if not idle and bond.state is BondState.POSTED:
            self.act(Retire(signer=bond.beneficiary, bond=at, code=bond.code))
            bond = self.state.bonds[at]
        self.wait_for(bond.release_at, offset)
        beneficiary = self.who(by, bond.beneficiary)
        right = associated_token_address(bond.beneficiary, DEPLOYMENT.mint)
        destination = self.destination(to, right)
        self.freeze_one(frost, DEPLOYMENT.bond_vault, destination)
        self.act(
            Release(
                bond=at,
                beneficiary=beneficiary,
                destination=destination,
                rent_payer=self.who(rent, bond.rent_payer),
                code=bond.code,
            ),
            spoil,
            signed=signed,
        )

    @precondition(lambda self: bool(self.state.bonds))
    @rule(draw=which, hashed=evidence, by=people, offset=patience, spoil=spoils)
    def propose_seizure(
        self, draw: int, hashed: bytes, by: str, offset: int | None, spoil: Spoil
    ) -> None:
        at, bond = self.bond(draw, seizure=SeizureState.NONE)
        if draw % 2:
            self.wait_for(bond.release_at, offset)
        self.act(
            ProposeSeizure(
                proposer=self.who(by, self.config.proposer),
                bond=at,
                code=bond.code,
                evidence_hash=hashed,
                reason=hashed[0],
            ),
            spoil,
        )

    @precondition(lambda self: bool(self.state.bonds))
    @rule(draw=which, times=st.sampled_from((2, 4, 4)))
    def the_proposer_insists(self, draw: int, times: int) -> None:
        at, bond = self.bond(draw, BondState.RETIRING, SeizureState.NONE)
        proposer = self.who("right", self.config.proposer)
        code = bond.code
        for number in range(times):
            hashed = bytes([200 + number]) * 32
            self.act(
                ProposeSeizure(
                    proposer=proposer, bond=at, code=code, evidence_hash=hashed, reason=number
                )
            )
            self.act(WithdrawProposal(proposer=proposer, bond=at, code=code))

    def accused(self, draw: int, wanted: SeizureState, *, idle: bool) -> tuple[Pubkey, Bond]:
        """A bond whose seizure stands there, brought on by one step unless idle."""
        at, bond = self.bond(draw, seizure=wanted)
        if idle or bond.seizure_state is wanted or bond.state not in OPEN:
            return at, bond
        code, config = bond.code, self.config
        match bond.seizure_state:
            case SeizureState.NONE:
                hashed = bytes([100 + draw]) * 32
                proposer = self.who("right", config.proposer)
                self.act(
                    ProposeSeizure(
                        proposer=proposer, bond=at, code=code, evidence_hash=hashed, reason=draw
                    )
                )
            case SeizureState.PROPOSED:
                holder, reply = bond.beneficiary, bytes(32)
                self.act(Contest(beneficiary=holder, bond=at, code=code, reply_hash=reply))
            case SeizureState.CONTESTED:
                arbiter = self.who("right", config.arbiter)
                self.act(Uphold(arbiter=arbiter, bond=at, code=code))
            case _:
                pass
        return at, self.state.bonds[at]

    @precondition(lambda self: bool(self.state.bonds))
    @rule(draw=which, seizure=seizures, idle=idle, by=people, spoil=spoils)
    def withdraw_proposal(
        self, draw: int, seizure: SeizureState, idle: bool, by: str, spoil: Spoil
    ) -> None:
        at, bond = self.accused(draw, seizure, idle=idle)
        proposer = self.who(by, self.config.proposer)
        self.act(WithdrawProposal(proposer=proposer, bond=at, code=bond.code), spoil)

    @precondition(lambda self: bool(self.state.bonds))
    @rule(
        draw=which,
        idle=idle,
        by=people,
        reply=st.sampled_from(_EVIDENCE),
        offset=patience,
        spoil=spoils,
    )
    def contest(
        self, draw: int, idle: bool, by: str, reply: bytes, offset: int | None, spoil: Spoil
    ) -> None:
        at, bond = self.accused(draw, SeizureState.PROPOSED, idle=idle)
        self.wait_for(bond.execute_after, offset)
        holder = self.who(by, bond.beneficiary)
        self.act(Contest(beneficiary=holder, bond=at, code=bond.code, reply_hash=reply), spoil)

    @precondition(lambda self: bool(self.state.bonds))
    @rule(draw=which, idle=idle, by=people, offset=patience, spoil=spoils)
    def uphold(self, draw: int, idle: bool, by: str, offset: int | None, spoil: Spoil) -> None:
        at, bond = self.accused(draw, SeizureState.CONTESTED, idle=idle)
        self.wait_for(bond.decide_by, offset)
        arbiter = self.who(by, self.config.arbiter)
        self.act(Uphold(arbiter=arbiter, bond=at, code=bond.code), spoil)

    @precondition(lambda self: bool(self.state.bonds))
    @rule(draw=which, idle=idle, by=people, offset=patience, spoil=spoils)
    def dismiss(self, draw: int, idle: bool, by: str, offset: int | None, spoil: Spoil) -> None:
        at, bond = self.accused(draw, SeizureState.CONTESTED, idle=idle)
        self.wait_for(bond.decide_by, offset)
        arbiter = self.who(by, self.config.arbiter)
        self.act(Dismiss(arbiter=arbiter, bond=at, code=bond.code), spoil)

    @precondition(lambda self: bool(self.state.bonds))
    @rule(
        draw=which,
        seizure=seizures,
        idle=idle,
        late=st.integers(0, 3),
        offset=patience,
        rent=people,
        spoil=spoils,
    )
    def execute_seizure(
        self,
        draw: int,
        seizure: SeizureState,
        idle: bool,
        late: int,
        offset: int | None,
        rent: str,
        spoil: Spoil,
    ) -> None:
        at, bond = self.accused(draw, seizure, idle=idle)
        self.wait_for(bond.execute_after if late else bond.dies_at, offset)
        rent_payer = self.who(rent, bond.rent_payer)
        self.act(ExecuteSeizure(bond=at, rent_payer=rent_payer, code=bond.code), spoil)

    @precondition(lambda self: bool(self.state.bonds))
    @rule(draw=which, seizure=seizures, idle=idle, offset=patience, spoil=spoils)
    def lapse(
        self, draw: int, seizure: SeizureState, idle: bool, offset: int | None, spoil: Spoil
    ) -> None:
        at, bond = self.accused(draw, seizure, idle=idle)
        contested = bond.seizure_state is SeizureState.CONTESTED
        self.wait_for(bond.decide_by if contested else bond.dies_at, offset)
        self.act(Lapse(bond=at, code=bond.code), spoil)
