//! `nominate_admin`: name who may become admin: by the admin, or by the upgrade authority when the admin's key is
//! lost, which takes 14 days and can be seen coming. A nomination replaces the one before.

use pinocchio::AccountView;

use crate::accounts::key;
use crate::error::Error;
use crate::key::Key;
use crate::loader::upgrade_authority;
use crate::rules::roles::{NOMINATION_DELAY, NOMINATION_LIFE, RESCUE_DELAY};
use crate::rules::times::after;
use crate::runtime::now;
use crate::state::config::Config;
use crate::{account_list, arguments};

/// `sha256("global:nominate_admin")[..8]`
pub const NAME: [u8; 8] = [134, 11, 31, 244, 20, 77, 138, 121];

account_list! {
    /// The admin or the upgrade authority.
    NominateAdmin {
        /// One of the two.
        signer: [signer],
        /// Holds the nomination.
        config: [writable],
        /// The loader's account that names the upgrade authority.
        program_data: [],
    }
}

arguments! {
    /// Who.
    Arguments {
        /// May become admin.
        pub nominee: Key,
    }
}

pub fn process(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    let Arguments { nominee } = Arguments::parse(data)?;
    let given = NominateAdmin::exactly(views)?;
    let config = Config::load_mut(given.config, program)?;
    let authority = upgrade_authority(given.program_data, program)?;
    given.check_writable()?;
    given.check_signers()?;
    let signer = key(given.signer);
    let now = now()?;
    let (ready_at, life_from) = if *signer == config.admin {
        (after(now, NOMINATION_DELAY)?, now)
    } else if *signer == authority {
        let ready_at = after(now, RESCUE_DELAY)?;
        (ready_at, ready_at)
    } else {
        return Err(Error::Unauthorized);
    };
    config.nominate(nominee, ready_at, after(life_from, NOMINATION_LIFE)?)
}
