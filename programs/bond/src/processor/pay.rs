//! `pay`: a numbered payment out of the till. The chain refuses a number twice, so sending again
//! or racing senders can never pay twice.

use pinocchio::AccountView;

use crate::accounts::{expect, expect_program, key};
use crate::cpi::Transfer;
use crate::error::Error;
use crate::key::{Code, Key};
use crate::runtime::now;
use crate::seeds;
use crate::state::config::Config;
use crate::state::payouts::{Approval, Payouts};
use crate::token::{TokenAccount, expect_mint};
use crate::{account_list, arguments};

/// `sha256("global:pay")[..8]`
pub const NAME: [u8; 8] = [119, 18, 216, 65, 192, 117, 122, 220];

account_list! {
    /// From the till vault to any token account but ours.
    Pay {
        /// Holds the payer role.
        payer: [signer],
        /// Gets the money.
        destination: [writable],
        /// Owner of the till vault.
        till_authority: [],
        /// Pays.
        till_vault: [writable],
        /// The numbers.
        payouts: [writable],
        /// Roles, caps, the pause.
        config: [],
        /// The deployment's mint.
        mint: [],
        /// The classic token program.
        token_program: [],
    }
}

arguments! {
    /// Under which number, how much, for whom and for what.
    Arguments {
        /// The payout number.
        pub sequence: u64,
        /// Microunits.
        pub amount: u64,
        /// The account in the books it is paid from.
        pub code: Code,
        /// Hash of the withdrawal's id.
        pub reference: [u8; 16],
    }
}

pub fn process(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    // The code is for whoever reads the instruction: instructions are the events.
    let &Arguments { sequence, amount, reference, .. } = Arguments::parse(data)?;
    let given = Pay::exactly(views)?;
    expect_program(given.token_program, &seeds::TOKEN_PROGRAM)?;
    let config = Config::load(given.config, program)?;
    let payouts = Payouts::load_mut(given.payouts, config, program)?;
    expect(given.till_authority, &config.ops_wallet)?;
    expect(given.till_vault, &config.till_vault)?;
    given.check_writable()?;
    if key(given.destination) == key(given.till_vault) {
        return Err(Error::DuplicateAccount);
    }
    expect_mint(given.mint, &config.mint)?;
    let till = TokenAccount::load(given.till_vault, &config.mint)?;
    let destination = TokenAccount::load(given.destination, &config.mint)?;
    // Money paid to ourselves would leave the till in the books and not on chain.
    if config.is_ours(&destination.owner()) {
        return Err(Error::ForbiddenAddress);
    }
    given.check_signers()?;
    Config::require(&config.payer, key(given.payer))?;
    let now = now()?;
    config.payouts_pause.check(now)?;
    payouts.ring.check(sequence)?;
    let approved = match payouts.spending.check(amount, now, &config.parameters) {
        Err(Error::CapExceeded) => {
            let destination = *key(given.destination);
            let payment = Approval { sequence, amount, destination, reference, expires_at: 0 };
            payouts.approval.check(&payment, now)?;
            true
        }
        within => {
            within?;
            false
        }
    };
    if amount == 0 {
        return Err(Error::WrongAmount);
    }
    destination.check_not_frozen()?;
    till.check_not_frozen()?;
    if amount > till.amount() {
        return Err(Error::InsufficientVault);
    }

    let (from, mint, to) = (given.till_vault, given.mint, given.destination);
    let authority = given.till_authority;
    Transfer { from, mint, to, authority, amount }.send_derived(seeds::TILL, config.till_bump);
    if approved {
        payouts.record_approved(sequence, amount)
    } else {
        payouts.record(sequence, amount, now)
    }
}
