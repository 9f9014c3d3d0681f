//! Checks on single values: texts, URLs, counts, references.

use super::{MAX_NAME_CHARS, MAX_PROMPT_BYTES, Problems};
use crate::domain::request::MediaRef;

/// The most characters of a user's text that an error repeats.
const QUOTED_CHARS: usize = 60;

/// A user's text inside an error: shortened, and safe to print on a terminal.
pub(super) fn quote(text: &str) -> String {
    format!("`{}`", printable(text))
}

/// The same without the quotes, for paths.
pub(super) fn printable(text: &str) -> String {
    let visible = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut shown: String = text.chars().take(QUOTED_CHARS).map(visible).collect();
    if text.chars().nth(QUOTED_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// A name or another text of one line.
pub(super) fn short(problems: &mut Problems, field: &str, text: &str) {
    if text.trim().is_empty() {
        problems.add(field, format!("{field} is empty: fill it in"));
    }
    let length = text.chars().count();
    if length > MAX_NAME_CHARS {
        problems.add(
            field,
            format!(
                "{field} has {length} characters and darkroom allows {MAX_NAME_CHARS}: shorten it"
            ),
        );
    }
    if text.chars().any(char::is_control) {
        problems.add(
            field,
            format!("{field} holds a line break or another control character: remove it"),
        );
    }
}

/// A prompt: several lines are fine, other control characters are not.
pub(super) fn prompt(problems: &mut Problems, field: &str, text: &str) {
    let bytes = text.len();
    if bytes > MAX_PROMPT_BYTES {
        problems.add(
            field,
            format!(
                "the text has {bytes} bytes and darkroom's own limit is {MAX_PROMPT_BYTES}: \
                 shorten it, or check that it is not the wrong file"
            ),
        );
    }
    let stray = |c: &char| c.is_control() && !matches!(c, '\n' | '\t');
    // A carriage return is fine as half of a Windows line end.
    if let Some(c) = text.replace("\r\n", "\n").chars().find(stray) {
        let code = u32::from(c);
        problems
            .add(field, format!("the text holds the control character U+{code:04X}: remove it"));
    }
}

/// A number of outputs or pixels, when given.
pub(super) fn at_least_one(problems: &mut Problems, field: &str, value: Option<u32>) {
    if value == Some(0) {
        problems.add(field, format!("{field} is 0: ask for 1 or more, or leave it out"));
    }
}

/// A picture or video that the vendor is to fetch or to look up.
pub(super) fn media(problems: &mut Problems, field: &str, media: &MediaRef) {
    match media {
        MediaRef::Url(text) => url(problems, field, text),
        MediaRef::Remote(id) if id.as_str().trim().is_empty() => {
            problems.add(field, "the image id is empty: give the id the vendor shows");
        }
        MediaRef::Remote(id) if id.as_str().chars().any(char::is_control) => {
            problems.add(field, "the image id holds a control character: copy it again");
        }
        MediaRef::Remote(_)
        | MediaRef::Output(_)
        | MediaRef::Upload(_)
        | MediaRef::JobOutput { .. } => {}
    }
}

/// A web address. Whether the vendor takes plain http is undocumented (U23), so it passes.
pub(super) fn url(problems: &mut Problems, field: &str, text: &str) {
    let clean = !text.chars().any(|c| c.is_control() || c.is_whitespace());
    let parsed = url::Url::parse(text).ok().filter(|_| clean);
    let usable = parsed.is_some_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|h| !h.is_empty())
    });
    if !usable {
        let quoted = quote(text);
        problems.add(
            field,
            format!(
                "{quoted} is not a web address the vendor could fetch: \
                 write one that starts with https://"
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(check: impl FnOnce(&mut Problems)) -> usize {
        let mut problems = Problems::default();
        check(&mut problems);
        problems.0.len()
    }

    #[test]
    fn prompts_may_have_lines_and_tabs_but_no_other_controls() {
        assert_eq!(faults(|p| prompt(p, "prompt", "one\n\ttwo\r\nthree — ü 🦀")), 0);
        for wrong in ["nul\0", "esc\u{1b}[31m", "lone\rreturn", "c1\u{85}"] {
            assert_eq!(faults(|p| prompt(p, "prompt", wrong)), 1, "{wrong:?}");
        }
    }

    #[test]
    fn a_prompt_has_a_limit_of_ours() {
        assert_eq!(faults(|p| prompt(p, "prompt", &"x".repeat(MAX_PROMPT_BYTES))), 0);
        let mut problems = Problems::default();
        prompt(&mut problems, "prompt", &"x".repeat(100_000));
        assert!(problems.0[0].message.contains("darkroom's own limit is 32768"));
    }

    #[test]
    fn only_web_addresses_are_urls() {
        for good in ["https://a.example/x.png?sig=1", "http://127.0.0.1:8080/a"] {
            assert_eq!(faults(|p| url(p, "references[0]", good)), 0, "{good}");
        }
        for bad in [
            "",
            "a.png",
            "file:///etc/passwd",
            "data:image/png;base64,AA",
            "https://",
            "https://a b",
            "https://a.example/x\n",
            "//a.example/x",
        ] {
            assert_eq!(faults(|p| url(p, "references[0]", bad)), 1, "{bad:?}");
        }
    }

    #[test]
    fn quotes_are_short_and_printable() {
        assert_eq!(quote("a\u{1b}b"), "`a\u{fffd}b`");
        assert_eq!(quote(&"é".repeat(500)).chars().count(), QUOTED_CHARS + 3);
    }
}
