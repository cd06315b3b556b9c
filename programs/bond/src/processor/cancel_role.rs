//! `cancel_role`: take a promised role back.

use pinocchio::AccountView;

use crate::accounts::key;
use crate::error::Error;
use crate::key::Key;
use crate::state::config::Config;
use crate::{account_list, arguments};

/// `sha256("global:cancel_role")[..8]`
pub const NAME: [u8; 8] = [111, 164, 28, 250, 241, 254, 30, 185];

account_list! {
    /// Whoever may stop things.
    CancelRole {
        /// The admin or the guardian.
        signer: [signer],
        /// Holds the roles.
        config: [writable],
    }
}

arguments! {
    /// None.
    Arguments {}
}

pub fn process(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    let Arguments {} = Arguments::parse(data)?;
    let given = CancelRole::exactly(views)?;
    let config = Config::load_mut(given.config, program)?;
    given.check_writable()?;
    given.check_signers()?;
    config.require_stopper(key(given.signer))?;
    config.cancel_role()
}
