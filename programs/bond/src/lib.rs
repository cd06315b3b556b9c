//! Bonds, till and roles of the clearing house: one program, two vaults.
//!
//! Read in this order: `entrypoint` (which bytes call what), `processor/` (one instruction a file,
//! named by its verb), `state/` (one account a file), `rules/` (windows, times, caps, numbers: no
//! Solana in them, tested on the host). `README.md` beside this crate says who may do what.
#![cfg_attr(not(test), no_std)]

pub mod accounts;
pub mod cpi;
pub mod entrypoint;
pub mod error;
pub mod event;
pub mod key;
pub mod loader;
pub mod processor;
pub mod rules;
pub mod runtime;
pub mod seeds;
pub mod state;
pub mod syscalls;
pub mod token;

/// Whom to tell about a hole; public tools find this text in the deployed bytes.
#[used]
pub static SECURITY_TXT: &str = concat!(
    "=======BEGIN SECURITY.TXT V1=======\0",
    "name\0podledger bond\0",
    "project_url\0ask the operator of this deployment\0",
    "contacts\0other:the operator of this deployment\0",
    "policy\0report privately first\0",
    "=======END SECURITY.TXT V1=======\0",
);

/// Which sources this was built from: the git tree hash of `src` (a commit hash would change
/// itself). `scripts/build-program` gives it.
#[used]
pub static SOURCE_TREE: &str = match option_env!("BOND_SOURCE_TREE") {
    Some(tree) => tree,
    None => "source_tree:unknown",
};

#[cfg(any(target_os = "solana", target_arch = "bpf"))]
#[panic_handler]
fn stop(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: the syscall takes nothing and does not return.
    unsafe { syscalls::abort() }
}
