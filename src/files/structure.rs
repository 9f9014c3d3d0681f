//! Whether a picture's container reaches its own end.
//!
//! Decoders are lenient: the JPEG decoder paints a missing half grey and calls it a success. The
//! containers know better, so their skeletons are walked before anything is decoded.

use crate::domain::photo::{Integrity, MediaType};

/// Brands of ISO-BMFF files whose pictures are HEVC-coded.
const HEIC_BRANDS: [&[u8; 4]; 8] =
    [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"];
/// Brands that only promise "a picture": the compatible brands tell which codec.
const GENERIC_BRANDS: [&[u8; 4]; 2] = [b"mif1", b"msf1"];
const AV1_BRANDS: [&[u8; 4]; 2] = [b"avif", b"avis"];

/// `Ok` if nothing is missing at the end of `data`.
pub(super) fn complete(media: MediaType, data: &[u8]) -> Result<(), Integrity> {
    match media {
        MediaType::Jpeg => jpeg(data),
        MediaType::Png => png(data),
        MediaType::Webp => webp(data),
        MediaType::Heic => heic(data),
    }
}

fn truncated(reason: impl Into<String>) -> Integrity {
    Integrity::Truncated(reason.into())
}

fn corrupt(reason: impl Into<String>) -> Integrity {
    Integrity::Corrupt(reason.into())
}

fn be16(data: &[u8], at: usize) -> Option<usize> {
    let bytes: [u8; 2] = data.get(at..at.checked_add(2)?)?.try_into().ok()?;
    Some(usize::from(u16::from_be_bytes(bytes)))
}

fn be32(data: &[u8], at: usize) -> Option<usize> {
    let bytes: [u8; 4] = data.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(bytes)).ok()
}

/// Walks the markers up to the end marker of the main picture. Searching for the end marker would
/// not do: the embedded thumbnail has one, and phones append whole videos after the real one.
fn jpeg(data: &[u8]) -> Result<(), Integrity> {
    let mut at = 2;
    let mut scans = 0;
    loop {
        let Some(&lead) = data.get(at) else {
            return Err(truncated("the JPEG end marker is missing"));
        };
        if lead != 0xff {
            return Err(corrupt("a JPEG marker is not where it should be"));
        }
        // Any number of 0xff may fill up the space before a marker.
        let fill = data[at..].iter().take_while(|byte| **byte == 0xff).count();
        let Some(&marker) = data.get(at + fill) else {
            return Err(truncated("the JPEG end marker is missing"));
        };
        at += fill + 1;
        match marker {
            0xd9 if scans == 0 => return Err(corrupt("a JPEG without picture data")),
            0xd9 => return Ok(()),
            // Markers without a body.
            0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let Some(length) = be16(data, at) else {
            return Err(truncated("it ends inside the JPEG headers"));
        };
        if length < 2 {
            return Err(corrupt("a JPEG segment has an impossible length"));
        }
        at += length;
        if marker == 0xda {
            scans += 1;
            at = end_of_scan(data, at);
        }
    }
}

/// The position of the first real marker after `from`. Inside compressed data, 0xff is followed by
/// 0 (an escaped 0xff) or by a restart marker.
fn end_of_scan(data: &[u8], from: usize) -> usize {
    let scan = data.get(from..).unwrap_or_default();
    let marker = scan
        .windows(2)
        .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xd0..=0xd7 | 0xff));
    marker.map_or(data.len(), |offset| from + offset)
}

fn png(data: &[u8]) -> Result<(), Integrity> {
    let mut at = 8;
    loop {
        let (Some(length), Some(kind)) = (be32(data, at), data.get(at + 4..at + 8)) else {
            return Err(truncated("the PNG end chunk is missing"));
        };
        // Length, kind and checksum take twelve bytes.
        at = at.saturating_add(length).saturating_add(12);
        if at > data.len() {
            return Err(truncated("it ends inside a PNG chunk"));
        }
        if kind == b"IEND" {
            return Ok(());
        }
    }
}

fn webp(data: &[u8]) -> Result<(), Integrity> {
    let length: Option<[u8; 4]> = data.get(4..8).and_then(|bytes| bytes.try_into().ok());
    let promised = length.map_or(u64::MAX, |bytes| u64::from(u32::from_le_bytes(bytes)) + 8);
    if promised > data.len() as u64 {
        return Err(truncated(format!("{} of {promised} bytes are there", data.len())));
    }
    Ok(())
}

/// Walks the top-level boxes; their sizes must add up. A last box of size 0 ("up to the end") hides
/// a cut, but cameras write real sizes.
fn heic(data: &[u8]) -> Result<(), Integrity> {
    let (mut at, mut meta, mut pixels) = (0, false, false);
    while at < data.len() {
        let header = be32(data, at).zip(data.get(at + 4..at + 8));
        let known = header.is_some_and(|(_, kind)| kind.iter().all(|c| matches!(c, b' '..=b'~')));
        if !known && meta && pixels {
            // Some phones append their own data after the last box.
            return Ok(());
        }
        let Some((short, kind)) = header else {
            return Err(truncated("it ends inside a box header"));
        };
        let size = match short {
            0 => data.len() - at,
            1 => match be32(data, at + 8).zip(be32(data, at + 12)) {
                Some((0, low)) => low,
                // More than 4 GB cannot be in memory here.
                Some(_) => usize::MAX,
                None => return Err(truncated("it ends inside a box header")),
            },
            short => short,
        };
        if size < 8 {
            return Err(corrupt("a box has an impossible length"));
        }
        if size > data.len() - at {
            let missing = size - (data.len() - at);
            let kind = String::from_utf8_lossy(kind).escape_default().to_string();
            return Err(truncated(format!("the box {kind} lacks {missing} bytes")));
        }
        meta |= kind == b"meta";
        // A few encoders keep the picture inside `meta`, in an `idat` box.
        pixels |= kind == b"mdat"
            || (kind == b"meta" && data[at..at + size].windows(4).any(|w| w == b"idat"));
        at += size;
    }
    match (meta, pixels) {
        (true, true) => Ok(()),
        (false, _) => Err(truncated("the box that describes the picture is missing")),
        (true, false) => Err(truncated("the box with the picture data is missing")),
    }
}

