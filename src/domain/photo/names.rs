//! File names as people see them and as the vendor gets them.

use super::MediaType;
use std::ffi::OsStr;
use std::fmt::Write as _;

/// A file name as it may be printed between double quotes: quotes, backslashes, control characters
/// and invisible or direction-changing ones are escaped, bytes that are not UTF-8 become `\xNN`.
/// Everything else, non-ASCII included, stays as it is.
pub fn display_name(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => text.extend(['\\', c]),
                // An apostrophe would be escaped by `escape_default`; it is harmless here.
                c if c.is_control() || is_invisible(c) => text.extend(c.escape_default()),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Characters that take no room or turn the text around: a name with them can pose as another.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// A file name that survives any multipart parser: ASCII letters, digits, `-` and `_`, at most 80
/// characters, with the ending that fits the content.
pub(super) fn upload_name(name: &str, media: MediaType) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let plain: String = stem
        .chars()
        .take(80)
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
        .collect();
    let plain = if plain.is_empty() { "photo" } else { &plain };
    format!("{plain}.{}", media.extension())
}
