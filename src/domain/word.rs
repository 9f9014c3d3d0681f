//! What the vendor's words for a state come to that its documentation does not have.

/// Beginnings of words that say that something is over without success. The documentation has only
/// `failed`; the vendor's own samples treat whatever they do not know as a failure.
const ENDS: [&str; 9] =
    ["cancel", "fail", "error", "abort", "expire", "timed", "timeout", "reject", "kill"];

/// Whether the word says that it is over without success, in any case and with any ending.
pub fn ends(word: &str) -> bool {
    let word = word.trim().to_ascii_lowercase();
    ENDS.iter().any(|end| word.starts_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_end_are_known_by_their_beginning() {
        for word in [
            "canceled",
            "CANCELLED",
            "cancelling",
            "failure",
            "Errored",
            "aborted",
            "expired",
            "timed_out",
            "timeout",
            "rejected",
            " error",
        ] {
            assert!(ends(word), "{word}");
        }
        for word in ["", "processing", "running", "uncancelled", "success", "pending", "moderated"]
        {
            assert!(!ends(word), "{word}");
        }
    }
}
