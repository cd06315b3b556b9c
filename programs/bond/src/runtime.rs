//! What the runtime is asked for: time, rent, hashes, derived addresses, log lines.
//!
//! All of it is inlined: the chain's target returns nothing larger than a word from a function.

use pinocchio::AccountView;

use crate::error::Error;
use crate::key::{Key, NOBODY};
use crate::syscalls;

/// `SysvarC1ock11111111111111111111111111111111`
const CLOCK: Key = Key::constant(&[
    6, 167, 213, 23, 24, 199, 116, 201, 40, 86, 99, 152, 105, 29, 94, 182, 139, 94, 184, 163, 155,
    75, 109, 92, 115, 85, 91, 33, 0, 0, 0, 0,
]);
/// `SysvarRent111111111111111111111111111111111`
const RENT: Key = Key::constant(&[
    6, 167, 213, 23, 25, 44, 92, 81, 33, 140, 201, 76, 61, 74, 241, 127, 88, 218, 238, 8, 155, 161,
    253, 68, 227, 219, 217, 138, 0, 0, 0, 0,
]);
const UNIX_TIMESTAMP_OFFSET: u64 = 32;
const ACCOUNT_OVERHEAD: u64 = 128;
/// The exemption threshold as its IEEE bits: no floating point on chain.
const THRESHOLD_TWO_YEARS: u64 = 0x4000_0000_0000_0000;
const THRESHOLD_ONE: u64 = 0x3ff0_0000_0000_0000;

/// The chain's clock, in seconds. Every time in this program is one of these.
#[inline(always)]
pub fn now() -> Result<i64, Error> {
    let mut time = [0u8; 8];
    sysvar(&CLOCK, &mut time, UNIX_TIMESTAMP_OFFSET)?;
    Ok(i64::from_le_bytes(time))
}

/// The lamports an account of this size must hold to stay.
#[inline(always)]
pub fn rent_for(size: usize) -> Result<u64, Error> {
    let mut rent = [0u64; 2];
    // SAFETY: two words are sixteen bytes; any bytes are valid words.
    let bytes = unsafe { core::slice::from_raw_parts_mut(rent.as_mut_ptr().cast::<u8>(), 16) };
    sysvar(&RENT, bytes, 0)?;
    let size = size as u64 + ACCOUNT_OVERHEAD;
    // Neither product can overflow: both operands are below 2^32, checked or by construction.
    if rent[0] > u32::MAX as u64 || size > u32::MAX as u64 {
        return Err(Error::Overflow);
    }
    let yearly = rent[0].wrapping_mul(size);
    match rent[1] {
        THRESHOLD_TWO_YEARS => yearly.checked_add(yearly).ok_or(Error::Overflow),
        THRESHOLD_ONE => Ok(yearly),
        _ => Err(Error::Overflow),
    }
}

#[inline(always)]
fn sysvar(id: &Key, into: &mut [u8], offset: u64) -> Result<(), Error> {
    let (from, to, length) = (id.bytes().as_ptr(), into.as_mut_ptr(), into.len() as u64);
    // SAFETY: `into` is writable for its length, and `id` is 32 bytes.
    let failed = unsafe { syscalls::sol_get_sysvar(from, to, offset, length) } != 0;
    if failed { Err(Error::Overflow) } else { Ok(()) }
}

/// SHA-256 over the parts.
#[inline(always)]
pub fn sha256(parts: &[&[u8]]) -> Key {
    let mut digest = NOBODY;
    let to = core::ptr::from_mut(&mut digest).cast::<u8>();
    // SAFETY: a slice of slices is what the syscall reads; a key takes the 32 bytes.
    unsafe { syscalls::sol_sha256(parts.as_ptr().cast(), parts.len() as u64, to) };
    digest
}

/// The canonical derived address of these seeds, and its bump.
#[inline(always)]
pub fn find_address(seeds: &[&[u8]], program: &Key) -> Result<(Key, u8), Error> {
    let (mut address, mut bump) = (NOBODY, 0u8);
    let to = core::ptr::from_mut(&mut address).cast::<u8>();
    // SAFETY: a slice of slices is what the syscall reads; both outputs are writable.
    let failed = unsafe {
        syscalls::sol_try_find_program_address(
            seeds.as_ptr().cast(),
            seeds.len() as u64,
            program.bytes().as_ptr(),
            to,
            &mut bump,
        )
    };
    if failed != 0 { Err(Error::WrongAddress) } else { Ok((address, bump)) }
}

/// Write one `Program data:` line.
#[inline(always)]
pub fn log_data(bytes: &[u8]) {
    let fields = [bytes];
    // SAFETY: a slice of slices is what the syscall reads.
    unsafe { syscalls::sol_log_data(fields.as_ptr().cast(), 1) };
}

/// Take lamports out of an account this program owns and give them to another.
#[inline(always)]
pub fn move_lamports(from: &AccountView, to: &AccountView, lamports: u64) -> Result<(), Error> {
    let (mut from, mut to) = (*from, *to);
    let left = from.lamports().checked_sub(lamports).ok_or(Error::Overflow)?;
    from.set_lamports(left);
    // Read after the subtraction: the two may be one account.
    let sum = to.lamports().checked_add(lamports).ok_or(Error::Overflow)?;
    to.set_lamports(sum);
    Ok(())
}
