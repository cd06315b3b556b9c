//! Config: who may do what, and under which parameters. Read by every instruction, rarely written.

use pinocchio::AccountView;

use crate::accounts::{Stored, key, load};
use crate::error::Error;
use crate::key::Key;
use crate::rules::params::Parameters;
use crate::seeds;

/// One pausable bit.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PauseRecord {
    /// Paused until this time.
    pub paused_until: i64,
    /// May not be paused again before this time.
    pub not_before: i64,
    /// Who paused it.
    pub by: Key,
}

/// At `"config"`.
#[repr(C)]
pub struct Config {
    /// `sha256("account:Config")[..8]`
    pub discriminator: [u8; 8],
    /// Owner of the till vault. Clients of the older deposit program read it at bytes 8..40.
    pub ops_wallet: Key,
    /// Layout version.
    pub version: u8,
    /// Bump of this account.
    pub config_bump: u8,
    /// Bump of Payouts.
    pub payouts_bump: u8,
    /// Bump of the till authority.
    pub till_bump: u8,
    /// Bump of Escrow.
    pub escrow_bump: u8,
    /// Which role changes next: 0 none, 1 proposer, 2 arbiter, 3 guardian, 4 payer.
    pub pending_role: u8,
    /// Zero.
    pub reserved: [u8; 2],
    /// The token everything is in.
    pub mint: Key,
    /// Prepaid money and earnings.
    pub till_vault: Key,
    /// Bonds.
    pub bond_vault: Key,
    /// What the bond vault owes; its owner.
    pub escrow: Key,
    /// The payout numbers.
    pub payouts: Key,
    /// Appoints roles, sets parameters, approves large payouts.
    pub admin: Key,
    /// Nominated to be admin; zero for nobody.
    pub pending_admin: Key,
    /// The nomination can be accepted from then on.
    pub pending_admin_ready_at: i64,
    /// The nomination lapses then.
    pub pending_admin_expires_at: i64,
    /// Proposes seizures, may retire any bond; zero when vacant, as all roles.
    pub proposer: Key,
    /// Decides contested seizures.
    pub arbiter: Key,
    /// Pauses, cancels what is pending.
    pub guardian: Key,
    /// Pays from the till.
    pub payer: Key,
    /// Who gets the pending role.
    pub pending_role_key: Key,
    /// The pending role can be applied from then on.
    pub pending_role_ready_at: i64,
    /// In force.
    pub parameters: Parameters,
    /// Waiting.
    pub pending_parameters: Parameters,
    /// The waiting parameters can be applied from then on; zero for none.
    pub pending_parameters_ready_at: i64,
    /// Bit 0: deposit_usdc, post_bond.
    pub deposits_pause: PauseRecord,
    /// Bit 1: pay, fund_bond.
    pub payouts_pause: PauseRecord,
    /// Bit 2: propose, uphold, execute.
    pub seizures_pause: PauseRecord,
    /// Bit 3: release.
    pub releases_pause: PauseRecord,
}

const _: () = assert!(size_of::<Config>() == 768);

// SAFETY: keys, bytes and 64-bit integers only, eight-aligned without padding (asserted by size).
unsafe impl Stored for Config {
    const TAG: [u8; 8] = [155, 12, 170, 224, 30, 250, 204, 130];
    const VERSION_AT: usize = 40;
}

impl Config {
    /// The Config of this deployment: another account of the same shape is a substitution.
    #[inline(always)]
    pub fn load<'a>(view: &'a AccountView, program: &Key) -> Result<&'a Self, Error> {
        let config = load::<Self>(view, program)?;
        if !seeds::is_derived(key(view), seeds::CONFIG, config.config_bump, program) {
            return Err(Error::WrongAddress);
        }
        Ok(config)
    }

    /// The signer holds the role, and somebody does.
    #[inline(always)]
    pub fn require(role: &Key, signer: &Key) -> Result<(), Error> {
        if role.is_nobody() {
            return Err(Error::RoleVacant);
        }
        if role == signer { Ok(()) } else { Err(Error::Unauthorized) }
    }

    /// An address whose money could never come back: ours, or nobody's.
    #[inline(always)]
    pub fn is_ours(&self, address: &Key) -> bool {
        *address == self.ops_wallet || *address == self.escrow || address.is_nobody()
    }

    /// Roles are pairwise distinct unless vacant; the admin is never vacant.
    pub fn check_roles(&self) -> Result<(), Error> {
        if self.admin.is_nobody() {
            return Err(Error::RoleVacant);
        }
        let roles = [&self.admin, &self.proposer, &self.arbiter, &self.guardian, &self.payer];
        for (place, role) in roles.iter().enumerate() {
            let twice = roles[..place].iter().any(|other| role == other);
            if twice && !role.is_nobody() {
                return Err(Error::RolesNotDistinct);
            }
        }
        Ok(())
    }

    /// What must hold whenever this account was written.
    pub fn invariant(&self) -> Result<(), Error> {
        self.check_roles()?;
        self.parameters.check()
    }
}

impl PauseRecord {
    /// Refuse while paused.
    #[inline(always)]
    pub fn check(&self, now: i64) -> Result<(), Error> {
        if now < self.paused_until { Err(Error::Paused) } else { Ok(()) }
    }
}
