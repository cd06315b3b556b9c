//! `skip`: burn payout numbers, so that a payment under one of them can never land any more.

use pinocchio::AccountView;

use crate::account_list;
use crate::accounts::key;
use crate::arguments;
use crate::error::Error;
use crate::key::Key;
use crate::state::config::Config;
use crate::state::payouts::Payouts;

/// `sha256("global:skip")[..8]`
pub const NAME: [u8; 8] = [154, 63, 181, 53, 19, 26, 117, 45];

account_list! {
    /// Never pausable: it only takes possibilities away.
    Skip {
        /// The payer or the admin.
        signer: [signer],
        /// The numbers.
        payouts: [writable],
        /// Names payer and admin.
        config: [],
    }
}

arguments! {
    /// Which numbers: `first + i` for each bit `i` of the mask.
    Arguments {
        /// The number of bit 0.
        pub first: u64,
        /// Which of the 64 numbers from there.
        pub mask: u64,
    }
}

pub fn process(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    let &Arguments { first, mask } = Arguments::parse(data)?;
    if mask == 0 {
        return Err(Error::InvalidInstruction);
    }
    let given = Skip::exactly(views)?;
    let config = Config::load(given.config, program)?;
    let payouts = Payouts::load_mut(given.payouts, config, program)?;
    given.check_writable()?;
    given.check_signers()?;
    let signer = key(given.signer);
    // A vacant payer is the zero key, the system program's, which never signs.
    if *signer != config.payer && *signer != config.admin {
        return Err(Error::Unauthorized);
    }
    payouts.ring.skip(first, mask)?;
    payouts.invariant()
}
