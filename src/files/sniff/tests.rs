use super::*;
use crate::domain::photo::{PhotoRules, preflight};
use crate::files::samples;
use proptest::prelude::*;
use std::path::PathBuf;

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let picture = DynamicImage::ImageRgb8(samples::draw(3, 240, 320));
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn facts_of(name: &str, data: &[u8]) -> PhotoFacts {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, data).unwrap();
    inspect(&path).unwrap()
}

#[test]
fn whole_pictures_are_ok_whatever_their_name() {
    for (format, media) in [
        (ImageFormat::Jpeg, MediaType::Jpeg),
        (ImageFormat::Png, MediaType::Png),
        (ImageFormat::WebP, MediaType::Webp),
    ] {
        let data = encoded(format);
        let facts = facts_of("a.png", &data);
        assert_eq!(facts.integrity, Integrity::Ok, "{media:?}");
        assert_eq!((facts.media, facts.pixels), (Some(media), Some((240, 320))));
        assert_eq!(facts.bytes, data.len() as u64);
        assert_eq!(facts.sha256, Some(hex::encode(Sha256::digest(&data))));
        assert!(facts.dhash.is_some());
    }
}

#[test]
fn heic_is_measured_but_not_decoded() {
    let facts = facts_of("IMG_1.HEIC", samples::HEIC);
    assert_eq!((facts.media, &facts.integrity), (Some(MediaType::Heic), &Integrity::Ok));
    assert_eq!(facts.pixels, Some((768, 1024)));
    assert_eq!(facts.dhash, None);
}

#[test]
fn cut_pictures_are_noticed_wherever_the_cut_is() {
    let mut pictures: Vec<Vec<u8>> =
        [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP].map(encoded).to_vec();
    pictures.push(samples::HEIC.to_vec());
    for whole in pictures {
        let cuts = (1..24).map(|n| whole.len() * n / 24).chain([whole.len() - 1, whole.len() - 2]);
        for cut in cuts.filter(|cut| *cut > 64) {
            let facts = facts_of("a.jpg", &whole[..cut]);
            let seen = matches!(facts.integrity, Integrity::Truncated(_));
            assert!(seen, "{cut} of {}: {:?}", whole.len(), facts.integrity);
        }
    }
}

#[test]
fn other_things_are_named() {
    let avif = b"\0\0\0\x1cftypavif\0\0\0\0mif1avifmiaf";
    let cases: [(&[u8], Integrity); 9] = [
        (b"", Integrity::Empty),
        (b"hello, I am a text", Integrity::NotAnImage("text".into())),
        (b"%PDF-1.7\n...", Integrity::NotAnImage("a PDF document".into())),
        (b"<!DOCTYPE html><p>404", Integrity::NotAnImage("a web page".into())),
        (b"GIF89a\x01\0\x01\0\0\0\0;", Integrity::Unsupported("a GIF image".into())),
        (avif, Integrity::Unsupported("an AVIF image".into())),
        (&[0; 5000], Integrity::NotAnImage("nothing but zero bytes".into())),
        (&[9, 0, 200, 3], Integrity::NotAnImage("data of an unknown type".into())),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", Integrity::NotAnImage("a video".into())),
    ];
    for (data, expected) in cases {
        let facts = facts_of("a.jpg", data);
        assert_eq!((facts.media, facts.integrity), (None, expected));
    }
}

#[test]
fn too_large_a_file_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jpg");
    File::create(&path).unwrap().set_len(21_000_000).unwrap();
    let facts = inspect(&path).unwrap();
    assert_eq!((facts.bytes, facts.sha256.clone()), (21_000_000, None));
    let report = preflight(&[facts], &PhotoRules::default());
    assert!(report.problems[0].contains("has 21000000 bytes"), "{:?}", report.problems);
}

#[test]
fn a_decompression_bomb_is_refused_by_its_size() {
    // The header of the smallest PNG claims 60,000 x 60,000 pixels.
    let mut data = encoded(ImageFormat::Png);
    data[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let crc = crc32(&data[12..29]);
    data[29..33].copy_from_slice(&crc.to_be_bytes());
    let facts = facts_of("bomb.png", &data);
    assert_eq!((facts.pixels, facts.dhash), (Some((60_000, 60_000)), None));
    let report = preflight(&[facts], &PhotoRules::default());
    assert!(report.problems[0].contains("60000 x 60000"), "{:?}", report.problems);
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

#[test]
fn a_damaged_png_is_corrupt_and_not_truncated() {
    let mut data = encoded(ImageFormat::Png);
    let middle = data.len() / 2;
    data[middle..middle + 40].fill(0x55);
    let facts = facts_of("a.png", &data);
    assert!(matches!(facts.integrity, Integrity::Corrupt(_)), "{:?}", facts.integrity);
}

#[test]
fn a_rescaled_and_recompressed_copy_is_a_near_duplicate() {
    let original = DynamicImage::ImageRgb8(samples::draw(5, 600, 800));
    let mut bytes = Cursor::new(Vec::new());
    let smaller = original.thumbnail_exact(300, 400);
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 60);
    smaller.write_with_encoder(encoder).unwrap();
    let copy = image::load_from_memory(bytes.get_ref()).unwrap();
    let apart = (dhash(&original) ^ dhash(&copy)).count_ones();
    assert!(apart <= crate::domain::photo::NEAR_DUPLICATE_BITS, "{apart} bits");
}

#[test]
fn pipes_and_folders_are_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(inspect(dir.path()).unwrap().integrity, Integrity::Unreadable(_)));
    let pipe: PathBuf = dir.path().join("pipe.jpg");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    assert!(matches!(inspect(&pipe).unwrap().integrity, Integrity::Unreadable(_)));
    assert!(inspect(&dir.path().join("none")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn flipped_bytes_never_panic(
        format in prop::sample::select(vec![ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP]),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::ImageRgb8(samples::draw(1, 24, 32)).write_to(&mut bytes, format).unwrap();
        let mut data = bytes.into_inner();
        for (index, byte) in flips {
            let at = index.index(data.len());
            data[at] = byte;
        }
        look_into(&data, &mut PhotoFacts::unread(Path::new("a.jpg"), data.len() as u64));
    }
}
