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
pub mod security;
pub mod seeds;
pub mod state;
pub mod syscalls;
pub mod token;

#[cfg(any(target_os = "solana", target_arch = "bpf"))]
#[panic_handler]
fn stop(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: the syscall takes nothing and does not return.
    unsafe { syscalls::abort() }
}
