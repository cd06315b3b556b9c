//! `withdraw_proposal`: the proposer takes a seizure back. Never pausable: it only helps.

use pinocchio::AccountView;

use crate::accounts::key;
use crate::error::Error;
use crate::key::{Code, Key};
use crate::state::bond::Bond;
use crate::state::config::Config;
use crate::{account_list, arguments};

/// `sha256("global:withdraw_proposal")[..8]`
pub const NAME: [u8; 8] = [135, 1, 185, 99, 36, 69, 15, 38];

account_list! {
    /// The proposer only.
    WithdrawProposal {
        /// Holds the proposer role.
        proposer: [signer],
        /// The bond.
        bond: [writable],
        /// Names the proposer.
        config: [],
    }
}

arguments! {
    /// Which enrollment.
    Arguments {
        /// The bond's code.
        pub code: Code,
    }
}

pub fn process(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    let Arguments { code } = Arguments::parse(data)?;
    let given = WithdrawProposal::exactly(views)?;
    let config = Config::load(given.config, program)?;
    let bond = Bond::load_mut(given.bond, code, program)?;
    given.check_writable()?;
    given.check_signers()?;
    Config::require(&config.proposer, key(given.proposer))?;
    bond.withdraw()
}
