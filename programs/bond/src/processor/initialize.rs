//! `initialize`: Config, Escrow, Payouts and both vaults, once, by the upgrade authority: whoever
//! deploys decides who may do what, and nobody can be first in their place.

use pinocchio::AccountView;
use pinocchio::cpi::Seed;

use crate::accounts::{Stored, VERSION, expect, expect_program, is_owned, key, open};
use crate::cpi::{NewAccount, NewVault};
use crate::error::Error;
use crate::key::Key;
use crate::loader::upgrade_authority;
use crate::rules::params::Parameters;
use crate::runtime::find_address;
use crate::seeds;
use crate::state::config::Config;
use crate::state::escrow::Escrow;
use crate::state::payouts::Payouts;
use crate::token::{TokenAccount, check_mint};
use crate::{account_list, arguments};

/// `sha256("global:initialize")[..8]`
pub const NAME: [u8; 8] = [175, 175, 109, 31, 13, 152, 155, 237];

account_list! {
    /// Everything at its canonical address.
    Initialize {
        /// May upgrade the program.
        upgrade_authority: [signer],
        /// Pays the rent.
        funder: [signer, writable],
        /// The loader's account that names the upgrade authority.
        program_data: [],
        /// Created.
        config: [writable],
        /// Created.
        escrow: [writable],
        /// Created.
        payouts: [writable],
        /// Owner of the till vault.
        till_authority: [],
        /// Created unless there.
        till_vault: [writable],
        /// Created unless there.
        bond_vault: [writable],
        /// The deployment's mint.
        mint: [],
        /// The classic token program.
        token_program: [],
        /// Creates the vaults.
        associated_token_program: [],
        /// Creates the accounts.
        system_program: [],
    }
}

arguments! {
    /// Who may do what, and under which parameters.
    Arguments {
        /// Appoints roles, sets parameters.
        pub admin: Key,
        /// Proposes seizures; zero for vacant, as all that follow.
        pub proposer: Key,
        /// Decides contested ones.
        pub arbiter: Key,
        /// Pauses.
        pub guardian: Key,
        /// Pays from the till.
        pub payer: Key,
        /// The policy.
        pub parameters: Parameters,
    }
}

/// Bumps of the four derived addresses.
struct Bumps {
    config: u8,
    escrow: u8,
    payouts: u8,
    till: u8,
}

pub fn process(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    let arguments = Arguments::parse(data)?;
    let given = Initialize::exactly(views)?;
    expect_program(given.token_program, &seeds::TOKEN_PROGRAM)?;
    expect_program(given.associated_token_program, &seeds::ATA_PROGRAM)?;
    expect_program(given.system_program, &seeds::SYSTEM_PROGRAM)?;
    let authority = upgrade_authority(given.program_data, program)?;
    let bumps = check_addresses(&given, program)?;
    given.check_writable()?;
    check_mint(given.mint)?;
    check_vault_addresses(&given)?;
    given.check_signers()?;
    if authority != *key(given.upgrade_authority) {
        return Err(Error::Unauthorized);
    }
    if is_owned(given.config, program) {
        return Err(Error::AlreadyInitialized);
    }
    create(
        given.funder,
        given.config,
        size_of::<Config>(),
        program,
        (seeds::CONFIG, bumps.config),
    )?;
    create(
        given.funder,
        given.escrow,
        size_of::<Escrow>(),
        program,
        (seeds::ESCROW, bumps.escrow),
    )?;
    let payouts = (seeds::PAYOUTS, bumps.payouts);
    create(given.funder, given.payouts, size_of::<Payouts>(), program, payouts)?;
    create_vault(&given, given.till_vault, given.till_authority)?;
    create_vault(&given, given.bond_vault, given.escrow)?;
    open::<Escrow>(given.escrow).fill(bumps.escrow);
    open::<Payouts>(given.payouts).fill(bumps.payouts);
    write_config(&given, arguments, &bumps)
}

#[inline(always)]
fn check_addresses(given: &Initialize, program: &Key) -> Result<Bumps, Error> {
    let at = |view: &AccountView, seeds: &[u8]| -> Result<u8, Error> {
        let (address, bump) = find_address(&[seeds], program)?;
        expect(view, &address)?;
        Ok(bump)
    };
    Ok(Bumps {
        config: at(given.config, seeds::CONFIG)?,
        escrow: at(given.escrow, seeds::ESCROW)?,
        payouts: at(given.payouts, seeds::PAYOUTS)?,
        till: at(given.till_authority, seeds::TILL)?,
    })
}

fn check_vault_addresses(given: &Initialize) -> Result<(), Error> {
    let mint = key(given.mint);
    let till = seeds::is_associated(key(given.till_vault), key(given.till_authority), mint);
    let bond = seeds::is_associated(key(given.bond_vault), key(given.escrow), mint);
    if till && bond { Ok(()) } else { Err(Error::WrongTokenAccount) }
}

fn create(
    funder: &AccountView,
    account: &AccountView,
    size: usize,
    program: &Key,
    at: (&[u8], u8),
) -> Result<(), Error> {
    let bump = [at.1];
    NewAccount { funder, account, size, program }.create(&[Seed::from(at.0), Seed::from(&bump)])
}

/// The vault is there afterwards, and nobody but its owner can move or close it.
fn create_vault(given: &Initialize, vault: &AccountView, owner: &AccountView) -> Result<(), Error> {
    NewVault {
        funder: given.funder,
        vault,
        owner,
        mint: given.mint,
        system_program: given.system_program,
        token_program: given.token_program,
    }
    .create();
    TokenAccount::load_of(vault, key(given.mint), key(owner))?.check_unshared()
}

fn write_config(given: &Initialize, arguments: &Arguments, bumps: &Bumps) -> Result<(), Error> {
    let config = open::<Config>(given.config);
    config.discriminator = Config::TAG;
    config.version = VERSION;
    config.ops_wallet = *key(given.till_authority);
    config.config_bump = bumps.config;
    config.payouts_bump = bumps.payouts;
    config.till_bump = bumps.till;
    config.escrow_bump = bumps.escrow;
    config.mint = *key(given.mint);
    config.till_vault = *key(given.till_vault);
    config.bond_vault = *key(given.bond_vault);
    config.escrow = *key(given.escrow);
    config.payouts = *key(given.payouts);
    config.admin = arguments.admin;
    config.proposer = arguments.proposer;
    config.arbiter = arguments.arbiter;
    config.guardian = arguments.guardian;
    config.payer = arguments.payer;
    config.parameters = arguments.parameters;
    config.invariant()
}
