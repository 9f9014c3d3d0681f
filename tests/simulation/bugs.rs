//! Bugs that can be planted, so that the tests show that the simulation catches each.

/// One bug, off unless a test plants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A lost reply is taken for "not sent".
    ResendOnUnknown,
    /// What was out when the daemon died is taken for "not sent".
    OutIsQueued,
    /// Nothing found is absent after a minute.
    SettleOfNothing,
    /// A missing witness does not discredit a reading.
    WitnessesIgnored,
    /// Only our own jobs bear witness, so that a list may be cut elsewhere.
    CutListBelieved,
    /// A reading in which nobody could bear witness proves absence.
    EmptyListBelieved,
    /// Old witnesses do as well as one from after the call.
    OldWitnessesSuffice,
    /// The lag of the list prolongs nothing.
    LagIgnored,
    /// A list proves absence however old the call is.
    ReachIgnored,
    /// A list that lacks jobs is believed.
    LacksIgnored,
    /// Creation times are held against our own clock.
    ClocksCompared,
    /// How unsteady the vendor's times are is not learnt.
    SpreadIgnored,
    /// Another id is another model, whatever the vendor has shown.
    IdsTrusted,
    /// A video that has only a still so far makes pictures.
    StillsTrusted,
    /// Media and models rule nothing out.
    ConflictsIgnored,
    /// No other call could have made the job.
    OthersIgnored,
    /// A call that was absent before takes what could be another absent one's.
    AbsenceForgotten,
    /// What a row claims is a candidate for others too.
    ClaimNotUnique,
    /// What was listed before the call is a candidate too.
    KnownIdsIgnored,
    /// Strangers' jobs teach nothing: the account is always ours alone.
    NobodyElseEver,
    /// A call taken for absent is sent again without the last look.
    NoLookBeforeResend,
    /// It is sent again as often as it is absent.
    ResendForEver,
    /// One look that finds nothing is enough.
    OneLookIsEnough,
    /// A job that comes to light is always foreign.
    DuplicatesAreForeign,
    /// A late effect teaches nothing.
    LateEffectsForgotten,
    /// Nobody asks at a start whether the database was put back.
    GoingBackIgnored,
    /// No doubt ever reaches a person.
    NobodyAsked,
    /// The lane waits until a doubt is settled.
    LaneWaits,
    /// No verb accepts a row that is in doubt.
    VerbsRefused,
    /// A call in doubt is looked for once an hour.
    LooksSeldom,
    /// Nothing that comes to light is shown.
    NothingPlaced,
}

impl Bug {
    pub(crate) const ALL: [Self; 31] = [
        Self::ResendOnUnknown,
        Self::OutIsQueued,
        Self::SettleOfNothing,
        Self::WitnessesIgnored,
        Self::CutListBelieved,
        Self::EmptyListBelieved,
        Self::OldWitnessesSuffice,
        Self::LagIgnored,
        Self::ReachIgnored,
        Self::LacksIgnored,
        Self::ClocksCompared,
        Self::SpreadIgnored,
        Self::IdsTrusted,
        Self::StillsTrusted,
        Self::ConflictsIgnored,
        Self::OthersIgnored,
        Self::AbsenceForgotten,
        Self::ClaimNotUnique,
        Self::KnownIdsIgnored,
        Self::NobodyElseEver,
        Self::NoLookBeforeResend,
        Self::ResendForEver,
        Self::OneLookIsEnough,
        Self::DuplicatesAreForeign,
        Self::LateEffectsForgotten,
        Self::GoingBackIgnored,
        Self::NobodyAsked,
        Self::LaneWaits,
        Self::VerbsRefused,
        Self::LooksSeldom,
        Self::NothingPlaced,
    ];
}
