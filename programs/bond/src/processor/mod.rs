//! The instructions, one a file, named by their verb.
//!
//! Every handler reads alike: arguments, accounts by slice pattern, then the checks in the one
//! order of precedence (data, count, programs, owner to address, writable, duplicates, mint and
//! token accounts, signatures, roles, pause, state, number, times, caps, amounts, frozen, funds),
//! then the transfer, then the state. `bond_opening` is what two of them share.

pub mod accept_admin;
pub mod apply_params;
pub mod apply_role;
pub mod approve_pay;
pub mod bond_opening;
pub mod cancel_nomination;
pub mod cancel_params;
pub mod cancel_retire;
pub mod cancel_role;
pub mod contest;
pub mod deposit_usdc;
pub mod dismiss;
pub mod execute_seizure;
pub mod fund_bond;
pub mod grant_role;
pub mod initialize;
pub mod lapse;
pub mod nominate_admin;
pub mod pause;
pub mod pay;
pub mod post_bond;
pub mod propose_seizure;
pub mod recover_stray;
pub mod release;
pub mod retire;
pub mod revoke_role;
pub mod set_beneficiary;
pub mod set_params;
pub mod skip;
pub mod sweep_surplus;
pub mod unpause;
pub mod uphold;
pub mod withdraw_proposal;
