//! Pictures, made again from their recipe each time they are fetched, so that memory stays bounded
//! however many there are.

use super::rng::{Rng, hash};
use super::world::image::{Format, Picture};
use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use std::collections::HashSet;
use std::io::{Cursor, Error, Result};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Bytes of uploads kept on disk before more are refused.
const UPLOADS_LIMIT: u64 = 8 * 1024 * 1024 * 1024;

/// Pictures drawn at a time: a large one takes a few dozen megabytes while it is made.
const DRAWN_AT_ONCE: usize = 2;

/// The longest edge that doubling may reach.
const EDGE_LIMIT: u32 = 8192;

/// Where uploads are kept and pictures are drawn. Uploads live in a temporary folder, one file per
/// content, and vanish with the simulator.
#[derive(Debug)]
pub(crate) struct Gallery {
    folder: tempfile::TempDir,
    kept: Mutex<(HashSet<String>, u64)>,
    slots: Semaphore,
}

impl Gallery {
    /// An empty gallery.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            folder: tempfile::Builder::new()
                .prefix("darkroom-simulator-")
                .tempdir()?,
            kept: Mutex::default(),
            slots: Semaphore::new(DRAWN_AT_ONCE),
        })
    }

    /// Keeps the bytes of an upload under their hash.
    pub(crate) async fn keep(&self, sha256: &str, bytes: &[u8]) -> Result<()> {
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let size = bytes.len() as u64;
            if kept.1 + size > UPLOADS_LIMIT {
                return Err(Error::other("the simulator keeps no more uploads"));
            }
            // Counted before it is written: two uploads of the same content write the same bytes.
            if kept.0.insert(sha256.to_owned()) {
                kept.1 += size;
            }
        }
        tokio::fs::write(self.path(sha256), bytes).await
    }

    /// The bytes of a picture's file.
    pub(crate) async fn render(
        &self,
        picture: std::sync::Arc<Picture>,
        format: Format,
    ) -> Result<Vec<u8>> {
        if let Picture::Uploaded { sha256 } = &*picture {
            return tokio::fs::read(self.path(sha256)).await;
        }
        let _slot = self.slots.acquire().await.map_err(Error::other)?;
        let folder = self.folder.path().to_owned();
        tokio::task::spawn_blocking(move || encode(&paint(&picture, &folder), format))
            .await
            .map_err(Error::other)?
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.folder.path().join(sha256)
    }
}

fn encode(picture: &DynamicImage, format: Format) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let format = match format {
        Format::Png => ImageFormat::Png,
        Format::Webp => ImageFormat::WebP,
        Format::Jpeg | Format::Heic => ImageFormat::Jpeg,
    };
    picture.write_to(&mut bytes, format).map_err(Error::other)?;
    Ok(bytes.into_inner())
}

fn paint(picture: &Picture, uploads: &std::path::Path) -> DynamicImage {
    match picture {
        Picture::Drawn {
            seed,
            width,
            height,
        } => draw(*seed, *width, *height),
        Picture::Uploaded { sha256 } => {
            let decoded = image::ImageReader::open(uploads.join(sha256))
                .and_then(|reader| reader.with_guessed_format())
                .map_err(Error::other)
                .and_then(|reader| reader.decode().map_err(Error::other));
            // There is no decoder for HEIC here; a picture of its own will do.
            decoded
                .unwrap_or_else(|_| draw(hash(sha256.as_bytes()), 1024, 1024))
                .to_rgb8()
                .into()
        }
        Picture::Doubled(source) => {
            let source = paint(source, uploads);
            let longest = source.width().max(source.height()).max(1);
            let factor = f64::from(EDGE_LIMIT.min(longest * 2)) / f64::from(longest);
            let scaled = |edge: u32| ((f64::from(edge) * factor).round() as u32).max(1);
            let (width, height) = (scaled(source.width()), scaled(source.height()));
            source.resize_exact(width, height, FilterType::Triangle)
        }
    }
}

/// A gradient and some discs on a small canvas, stretched to size: cheap, and never twice the same.
fn draw(seed: u64, width: u32, height: u32) -> DynamicImage {
    let mut rng = Rng::new(seed);
    let mut color = || {
        let bits = rng.next().to_le_bytes();
        [f64::from(bits[0]), f64::from(bits[1]), f64::from(bits[2])]
    };
    let (top, bottom) = (color(), color());
    let discs: Vec<_> = (0..6).map(|_| color()).collect();
    let mut canvas = RgbImage::new(64, 64);
    let places: Vec<_> = discs
        .iter()
        .map(|_| (64.0 * rng.unit(), 64.0 * rng.unit(), rng.between(4.0, 18.0)))
        .collect();
    for (x, y, pixel) in canvas.enumerate_pixels_mut() {
        let share = f64::from(x + y) / 126.0;
        let mut mixed: [f64; 3] =
            std::array::from_fn(|i| top[i] * (1.0 - share) + bottom[i] * share);
        for (disc, (cx, cy, radius)) in discs.iter().zip(&places) {
            if (f64::from(x) - cx).hypot(f64::from(y) - cy) < *radius {
                mixed = *disc;
            }
        }
        *pixel = Rgb(mixed.map(|channel| channel as u8));
    }
    DynamicImage::ImageRgb8(canvas).resize_exact(width, height, FilterType::Triangle)
}
