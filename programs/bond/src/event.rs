//! The one log line kept for clients of the older deposit program. Nothing of ours reads it:
//! instructions are the events.

use crate::key::{Code, Key};
use crate::runtime::log_data;

/// `sha256("event:DepositEvent")[..8]`
pub const DEPOSIT_EVENT: [u8; 8] = [120, 248, 61, 83, 31, 142, 107, 144];

/// A coded deposit, as existing indexers read it.
#[repr(C)]
pub struct DepositEvent {
    pub discriminator: [u8; 8],
    /// The depositor's code.
    pub code: Code,
    /// Microunits of USDC.
    pub amount: u64,
    /// The mint deposited.
    pub mint: Key,
    /// Who signed.
    pub depositor: Key,
    /// The chain's clock, in seconds.
    pub timestamp: i64,
}

impl DepositEvent {
    pub fn log(&self) {
        // SAFETY: `repr(C)` with every field a multiple of eight bytes: no padding.
        let bytes = unsafe {
            core::slice::from_raw_parts((self as *const Self).cast::<u8>(), size_of::<Self>())
        };
        log_data(bytes);
    }
}
