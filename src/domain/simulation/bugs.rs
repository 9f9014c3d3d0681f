//! Bugs that can be planted, so that the tests show that the simulation catches each.

/// One bug, off unless a test plants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    /// A lost reply is taken for "not sent".
    ResendOnUnknown,
    /// Nothing found is absent at once.
    SettleOfZero,
    /// The intent is stored when the call has gone out already.
    IntentAfterSend,
    /// What was listed before the call, or is history, is a candidate too.
    KnownIdsIgnored,
    /// What a row claims is a candidate for others too, and no index forbids a second claim.
    ClaimNotUnique,
    /// The settle time starts anew at each boot.
    TimerRestartsAtBoot,
    /// Two paid calls may be open at once.
    WidthTwo,
    /// One look that finds nothing is enough.
    AbsentAfterOneLook,
    /// A list whose last pages failed counts as a whole one.
    HalfAListIsWhole,
    /// The settle time is measured by our wall clock alone.
    AbsenceByLocalClock,
    /// Time between a failed look and the next complete one counts.
    OutageCounts,
    /// A call taken for absent is sent again without the last look.
    NoLookBeforeResend,
    /// What may be a parked call's is free for the next.
    ParkWithoutReserving,
    /// Foreign jobs teach nothing: the account is always exclusive.
    NobodyElseEver,
    /// What a job makes and which model it belongs to rules nothing out.
    ConflictsIgnored,
    /// The list never shows trainings.
    EntriesIgnored,
    /// Recovery takes `submitting` for "not sent".
    SubmittingIsQueued,
    /// The doubt begins when it is discovered, days after a death.
    DoubtUnclamped,
    /// A training's entry is expected for a settle time from its acceptance, by our clock, however
    /// long the call in doubt has been waiting.
    EntriesUntilNow,
    /// The sweep reaches back for a day, however long the daemon was dead.
    SweepOfADay,
    /// Before the first reply after a start our clock stands in for the vendor's.
    OurClockForTheirs,
    /// A call goes out however long the machine slept after its intent was stored.
    SendsAfterSleep,
    /// A look counts up to its verdict, however long ago its list was read.
    LookDatedAtItsEnd,
    /// Absence is declared although a newer list than the look's is stored already.
    OvertakenVerdict,
    /// A job that comes to light between the last look and the intent keeps nothing from sending.
    ShownOnTheWay,
    /// A list that no longer reaches back to the call proves absence all the same.
    ReachIgnored,
}
