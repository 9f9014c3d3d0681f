//! Every fault by name: what value it takes, where it strikes by default, and what it does.
//! The grammar's parser and the `--fault` help both read this table, so neither can drift.

/// What may follow `NAME=`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Takes {
    /// No value.
    Nothing,
    /// A duration, required.
    Time,
    /// A duration, or none.
    MaybeTime,
    /// A duration that may be negative, required.
    Offset,
    /// A share between 0 and 1, required.
    Share,
    /// An HTTP status, with this one as the default.
    Code(u16),
    /// An HTTP status, required.
    AnyCode,
    /// A whole number, optional; what its absence means is up to the fault.
    Count,
    /// A word or sentence without commas, with this one as the default.
    Word(&'static str),
    /// One of these words, the first one as the default.
    OneOf(&'static [&'static str]),
}

/// When a fault that belongs to one call strikes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Before the call has any effect.
    Before,
    /// After the call succeeded, while its reply is on its way.
    After,
    /// While the vendor does or shows the work; asked for where it matters.
    Within,
}

/// One row of the table below.
pub(crate) struct Row {
    pub(crate) kind: Kind,
    /// The word in the grammar.
    pub(crate) name: &'static str,
    pub(crate) takes: Takes,
    pub(crate) phase: Phase,
    /// Where it strikes when no `@ENDPOINT` is given.
    pub(crate) scope: &'static str,
    help: &'static str,
}

macro_rules! faults {
    ($($kind:ident, $name:literal, $takes:expr, $phase:ident, $scope:literal, $help:literal;)+) => {
        /// One kind of trouble.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Kind { $(#[doc = $help] $kind),+ }

        /// All kinds of trouble.
        pub(crate) const FAULTS: &[Row] = &[$(Row {
            kind: Kind::$kind, name: $name, takes: $takes, phase: Phase::$phase, scope: $scope,
            help: $help,
        }),+];
    };
}

use Takes::{AnyCode, Code, Count, MaybeTime, Nothing, Offset, OneOf, Share, Time, Word};

/// The forms of an empty list: `{"jobs":[]}`, `{"jobs":null}`, `{}`, no result, a null one.
const EMPTY: &[&str] = &["array", "null", "missing", "no-result", "null-result"];

