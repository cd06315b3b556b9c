//! `fund_bond`: the till pays a bond whose money arrived there as a coded or memo deposit. It is
//! a numbered payout: same numbers, same caps, same pause as `pay`.

use pinocchio::AccountView;

use crate::accounts::{expect, expect_program, key};
use crate::cpi::Transfer;
use crate::error::Error;
use crate::key::{Code, Key};
use crate::processor::bond_opening;
use crate::runtime::now;
use crate::seeds;
use crate::state::bond::{Bond, Terms};
use crate::state::config::Config;
use crate::state::escrow::Escrow;
use crate::state::payouts::Payouts;
use crate::token::{TokenAccount, expect_mint};
use crate::{account_list, arguments};

/// `sha256("global:fund_bond")[..8]`
pub const NAME: [u8; 8] = [58, 44, 212, 175, 30, 17, 68, 62];

account_list! {
    /// The payer signs for the till, the funder pays the rent; they may be one.
    FundBond {
        /// Holds the payer role.
        payer: [signer],
        /// Pays the rent, and gets it back.
        funder: [signer, writable],
        /// Owner of the till vault.
        till_authority: [],
        /// Pays the bond.
        till_vault: [writable],
        /// Where bonds are held.
        bond_vault: [writable],
        /// The new bond.
        bond: [writable],
        /// What the bond vault owes.
        escrow: [writable],
        /// The numbers.
        payouts: [writable],
        /// Amount, terms, roles and caps.
        config: [],
        /// The deployment's mint.
        mint: [],
        /// The classic token program.
        token_program: [],
        /// Creates the account.
        system_program: [],
    }
}

arguments! {
    /// Under which number, which enrollment, and who gets the bond back.
    Arguments {
        /// The payout number.
        pub sequence: u64,
        /// The enrollment's code.
        pub code: Code,
        /// Gets the bond back.
        pub beneficiary: Key,
    }
}

pub fn process(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    let &Arguments { sequence, ref code, ref beneficiary } = Arguments::parse(data)?;
    bond_opening::check_code(code)?;
    let given = FundBond::exactly(views)?;
    expect_program(given.token_program, &seeds::TOKEN_PROGRAM)?;
    expect_program(given.system_program, &seeds::SYSTEM_PROGRAM)?;
    let config = Config::load(given.config, program)?;
    let escrow = Escrow::load_mut(given.escrow, config, program)?;
    let payouts = Payouts::load_mut(given.payouts, config, program)?;
    expect(given.till_authority, &config.ops_wallet)?;
    expect(given.till_vault, &config.till_vault)?;
    expect(given.bond_vault, &config.bond_vault)?;
    let bump = bond_opening::check_address(given.bond, code, beneficiary, program)?;
    bond_opening::check_beneficiary(config, beneficiary)?;
    given.check_writable()?;
    expect_mint(given.mint, &config.mint)?;
    let till = TokenAccount::load(given.till_vault, &config.mint)?;
    let vault = TokenAccount::load(given.bond_vault, &config.mint)?;
    given.check_signers()?;
    Config::require(&config.payer, key(given.payer))?;
    let now = now()?;
    config.payouts_pause.check(now)?;
    Bond::check_free(given.bond)?;
    payouts.ring.check(sequence)?;
    let amount = config.parameters.bond_amount;
    payouts.spending.check(amount, now, &config.parameters)?;
    till.check_not_frozen()?;
    vault.check_not_frozen()?;
    if amount > till.amount() {
        return Err(Error::InsufficientVault);
    }

    let (from, mint, to) = (given.till_vault, given.mint, given.bond_vault);
    let authority = given.till_authority;
    Transfer { from, mint, to, authority, amount }.send_derived(seeds::TILL, config.till_bump);
    let rent_payer = key(given.funder);
    let parameters = &config.parameters;
    let terms = Terms { bump, code, beneficiary, rent_payer, parameters, now };
    bond_opening::open(given.bond, given.funder, program, &terms)?;
    escrow.add(amount)?;
    payouts.record(sequence, amount, now)
}
