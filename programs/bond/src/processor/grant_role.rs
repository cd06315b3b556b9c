//! `grant_role`: promise a role to somebody. It is taken up 48 hours later, the arbiter's 21 days later.

use pinocchio::AccountView;

use crate::accounts::key;
use crate::error::Error;
use crate::key::{Key, UnalignedKey};
use crate::rules::roles;
use crate::runtime::now;
use crate::state::config::Config;
use crate::{account_list, arguments};

/// `sha256("global:grant_role")[..8]`
pub const NAME: [u8; 8] = [218, 234, 128, 15, 82, 33, 236, 253];

account_list! {
    /// The admin only.
    GrantRole {
        /// The admin.
        admin: [signer],
        /// Holds the roles.
        config: [writable],
    }
}

arguments! {
    /// Which role, and whose it will be.
    Arguments {
        /// 1 proposer, 2 arbiter, 3 guardian, 4 payer.
        pub role: u8,
        /// Who gets it.
        pub holder: UnalignedKey,
    }
}

pub fn process(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    let Arguments { role, holder } = Arguments::parse(data)?;
    roles::check(*role)?;
    let given = GrantRole::exactly(views)?;
    let config = Config::load_mut(given.config, program)?;
    given.check_writable()?;
    given.check_signers()?;
    Config::require(&config.admin, key(given.admin))?;
    config.grant(*role, &holder.get(), now()?)
}
