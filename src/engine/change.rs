//! Updates and deletes at the vendor. Repeating one is harmless, so it is never in doubt.

use super::send::Taken;
use super::{Engine, Result};
use crate::domain::failure::Failure;
use crate::domain::ids::{Id, RemoteImageId, RemoteModelId, RemoteVideoId};
use crate::domain::work::Work;
use crate::store::StoreError;
use crate::store::apply::Facts;
use crate::store::queries::ChangeRow;
use crate::vendor::IdentityPatch;
use serde_json::{Value, json};

/// What is changed, as the vendor calls it.
enum Thing {
    Model(RemoteModelId),
    Image(RemoteImageId),
    Video(RemoteVideoId),
}

impl Thing {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Model(id) => ("model", id.as_str()),
            Self::Image(id) => ("image", id.as_str()),
            Self::Video(id) => ("video", id.as_str()),
        }
    }
}

impl Engine {
    pub(super) async fn send_change(&self, work: &Work) -> Result<()> {
        let row = self.store.change(work.id).await?;
        let fields: Value = serde_json::from_str(&row.fields).unwrap_or_default();
        let thing = self.thing(&row).await?;
        let (kind, remote_id) = thing.parts();
        let request = json!({ "action": row.action, kind: remote_id, "fields": fields });
        let lane = format!("changes:{}", row.target);
        let work = &self.start(work, lane, request, json!({}), None).await?;
        let result = match &thing {
            Thing::Model(model) if row.action == "update" => {
                let identity = serde_json::from_value(fields).ok();
                let patch = identity.as_ref().map(IdentityPatch::from).unwrap_or_default();
                self.call(self.client.update_model(model, &patch)).await.map(|_| Facts::default())
            }
            thing => self.delete(thing).await,
        };
        let taken = result.map(|facts| Taken { remote_id: remote_id.to_owned(), facts });
        self.settle(work, taken).await
    }

    async fn delete(&self, thing: &Thing) -> Result<Facts, Failure> {
        let result = match thing {
            Thing::Model(id) => self.call(self.client.delete_model(id)).await.map(drop),
            Thing::Image(id) => self.call(self.client.delete_image(id)).await.map(drop),
            Thing::Video(id) => self.call(self.client.delete_video(id)).await.map(drop),
        };
        match result {
            // Gone is what was wanted (vendor-api.md U27).
            Err(failure) if failure.is_not_found() => {}
            other => other?,
        }
        let model_status = matches!(thing, Thing::Model(_)).then(|| "deleted".to_owned());
        Ok(Facts { model_status, ..Facts::default() })
    }

    /// The vendor's id of what a change is about.
    async fn thing(&self, row: &ChangeRow) -> Result<Thing> {
        if row.target_kind == "model" {
            return Ok(Thing::Model(self.remote_model(&row.target).await?));
        }
        let id = Id::parse(&row.target)
            .ok_or_else(|| StoreError::NotFound("row", row.target.clone()))?;
        if row.target_kind == "output" {
            let output = self.store.output(id).await?;
            return Ok(match output.media.as_str() {
                "video" => Thing::Video(RemoteVideoId(output.remote_id)),
                _ => Thing::Image(RemoteImageId(output.remote_id)),
            });
        }
        let remote = self.store.upload(id).await?.remote_id.ok_or_else(|| StoreError::Corrupt {
            table: "uploads",
            row: row.target.clone(),
            problem: "something that needs its remote id is queued, and it has none".to_owned(),
        })?;
        Ok(Thing::Image(RemoteImageId(remote)))
    }
}