/// What an ISO-BMFF file with an `ftyp` box holds, as far as we care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bmff {
    /// HEVC-coded pictures.
    Heic,
    /// AV1-coded pictures, which the vendor does not take.
    Avif,
}

/// Reads the brands of an ISO-BMFF file; `None` for videos and everything else.
pub(super) fn bmff(data: &[u8]) -> Option<Bmff> {
    if data.get(4..8)? != b"ftyp" {
        return None;
    }
    let size = be32(data, 0)?.clamp(16, 512).min(data.len());
    let is = |brands: &[&[u8; 4]], brand: &[u8]| brands.iter().any(|known| &known[..] == brand);
    let major = data.get(8..12)?;
    if is(&HEIC_BRANDS, major) {
        return Some(Bmff::Heic);
    }
    if is(&AV1_BRANDS, major) {
        return Some(Bmff::Avif);
    }
    if !is(&GENERIC_BRANDS, major) {
        return None;
    }
    let compatible: Vec<&[u8]> = data.get(16..size)?.chunks_exact(4).collect();
    let av1 = compatible.iter().any(|brand| is(&AV1_BRANDS, brand));
    let hevc = compatible.iter().any(|brand| is(&HEIC_BRANDS, brand));
    Some(if av1 && !hevc { Bmff::Avif } else { Bmff::Heic })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut bytes = (body.len() as u32 + 8).to_be_bytes().to_vec();
        bytes.extend_from_slice(kind);
        bytes.extend_from_slice(body);
        bytes
    }

    fn jpeg_of(segments: &[&[u8]]) -> Vec<u8> {
        [&[0xff, 0xd8][..], &segments.concat()].concat()
    }

    const SCAN: &[u8] = &[0xff, 0xda, 0, 3, 1, 5, 0xff, 0, 0xff, 0xd0, 9];
    const END: &[u8] = &[0xff, 0xd9];

    #[test]
    fn jpegs_end_with_their_own_end_marker() {
        let thumbnail = &[0xff, 0xe1, 0, 6, 0xff, 0xd8, 0xff, 0xd9][..];
        assert_eq!(jpeg(&jpeg_of(&[thumbnail, SCAN, END])), Ok(()));
        assert_eq!(jpeg(&jpeg_of(&[SCAN, SCAN, &[0xff, 0xff], END, b"trailing video"])), Ok(()));
        for cut in [&[thumbnail, SCAN][..], &[thumbnail], &[], &[SCAN, SCAN, &[0xff]]] {
            assert!(matches!(jpeg(&jpeg_of(cut)), Err(Integrity::Truncated(_))), "{cut:?}");
        }
        // An interrupted download that was filled up with zeros.
        let zeros = jpeg_of(&[SCAN, &[0; 900]]);
        assert!(matches!(jpeg(&zeros), Err(Integrity::Truncated(_))));
        assert!(matches!(jpeg(&jpeg_of(&[END])), Err(Integrity::Corrupt(_))));
        assert!(matches!(jpeg(&jpeg_of(&[b"junk"])), Err(Integrity::Corrupt(_))));
    }

    #[test]
    fn heic_boxes_add_up() {
        let parts = [
            boxed(b"ftyp", b"heic\0\0\0\0mif1heic"),
            boxed(b"meta", b"...."),
            boxed(b"mdat", &[7; 99]),
        ];
        let whole = parts.concat();
        assert_eq!(heic(&whole), Ok(()));
        assert_eq!(heic(&[whole.clone(), boxed(b"free", b"")].concat()), Ok(()));
        assert_eq!(heic(&[whole.clone(), vec![1, 2, 3]].concat()), Ok(()));
        for cut in 1..whole.len() {
            assert!(matches!(heic(&whole[..cut]), Err(Integrity::Truncated(_))), "{cut}");
        }
    }

    #[test]
    fn brands_tell_heic_from_avif_and_video() {
        let cases: [(&[u8], Option<Bmff>); 7] = [
            (b"heic\0\0\0\0mif1heic", Some(Bmff::Heic)),
            (b"heix\0\0\0\0mif1heix", Some(Bmff::Heic)),
            (b"mif1\0\0\0\0mif1heic", Some(Bmff::Heic)),
            (b"msf1\0\0\0\0msf1hevc", Some(Bmff::Heic)),
            (b"mif1\0\0\0\0mif1avifmiaf", Some(Bmff::Avif)),
            (b"avif\0\0\0\0mif1", Some(Bmff::Avif)),
            (b"isom\0\0\0\0mp42", None),
        ];
        for (body, expected) in cases {
            assert_eq!(bmff(&boxed(b"ftyp", body)), expected, "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn noise_never_panics(
            start in prop::sample::select(vec![
                &b"\xff\xd8"[..], b"\x89PNG\r\n\x1a\n", b"RIFF", b"\0\0\0\x18ftypmif1", b"\0\0\0\x01ftyp"
            ]),
            noise in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let data = [start, &noise].concat();
            let _ = bmff(&data);
            for media in [MediaType::Jpeg, MediaType::Png, MediaType::Webp, MediaType::Heic] {
                let _ = complete(media, &data);
            }
        }
    }
}
