//! Tombstone: what is left of a bond, so that its address is never used again.

use crate::accounts::{Stored, VERSION};
use crate::key::Code;

/// At the bond's address, once Released or Seized.
#[repr(C)]
pub struct Tombstone {
    /// `sha256("account:Tombstone")[..8]`
    pub discriminator: [u8; 8],
    /// Layout version.
    pub version: u8,
    /// Bump of this account.
    pub bump: u8,
    /// 3 Released, 4 Seized.
    pub state: u8,
    /// Zero.
    pub reserved: [u8; 5],
    /// The bond's code.
    pub code: Code,
}

const _: () = assert!(size_of::<Tombstone>() == 24);

// SAFETY: bytes only (asserted by size).
unsafe impl Stored for Tombstone {
    const TAG: [u8; 8] = [45, 187, 252, 155, 232, 114, 36, 22];
}

impl Tombstone {
    pub fn fill(&mut self, bump: u8, state: u8, code: Code) {
        self.discriminator = Self::TAG;
        self.version = VERSION;
        self.bump = bump;
        self.state = state;
        self.reserved = [0; 5];
        self.code = code;
    }
}
