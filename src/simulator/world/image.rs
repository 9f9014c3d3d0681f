//! Image records, uploaded and produced.

use super::ledger::What;
use super::{Caller, UserId, World};
use crate::simulator::clock::Wall;
use crate::simulator::reply::Refusal;
use serde_json::{Value, json};
use std::sync::Arc;

/// Uploads of one type that a model takes.
const UPLOADS_PER_TYPE: usize = 20;

/// How to make a picture's bytes again whenever somebody fetches them.
#[derive(Debug)]
pub(crate) enum Picture {
    /// Drawn from a seed.
    Drawn { seed: u64, width: u32, height: u32 },
    /// The bytes of an upload, kept in a file named after their hash.
    Uploaded { sha256: String },
    /// Another picture at twice the size.
    Doubled(Arc<Picture>),
}

/// File formats that the vendor takes or makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    Jpeg,
    Png,
    Webp,
    Heic,
}

impl Format {
    /// Tells the format from the first bytes, whatever the file is called.
    pub(crate) fn sniff(bytes: &[u8]) -> Option<Self> {
        const HEIC_BRANDS: [&[u8]; 8] =
            [b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"];
        if bytes.starts_with(&[0xFF, 0xD8, 0xFF]) {
            return Some(Self::Jpeg);
        }
        if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            return Some(Self::Png);
        }
        if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            return Some(Self::Webp);
        }
        let brand = bytes.get(8..12)?;
        let heic = bytes.get(4..8) == Some(b"ftyp") && HEIC_BRANDS.contains(&brand);
        heic.then_some(Self::Heic)
    }

    /// The file name extension.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Webp => "webp",
            Self::Heic => "heic",
        }
    }

    /// The media type.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Webp => "image/webp",
            Self::Heic => "image/heic",
        }
    }
}

/// One image of one user.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) owner: UserId,
    /// `modelInput`, `auxiliaryType` or `output`.
    pub(crate) kind: &'static str,
    /// The trained or public model it belongs to.
    pub(crate) model: Arc<str>,
    pub(crate) created_at: Wall,
    pub(crate) updated_at: Wall,
    pub(crate) picture: Arc<Picture>,
    pub(crate) format: Format,
    /// The image that an upscale of this one produced.
    pub(crate) upscaled: Option<String>,
}

impl World {
    /// One image of this caller.
    pub(crate) fn image(&self, caller: &Caller, id: &str) -> Result<&Image, Refusal> {
        let mine = |image: &&Image| image.owner == caller.user;
        self.images.get(id).filter(mine).ok_or_else(|| Refusal::unknown("Image"))
    }

    /// How many images of this type a model has.
    pub(crate) fn count_uploads(&self, model: &str, kind: &str) -> usize {
        let of_kind = |id: &&String| self.images.get(*id).is_some_and(|image| image.kind == kind);
        self.models.get(model).map_or(0, |model| model.images.iter().filter(of_kind).count())
    }

    /// Whether a model takes one more image of this type.
    pub(crate) fn check_upload(
        &self,
        caller: &Caller,
        model: &str,
        kind: &str,
    ) -> Result<(), Refusal> {
        self.live_model(caller, model)?;
        if self.count_uploads(model, kind) >= UPLOADS_PER_TYPE {
            return Err(Refusal::invalid(format!(
                "A model takes at most {UPLOADS_PER_TYPE} images of type {kind}"
            )));
        }
        Ok(())
    }

    /// Adds an uploaded image and returns its id and effect.
    pub(crate) fn add_upload(
        &mut self,
        caller: &Caller,
        model: &str,
        kind: &'static str,
        format: Format,
        sha256: &str,
    ) -> Result<(String, u64), Refusal> {
        self.check_upload(caller, model, kind)?;
        let picture = Arc::new(Picture::Uploaded { sha256: sha256.to_owned() });
        let id = self.add_image(caller.user, kind, model.into(), picture, format);
        let mut effect = self.effect(caller, What::Image, &id);
        effect.model_id = Some(model.to_owned());
        effect.content_sha256 = Some(sha256.to_owned());
        Ok((id, self.ledger.record(effect)))
    }

    /// Adds an image record to its owner and model.
    pub(crate) fn add_image(
        &mut self,
        owner: UserId,
        kind: &'static str,
        model: Arc<str>,
        picture: Arc<Picture>,
        format: Format,
    ) -> String {
        let id = self.new_id("image");
        let now = self.clock.wall();
        if let Some(model) = self.models.get_mut(&*model) {
            model.images.push(id.clone());
        }
        let image = Image {
            owner,
            kind,
            model,
            created_at: now,
            updated_at: now,
            picture,
            format,
            upscaled: None,
        };
        self.images.insert(id.clone(), image);
        id
    }

    /// Deletes an image for good.
    pub(crate) fn delete_image(&mut self, caller: &Caller, id: &str) -> Result<u64, Refusal> {
        let model = self.image(caller, id)?.model.clone();
        self.images.remove(id);
        if let Some(model) = self.models.get_mut(&*model) {
            model.images.retain(|image| image != id);
        }
        Ok(self.record(caller, What::Delete, id))
    }

    /// The path of an image's file.
    fn image_path(&self, id: &str) -> Option<String> {
        let extension = self.images.get(id)?.format.extension();
        Some(format!("/media/images/{id}.{extension}"))
    }

    /// An image record.
    pub(crate) fn image_json(&self, caller: &Caller, id: &str) -> Value {
        let link = |id: &str| self.image_path(id).map(|path| self.link(caller, &path));
        let Some(image) = self.images.get(id) else {
            return Value::Null;
        };
        json!({
            "id": id, "url": link(id), "type": image.kind, "modelID": &*image.model,
            "createdAt": self.stamp(image.created_at), "updatedAt": self.stamp(image.updated_at),
            "data": {}, "folderID": null, "liked": false, "publicMediaID": null,
            "upscaledImageID": image.upscaled,
            "upscaledImageURL": image.upscaled.as_deref().and_then(link),
        })
    }
}
