//! Rules for training photos: what may go to the vendor, decided before anything is sent.
//!
//! `files` looks at the bytes and reports [`PhotoFacts`]; [`preflight`] judges them. All faults of
//! all files are reported at once, so that a person fixes a folder in one round.

mod facts;
mod names;
#[cfg(test)]
mod tests;

use facts::lossy_path;
pub use facts::{Integrity, MediaType, PhotoFacts};
pub use names::display_name;
use names::upload_name;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

/// The fewest photos a training takes (vendor-api.md section 5).
pub const MIN_PHOTOS: usize = 12;
/// The most photos a training takes, and the most a model holds (vendor-api.md section 5).
pub const MAX_PHOTOS: usize = 20;
/// The vendor's cap on one upload request, in bytes. "20 MB" is documented without saying which
/// megabyte; the decimal one is the smaller and so always safe (vendor-api.md section 5).
pub const REQUEST_CAP_BYTES: u64 = 20_000_000;
/// Bytes kept free for the multipart boundaries, headers and the `data` part of an upload.
pub const MULTIPART_OVERHEAD_BYTES: u64 = 4096;
/// The largest file that fits into one upload request, in bytes.
pub const MAX_PHOTO_BYTES: u64 = REQUEST_CAP_BYTES - MULTIPART_OVERHEAD_BYTES;
/// Below this shorter side, in pixels, a photo is called tiny. The vendor documents no minimum and
/// only advises against low quality, so this warns and never refuses.
pub const MIN_SIDE: u32 = 512;
/// The most pixels we decode: a small file can unpack to gigabytes.
pub const MAX_PIXELS: u64 = 100_000_000;
/// Perceptual hashes (64 bits) that differ in at most this many bits look like the same picture.
/// Small, because portraits of one person against one wall are legitimately alike.
pub const NEAR_DUPLICATE_BITS: u32 = 4;
/// File name endings the vendor takes, in lower case (vendor-api.md section 5).
pub const EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "png", "webp", "heic"];

/// At most this many names are spelt out in one sentence.
const NAMES_IN_A_SENTENCE: usize = 10;

/// What [`preflight`] holds photos against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhotoRules {
    /// Fewest photos.
    pub min_photos: usize,
    /// Most photos; the rest is left out with a warning.
    pub max_photos: usize,
    /// Largest file, in bytes.
    pub max_bytes: u64,
    /// Shorter side in pixels below which a photo is called tiny.
    pub min_side: u32,
    /// Leave bad files and later twins out with a warning instead of refusing the whole folder.
    pub skip_bad: bool,
}

impl Default for PhotoRules {
    fn default() -> Self {
        Self {
            min_photos: MIN_PHOTOS,
            max_photos: MAX_PHOTOS,
            max_bytes: MAX_PHOTO_BYTES,
            min_side: MIN_SIDE,
            skip_bad: false,
        }
    }
}

/// A photo that passed: everything an upload needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChosenPhoto {
    /// File name without folders, safe to print.
    pub name: String,
    /// The name to send: plain ASCII, with the ending that fits the content.
    pub upload_name: String,
    /// Where the file is.
    #[serde(serialize_with = "lossy_path")]
    pub path: PathBuf,
    /// What the content is.
    pub media: MediaType,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the content in lower-case hex, to compare with when the file is copied.
    pub sha256: String,
    /// Width and height in pixels, when known.
    pub pixels: Option<(u32, u32)>,
}

/// A file that will not be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// File name without folders, safe to print.
    pub name: String,
    /// Where the file is.
    #[serde(serialize_with = "lossy_path")]
    pub path: PathBuf,
    /// Why, as a phrase or a sentence.
    pub reason: String,
}

/// The verdict on a set of photos. Every file is in exactly one of `chosen` and `left_out`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Preflight {
    /// Sorted by name; to be used only if there are no problems.
    pub chosen: Vec<ChosenPhoto>,
    /// Sorted by name.
    pub left_out: Vec<LeftOut>,
    /// Sentences; any one of them stops the training before it costs anything.
    pub problems: Vec<String>,
    /// Sentences worth reading; nothing stops.
    pub warnings: Vec<String>,
}

