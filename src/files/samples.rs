//! Sample photos for `darkroom demo` and the tests: drawn, so that nobody's face is shipped.
//!
//! Deterministic: the same number is the same picture, byte for byte. They show one made-up person
//! in different poses, clothes, places and light, as a training set should.

mod portrait;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, ImageError, RgbImage};
use std::io;
use std::path::{Path, PathBuf};

/// One portrait as HEIC (768 x 1024 pixels). We have no encoder for it, so it is bundled; made from
/// portrait 90 with `heif-enc -q 45`.
pub const HEIC: &[u8] = include_bytes!("assets/sample.heic");
/// JPEG quality, of 100: what phones use, roughly.
const JPEG_QUALITY: u8 = 85;
/// Width and height in pixels, in turn.
const SIZES: [(u32, u32); 4] = [(768, 1024), (896, 1120), (1024, 768), (1024, 1024)];

/// Draws portrait number `index` with the given size in pixels.
pub fn draw(index: usize, width: u32, height: u32) -> RgbImage {
    portrait::draw(index, width, height)
}

/// Writes `n` sample photos into `dir` (created if needed), replacing files of the same names, and
/// returns their paths. JPEG, PNG and WebP in turn; the last one is HEIC. Blocks.
pub fn write_samples(dir: &Path, n: usize) -> io::Result<Vec<PathBuf>> {
    write_set(dir, n, |index| SIZES[index % SIZES.len()])
}

fn write_set(dir: &Path, n: usize, size: impl Fn(usize) -> (u32, u32)) -> io::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(dir)?;
    let mut paths = Vec::with_capacity(n);
    for index in 0..n {
        let (width, height) = size(index);
        let (extension, bytes) = if index + 1 == n {
            ("heic", HEIC.to_vec())
        } else {
            encode(index, draw(index, width, height)).map_err(io::Error::other)?
        };
        let path = dir.join(format!("portrait-{:02}.{extension}", index + 1));
        std::fs::write(&path, bytes)?;
        paths.push(path);
    }
    Ok(paths)
}

/// The picture as a file, and the file's ending.
fn encode(index: usize, picture: RgbImage) -> Result<(&'static str, Vec<u8>), ImageError> {
    let picture = DynamicImage::ImageRgb8(picture);
    let mut bytes = Vec::new();
    let extension = match index % 4 {
        1 => {
            let (best, filter) = (CompressionType::Best, FilterType::Adaptive);
            picture.write_with_encoder(PngEncoder::new_with_quality(&mut bytes, best, filter))?;
            "png"
        }
        3 => {
            picture.write_with_encoder(WebPEncoder::new_lossless(&mut bytes))?;
            "webp"
        }
        _ => {
            let encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
            picture.write_with_encoder(encoder)?;
            "jpg"
        }
    };
    Ok((extension, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::photo::{MAX_PHOTOS, NEAR_DUPLICATE_BITS, PhotoRules, preflight};
    use crate::files::{folder::inspect_folder, sniff::dhash};

    #[test]
    fn fourteen_samples_pass_the_preflight_without_a_word() {
        let dir = tempfile::tempdir().unwrap();
        let paths = write_samples(dir.path(), 14).unwrap();
        let facts = inspect_folder(dir.path()).unwrap();
        let report = preflight(&facts, &PhotoRules::default());
        assert!(report.ok() && report.warnings.is_empty(), "{report:#?}");
        assert_eq!((paths.len(), report.chosen.len()), (14, 14));
        for photo in &report.chosen {
            assert!(photo.bytes < 300_000, "{} has {} bytes", photo.name, photo.bytes);
            assert!(photo.pixels.is_some_and(|(w, h)| w.min(h) >= 768), "{}", photo.name);
        }
        let mut types: Vec<_> = report.chosen.iter().map(|photo| photo.media).collect();
        types.sort();
        types.dedup();
        assert_eq!(types.len(), 4);
    }

    #[test]
    fn as_many_as_a_model_takes_look_different() {
        let hashes: Vec<u64> = (0..MAX_PHOTOS)
            .map(|index| dhash(&DynamicImage::ImageRgb8(draw(index, 192, 256))))
            .collect();
        for (n, a) in hashes.iter().enumerate() {
            for (m, b) in hashes[..n].iter().enumerate() {
                let apart = (a ^ b).count_ones();
                assert!(apart > NEAR_DUPLICATE_BITS, "{n} and {m} are {apart} bits apart");
            }
        }
    }

    #[test]
    fn the_same_number_is_the_same_picture() {
        assert_eq!(draw(7, 96, 128), draw(7, 96, 128));
    }

    /// Not a check but a tool: makes `tests/data/photos` anew after the drawing has changed.
    #[test]
    #[ignore = "writes into the source tree"]
    fn regenerate_test_photos() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/photos");
        write_set(&dir, 14, |_| (600, 800)).unwrap();
        draw(90, 768, 1024).save(std::env::temp_dir().join("darkroom-sample-90.png")).unwrap();
    }
}
