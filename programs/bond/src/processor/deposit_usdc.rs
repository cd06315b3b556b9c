//! `deposit_usdc`: prepaid money in, under a code. Data and accounts are those of the older
//! deposit program, byte for byte.

use pinocchio::AccountView;

use crate::accounts::{expect, expect_program, key};
use crate::cpi::Transfer;
use crate::error::Error;
use crate::event::{DEPOSIT_EVENT, DepositEvent};
use crate::key::{Code, Key};
use crate::runtime::now;
use crate::seeds;
use crate::state::config::Config;
use crate::token::{TokenAccount, expect_mint};
use crate::{account_list, arguments};

/// `sha256("global:deposit_usdc")[..8]`
pub const NAME: [u8; 8] = [184, 148, 250, 169, 224, 213, 34, 126];

account_list! {
    /// In the order existing clients send.
    DepositUsdc {
        /// The depositor's token account.
        depositor_ata: [writable],
        /// The till vault.
        ops_wallet_ata: [writable],
        /// Names the till vault's owner.
        config: [],
        /// Pays.
        depositor: [signer, writable],
        /// The deployment's mint.
        mint: [],
        /// The classic token program.
        token_program: [],
        /// Not called; existing clients send it.
        associated_token_program: [],
    }
}

arguments! {
    /// What is deposited for whom.
    Arguments {
        /// The depositor's code.
        pub code: Code,
        /// Microunits.
        pub amount: u64,
    }
}

pub fn process(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    let &Arguments { code, amount } = Arguments::parse(data)?;
    // More accounts are allowed here only: wallets append reference keys.
    let given = DepositUsdc::exactly(views.get(..7).ok_or(Error::WrongAccountCount)?)?;
    expect_program(given.token_program, &seeds::TOKEN_PROGRAM)?;
    expect_program(given.associated_token_program, &seeds::ATA_PROGRAM)?;
    let config = Config::load(given.config, program)?;
    expect(given.ops_wallet_ata, &config.till_vault)?;
    given.check_writable()?;
    if key(given.depositor_ata) == key(given.ops_wallet_ata) {
        return Err(Error::DuplicateAccount);
    }
    expect_mint(given.mint, &config.mint)?;
    let vault = TokenAccount::load(given.ops_wallet_ata, &config.mint)?;
    let source = TokenAccount::load_of(given.depositor_ata, &config.mint, key(given.depositor))?;
    given.check_signers()?;
    let now = now()?;
    config.deposits_pause.check(now)?;
    if amount == 0 || amount > source.amount() {
        return Err(Error::WrongAmount);
    }
    source.check_not_frozen()?;
    vault.check_not_frozen()?;

    Transfer {
        from: given.depositor_ata,
        mint: given.mint,
        to: given.ops_wallet_ata,
        authority: given.depositor,
        amount,
    }
    .send();
    DepositEvent {
        discriminator: DEPOSIT_EVENT,
        code,
        amount,
        mint: config.mint,
        depositor: *key(given.depositor),
        timestamp: now,
    }
    .log();
    Ok(())
}
