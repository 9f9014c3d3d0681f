//! What the vendor knows of ours: the questions behind [`super::account`].

use super::account::{Answer, Found, is_unknown};
use super::{Engine, Result, no_list};
use crate::domain::ids::{RemoteJobId, RemoteModelId};
use crate::domain::work::Kind;
use crate::store::quarantine::{AccountSalt, KnownId};
use crate::vendor::{JobPages, PageForm};
use judging::HOUR;
use judging::account::{Account, Asked, Digest, Thing, judge};

impl Engine {
    /// Whose account it is, by what the vendor knows and by the key.
    pub(super) async fn find_out(&self) -> Result<Found> {
        let salt = match self.store.account_salt().await? {
            Some(salt) => salt,
            None => self.store.writer().write(AccountSalt).await?,
        };
        let digest = self.client.account_digest(&salt);
        let before = self.store.known_account().await?;
        let was = before.as_ref().and_then(|before| before.digest.as_ref());
        let is = match was {
            Some(was) if digest.as_ref() == Some(was) => Digest::Same,
            Some(_) => Digest::Other,
            None => Digest::None,
        };
        let answer = self.known_to_vendor(is).await?;
        Ok(Found { answer, digest, before })
    }

    /// One read, as a rule: of a job that is overdue, or of what no grid is for. With the same key
    /// nothing else is needed; with another one, lists and further ids are asked for.
    async fn known_to_vendor(&self, digest: Digest) -> Result<Answer> {
        let ours = |id: String| Ok(Answer::Is(Account::Ours { proof: Some(id) }));
        let opening = self.opening_look().await?;
        if let Some((id, true)) = opening {
            return ours(id);
        }
        let asked = opening.map(|(id, _)| id);
        let known = self.store.known_ids().await?;
        // What runs is looked at on its own grid only: the lists tell as much.
        let direct = known.first().filter(|id| !id.watched);
        if let Some(id) = direct
            && self.vendor_knows(id).await?
        {
            return ours(id.remote_id.clone());
        }
        if digest == Digest::Same {
            return Ok(Answer::Is(judge(digest, &self.asked(&known))));
        }
        if let Some(id) = self.listed_of_ours(&known).await? {
            return ours(id);
        }
        let unread = |id: &&KnownId| Some(*id) != direct && asked.as_ref() != Some(&id.remote_id);
        let unread: Vec<&KnownId> = known.iter().filter(unread).collect();
        for (kind, word) in [(Kind::Job, "job"), (Kind::Training, "model")] {
            if unread.iter().any(|id| id.watched && id.kind == word) {
                self.turn_of_unasked(kind).await;
            }
        }
        for id in unread {
            if self.vendor_knows(id).await? {
                return ours(id.remote_id.clone());
            }
        }
        let settled = self.now() - self.times().least();
        let old: Vec<KnownId> =
            known.iter().filter(|id| id.accepted_at < settled).cloned().collect();
        Ok(match (judge(digest, &self.asked(&old)), judge(digest, &self.asked(&known))) {
            (another @ Account::Another(_), _) => Answer::Is(another),
            (_, Account::Another(_)) => Answer::TooEarly,
            (_, all) => Answer::Is(all),
        })
    }

    /// These ids, none of which the vendor knows.
    fn asked(&self, unknown: &[KnownId]) -> Vec<Asked> {
        let thing = |id: &KnownId| if id.kind == "job" { Thing::Job } else { Thing::Model };
        let asked = unknown.iter().map(|id| Asked {
            thing: thing(id),
            remote_id: id.remote_id.clone(),
            age: self.now() - id.accepted_at,
            known: false,
        });
        asked.collect()
    }

    /// Whether the vendor knows the id; anything but its own yes and its own 404 is an error.
    async fn vendor_knows(&self, id: &KnownId) -> Result<bool> {
        let remote_id = id.remote_id.clone();
        let answered = if id.kind == "job" {
            self.call(self.client.get_job(&RemoteJobId(remote_id))).await.map(drop)
        } else {
            self.call(self.client.get_model(&RemoteModelId(remote_id))).await.map(drop)
        };
        match answered {
            Ok(()) => Ok(true),
            Err(failure) if is_unknown(&failure) => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Something in the vendor's own lists that a row of ours claims.
    async fn listed_of_ours(&self, known: &[KnownId]) -> Result<Option<String>> {
        if known.iter().any(|id| id.kind == "model") {
            let models = self.call(self.client.list_models()).await?.value;
            let ids: Vec<String> = models.into_iter().map(|model| model.id.0).collect();
            if let Some(ours) = self.store.claimed(Kind::Model, &ids).await?.into_iter().next() {
                return Ok(Some(ours));
            }
        }
        let jobs = known.iter().filter(|id| id.kind == "job");
        let Some(oldest) = jobs.map(|id| id.accepted_at).min() else {
            return Ok(None);
        };
        // Our clock wrote that, the vendor's clock counts: an hour covers what they differ.
        let mut pages = JobPages::closed(oldest - HOUR, self.vendor_now() + HOUR);
        while !pages.is_over() {
            let page = self.call(pages.next(&self.client)).await?.value;
            // Ours belong into it: an answer without a list says nothing about them.
            if page.form == PageForm::Blank {
                return Err(no_list().into());
            }
            let ids: Vec<String> = page.jobs.into_iter().map(|job| job.job_id.0).collect();
            if let Some(ours) = self.store.claimed(Kind::Job, &ids).await?.into_iter().next() {
                return Ok(Some(ours));
            }
        }
        Ok(None)
    }
}
