//! `revoke_role`: a role is vacant at once. The admin may vacate any, the guardian payer and proposer.

use pinocchio::AccountView;

use crate::accounts::key;
use crate::error::Error;
use crate::key::Key;
use crate::rules::roles;
use crate::state::config::Config;
use crate::{account_list, arguments};

/// `sha256("global:revoke_role")[..8]`
pub const NAME: [u8; 8] = [179, 232, 2, 180, 48, 227, 82, 7];

account_list! {
    /// Whoever may stop things.
    RevokeRole {
        /// The admin or the guardian.
        signer: [signer],
        /// Holds the roles.
        config: [writable],
    }
}

arguments! {
    /// Which role.
    Arguments {
        /// 1 proposer, 2 arbiter, 3 guardian, 4 payer.
        pub role: u8,
    }
}

pub fn process(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    let &Arguments { role } = Arguments::parse(data)?;
    roles::check(role)?;
    let given = RevokeRole::exactly(views)?;
    let config = Config::load_mut(given.config, program)?;
    given.check_writable()?;
    given.check_signers()?;
    config.require_stopper(key(given.signer))?;
    if *key(given.signer) != config.admin && !roles::guardian_may_revoke(role) {
        return Err(Error::Unauthorized);
    }
    config.revoke(role)
}
