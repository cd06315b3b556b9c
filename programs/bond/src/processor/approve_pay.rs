//! `approve_pay`: the admin allows one payment above the caps, exactly as named, for 24 hours.

use pinocchio::AccountView;

use crate::accounts::key;
use crate::error::Error;
use crate::key::Key;
use crate::rules::times::after;
use crate::runtime::now;
use crate::state::config::Config;
use crate::state::payouts::{Approval, Payouts};
use crate::{account_list, arguments};

/// `sha256("global:approve_pay")[..8]`
pub const NAME: [u8; 8] = [80, 85, 22, 98, 165, 209, 198, 129];

account_list! {
    /// The admin only.
    ApprovePay {
        /// The admin.
        admin: [signer],
        /// The numbers, and the one approval.
        payouts: [writable],
        /// Names the admin.
        config: [],
    }
}

arguments! {
    /// Which payment.
    Arguments {
        /// Its number.
        pub sequence: u64,
        /// Its microunits.
        pub amount: u64,
        /// Its token account.
        pub destination: Key,
        /// Its reference.
        pub reference: [u8; 16],
    }
}

/// How long an approval stands, in seconds.
const APPROVAL_LIFE: i64 = 86_400;

pub fn process(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    let &Arguments { sequence, amount, destination, reference } = Arguments::parse(data)?;
    let given = ApprovePay::exactly(views)?;
    let config = Config::load(given.config, program)?;
    let payouts = Payouts::load_mut(given.payouts, config, program)?;
    given.check_writable()?;
    given.check_signers()?;
    Config::require(&config.admin, key(given.admin))?;
    payouts.ring.check(sequence)?;
    if amount == 0 {
        return Err(Error::WrongAmount);
    }
    let expires_at = after(now()?, APPROVAL_LIFE)?;
    payouts.approval = Approval { sequence, amount, destination, reference, expires_at };
    payouts.invariant()
}