faults! {
    LostRequest, "lost-request", Nothing, Before, "effects", "closed before any effect";
    LostReply, "lost-reply", Nothing, After, "effects", "the effect happens, then the connection closes without a reply";
    LateAccept, "late-accept", Time, Before, "jobs", "closed at once; the effect happens that much later";
    DeliverTwice, "deliver-twice", MaybeTime, Before, "paid", "the network delivers the request twice, the second time that much after the first one's effect: two effects, one reply";
    GoesOn, "goes-on", Nothing, Before, "effects", "a call taken in goes on to its end, even if its client leaves meanwhile";
    DelayBefore, "delay-before", Time, Before, "any", "waits, then acts";
    Delay, "delay", Time, After, "any", "acts, then waits before replying";
    Status, "status", AnyCode, Before, "any", "refused with this status, no effect";
    StatusAfter, "status-after", Code(500), After, "effects", "the effect happens, then this status";
    Html, "html", Code(502), Before, "any", "an HTML error page, no effect";
    HtmlAfter, "html-after", Code(502), After, "effects", "the effect happens, then an HTML error page";
    Blocked, "blocked", Nothing, Before, "any", "403 and the plain text `error code: 1010`";
    Nok, "nok", Code(200), Before, "any", "status NOK inside a 2xx, no effect";
    NokAfter, "nok-after", Code(200), After, "effects", "the effect happens, then NOK inside a 2xx";
    BadJson, "bad-json", Nothing, After, "any", "acts, then sends half a JSON body";
    RateLimit, "rate-limit", Count, Before, "any", "429; a value becomes Retry-After seconds";
    Unauthorized, "unauthorized", Nothing, Before, "any", "401";
    UnauthorizedBare, "unauthorized-bare", Nothing, Before, "any", "401 in plain text, without the envelope";
    NoCredits, "no-credits", Code(402), Before, "paid", "insufficient credits, with this status";
    DateSkew, "date-skew", Offset, Within, "any", "the Date header is off by that much";
    CreatedSkew, "created-skew", Offset, Within, "jobs+triggerModelTraining+createOrUpdateModel+foreign", "createdAt and updatedAt of a job or model made now are off by that much, for good";
    CreatedJitter, "created-jitter", Time, Within, "jobs+triggerModelTraining+createOrUpdateModel+foreign", "the same by a random time of at most that much, either way";
    CreatedWhole, "created-whole", Nothing, Within, "reads", "createdAt and updatedAt of a job or model in whole seconds, whatever --millis says";
    CreatedZoneless, "created-zoneless", Nothing, Within, "reads", "createdAt and updatedAt without a zone, such as 2026-11-30T10:00:00";
    CreatedMissing, "created-missing", Nothing, Within, "reads", "no createdAt";
    FilterSkew, "filter-skew", Offset, Within, "listJobs", "start and end are compared by a clock that is off by that much";
    FilterCreated, "filter-created", Nothing, Within, "listJobs", "start and end are compared with the createdAt that is shown, and it orders the list";
    NoDate, "no-date", Nothing, Within, "any", "no Date header";
    ListLag, "list-lag", Time, Within, "jobs", "a new job stays out of GET /jobs that long";
    ListLacks, "list-lacks", Nothing, Within, "jobs", "a new job stays out of GET /jobs for ever";
    OffList, "off-list", Time, Within, "jobs", "a new job is taken off GET /jobs that long after its creation";
    Forgotten, "forgotten", Time, Within, "jobs", "the same, and GET /jobs/{id} answers 404 from then on";
    ListFrozen, "list-frozen", Nothing, Within, "listJobs", "only jobs that were listed when this fault began";
    ListReach, "list-reach", Time, Within, "listJobs", "no jobs older than that";
    ListHeadless, "list-headless", Count, Within, "listJobs", "the newest N jobs (1) are missing";
    ListDrops, "list-drops", Share, Within, "listJobs", "each entry of this reading is missing with that probability";
    ListCut, "list-cut", Count, Within, "listJobs", "no token after N pages (1)";
    ListLoops, "list-loops", Nothing, Within, "listJobs", "the same page token again for ever";
    ListShuffled, "list-shuffled", Nothing, Within, "listJobs", "the entries of a page in any order";
    ListEmpty, "list-empty", OneOf(EMPTY), Within, "listJobs", "no entries though there are some, in this form";
    EmptyAs, "empty-as", OneOf(EMPTY), Within, "listJobs", "a list that is really empty comes in this form";
    TokenBeside, "token-beside", Nothing, Within, "listJobs", "nextPageToken beside `result` instead of in it";
    TokenNumber, "token-number", Nothing, Within, "listJobs", "nextPageToken as a number";
    TokenObject, "token-object", Nothing, Within, "listJobs", "nextPageToken as an object";
    NoFutureEnd, "no-future-end", Nothing, Within, "listJobs", "400 for an `end` in the future";
    Foreign, "foreign", Time, Within, "any", "a foreign job appears at this interval";
    ForeignTwin, "foreign-twin", Nothing, Within, "jobs", "somebody else orders the same beside this order";
    TrainingListed, "training-listed", Nothing, Within, "triggerModelTraining", "this training shows up in GET /jobs";
    TrainingLag, "training-lag", Time, Within, "triggerModelTraining", "the status stays `new` that long after the trigger";
    TrainAgainNew, "train-again-new", Nothing, Within, "triggerModelTraining", "a second trigger while the status shows `new` is accepted and charged again";
    TrainAgain, "train-again", Nothing, Within, "triggerModelTraining", "a second trigger of a training or ready model is accepted and charged again";
    TrainingStates, "training-states", Word("preparing+training+finalizing"), Within, "triggerModelTraining", "these states in turn on the way to ready";
    TrainingTime, "training-time", Time, Within, "triggerModelTraining", "training takes exactly that long";
    TrainingStuck, "training-stuck", Nothing, Within, "triggerModelTraining", "training never ends";
    TrainingFailed, "training-failed", Word("failed"), Within, "triggerModelTraining", "training ends in this status";
    TrainingReset, "training-reset", Nothing, Within, "triggerModelTraining", "training falls back to `new`";
    ModelDeleted, "model-deleted", Nothing, Within, "triggerModelTraining", "the model turns `deleted` half-way";
    HideDeleted, "hide-deleted", Nothing, Within, "listModels", "deleted models are left out of the list";
    MixedCase, "mixed-case", Nothing, Within, "reads", "status words LiKe ThIs";
    JobTime, "job-time", Time, Within, "jobs", "the job takes exactly that long";
    JobStuck, "job-stuck", Word("queued"), Within, "jobs", "the job stays in this state for ever";
    OddStatus, "odd-status", Word("paused"), Within, "jobs", "this word in place of `running`, then success";
    OddEnd, "odd-end", Word("completed"), Within, "jobs", "the job ends in this word, outputs included";
    BareEnd, "bare-end", Word("canceled"), Within, "jobs", "the job ends in this word, without outputs";
    JobFailed, "job-failed", Word("The generation failed"), Within, "jobs", "the job fails with this error";
    JobFailedSilent, "job-failed-silent", Nothing, Within, "jobs", "the job fails without an error";
    EmptySuccess, "empty-success", Count, Within, "jobs", "success without outputs for that many reads, else for ever";
    Fewer, "fewer", Count, Within, "jobs", "that many outputs fewer than asked for (1)";
    MediaLate, "media-late", Time, Within, "jobs", "success with half of the outputs at first; the rest shows that long after the end";
    MediaTwice, "media-twice", OneOf(&["extra", "instead"]), Within, "getJobStatus", "the first output is shown twice, beside the others or in place of the last";
    MediaNoIds, "media-no-ids", Nothing, Within, "getJobStatus", "outputs without their ids";
    ModelIdForm, "model-id-form", OneOf(&["upper", "prefix", "bare"]), Within, "getJobStatus", "modelId in upper case, behind `mdl_`, or without hyphens";
    JobIdForm, "job-id-form", OneOf(&["upper", "prefix", "bare"]), Within, "listJobs+getJobStatus", "jobId in upper case, behind `api_`, or without `job_`; requests may use either form";
    Job404, "job-404", Count, Within, "jobs", "the job's first reads, else all, answer 404";
    UniqueNames, "unique-names", Nothing, Within, "createOrUpdateModel", "409 for a model name already in use";
    Names, "names", Nothing, Within, "any", "model records carry their name";
    ExpiredUrl, "expired-url", Nothing, Before, "media", "403 until the record is read again for a fresh URL";
    Truncated, "truncated", Nothing, After, "media", "the body ends half-way";
    SlowMedia, "slow-media", Time, After, "media", "the body is spread over that long";
    HlsOnly, "hls-only", Nothing, Within, "createVideoDownload", "400: no downloadable file, only the playlist";
    Mp4Url, "mp4-url", Nothing, Within, "any", "a video's url is its MP4 file instead of a playlist";
    DownloadStuck, "download-stuck", Count, Within, "createVideoDownload", "preparation stops at that percentage (40)";
    DownloadError, "download-error", Word("error"), Within, "createVideoDownload", "preparation ends in this status";
}

