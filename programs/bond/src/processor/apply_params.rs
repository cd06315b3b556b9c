//! `apply_params`: the waiting policy comes into force. Anybody may call it once its time has come.

use pinocchio::AccountView;

use crate::error::Error;
use crate::key::Key;
use crate::runtime::now;
use crate::state::config::Config;
use crate::{account_list, arguments};

/// `sha256("global:apply_params")[..8]`
pub const NAME: [u8; 8] = [188, 203, 86, 124, 178, 34, 133, 116];

account_list! {
    /// No signature is needed.
    ApplyParams {
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
    let given = ApplyParams::exactly(views)?;
    let config = Config::load_mut(given.config, program)?;
    given.check_writable()?;
    config.policy().apply(now()?)?;
    config.invariant()
}
