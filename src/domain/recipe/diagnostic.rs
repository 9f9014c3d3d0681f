//! Faults of a recipe, shown as compilers do: place, sentence, the line and a caret.

use std::fmt;
use std::ops::Range;

/// The widest excerpt of a line, in characters: prompts may be thousands long.
const EXCERPT_CHARS: usize = 100;
/// How much of a long line is shown before the fault, in characters.
const EXCERPT_BEFORE: usize = 40;

/// One fault in a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong and what to do, in one sentence.
    pub message: String,
    /// The offending line, shortened when long.
    pub excerpt: String,
    /// The marker to print below `excerpt`: white space, then carets.
    pub caret: String,
}

/// Everything wrong with a recipe at once, in the order of the file; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipeError {
    /// The file as the caller named it.
    pub file: String,
    /// The faults.
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for RecipeError {
    /// `file:line:col: message`, the line and a caret, for every fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.diagnostics.iter().enumerate() {
            let newline = if n == 0 { "" } else { "\n" };
            let Diagnostic { line, column, message, .. } = fault;
            let margin = " ".repeat(line.to_string().len());
            let (file, excerpt, caret) = (&self.file, &fault.excerpt, &fault.caret);
            writeln!(f, "{newline}{file}:{line}:{column}: {message}")?;
            writeln!(f, "{line} | {excerpt}")?;
            write!(f, "{margin} | {caret}")?;
        }
        Ok(())
    }
}

impl std::error::Error for RecipeError {}

/// Bytes of the recipe's text.
pub(super) type Span = Range<usize>;

/// Collects faults while a recipe is read.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<(Span, String)>);

impl Faults {
    pub(super) fn add(&mut self, span: Span, message: impl Into<String>) {
        self.0.push((span, message.into()));
    }

    /// The error of all faults so far; `None` when there are none.
    pub(super) fn into_error(mut self, text: &str, file: &str) -> Option<RecipeError> {
        if self.0.is_empty() {
            return None;
        }
        self.0.sort_by_key(|(span, _)| span.start);
        self.0.dedup();
        let show = |(span, message)| diagnostic(text, span, message);
        Some(RecipeError {
            file: file.to_owned(),
            diagnostics: self.0.into_iter().map(show).collect(),
        })
    }
}

fn diagnostic(text: &str, span: Span, message: String) -> Diagnostic {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let before = &text[..start];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let rest = &text[start..];
    let line_end = start + rest.find('\n').unwrap_or(rest.len());
    let line: Vec<char> = text[line_start..line_end].trim_end_matches('\r').chars().collect();
    let column = text[line_start..start].chars().count();
    let end = text.floor_char_boundary(span.end.clamp(start, line_end));
    let width = text[start..end].chars().count();

    let first = if line.len() > EXCERPT_CHARS { column.saturating_sub(EXCERPT_BEFORE) } else { 0 };
    let printable = |c: &char| {
        if c.is_control() && *c != '\t' { '\u{fffd}' } else { *c }
    };
    let shown: Vec<char> = line.iter().skip(first).take(EXCERPT_CHARS).map(printable).collect();
    let blank = |c: &char| if *c == '\t' { '\t' } else { ' ' };
    let offset = column - first;
    let mut caret: String = shown.iter().take(offset).map(blank).collect();
    caret.push_str(&"^".repeat(width.clamp(1, shown.len().saturating_sub(offset).max(1))));
    Diagnostic {
        line: before.matches('\n').count() + 1,
        column: column + 1,
        message,
        excerpt: shown.into_iter().collect(),
        caret,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str, span: Span) -> String {
        let mut faults = Faults::default();
        faults.add(span, "wrong");
        faults.into_error(text, "r.toml").unwrap().to_string()
    }

    #[test]
    fn a_fault_points_at_its_place() {
        let text = "a = 1\n\tägé = true\r\n";
        let at = text.find("true").unwrap();
        assert_eq!(show(text, at..at + 4), "r.toml:2:8: wrong\n2 | \tägé = true\n  | \t      ^^^^");
    }

    #[test]
    fn any_span_can_be_shown() {
        let text = "é\n\u{1b}x";
        for start in 0..9 {
            for end in 0..9 {
                assert!(show(text, Span { start, end }).contains('^'));
            }
        }
        assert!(show("", 0..0).starts_with("r.toml:1:1: wrong\n1 | \n  | ^"));
    }

    #[test]
    fn long_lines_are_shortened_around_the_fault() {
        let text = format!("{}fault{}", "a".repeat(5_000), "b".repeat(5_000));
        let shown = show(&text, 5_000..5_005);
        assert!(shown.lines().all(|line| line.len() < 120), "{shown}");
        assert!(shown.contains("aafaultbb") && shown.contains(" ^^^^^"));
    }
}