impl Preflight {
    /// Whether the chosen photos may be sent.
    pub fn ok(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Judges a set of files. The order of `facts` does not matter.
pub fn preflight(facts: &[PhotoFacts], rules: &PhotoRules) -> Preflight {
    let mut report = Preflight::default();
    let mut usable: Vec<(PhotoFacts, ChosenPhoto)> = Vec::new();
    let mut first_with: BTreeMap<String, String> = BTreeMap::new();
    let mut photos = facts.to_vec();
    photos.sort();
    for photo in photos {
        if let Some(reason) = photo.ignored() {
            report.left_out.push(left_out(&photo, reason));
            continue;
        }
        let verdict =
            admit(&photo, rules).and_then(|chosen| match first_with.get(&chosen.sha256) {
                Some(first) => Err(format!(
                    "\"{}\" is an exact copy of \"{first}\": remove one of the two.",
                    photo.name
                )),
                None => Ok(chosen),
            });
        match verdict {
            Ok(chosen) => {
                first_with.insert(chosen.sha256.clone(), chosen.name.clone());
                usable.push((photo, chosen));
            }
            Err(sentence) => {
                report.left_out.push(left_out(&photo, sentence.clone()));
                if rules.skip_bad {
                    report.warnings.push(format!("Left out: {sentence}"));
                } else {
                    report.problems.push(sentence);
                }
            }
        }
    }
    count(&mut usable, rules, &mut report);
    let chosen: Vec<&PhotoFacts> = usable.iter().map(|(photo, _)| photo).collect();
    report.warnings.extend(doubts(&chosen, rules));
    report.chosen = usable.into_iter().map(|(_, chosen)| chosen).collect();
    report.left_out.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
    report
}

/// Lets one photo pass, or says in a sentence why not.
fn admit(photo: &PhotoFacts, rules: &PhotoRules) -> Result<ChosenPhoto, String> {
    let name = &photo.name;
    if photo.bytes > rules.max_bytes {
        return Err(format!(
            "\"{name}\" has {} bytes, and one upload takes at most {} (the vendor's 20 MB less \
             the request's own overhead): save it smaller.",
            photo.bytes, rules.max_bytes
        ));
    }
    let fault = match &photo.integrity {
        Integrity::Ok => None,
        Integrity::NotRead => Some("was not read: check it again.".to_owned()),
        Integrity::Empty => Some("is empty (0 bytes): export it again or remove it.".to_owned()),
        Integrity::Truncated(why) => {
            Some(format!("is cut short ({why}): copy it again from where it came."))
        }
        Integrity::Corrupt(why) => Some(format!("is damaged ({why}): export it again.")),
        Integrity::NotAnImage(what) => {
            Some(format!("is {what}, not a picture: remove it or replace it."))
        }
        Integrity::Unsupported(what) => Some(format!(
            "is {what}, whatever its name says, and the vendor takes JPEG, PNG, WebP and HEIC: \
             convert it or remove it."
        )),
        Integrity::Unreadable(why) => {
            Some(format!("cannot be read ({why}): make it readable or remove it."))
        }
    };
    if let Some(fault) = fault {
        return Err(format!("\"{name}\" {fault}"));
    }
    if let Some((width, height)) = photo.pixels
        && u64::from(width) * u64::from(height) > MAX_PIXELS
    {
        return Err(format!(
            "\"{name}\" has {width} x {height} pixels, more than {} megapixels: save it smaller.",
            MAX_PIXELS / 1_000_000
        ));
    }
    let (Some(media), Some(sha256)) = (photo.media, photo.sha256.clone()) else {
        return Err(format!("\"{name}\" was not read to its end: check it again."));
    };
    Ok(ChosenPhoto {
        name: name.clone(),
        upload_name: upload_name(name, media),
        path: photo.path.clone(),
        media,
        bytes: photo.bytes,
        sha256,
        pixels: photo.pixels,
    })
}

/// Holds the number of usable photos against the rules and drops the surplus.
fn count(usable: &mut Vec<(PhotoFacts, ChosenPhoto)>, rules: &PhotoRules, report: &mut Preflight) {
    let (min, max, found) = (rules.min_photos, rules.max_photos, usable.len());
    if found < min {
        let photos = if found == 1 { "photo" } else { "photos" };
        report.problems.push(format!(
            "{found} usable {photos}, the vendor wants {min} to {max}: add {} more.",
            min - found
        ));
    }
    if found > max {
        let surplus = usable.split_off(max);
        let names: Vec<&str> = surplus.iter().map(|(photo, _)| photo.name.as_str()).collect();
        report.warnings.push(format!(
            "{found} usable photos, the vendor takes {max}: the first {max} by name are used, left \
             out: {}.",
            listed(&names)
        ));
        let reason = format!("more than {max} photos; the first {max} by name are used");
        report.left_out.extend(surplus.iter().map(|(photo, _)| left_out(photo, reason.clone())));
    }
}

/// What is odd, but not wrong, about the chosen photos.
fn doubts(chosen: &[&PhotoFacts], rules: &PhotoRules) -> Vec<String> {
    let mut sentences = Vec::new();
    for (index, photo) in chosen.iter().enumerate() {
        let name = &photo.name;
        if let (Some(media), Some(extension)) = (photo.media, photo.extension.as_deref())
            && MediaType::from_extension(extension) != Some(media)
        {
            sentences.push(format!(
                "\"{name}\" is {} inside, whatever its name says: it is sent as {}.",
                media.label(),
                media.mime()
            ));
        }
        if let Some((width, height)) = photo.pixels
            && width.min(height) < rules.min_side
        {
            sentences.push(format!(
                "\"{name}\" is only {width} x {height} pixels: a shorter side of {} or more trains \
                 better.",
                rules.min_side
            ));
        }
        let alike = chosen.iter().take(index).find(|other| near_duplicates(photo, other));
        if let Some(other) = alike {
            sentences.push(format!(
                "\"{name}\" looks almost the same as \"{}\": varied photos train better.",
                other.name
            ));
        }
    }
    sentences
}

fn near_duplicates(a: &PhotoFacts, b: &PhotoFacts) -> bool {
    match (a.dhash, b.dhash) {
        (Some(a), Some(b)) => (a ^ b).count_ones() <= NEAR_DUPLICATE_BITS,
        _ => false,
    }
}

fn left_out(photo: &PhotoFacts, reason: String) -> LeftOut {
    LeftOut { name: photo.name.clone(), path: photo.path.clone(), reason }
}

fn listed(names: &[&str]) -> String {
    let shown = names.len().min(NAMES_IN_A_SENTENCE);
    let mut text =
        names[..shown].iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    if names.len() > shown {
        // Writing to a String cannot fail.
        let _ = write!(text, " and {} more", names.len() - shown);
    }
    text
}
