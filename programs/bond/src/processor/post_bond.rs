//! `post_bond`: a depositor puts the bond amount into escrow for a beneficiary.

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
use crate::token::{TokenAccount, expect_mint};
use crate::{account_list, arguments};

/// `sha256("global:post_bond")[..8]`
pub const NAME: [u8; 8] = [168, 151, 202, 119, 163, 58, 147, 247];

account_list! {
    /// The depositor pays the bond, the funder the rent; they may be one.
    PostBond {
        /// Pays the bond.
        depositor: [signer],
        /// Pays the rent, and gets it back.
        funder: [signer, writable],
        /// A token account of the depositor.
        depositor_ata: [writable],
        /// Where bonds are held.
        bond_vault: [writable],
        /// The new bond.
        bond: [writable],
        /// What the bond vault owes.
        escrow: [writable],
        /// Amount and terms.
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
    /// Which enrollment, and who gets the bond back.
    Arguments {
        /// The enrollment's code.
        pub code: Code,
        /// Gets the bond back.
        pub beneficiary: Key,
    }
}

pub fn process(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    let Arguments { code, beneficiary } = Arguments::parse(data)?;
    bond_opening::check_code(code)?;
    let given = PostBond::exactly(views)?;
    expect_program(given.token_program, &seeds::TOKEN_PROGRAM)?;
    expect_program(given.system_program, &seeds::SYSTEM_PROGRAM)?;
    let config = Config::load(given.config, program)?;
    let escrow = Escrow::load_mut(given.escrow, config, program)?;
    expect(given.bond_vault, &config.bond_vault)?;
    let bump = bond_opening::check_address(given.bond, code, beneficiary, program)?;
    bond_opening::check_beneficiary(config, beneficiary)?;
    given.check_writable()?;
    if key(given.depositor_ata) == key(given.bond_vault) {
        return Err(Error::DuplicateAccount);
    }
    expect_mint(given.mint, &config.mint)?;
    let vault = TokenAccount::load(given.bond_vault, &config.mint)?;
    let source = TokenAccount::load_of(given.depositor_ata, &config.mint, key(given.depositor))?;
    given.check_signers()?;
    let now = now()?;
    config.deposits_pause.check(now)?;
    Bond::check_free(given.bond)?;
    let amount = config.parameters.bond_amount;
    if amount > source.amount() {
        return Err(Error::WrongAmount);
    }
    source.check_not_frozen()?;
    vault.check_not_frozen()?;

    Transfer {
        from: given.depositor_ata,
        mint: given.mint,
        to: given.bond_vault,
        authority: given.depositor,
        amount,
    }
    .send();
    let rent_payer = key(given.funder);
    let parameters = &config.parameters;
    let terms = Terms { bump, code, beneficiary, rent_payer, parameters, now };
    bond_opening::open(given.bond, given.funder, program, &terms)?;
    escrow.add(amount)
}
