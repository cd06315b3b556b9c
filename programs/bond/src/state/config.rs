//! Config: who may do what, and under which parameters. Read by every instruction, rarely written.

use pinocchio::AccountView;

use crate::accounts::{Stored, key, load, load_mut};
use crate::error::Error;
use crate::key::{Key, NOBODY};
use crate::rules::params::{Parameters, Policy};
use crate::rules::roles;
use crate::rules::times::after;
use crate::seeds;
use crate::state::pause::PauseRecord;

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

    /// As `load`, to change it.
    #[inline(always)]
    pub fn load_mut<'a>(view: &'a AccountView, program: &Key) -> Result<&'a mut Self, Error> {
        let config = load_mut::<Self>(view, program)?;
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

    /// The signer is the admin or the guardian: those who may stop things.
    pub fn require_stopper(&self, signer: &Key) -> Result<(), Error> {
        // A vacant guardian is the zero key, the system program's, which never signs.
        if *signer == self.admin || *signer == self.guardian {
            Ok(())
        } else {
            Err(Error::Unauthorized)
        }
    }

    /// An address whose money could never come back: ours, or nobody's.
    #[inline(always)]
    pub fn is_ours(&self, address: &Key) -> bool {
        *address == self.ops_wallet || *address == self.escrow || address.is_nobody()
    }

    /// The pause records by their bit.
    pub fn pause_mut(&mut self, bit: u8) -> Result<&mut PauseRecord, Error> {
        match bit {
            0 => Ok(&mut self.deposits_pause),
            1 => Ok(&mut self.payouts_pause),
            2 => Ok(&mut self.seizures_pause),
            3 => Ok(&mut self.releases_pause),
            _ => Err(Error::InvalidInstruction),
        }
    }

    /// The parameters in force and those that wait.
    pub fn policy(&mut self) -> Policy<'_> {
        Policy {
            in_force: &mut self.parameters,
            waiting: &mut self.pending_parameters,
            ready_at: &mut self.pending_parameters_ready_at,
        }
    }

    /// Promise a role: it is taken up later, by anybody's hand.
    pub fn grant(&mut self, role: u8, holder: &Key, now: i64) -> Result<(), Error> {
        if self.pending_role != 0 {
            return Err(Error::PolicyPending);
        }
        self.check_newcomer(holder)?;
        self.pending_role = role;
        self.pending_role_key = *holder;
        self.pending_role_ready_at = after(now, roles::delay(role))?;
        self.invariant()
    }

    /// The promised role is taken up.
    pub fn apply_role(&mut self, now: i64) -> Result<(), Error> {
        if self.pending_role == 0 {
            return Err(Error::NothingPending);
        }
        if now < self.pending_role_ready_at {
            return Err(Error::PolicyPending);
        }
        let (role, holder) = (self.pending_role, self.pending_role_key);
        *self.role_mut(role)? = holder;
        self.cancel_role()
    }

    /// The promised role is taken back.
    pub fn cancel_role(&mut self) -> Result<(), Error> {
        if self.pending_role == 0 {
            return Err(Error::NothingPending);
        }
        self.pending_role = 0;
        self.pending_role_key = NOBODY;
        self.pending_role_ready_at = 0;
        self.invariant()
    }

    /// The role is vacant from now on.
    pub fn revoke(&mut self, role: u8) -> Result<(), Error> {
        let holder = self.role_mut(role)?;
        if holder.is_nobody() {
            return Err(Error::RoleVacant);
        }
        *holder = NOBODY;
        self.invariant()
    }

    /// Somebody may become admin between two times.
    pub fn nominate(&mut self, nominee: &Key, ready_at: i64, expires_at: i64) -> Result<(), Error> {
        self.check_newcomer(nominee)?;
        self.pending_admin = *nominee;
        self.pending_admin_ready_at = ready_at;
        self.pending_admin_expires_at = expires_at;
        self.invariant()
    }

    /// The nominee becomes admin.
    pub fn accept(&mut self, now: i64) -> Result<(), Error> {
        if now < self.pending_admin_ready_at {
            return Err(Error::NominationTooEarly);
        }
        if now >= self.pending_admin_expires_at {
            return Err(Error::NominationExpired);
        }
        self.admin = self.pending_admin;
        self.cancel_nomination()
    }

    /// Nobody is nominated any more.
    pub fn cancel_nomination(&mut self) -> Result<(), Error> {
        self.check_nominated()?;
        self.pending_admin = NOBODY;
        self.pending_admin_ready_at = 0;
        self.pending_admin_expires_at = 0;
        self.invariant()
    }

    /// Somebody is.
    pub fn check_nominated(&self) -> Result<(), Error> {
        if self.pending_admin.is_nobody() { Err(Error::NoNomination) } else { Ok(()) }
    }

    fn role_mut(&mut self, role: u8) -> Result<&mut Key, Error> {
        match role {
            roles::PROPOSER => Ok(&mut self.proposer),
            roles::ARBITER => Ok(&mut self.arbiter),
            roles::GUARDIAN => Ok(&mut self.guardian),
            roles::PAYER => Ok(&mut self.payer),
            _ => Err(Error::InvalidInstruction),
        }
    }

    /// Somebody who can sign, and holds nothing yet.
    fn check_newcomer(&self, key: &Key) -> Result<(), Error> {
        if self.is_ours(key) {
            return Err(Error::ForbiddenAddress);
        }
        let held = [&self.admin, &self.proposer, &self.arbiter, &self.guardian, &self.payer];
        if held.contains(&key) { Err(Error::RolesNotDistinct) } else { Ok(()) }
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
