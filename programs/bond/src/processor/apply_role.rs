//! `apply_role`: the promised role is taken up. Anybody may call it once its time has come.

use pinocchio::AccountView;

use crate::error::Error;
use crate::key::Key;
use crate::runtime::now;
use crate::state::config::Config;
use crate::{account_list, arguments};

/// `sha256("global:apply_role")[..8]`
pub const NAME: [u8; 8] = [32, 98, 83, 189, 15, 196, 193, 193];

account_list! {
    /// No signature is needed.
    ApplyRole {
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
    let given = ApplyRole::exactly(views)?;
    let config = Config::load_mut(given.config, program)?;
    given.check_writable()?;
    config.apply_role(now()?)
}
