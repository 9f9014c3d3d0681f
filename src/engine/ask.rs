//! Free questions on behalf of a caller who waits for the answer.

use super::Engine;
use crate::domain::failure::Failure;
use crate::domain::ids::{Millis, RemoteImageId, RemoteModelId};
use crate::store::settings::PutSetting;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// As long as a caller waits.
const PATIENCE: Duration = Duration::from_secs(20);
/// Presets younger than this are not asked for again (ms).
const FRESH: Millis = 3_600_000;
/// Where the presets last seen are kept.
const PRESETS: &str = "presets";

/// Whether the vendor has something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// For this key it does.
    Yes,
    /// For this key it does not.
    No,
    /// Nobody answered; why, as a sentence.
    Unanswered(String),
}

/// Presets, and when they were seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Presets {
    /// Unix milliseconds.
    pub at: Millis,
    /// As the vendor gave them.
    pub items: Vec<Value>,
}

impl Engine {
    /// Whether the vendor has this model.
    pub async fn vendor_has_model(&self, id: &str) -> Known {
        let id = RemoteModelId(id.to_owned());
        self.patiently(self.call(self.client.get_model(&id))).await
    }

    /// Whether the vendor has this image.
    pub async fn vendor_has_image(&self, id: &str) -> Known {
        let id = RemoteImageId(id.to_owned());
        self.patiently(self.call(self.client.get_image(&id))).await
    }

    /// The vendor's presets, at most an hour old as long as the vendor answers.
    ///
    /// # Errors
    /// A sentence, when nobody answers and none were ever seen.
    pub async fn presets(&self) -> Result<Presets, String> {
        let kept: Option<Presets> = self.store.setting(PRESETS).await.ok().flatten();
        let now = self.now();
        if let Some(kept) = kept.as_ref().filter(|kept| (0..FRESH).contains(&(now - kept.at))) {
            return Ok(kept.clone());
        }
        if let Some(why) = self.silent() {
            return kept.ok_or_else(|| why.to_owned());
        }
        let asked = tokio::time::timeout(PATIENCE, self.call(self.client.presets())).await;
        let problem = match asked {
            Ok(Ok(reply)) => {
                let items = reply.value.into_iter().map(|preset| preset.raw).collect();
                let presets = Presets { at: now, items };
                let value = serde_json::to_value(&presets).unwrap_or_default();
                if let Err(error) =
                    self.store.writer().write(PutSetting { name: PRESETS, value }).await
                {
                    tracing::warn!("the presets could not be kept: {error}");
                }
                return Ok(presets);
            }
            Ok(Err(failure)) => failure.message,
            Err(_) => "the vendor takes too long to answer".to_owned(),
        };
        kept.ok_or(problem)
    }

    async fn patiently<T>(&self, asked: impl Future<Output = Result<T, Failure>>) -> Known {
        if let Some(why) = self.silent() {
            return Known::Unanswered(why.to_owned());
        }
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(_)) => Known::Yes,
            Ok(Err(failure)) if failure.is_not_found() => Known::No,
            Ok(Err(failure)) => Known::Unanswered(failure.message),
            Err(_) => Known::Unanswered("the vendor takes too long to answer".to_owned()),
        }
    }

    /// Why nobody would answer, or may be asked.
    fn silent(&self) -> Option<&'static str> {
        if self.governor.closed_until().is_some() {
            return Some("the vendor cannot be reached");
        }
        (!self.account_is_ours()).then_some("the account is not known to be ours yet")
    }
}
