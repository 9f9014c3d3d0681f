//! Looks at one file and says what it is. The judging is done in `domain::photo`.

use super::structure::{self, Bmff};
use crate::domain::photo::{
    Integrity, MAX_PHOTO_BYTES, MAX_PIXELS, MediaType, PhotoFacts, display_name,
};
use image::{DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader, Limits};
use sha2::{Digest as _, Sha256};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Cursor, Read as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Memory one decoder may take, in bytes: 100 megapixels with four channels, and some room.
const DECODE_MEMORY: u64 = 512 * 1024 * 1024;
/// Pictures with more pixels than this are decoded one at a time, whatever the parallelism.
const BIG_PIXELS: u64 = 16_000_000;
/// Bytes of the file's start that decide whether something unknown is text.
const TEXT_SAMPLE: usize = 4096;

static BIG_DECODE: Mutex<()> = Mutex::new(());

/// Reads a file once and reports what it is; hash, type and pixels all come from the same bytes.
///
/// A file that cannot go into one upload is not read, only measured. `Err` means that the operating
/// system refused; everything odd about the content is in the facts.
pub fn inspect(path: &Path) -> io::Result<PhotoFacts> {
    let metadata = std::fs::metadata(path)?;
    let mut facts = PhotoFacts::unread(path, metadata.len());
    // Asked before opening: opening a pipe would wait for somebody to write into it.
    if !metadata.is_file() {
        facts.integrity = Integrity::Unreadable("it is not an ordinary file".to_owned());
        return Ok(facts);
    }
    if facts.bytes > MAX_PHOTO_BYTES {
        return Ok(facts);
    }
    let mut data = Vec::new();
    File::open(path)?.take(MAX_PHOTO_BYTES + 1).read_to_end(&mut data)?;
    facts.bytes = data.len() as u64;
    // It has grown past the limit while we read.
    if facts.bytes > MAX_PHOTO_BYTES {
        return Ok(facts);
    }
    facts.sha256 = Some(hex::encode(Sha256::digest(&data)));
    look_into(&data, &mut facts);
    Ok(facts)
}

/// Fills in what the content tells.
fn look_into(data: &[u8], facts: &mut PhotoFacts) {
    let media = match media_type(data) {
        Ok(media) => media,
        Err(integrity) => {
            facts.integrity = integrity;
            return;
        }
    };
    facts.media = Some(media);
    // Header parsers and decoders meet hostile bytes here; one that panics must not take the
    // daemon's request down with it.
    let size = catch_unwind(AssertUnwindSafe(|| imagesize::blob_size(data).ok())).ok().flatten();
    facts.pixels = size
        .and_then(|size| Some((u32::try_from(size.width).ok()?, u32::try_from(size.height).ok()?)));
    if let Err(integrity) = structure::complete(media, data) {
        facts.integrity = integrity;
        return;
    }
    facts.integrity = Integrity::Ok;
    let Some(format) = decodable(media) else {
        return;
    };
    match catch_unwind(AssertUnwindSafe(|| decode(data, format, facts))) {
        Ok(Ok(())) => {}
        Ok(Err(integrity)) => facts.integrity = integrity,
        Err(_) => facts.integrity = Integrity::Corrupt("the decoder gave up".to_owned()),
    }
}

fn decodable(media: MediaType) -> Option<ImageFormat> {
    match media {
        MediaType::Jpeg => Some(ImageFormat::Jpeg),
        MediaType::Png => Some(ImageFormat::Png),
        MediaType::Webp => Some(ImageFormat::WebP),
        MediaType::Heic => None,
    }
}

/// Decodes the whole picture, which is the only proof that it can be.
fn decode(data: &[u8], format: ImageFormat, facts: &mut PhotoFacts) -> Result<(), Integrity> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODE_MEMORY);
    let mut reader = ImageReader::with_format(Cursor::new(data), format);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(undecodable)?;
    let (width, height) = decoder.dimensions();
    facts.pixels = Some((width, height));
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MAX_PIXELS {
        // The rules refuse it by its size; unpacking it would only cost memory.
        return Ok(());
    }
    let _one_at_a_time =
        (pixels > BIG_PIXELS).then(|| BIG_DECODE.lock().unwrap_or_else(PoisonError::into_inner));
    let picture = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
    facts.dhash = Some(dhash(&picture));
    Ok(())
}

