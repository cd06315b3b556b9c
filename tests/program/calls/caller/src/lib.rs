//! A foreign program for tests: it makes the calls its data lists, one after the other, and can
//! sign for addresses derived from it. A multisig, a router and an attacker are all such programs.
//!
//! Data: the number of derived signers, then the bump of each (its seeds are `"signer"` and its
//! place); then calls until the end: place of the program among the accounts, number of accounts,
//! a place and flags (1 signs, 2 written) for each, two bytes of length, the call's data.
#![no_std]

use core::mem::MaybeUninit;

use pinocchio::cpi::{CpiAccount, Seed, Signer, invoke_signed_unchecked};
use pinocchio::error::ProgramError;
use pinocchio::instruction::{InstructionAccount, InstructionView};
use pinocchio::{AccountView, Address, ProgramResult};

const MOST_ACCOUNTS: usize = 32;
const MOST_SIGNERS: usize = 3;
const SIGNS: u8 = 1;
const WRITTEN: u8 = 2;

pinocchio::program_entrypoint!(process, MOST_ACCOUNTS);

#[panic_handler]
fn stop(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: the syscall takes nothing and does not return.
    unsafe { pinocchio::syscalls::abort() }
}

#[inline(always)]
pub fn process(_: &Address, views: &mut [AccountView], data: &[u8]) -> ProgramResult {
    make_all(views, data).ok_or(ProgramError::InvalidInstructionData)
}

/// Every call of the list; `None` for data that is no list.
#[inline(always)]
fn make_all(views: &[AccountView], data: &[u8]) -> Option<()> {
    let (&signers, rest) = data.split_first()?;
    if signers as usize > MOST_SIGNERS {
        return None;
    }
    let (bumps, mut rest) = rest.split_at_checked(signers as usize)?;
    while !rest.is_empty() {
        let (&program, after) = rest.split_first()?;
        let (&count, after) = after.split_first()?;
        let (metas, after) = after.split_at_checked(2 * count as usize)?;
        let (length, after) = after.split_first_chunk::<2>()?;
        let (call, after) = after.split_at_checked(u16::from_le_bytes(*length) as usize)?;
        make(views, bumps, views.get(program as usize)?, metas, call)?;
        rest = after;
    }
    Some(())
}

#[inline(always)]
fn make(
    views: &[AccountView],
    bumps: &[u8],
    program: &AccountView,
    places: &[u8],
    data: &[u8],
) -> Option<()> {
    const NO_META: MaybeUninit<InstructionAccount> = MaybeUninit::uninit();
    const NO_VIEW: MaybeUninit<CpiAccount> = MaybeUninit::uninit();
    let (mut metas, mut accounts) = ([NO_META; MOST_ACCOUNTS], [NO_VIEW; MOST_ACCOUNTS]);
    let count = places.len() / 2;
    for (at, place) in places.chunks_exact(2).enumerate() {
        let (view, flags) = (views.get(place[0] as usize)?, place[1]);
        let (signs, written) = (flags & SIGNS != 0, flags & WRITTEN != 0);
        metas.get_mut(at)?.write(InstructionAccount::new(view.address(), written, signs));
        accounts.get_mut(at)?.write(CpiAccount::from(view));
    }
    // SAFETY: the first `count` of both were written just now.
    let (metas, accounts) = unsafe {
        (
            core::slice::from_raw_parts(metas.as_ptr().cast::<InstructionAccount>(), count),
            core::slice::from_raw_parts(accounts.as_ptr().cast::<CpiAccount>(), count),
        )
    };
    let instruction = InstructionView { program_id: program.address(), accounts: metas, data };
    let bumps: [[u8; 1]; MOST_SIGNERS] =
        core::array::from_fn(|at| [bumps.get(at).copied().unwrap_or(0)]);
    let places: [[u8; 1]; MOST_SIGNERS] = core::array::from_fn(|at| [at as u8]);
    let seeds: [[Seed; 3]; MOST_SIGNERS] = core::array::from_fn(|at| {
        [Seed::from(b"signer"), Seed::from(&places[at]), Seed::from(&bumps[at])]
    });
    let signers: [Signer; MOST_SIGNERS] = core::array::from_fn(|at| Signer::from(&seeds[at]));
    let signing = signers.get(..bumps_given(&bumps))?;
    // SAFETY: no reference into the bytes of any account is held here.
    unsafe { invoke_signed_unchecked(&instruction, accounts, signing) };
    Some(())
}

/// A bump of zero stands for none: no test derives that far.
#[inline(always)]
fn bumps_given(bumps: &[[u8; 1]; MOST_SIGNERS]) -> usize {
    bumps.iter().take_while(|bump| bump[0] != 0).count()
}
