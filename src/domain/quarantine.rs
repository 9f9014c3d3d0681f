//! When a database may not spend: it is older than its high-water file, its chain of calls is
//! broken, the vendor has jobs that nothing in it explains, or it belongs to another account, perhaps.
//! Facts in, verdict out.

use super::ids::Millis;
use serde::{Deserialize, Serialize};

/// A place in the chain of calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The newest entry's number; 0 for an empty chain.
    pub counter: i64,
    /// The newest intent's number.
    pub intent: i64,
    /// The newest entry's head.
    pub head: String,
}

/// What the high-water file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HighWater {
    /// There is none.
    Missing,
    /// There is one, and it says nothing usable.
    Unreadable(String),
    /// The database has been at least this far.
    At(Mark),
}

impl HighWater {
    /// Its counter, if it has one.
    pub fn counter(&self) -> Option<i64> {
        match self {
            Self::At(mark) => Some(mark.counter),
            Self::Missing | Self::Unreadable(_) => None,
        }
    }
}

/// What the database says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Its newest entry.
    pub tip: Mark,
    /// The head of the entry that the file names, if there is such an entry.
    pub head_at_file: Option<String>,
    /// What is wrong with the newest part of it.
    pub fault: Option<String>,
}

/// Why a database is in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The database is older than the file: a copy that was put back.
    Behind,
    /// The file names an entry that this database has otherwise: another history.
    Forked,
    /// The chain contradicts itself or the calls it is about.
    Broken,
    /// There are calls, and no file that vouches for them.
    Missing,
    /// The vendor knows nothing of what it gave us: another account's key, or another vendor.
    Account,
    /// It knows too little of what it gave us to say whose account it is; a person has to.
    Undecided,
    /// It has jobs that nothing here explains: something was put back, or others use the account.
    Unexplained,
}

impl Class {
    /// Whether it is about whose account this is.
    pub fn is_of_the_account(self) -> bool {
        matches!(self, Self::Account | Self::Undecided)
    }

    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Behind => "behind",
            Self::Forked => "forked",
            Self::Broken => "broken",
            Self::Missing => "missing",
            Self::Account => "account",
            Self::Undecided => "undecided",
            Self::Unexplained => "unexplained",
        }
    }
}

/// The numbers behind a quarantine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The database's newest chain entry.
    pub database: i64,
    /// The file's counter.
    pub file: Option<i64>,
    /// Ids of ours that the vendor does not know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_ids: Vec<String>,
    /// The vendor's address that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The digest of the key and the address that it was asked with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// How many jobs nothing explains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unexplained: Option<usize>,
}

/// Nothing is spent until a person releases it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// Why, as a sentence.
    pub reason: String,
    /// Why, as a word.
    pub class: Class,
    /// Since when (Unix ms).
    pub at: Millis,
    /// The numbers.
    pub facts: Facts,
    /// The quarantine that one about the account came on top of, and that comes back when the right
    /// key does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beneath: Option<Box<Self>>,
}

impl Quarantine {
    /// Whether even looking is pointless: every id of ours is a 404 there.
    pub fn stops_watching(&self) -> bool {
        self.class == Class::Account
    }

    /// Whether what the vendor does not know must not count: nothing is failed, parked, found absent
    /// or prepared by it.
    pub fn doubts_the_account(&self) -> bool {
        self.class.is_of_the_account()
    }

    /// What holds after `newer` is found. The first of a kind stays, with its date; one about the
    /// account goes on top, because it stops more.
    pub fn joined(self, newer: Self) -> Self {
        match (self.class.is_of_the_account(), newer.class.is_of_the_account()) {
            (true, true) if self.class == Class::Undecided && newer.class == Class::Account => {
                Self { beneath: self.beneath, ..newer }
            }
            (true, false) if self.beneath.is_none() => {
                Self { beneath: Some(Box::new(newer)), ..self }
            }
            (false, true) => Self { beneath: Some(Box::new(self)), ..newer },
            _ => self,
        }
    }
}

