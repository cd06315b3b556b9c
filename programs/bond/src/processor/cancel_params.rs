//! `cancel_params`: drop the waiting policy.

use pinocchio::AccountView;

use crate::accounts::key;
use crate::error::Error;
use crate::key::Key;
use crate::state::config::Config;
use crate::{account_list, arguments};

/// `sha256("global:cancel_params")[..8]`
pub const NAME: [u8; 8] = [100, 172, 113, 60, 25, 68, 80, 172];

account_list! {
    /// Whoever may stop things.
    CancelParams {
        /// The admin or the guardian.
        signer: [signer],
        /// Holds the parameters.
        config: [writable],
    }
}

arguments! {
    /// None.
    Arguments {}
}

pub fn process(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    let Arguments {} = Arguments::parse(data)?;
    let given = CancelParams::exactly(views)?;
    let config = Config::load_mut(given.config, program)?;
    given.check_writable()?;
    given.check_signers()?;
    config.require_stopper(key(given.signer))?;
    config.policy().cancel()?;
    config.invariant()
}
