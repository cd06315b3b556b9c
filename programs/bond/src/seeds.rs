//! Addresses: the programs we call, and those derived from this program.

use crate::key::Key;
use crate::runtime::{find_address, sha256};

pub const CONFIG: &[u8] = b"config";
pub const TILL: &[u8] = b"till";
pub const ESCROW: &[u8] = b"escrow";
pub const BOND: &[u8] = b"bond";
pub const PAYOUTS: &[u8] = b"payouts";
/// What the runtime hashes at the end of every derived address.
const MARKER: &[u8] = b"ProgramDerivedAddress";

/// `11111111111111111111111111111111`
pub const SYSTEM_PROGRAM: Key = Key::constant(&[0; 32]);
/// `TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA`
pub const TOKEN_PROGRAM: Key = Key::constant(&[
    6, 221, 246, 225, 215, 101, 161, 147, 217, 203, 225, 70, 206, 235, 121, 172, 28, 180, 133, 237,
    95, 91, 55, 145, 58, 140, 245, 133, 126, 255, 0, 169,
]);
/// `ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL`
pub const ATA_PROGRAM: Key = Key::constant(&[
    140, 151, 37, 143, 78, 36, 137, 241, 187, 61, 16, 41, 20, 142, 13, 131, 11, 90, 19, 153, 218,
    255, 16, 132, 4, 142, 123, 216, 219, 233, 248, 89,
]);
/// `BPFLoaderUpgradeab1e11111111111111111111111`
pub const LOADER_PROGRAM: Key = Key::constant(&[
    2, 168, 246, 145, 78, 136, 161, 176, 226, 16, 21, 62, 247, 99, 174, 43, 0, 194, 185, 61, 22,
    193, 36, 210, 192, 83, 122, 16, 4, 128, 0, 0,
]);

/// Whether the address is the one derived from seeds and a stored bump (a hash, not a search).
///
/// Safe only because a bump is stored by this program after a search for the canonical one.
#[inline(always)]
pub fn is_derived(address: &Key, seeds: &[u8], bump: u8, program: &Key) -> bool {
    *address == sha256(&[seeds, &[bump], program.bytes(), MARKER])
}

/// As `is_derived`, for a bond.
#[inline(always)]
pub fn is_bond(address: &Key, identity: &[u8; 40], bump: u8, program: &Key) -> bool {
    *address == sha256(&[BOND, identity, &[bump], program.bytes(), MARKER])
}

/// Whether this is the canonical token account of the owner.
pub fn is_associated(address: &Key, owner: &Key, mint: &Key) -> bool {
    let seeds = [owner.bytes().as_slice(), TOKEN_PROGRAM.bytes(), mint.bytes()];
    match find_address(&seeds, &ATA_PROGRAM) {
        Ok((derived, _)) => *address == derived,
        Err(_) => false,
    }
}
