//! `accept_admin`: the nominee becomes admin, from 48 hours to 14 days after the nomination.

use pinocchio::AccountView;

use crate::accounts::key;
use crate::error::Error;
use crate::key::Key;
use crate::runtime::now;
use crate::state::config::Config;
use crate::{account_list, arguments};

/// `sha256("global:accept_admin")[..8]`
pub const NAME: [u8; 8] = [112, 42, 45, 90, 116, 181, 13, 170];

account_list! {
    /// The nominee signs: nobody is made admin who cannot act.
    AcceptAdmin {
        /// Was nominated.
        nominee: [signer],
        /// Holds the nomination.
        config: [writable],
    }
}

arguments! {
    /// None.
    Arguments {}
}

pub fn process(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    let Arguments {} = Arguments::parse(data)?;
    let given = AcceptAdmin::exactly(views)?;
    let config = Config::load_mut(given.config, program)?;
    given.check_writable()?;
    given.check_signers()?;
    config.check_nominated()?;
    Config::require(&config.pending_admin, key(given.nominee))?;
    config.accept(now()?)
}
