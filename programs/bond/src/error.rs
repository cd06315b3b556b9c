//! Why an instruction was refused. Numbers are frozen: new ones go at the end.

/// One cause, one error; the number is `6000` plus the place in this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Error {
    /// The instruction's name or length is not one of ours.
    InvalidInstruction = 6000,
    /// Too few accounts, or too many.
    WrongAccountCount,
    /// A program account is not the program it must be.
    WrongProgram,
    /// An account belongs to another program.
    WrongOwner,
    /// An account is of another kind or size.
    WrongTag,
    /// An account is of a version this program does not know.
    WrongVersion,
    /// An account is not at its canonical address.
    WrongAddress,
    /// Not the mint of this deployment.
    WrongMint,
    /// Not an initialized token account, or not of the owner it must have.
    WrongTokenAccount,
    /// A token account is frozen.
    FrozenTokenAccount,
    /// A required signature is missing.
    MissingSignature,
    /// The signer does not hold the role.
    Unauthorized,
    /// An account must be writable.
    NotWritable,
    /// One account given in two places.
    DuplicateAccount,
    /// It exists already.
    AlreadyInitialized,
    /// Not possible in this state.
    WrongState,
    /// Paused.
    Paused,
    /// Was paused too recently to be paused again.
    PauseTooSoon,
    /// The amount is zero, or more than there is.
    WrongAmount,
    /// The cooldown is not over.
    CooldownNotOver,
    /// A seizure is open.
    SeizureOpen,
    /// No seizure is open.
    NoSeizure,
    /// The dispute window is not over.
    WindowNotOver,
    /// The window is over.
    WindowOver,
    /// The seizure is past its time.
    SeizureExpired,
    /// Too many proposals while retiring.
    SeizureLimit,
    /// This evidence was used before.
    EvidenceReused,
    /// Contested already.
    AlreadyContested,
    /// Not contested.
    NotContested,
    /// A parameter is outside its bounds.
    ParamOutOfBounds,
    /// Two roles would be held by one key.
    RolesNotDistinct,
    /// Nobody is nominated.
    NoNomination,
    /// The nomination cannot be accepted yet.
    NominationTooEarly,
    /// The nomination has expired.
    NominationExpired,
    /// This number was paid.
    AlreadyPaid,
    /// This number was skipped.
    AlreadySkipped,
    /// This number is beyond the window.
    SequenceTooFar,
    /// This number is below the window: it is used.
    SequenceTooOld,
    /// Above a payout cap.
    CapExceeded,
    /// A policy change is pending.
    PolicyPending,
    /// A sum does not fit.
    Overflow,
    /// The bond is over: only its tombstone is left.
    Tombstoned,
    /// The code is malformed or another one.
    WrongCode,
    /// The vault does not hold enough.
    InsufficientVault,
    /// An address that must not stand here.
    ForbiddenAddress,
    /// Nothing to sweep.
    NothingToSweep,
    /// The role is vacant.
    RoleVacant,
    /// Too late to propose a seizure.
    SeizureTooLate,
    /// Nothing is pending.
    NothingPending,
    /// The open approval is for something else.
    ApprovalMismatch,
}
