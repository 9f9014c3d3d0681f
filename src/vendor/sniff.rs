//! What a file is, by its first bytes: the vendor documents neither content types nor extensions
//! of its outputs (vendor-api.md U14).

/// The media type and the extension of what begins with these bytes; 32 are enough. Playlists are
/// recognised too, so that one is never stored as if it were a video.
pub fn sniff_media_type(start: &[u8]) -> Option<(&'static str, &'static str)> {
    match start {
        [0xFF, 0xD8, 0xFF, ..] => Some(("image/jpeg", "jpg")),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some(("image/png", "png")),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(("image/gif", "gif")),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
            Some(("image/webp", "webp"))
        }
        [_, _, _, _, b'f', b't', b'y', b'p', a, b, c, d, ..] => Some(iso_brand([*a, *b, *c, *d])),
        // EBML; Matroska would need the document type, which the vendor never mentions.
        [0x1A, 0x45, 0xDF, 0xA3, ..] => Some(("video/webm", "webm")),
        _ if is_playlist(start) => Some(("application/vnd.apple.mpegurl", "m3u8")),
        _ => None,
    }
}

fn iso_brand(brand: [u8; 4]) -> (&'static str, &'static str) {
    match &brand {
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1" => {
            ("image/heic", "heic")
        }
        b"avif" | b"avis" => ("image/avif", "avif"),
        b"qt  " => ("video/quicktime", "mov"),
        _ => ("video/mp4", "mp4"),
    }
}

fn is_playlist(start: &[u8]) -> bool {
    let text = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(start);
    text.trim_ascii_start().starts_with(b"#EXTM3U")
}
