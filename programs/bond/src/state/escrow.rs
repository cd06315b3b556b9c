//! Escrow: what the bond vault owes; also the vault's owner.

use pinocchio::AccountView;

use crate::accounts::{Stored, VERSION, expect, load, load_mut};
use crate::error::Error;
use crate::key::Key;
use crate::state::config::Config;

/// At `"escrow"`.
#[repr(C)]
pub struct Escrow {
    /// `sha256("account:Escrow")[..8]`
    pub discriminator: [u8; 8],
    /// Layout version.
    pub version: u8,
    /// Bump of this account.
    pub bump: u8,
    /// Zero.
    pub reserved: [u8; 6],
    /// Sum of the bonds Posted or Retiring, in microunits.
    pub total_bonded: u64,
    /// How many they are.
    pub open_count: u64,
}

const _: () = assert!(size_of::<Escrow>() == 32);

// SAFETY: bytes and 64-bit integers only, eight-aligned without padding (asserted by size).
unsafe impl Stored for Escrow {
    const TAG: [u8; 8] = [31, 213, 123, 187, 186, 22, 218, 155];
}

impl Escrow {
    /// The Escrow of this deployment, to read.
    #[inline(always)]
    pub fn load<'a>(
        view: &'a AccountView,
        config: &Config,
        program: &Key,
    ) -> Result<&'a Self, Error> {
        let escrow = load::<Self>(view, program)?;
        expect(view, &config.escrow)?;
        Ok(escrow)
    }

    /// The Escrow of this deployment.
    #[inline(always)]
    pub fn load_mut<'a>(
        view: &'a AccountView,
        config: &Config,
        program: &Key,
    ) -> Result<&'a mut Self, Error> {
        let escrow = load_mut::<Self>(view, program)?;
        expect(view, &config.escrow)?;
        Ok(escrow)
    }

    pub fn fill(&mut self, bump: u8) {
        self.discriminator = Self::TAG;
        self.version = VERSION;
        self.bump = bump;
    }

    /// One more bond.
    pub fn add(&mut self, amount: u64) -> Result<(), Error> {
        self.total_bonded = self.total_bonded.checked_add(amount).ok_or(Error::Overflow)?;
        self.open_count = self.open_count.checked_add(1).ok_or(Error::Overflow)?;
        self.invariant()
    }

    /// One bond fewer.
    pub fn remove(&mut self, amount: u64) -> Result<(), Error> {
        self.total_bonded = self.total_bonded.checked_sub(amount).ok_or(Error::Overflow)?;
        self.open_count = self.open_count.checked_sub(1).ok_or(Error::Overflow)?;
        self.invariant()
    }

    /// Nothing is owed exactly when no bond is open: every bond is of at least one microunit.
    pub fn invariant(&self) -> Result<(), Error> {
        if (self.open_count == 0) == (self.total_bonded == 0) {
            Ok(())
        } else {
            Err(Error::Overflow)
        }
    }
}
