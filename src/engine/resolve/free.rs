//! Looking for models and uploads: free of charge, sent again without limit, and still never twice
//! on purpose.

use super::{Engine, Proof, Result, Seen, expected};
use crate::domain::ids::{Millis, RemoteModelId};
use crate::domain::work::{Kind, Work};
use crate::store::intents::{Moment, OpenIntent};
use crate::vendor::{ImageFilter, RemoteImage};
use serde_json::json;
use sha2::{Digest, Sha256};

/// The vendor may round times to whole seconds, and its clock may be read a little late (ms).
const SKEW: Millis = 6_000;
/// Pages of a model's images that are read at most; the vendor allows 20 of each type.
const IMAGE_PAGES: u32 = 10;
/// An upload is at most this large (vendor-api.md section 5).
const PHOTO_BYTES: u64 = 20 * 1024 * 1024;

/// How a verdict speaks of what it looked for.
struct Words {
    one: &'static str,
    many: &'static str,
    nothing: &'static str,
}

const MODELS: Words =
    Words { one: "model", many: "models", nothing: "the vendor lists no such model" };
const IMAGES: Words = Words {
    one: "image of the model",
    many: "images",
    nothing: "the vendor lists no new image of the model",
};

impl Engine {
    pub(super) async fn look_for_model(&self, open: &OpenIntent) -> Result<Seen> {
        let name = expected(open, "name");
        let since = open.vendor_time - SKEW;
        self.know_the_time().await?;
        let at = self.moment();
        let all = self.call(self.client.list_models()).await?.value;
        let ids: Vec<String> = all.iter().map(|model| model.id.0.clone()).collect();
        let claimed = self.store.claimed(Kind::Model, &ids).await?;
        let found: Vec<String> = all
            .into_iter()
            .filter(|model| !claimed.contains(&model.id.0))
            .filter(|model| match (&model.name, &name) {
                (Some(theirs), Some(ours)) => theirs == ours,
                _ => true,
            })
            // Without a creation time only the name can prove anything.
            .filter(|model| match model.created_at {
                Some(at) => at >= since,
                None => model.name.is_some(),
            })
            .map(|model| model.id.0)
            .collect();
        Ok(self.free_verdict(open, at, &ids, found, &MODELS))
    }

    pub(super) async fn look_for_upload(&self, work: &Work, open: &OpenIntent) -> Result<Seen> {
        let row = self.store.upload(work.id).await?;
        let since = open.vendor_time - SKEW;
        let model = self.remote_model(&row.model_id).await?;
        self.know_the_time().await?;
        let at = self.moment();
        let images = match row.purpose.as_str() {
            "reference" => self.reference_images(&model).await?,
            _ => self.call(self.client.all_input_images(&model)).await?.value,
        };
        let ids: Vec<String> = images.iter().map(|image| image.id.0.clone()).collect();
        let claimed = self.store.claimed(Kind::Upload, &ids).await?;
        let mut found: Vec<RemoteImage> = images
            .into_iter()
            .filter(|image| !claimed.contains(&image.id.0))
            .filter(|image| image.created_at.is_none_or(|at| at >= since))
            .collect();
        if found.len() > 1 {
            // More than one new image: the bytes tell. Twins among them are equally right.
            let same = self.same_bytes(&found, &row.sha256).await;
            if let Some(first) = same.into_iter().next() {
                found = vec![first];
            }
        }
        let found = found.into_iter().map(|image| image.id.0).collect();
        Ok(self.free_verdict(open, at, &ids, found, &IMAGES))
    }

    /// One new thing is ours, several are a person's business, none is absent after its time.
    fn free_verdict(
        &self,
        open: &OpenIntent,
        at: Moment,
        listed: &[String],
        found: Vec<String>,
        words: &Words,
    ) -> Seen {
        let Words { one: what, many, nothing } = words;
        let settle = self.timing().free_settle;
        let again = (settle / 4).clamp(100, 5_000);
        let looking = open.looking_at(&at);
        let evidence = json!({
            "listed": listed.len(), "candidates": found.clone(), "looking_ms": looking,
        });
        let ripe = found.is_empty() && looking >= settle;
        let proof = match found.as_slice() {
            [] if ripe && open.ripe_since.is_some() => Proof::Absent {
                why: format!("{nothing} {} s after the call", (at.at - open.opened_at) / 1000),
            },
            [] => Proof::None { why: (*nothing).to_owned(), candidates: Vec::new() },
            [one] => Proof::Found {
                remote_id: one.clone(),
                why: format!("the only new {what} at the vendor that no row claims"),
            },
            _ => Proof::Person {
                why: format!("several {many} at the vendor could be it"),
                candidates: found,
            },
        };
        Seen {
            proof,
            evidence,
            at,
            listed_seq: None,
            looking,
            ripe,
            fresh: false,
            discredited: false,
            late_effect: None,
            again,
            hole: false,
            settles: true,
        }
    }

    async fn reference_images(&self, model: &RemoteModelId) -> Result<Vec<RemoteImage>> {
        let mut images: Vec<RemoteImage> = Vec::new();
        for page in 1..=IMAGE_PAGES {
            let filter = ImageFilter::Reference;
            let reply = self.call(self.client.list_model_images(model, filter, page, 100)).await?;
            let before = images.len();
            for image in reply.value.images {
                if !images.iter().any(|known| known.id == image.id) {
                    images.push(image);
                }
            }
            if images.len() == before {
                break;
            }
        }
        Ok(images)
    }

    async fn same_bytes(&self, images: &[RemoteImage], sha256: &str) -> Vec<RemoteImage> {
        let mut same = Vec::new();
        for image in images {
            let Some(url) = image.url.as_deref() else {
                continue;
            };
            let mut bytes: Vec<u8> = Vec::new();
            let fetched = self.media.fetch(url, PHOTO_BYTES, &mut bytes).await;
            if fetched.is_ok() && hex::encode(Sha256::digest(&bytes)) == sha256 {
                same.push(image.clone());
            }
        }
        same
    }
}
