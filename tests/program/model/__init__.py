"""A plain Python model of the bond program: what each instruction does, and what refuses it.

`apply` is all of it: from a state and one transaction's calls to the new state, or to the error of
the first call that is refused, nothing being kept. `state` holds what everything shares, the other
files one subject each. `REFUSALS` says which errors the model can give for which instruction: a
test run that has not seen one of them has not tried enough.
"""

from collections.abc import Sequence
from typing import Final

from settlement.chain import governance as owners
from settlement.chain import instructions as everyday
from settlement.chain.instructions import ProgramInstruction
from tests.program.model import bonds, governance, seizures, till
from tests.program.model.state import Call, Handler, Refusal, State

HANDLERS: Final = dict[type[ProgramInstruction], Handler](
    {
        everyday.DepositUsdc: till.deposit_usdc,
        everyday.PostBond: bonds.post_bond,
        everyday.FundBond: till.fund_bond,
        everyday.Retire: bonds.retire,
        everyday.CancelRetire: bonds.cancel_retire,
        everyday.SetBeneficiary: bonds.set_beneficiary,
        everyday.Release: bonds.release,
        everyday.ProposeSeizure: seizures.propose_seizure,
        everyday.WithdrawProposal: seizures.withdraw_proposal,
        everyday.Contest: seizures.contest,
        everyday.Uphold: seizures.uphold,
        everyday.Dismiss: seizures.dismiss,
        everyday.ExecuteSeizure: seizures.execute_seizure,
        everyday.Lapse: seizures.lapse,
        everyday.Pay: till.pay,
        everyday.ApprovePay: till.approve_pay,
        everyday.Skip: till.skip,
        everyday.SweepSurplus: till.sweep_surplus,
        everyday.RecoverStray: till.recover_stray,
        owners.Initialize: governance.initialize,
        owners.SetParams: governance.set_params,
        owners.ApplyParams: governance.apply_params,
        owners.CancelParams: governance.cancel_params,
        owners.GrantRole: governance.grant_role,
        owners.ApplyRole: governance.apply_role,
        owners.CancelRole: governance.cancel_role,
        owners.RevokeRole: governance.revoke_role,
        owners.NominateAdmin: governance.nominate_admin,
        owners.AcceptAdmin: governance.accept_admin,
        owners.CancelNomination: governance.cancel_nomination,
        owners.Pause: governance.pause,
        owners.Unpause: governance.unpause,
    }
)


def apply(state: State, calls: Sequence[Call]) -> tuple[State, tuple[int, str] | None]:
    """Carry out one transaction: the state after it, and which call was refused with what."""
    after = state.copy()
    for place, call in enumerate(calls):
        try:
            HANDLERS[type(call.instruction)](after, call, call.instruction)
        except Refusal as refusal:
            return state, (place, str(refusal))
    return after, None
