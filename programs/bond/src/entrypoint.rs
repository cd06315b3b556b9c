//! From bytes to handler: the first eight bytes of an instruction's data are its name.

use pinocchio::error::ProgramError;
use pinocchio::{AccountView, Address, ProgramResult};

use crate::error::Error;
use crate::key::Key;
use crate::processor::{
    deposit_usdc, fund_bond, initialize, pay, post_bond, release, retire, skip,
};

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
        initialize::NAME => initialize::process(program, views, arguments),
        _ => Err(Error::InvalidInstruction),
    }
}
