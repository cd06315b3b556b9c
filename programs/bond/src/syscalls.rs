//! The runtime's functions. The only file where the host differs from the chain: there they are
//! missing, and host tests, which are of the rules, never come here.

#[cfg(any(target_os = "solana", target_arch = "bpf"))]
pub use pinocchio::syscalls::{
    abort, sol_get_sysvar, sol_log_data, sol_sha256, sol_try_find_program_address,
};

#[cfg(not(any(target_os = "solana", target_arch = "bpf")))]
#[allow(clippy::missing_safety_doc)]
mod host {
    use core::unimplemented as missing;

    pub unsafe fn sol_get_sysvar(_: *const u8, _: *mut u8, _: u64, _: u64) -> u64 {
        missing!()
    }

    pub unsafe fn sol_log_data(_: *const u8, _: u64) {
        missing!()
    }

    pub unsafe fn sol_sha256(_: *const u8, _: u64, _: *mut u8) -> u64 {
        missing!()
    }

    pub unsafe fn sol_try_find_program_address(
        _: *const u8,
        _: u64,
        _: *const u8,
        _: *mut u8,
        _: *mut u8,
    ) -> u64 {
        missing!()
    }
}
#[cfg(not(any(target_os = "solana", target_arch = "bpf")))]
pub use host::*;
