//! `cancel_nomination`: the admin takes a nomination back.

use pinocchio::AccountView;

use crate::accounts::key;
use crate::error::Error;
use crate::key::Key;
use crate::state::config::Config;
use crate::{account_list, arguments};

/// `sha256("global:cancel_nomination")[..8]`
pub const NAME: [u8; 8] = [95, 2, 136, 89, 181, 232, 153, 174];

account_list! {
    /// The admin only.
    CancelNomination {
        /// The admin.
        admin: [signer],
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
    let given = CancelNomination::exactly(views)?;
    let config = Config::load_mut(given.config, program)?;
    given.check_writable()?;
    given.check_signers()?;
    Config::require(&config.admin, key(given.admin))?;
    config.cancel_nomination()
}
