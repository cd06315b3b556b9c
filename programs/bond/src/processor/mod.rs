//! The instructions, one a file, named by their verb.
//!
//! Every handler reads alike: arguments, accounts by slice pattern, then the checks in the one
//! order of precedence (data, count, programs, owner to address, writable, duplicates, mint and
//! token accounts, signatures, roles, pause, state, number, times, caps, amounts, frozen, funds),
//! then the transfer, then the state. `bond_opening` is what two of them share.

pub mod bond_opening;
pub mod deposit_usdc;
pub mod fund_bond;
pub mod initialize;
pub mod pay;
pub mod post_bond;
pub mod release;
pub mod retire;
pub mod skip;