fn undecodable(error: ImageError) -> Integrity {
    match error {
        ImageError::Limits(_) => Integrity::Unreadable(format!(
            "decoding takes more than {} MB of memory",
            DECODE_MEMORY / 1024 / 1024
        )),
        ImageError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Integrity::Truncated("the picture data ends early".to_owned())
        }
        // Decoders quote the file in their messages.
        other => Integrity::Corrupt(display_name(OsStr::new(&other.to_string()))),
    }
}

/// Difference hash: one bit for each of 8 x 8 cells of the tiny grey picture, set when the cell is
/// brighter than its right neighbour. Scaling and recompression barely change it.
pub fn dhash(picture: &DynamicImage) -> u64 {
    let tiny = picture.thumbnail_exact(9, 8).to_luma8();
    let mut hash = 0;
    for y in 0..8 {
        for x in 0..8 {
            let brighter = tiny.get_pixel(x, y).0[0] > tiny.get_pixel(x + 1, y).0[0];
            hash = (hash << 1) | u64::from(brighter);
        }
    }
    hash
}

/// The type of a picture the vendor takes, by its first bytes.
fn media_type(data: &[u8]) -> Result<MediaType, Integrity> {
    if data.is_empty() {
        return Err(Integrity::Empty);
    }
    match structure::bmff(data) {
        Some(Bmff::Heic) => return Ok(MediaType::Heic),
        Some(Bmff::Avif) => return Err(Integrity::Unsupported("an AVIF image".to_owned())),
        None => {}
    }
    let mime = infer::get(data).map_or("", |kind| kind.mime_type());
    match mime {
        "image/jpeg" => Ok(MediaType::Jpeg),
        "image/png" => Ok(MediaType::Png),
        "image/webp" => Ok(MediaType::Webp),
        _ if mime.starts_with("image/") => Err(Integrity::Unsupported(label(mime))),
        "" => Err(Integrity::NotAnImage(unknown(data).to_owned())),
        _ => Err(Integrity::NotAnImage(label(mime))),
    }
}

/// What a file is in words, with the article.
fn label(mime: &str) -> String {
    match mime {
        "image/gif" => "a GIF image".to_owned(),
        "image/bmp" => "a BMP image".to_owned(),
        "image/tiff" => "a TIFF image".to_owned(),
        "image/jxl" => "a JPEG XL image".to_owned(),
        "image/jp2" => "a JPEG 2000 image".to_owned(),
        "image/vnd.adobe.photoshop" => "a Photoshop file".to_owned(),
        "image/x-canon-cr2" => "a Canon raw photo".to_owned(),
        "application/pdf" => "a PDF document".to_owned(),
        "application/zip" => "a ZIP archive".to_owned(),
        "text/html" => "a web page".to_owned(),
        "text/xml" => "an XML file".to_owned(),
        "text/x-shellscript" => "a script".to_owned(),
        "video/mp4" | "video/x-m4v" | "video/quicktime" => "a video".to_owned(),
        other => format!("a file of type {other}"),
    }
}

fn unknown(data: &[u8]) -> &'static str {
    let sample = &data[..data.len().min(TEXT_SAMPLE)];
    if sample.iter().all(|byte| *byte == 0) {
        // What a full disk or a crashed copy leaves behind.
        return "nothing but zero bytes";
    }
    // A cut inside the last character is not the text's fault.
    let is_utf8 = match std::str::from_utf8(sample) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && sample.len() == TEXT_SAMPLE,
    };
    if is_utf8 && !sample.contains(&0) { "text" } else { "data of an unknown type" }
}

#[cfg(test)]
mod tests;