/// Compares the database with its file. `None`: it may work.
///
/// A database ahead of its file is normal: the daemon was killed between the two.
pub fn judge(file: &HighWater, chain: &Chain, now: Millis) -> Option<Quarantine> {
    let has = chain.tip.counter;
    let (class, reason) = match file {
        HighWater::Missing if has == 0 => return None,
        HighWater::Missing => (
            Class::Missing,
            format!(
                "the database records calls to the vendor ({has} entries), and the high-water \
                 file beside it is gone, so nothing shows that it is not an old copy"
            ),
        ),
        HighWater::Unreadable(problem) => (
            Class::Missing,
            format!(
                "the high-water file cannot be read ({problem}), so nothing shows that the \
                 database is not an old copy"
            ),
        ),
        HighWater::At(mark) if has < mark.counter => (Class::Behind, behind(has, mark.counter)),
        HighWater::At(_) if chain.fault.is_some() => {
            let fault = chain.fault.as_deref().unwrap_or_default();
            (Class::Broken, broken(fault))
        }
        HighWater::At(mark)
            if mark.counter > 0 && chain.head_at_file != Some(mark.head.clone()) =>
        {
            (
                Class::Forked,
                format!(
                    "entry {} of the database's record of calls is not the one that the \
                     high-water file names: the two have different histories",
                    mark.counter
                ),
            )
        }
        HighWater::At(_) => return None,
    };
    let facts = Facts { database: has, file: file.counter(), ..Facts::default() };
    Some(Quarantine { reason, class, at: now, facts, beneath: None })
}

fn behind(has: i64, was: i64) -> String {
    if has == 0 {
        return format!(
            "the database is empty, and the high-water file beside it records {was} entries about \
             calls to the vendor: the database was lost or replaced"
        );
    }
    format!(
        "the database is older than its high-water file: it records {has} entries about calls to \
         the vendor, the file {was}. It is an old copy, and sending its work could buy it twice"
    )
}

/// The sentence for a chain that does not hold together.
pub fn broken(fault: &str) -> String {
    format!("the database's record of calls to the vendor is damaged: {fault}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(counter: i64, head: &str) -> Mark {
        Mark { counter, intent: counter, head: head.to_owned() }
    }

    fn class(file: HighWater, tip: i64, at_file: Option<&str>, fault: bool) -> Option<Class> {
        let chain = Chain {
            tip: mark(tip, "tip"),
            head_at_file: at_file.map(str::to_owned),
            fault: fault.then(|| "entry 3".to_owned()),
        };
        judge(&file, &chain, 7).map(|quarantine| quarantine.class)
    }

    #[test]
    fn only_a_file_that_agrees_lets_the_database_work() {
        let at = |counter| HighWater::At(mark(counter, "h"));
        let bad = || HighWater::Unreadable("two torn slots".to_owned());
        // Fresh, in step, and ahead after a kill in between.
        assert_eq!(class(HighWater::Missing, 0, None, false), None);
        assert_eq!(class(at(0), 0, None, false), None);
        assert_eq!(class(at(5), 5, Some("h"), false), None);
        assert_eq!(class(at(5), 9, Some("h"), false), None);
        assert_eq!(class(at(0), 9, None, false), None, "killed before the first paid call");
        assert_eq!(class(HighWater::Missing, 1, None, false), Some(Class::Missing));
        assert_eq!(class(bad(), 1, None, false), Some(Class::Missing));
        assert_eq!(class(bad(), 0, None, false), Some(Class::Missing));
        assert_eq!(class(at(5), 4, None, false), Some(Class::Behind));
        assert_eq!(class(at(5), 0, None, false), Some(Class::Behind));
        assert_eq!(class(at(5), 4, None, true), Some(Class::Behind));
        assert_eq!(class(at(5), 5, Some("other"), false), Some(Class::Forked));
        assert_eq!(class(at(5), 9, None, false), Some(Class::Forked));
        assert_eq!(class(at(5), 9, Some("h"), true), Some(Class::Broken));
    }

    #[test]
    fn an_account_goes_on_top_and_gives_back_what_was_beneath() {
        let of = |class, at| Quarantine {
            reason: String::new(),
            class,
            at,
            facts: Facts::default(),
            beneath: None,
        };
        let both = of(Class::Behind, 1).joined(of(Class::Account, 2));
        assert!(both.stops_watching());
        assert_eq!(
            both.beneath.as_ref().map(|below| (below.class, below.at)),
            Some((Class::Behind, 1))
        );
        assert_eq!(both.clone().joined(of(Class::Forked, 3)), both);
        let other = of(Class::Account, 2).joined(of(Class::Broken, 3));
        assert_eq!(other.beneath.map(|below| below.class), Some(Class::Broken));
        assert_eq!(of(Class::Missing, 1).joined(of(Class::Behind, 2)).at, 1, "the first one stays");
        let undecided = of(Class::Unexplained, 1).joined(of(Class::Undecided, 2));
        assert!(!undecided.stops_watching() && undecided.doubts_the_account());
        assert_eq!(undecided.clone().joined(of(Class::Undecided, 3)), undecided);
        let another = undecided.joined(of(Class::Account, 4));
        assert!(another.stops_watching());
        assert_eq!(another.beneath.as_ref().map(|below| below.class), Some(Class::Unexplained));
        assert_eq!(another.clone().joined(of(Class::Undecided, 5)), another, "it stops more");
    }
}
