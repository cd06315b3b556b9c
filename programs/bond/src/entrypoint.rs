//! From bytes to handler: the first eight bytes of an instruction's data are its name.

use pinocchio::error::ProgramError;
use pinocchio::{AccountView, Address, ProgramResult};

use crate::error::Error;
use crate::key::Key;
use crate::processor::*;

/// More than any instruction takes; `deposit_usdc` alone may be given more than it needs.
#[cfg(any(target_os = "solana", target_arch = "bpf"))]
const MOST_ACCOUNTS: usize = 32;

#[cfg(any(target_os = "solana", target_arch = "bpf"))]
pinocchio::program_entrypoint!(process, MOST_ACCOUNTS);

#[inline(always)]
pub fn process(program: &Address, views: &mut [AccountView], data: &[u8]) -> ProgramResult {
    dispatch(&Key::read(program.as_array()), views, data)
        .map_err(|why| ProgramError::Custom(why as u32))
}

#[inline(always)]
fn dispatch(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    let Some((name, arguments)) = data.split_first_chunk::<8>() else {
        return Err(Error::InvalidInstruction);
    };
    match *name {
        deposit_usdc::NAME => deposit_usdc::process(program, views, arguments),
        pay::NAME => pay::process(program, views, arguments),
        skip::NAME => skip::process(program, views, arguments),
        post_bond::NAME => post_bond::process(program, views, arguments),
        fund_bond::NAME => fund_bond::process(program, views, arguments),
        retire::NAME => retire::process(program, views, arguments),
        release::NAME => release::process(program, views, arguments),
        _ => dispatch_rare(program, views, data),
    }
}

/// The rest of a bond's life, and the owners' instructions: apart, so that the daily ones above are
/// found after few comparisons.
#[inline(never)]
fn dispatch_rare(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    let Some((name, arguments)) = data.split_first_chunk::<8>() else {
        return Err(Error::InvalidInstruction);
    };
    match *name {
        cancel_retire::NAME => cancel_retire::process(program, views, arguments),
        set_beneficiary::NAME => set_beneficiary::process(program, views, arguments),
        propose_seizure::NAME => propose_seizure::process(program, views, arguments),
        withdraw_proposal::NAME => withdraw_proposal::process(program, views, arguments),
        contest::NAME => contest::process(program, views, arguments),
        uphold::NAME => uphold::process(program, views, arguments),
        dismiss::NAME => dismiss::process(program, views, arguments),
        execute_seizure::NAME => execute_seizure::process(program, views, arguments),
        lapse::NAME => lapse::process(program, views, arguments),
        approve_pay::NAME => approve_pay::process(program, views, arguments),
        sweep_surplus::NAME => sweep_surplus::process(program, views, arguments),
        recover_stray::NAME => recover_stray::process(program, views, arguments),
        initialize::NAME => initialize::process(program, views, arguments),
        _ => dispatch_governance(program, views, data),
    }
}

/// Everything that writes Config.
#[inline(never)]
fn dispatch_governance(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    let Some((name, arguments)) = data.split_first_chunk::<8>() else {
        return Err(Error::InvalidInstruction);
    };
    match *name {
        set_params::NAME => set_params::process(program, views, arguments),
        apply_params::NAME => apply_params::process(program, views, arguments),
        cancel_params::NAME => cancel_params::process(program, views, arguments),
        grant_role::NAME => grant_role::process(program, views, arguments),
        apply_role::NAME => apply_role::process(program, views, arguments),
        cancel_role::NAME => cancel_role::process(program, views, arguments),
        revoke_role::NAME => revoke_role::process(program, views, arguments),
        nominate_admin::NAME => nominate_admin::process(program, views, arguments),
        accept_admin::NAME => accept_admin::process(program, views, arguments),
        cancel_nomination::NAME => cancel_nomination::process(program, views, arguments),
        pause::NAME => pause::process(program, views, arguments),
        unpause::NAME => unpause::process(program, views, arguments),
        _ => Err(Error::InvalidInstruction),
    }
}
