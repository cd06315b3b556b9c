//! The loader's account of this program: who may upgrade it.

use pinocchio::AccountView;

use crate::accounts::{bytes, expect, is_owned};
use crate::error::Error;
use crate::key::{Key, NOBODY};
use crate::runtime::find_address;
use crate::seeds::LOADER_PROGRAM;

/// Tag of the kind, then the slot, then the authority as an option.
const PROGRAM_DATA_TAG: [u8; 4] = [3, 0, 0, 0];
const AUTHORITY_OPTION_AT: usize = 12;
const AUTHORITY_AT: usize = 13;

/// The upgrade authority of this very program; nobody once it is immutable.
#[inline(always)]
pub fn upgrade_authority(program_data: &AccountView, program: &Key) -> Result<Key, Error> {
    if !is_owned(program_data, &LOADER_PROGRAM) {
        return Err(Error::WrongOwner);
    }
    let data = bytes(program_data);
    if data.len() < AUTHORITY_AT + 32 || data[..4] != PROGRAM_DATA_TAG {
        return Err(Error::WrongTag);
    }
    let (address, _) = find_address(&[program.bytes()], &LOADER_PROGRAM)?;
    expect(program_data, &address)?;
    // The loader leaves the old key's bytes in place when it takes the authority away.
    if data[AUTHORITY_OPTION_AT] != 1 {
        return Ok(NOBODY);
    }
    data[AUTHORITY_AT..].first_chunk::<32>().map(Key::read).ok_or(Error::WrongTag)
}
