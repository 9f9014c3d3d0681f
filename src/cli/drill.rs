//! The command line of `darkroom drill`; `app` runs it.

use std::path::PathBuf;

/// Kill the daemon again and again at random instants, and prove that nothing is lost or bought
/// twice.
///
/// Everything is real except the vendor: the simulator runs as a process of its own and keeps a
/// ledger of what really happened there; `darkroom serve` works against it; `darkroom image`,
/// `upscale`, `video` and `train` submit. The daemon is killed with SIGKILL and started again, as
/// often as asked for; some submitting commands are killed too and repeated with the same --key. At
/// the end the ledger is compared with the database and the files. Nothing is spent, no key is
/// needed, and your own settings, database and key are not touched.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What the report counts:
  lost            accepted work that is not done, whose file is missing or damaged, or that the
                  vendor did and no row knows of
  duplicated      more than one effect at the vendor for one piece of work
  wrongly adopted a row that took over something at the vendor that is not its own

Profiles:
  clean    the vendor only takes its time
  flaky    lost requests and replies, errors before and after the effect, 429, failing reads, a
           job list that lags (less than the settle time), some jobs that fail
  hostile  a list that lags beyond the settle time, calls that take effect much later, somebody
           else's jobs on the account: here a second purchase cannot always be avoided, and each
           one must be reported by the daemon's own sweep. Rows are parked for a person; the drill
           plays that person, who knows the truth
  liar     all that flaky does; and its clocks differ and step, its list lacks entries, is cut,
           shuffled, frozen or empty for a moment, and the network delivers some requests twice:
           a second purchase is allowed only of those, and has to be reported

Exit codes: 0 nothing lost, duplicated or wrongly adopted; 1 otherwise, and when fewer than a tenth
of the kills hit a call whose outcome was really unknown, because that proves too little (from 25
kills on); 2 the command line is not usable.

The seed decides instants, work and faults. Real processes run on a real clock, though: the same
seed repeats the plan, not the exact interleaving.

Examples:
  darkroom drill                                 100 kills, a minute or so
  darkroom drill --kills 2000 --seed 7 --json    a long one, for a script
  darkroom drill --profile hostile --dir /tmp/d  look around in the folder afterwards
  darkroom drill --judge /tmp/d                  compare again what is in that folder")]
pub struct DrillArgs {
    /// How often the daemon is killed.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = parse_kills)]
    pub kills: u32,
    /// The plan: instants, work, the vendor's faults [default: from the clock].
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// How the vendor behaves.
    #[arg(long, value_name = "NAME", value_enum, default_value_t = Profile::Flaky)]
    pub profile: Profile,
    /// The folder for everything the drill makes, kept afterwards; must not hold a database yet
    /// [default: a temporary folder, removed after success].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Keep the temporary folder after success too.
    #[arg(long)]
    pub keep: bool,
    /// Start nothing; compare once more what a drill left in this folder.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["kills", "seed", "profile", "dir", "keep"])]
    pub judge: Option<PathBuf>,
}

/// How the simulated vendor behaves during a drill.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// It only takes its time.
    Clean,
    /// Lost replies, errors, a list that lags a little.
    Flaky,
    /// A list that lags beyond the settle time, late effects, strangers on the account.
    Hostile,
    /// Clocks apart, lists that lack, break off and come empty, requests delivered twice.
    Liar,
}

impl Profile {
    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Flaky => "flaky",
            Self::Hostile => "hostile",
            Self::Liar => "liar",
        }
    }
}

fn parse_kills(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(kills) if kills > 0 => Ok(kills),
        _ => Err("expected a whole number above 0".to_owned()),
    }
}
