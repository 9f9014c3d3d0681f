//! Whether the account behind the key is the one that the database belongs to.

use crate::{DAY, Millis};

/// Jobs older than this may be forgotten by the vendor.
const REMEMBERED: Millis = 7 * DAY;

/// What kind of thing an id of ours names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A job.
    Job,
    /// A model.
    Model,
}

/// An id of ours, and what the vendor said when it was asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What it names.
    pub thing: Thing,
    /// The vendor's id.
    pub remote_id: String,
    /// How long ago the vendor took it (ms).
    pub age: Millis,
    /// Whether the vendor knows it.
    pub known: bool,
}

/// What is known of the key and the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// The very ones with which the account was proven.
    Same,
    /// Others.
    Other,
    /// The account has never been proven.
    None,
}

/// What the answers mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// It is ours.
    Ours {
        /// The id that proved it; none if the digest did, or nothing is known that could.
        proof: Option<String>,
    },
    /// It knows too little of ours to say so, and a person has to.
    Undecided(Vec<String>),
    /// It is another one.
    Another(Vec<String>),
}

/// Decides.
pub fn judge(digest: Digest, asked: &[Asked]) -> Account {
    if let Some(known) = asked.iter().find(|id| id.known) {
        return Account::Ours { proof: Some(known.remote_id.clone()) };
    }
    // The same key at the same address is the same account, whatever it has forgotten.
    if digest == Digest::Same || asked.is_empty() {
        return Account::Ours { proof: None };
    }
    let counts = |id: &&Asked| id.thing == Thing::Model || id.age <= REMEMBERED;
    let unknown: Vec<&Asked> = asked.iter().filter(counts).collect();
    let has = |thing| unknown.iter().any(|id| id.thing == thing);
    let ids = asked.iter().map(|id| id.remote_id.clone()).collect();
    match unknown.len() > 1 && has(Thing::Job) && has(Thing::Model) {
        true => Account::Another(ids),
        false => Account::Undecided(ids),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(thing: Thing, days: i64, known: bool) -> Asked {
        Asked { thing, remote_id: format!("{thing:?}{days}"), age: days * DAY, known }
    }

    #[test]
    fn one_known_id_proves_it_and_the_same_digest_does() {
        let unknown = [asked(Thing::Job, 1, false), asked(Thing::Model, 1, false)];
        for digest in [Digest::Same, Digest::Other, Digest::None] {
            let known = [unknown[0].clone(), asked(Thing::Model, 9, true)];
            let proof = Some("Model9".to_owned());
            assert_eq!(judge(digest, &known), Account::Ours { proof });
            assert_eq!(judge(digest, &[]), Account::Ours { proof: None });
        }
        assert_eq!(judge(Digest::Same, &unknown), Account::Ours { proof: None });
    }

    #[test]
    fn unknown_ids_of_different_kinds_are_another_account_and_fewer_undecided() {
        let (job, old, model) = (
            asked(Thing::Job, 7, false),
            asked(Thing::Job, 8, false),
            asked(Thing::Model, 90, false),
        );
        let of = |ids: &[&Asked]| {
            judge(Digest::Other, &ids.iter().map(|id| (*id).clone()).collect::<Vec<_>>())
        };
        assert!(matches!(of(&[&job, &model]), Account::Another(ids) if ids.len() == 2));
        assert!(matches!(of(&[&old, &model]), Account::Undecided(ids) if ids.len() == 2));
        assert!(matches!(of(&[&model, &model]), Account::Undecided(_)));
        assert!(matches!(of(&[&job, &job]), Account::Undecided(_)));
        assert!(matches!(of(&[&old]), Account::Undecided(_)));
    }
}
