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

/// Edge of the canvas before stretching, and lights on it.
const CANVAS: u32 = 64;
const LIGHTS: usize = 7;

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
            folder: tempfile::Builder::new().prefix("darkroom-simulator-").tempdir()?,
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
        Picture::Drawn { seed, width, height } => draw(*seed, *width, *height),
        Picture::Uploaded { sha256 } => {
            let decoded = image::ImageReader::open(uploads.join(sha256))
                .and_then(|reader| reader.with_guessed_format())
                .map_err(Error::other)
                .and_then(|reader| reader.decode().map_err(Error::other));
            // There is no decoder for HEIC here; a picture of its own will do.
            decoded.unwrap_or_else(|_| draw(hash(sha256.as_bytes()), 1024, 1024)).to_rgb8().into()
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

/// Soft lights on a gradient in related colours, painted small and stretched to size: cheap, easy on
/// the eye in a gallery, and never twice the same.
fn draw(seed: u64, width: u32, height: u32) -> DynamicImage {
    let mut rng = Rng::new(seed);
    let hue = rng.unit();
    let (top, bottom) = (tint(hue, 0.25), tint(hue + 0.12, 0.55));
    let lights: Vec<_> = (0..LIGHTS)
        .map(|_| {
            let color = tint(hue + rng.between(-0.2, 0.35), rng.between(0.45, 0.9));
            (color, rng.unit(), rng.unit(), rng.between(0.12, 0.4))
        })
        .collect();
    let mut canvas = RgbImage::new(CANVAS, CANVAS);
    for (x, y, pixel) in canvas.enumerate_pixels_mut() {
        let (x, y) = (f64::from(x) / f64::from(CANVAS), f64::from(y) / f64::from(CANVAS));
        let mut mixed = blend(top, bottom, (x + y) / 2.0);
        for (color, cx, cy, radius) in &lights {
            let nearness = 1.0 - ((x - cx).hypot(y - cy) / radius).min(1.0);
            mixed = blend(mixed, *color, nearness * nearness * (3.0 - 2.0 * nearness));
        }
        *pixel = Rgb(mixed.map(|channel| channel as u8));
    }
    DynamicImage::ImageRgb8(canvas).resize_exact(width, height, FilterType::CatmullRom)
}

/// A colour of the wheel: `hue` in turns, `light` from dark to bright.
fn tint(hue: f64, light: f64) -> [f64; 3] {
    let channel = |shift: f64| 0.5 + 0.5 * (std::f64::consts::TAU * (hue + shift)).cos();
    [0.0, 0.33, 0.67].map(|shift| 255.0 * light * (0.35 + 0.65 * channel(shift)))
}

fn blend(from: [f64; 3], to: [f64; 3], share: f64) -> [f64; 3] {
    std::array::from_fn(|i| from[i] * (1.0 - share) + to[i] * share)
}