impl Kind {
    /// The kind's row of the table.
    pub(crate) fn row(self) -> &'static Row {
        // The macro makes enum and table from the same rows, in the same order.
        &FAULTS[self as usize]
    }

    /// Whether it decides a call's fate, so that no other fault gets a say.
    pub(crate) fn settles(self) -> bool {
        !matches!(
            self,
            Self::GoesOn
                | Self::DeliverTwice
                | Self::Delay
                | Self::DelayBefore
                | Self::ExpiredUrl
                | Self::SlowMedia
        )
    }
}

/// The long help of `--fault`: the grammar, then every fault.
pub(crate) fn help() -> String {
    let mut text = String::from(
        "Trouble to make, may be repeated: \
         NAME[=VALUE][@ENDPOINT][,times=N][,skip=N][,p=X][,from=TIME][,for=TIME]\n\
         \n\
         ENDPOINT is an operation id (triggerModelTraining), a group (any, effects, reads, paid, \
         jobs), the word media, the word foreign (jobs and models of others), or several joined \
         with +. times strikes at most N times, skip lets the first N matching calls pass, p \
         strikes with that probability (seeded by --seed). from and for count from when the fault \
         was added: it begins that much later, and is in force for that long. Durations read \
         300ms, 5s, 5m; they are real time, --speed does not shorten them. A TIME or OFFSET may be \
         a range such as 1s..5s: each strike draws its own (seeded). An OFFSET may be negative; \
         several that strike at once add up.\n\
         Example: --fault lost-reply@triggerImageGenerationJob,times=1 --fault list-lag=0s..3s\n\n",
    );
    for row in FAULTS {
        let value = match row.takes {
            Takes::Nothing => String::new(),
            Takes::Time => "=TIME".to_owned(),
            Takes::MaybeTime => "[=TIME]".to_owned(),
            Takes::Offset => "=OFFSET".to_owned(),
            Takes::Share => "=0..1".to_owned(),
            Takes::Code(default) => format!("[={default}]"),
            Takes::AnyCode => "=CODE".to_owned(),
            Takes::Count => "[=N]".to_owned(),
            Takes::Word(default) => format!("[={default}]"),
            Takes::OneOf(words) => format!("[={}]", words.join("|")),
        };
        text.push_str(&format!("  {}{value} (@{}): {}\n", row.name, row.scope, row.help));
    }
    text
}
