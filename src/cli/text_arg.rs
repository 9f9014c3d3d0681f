//! Texts that may come from elsewhere: `-` for stdin, `@FILE` for a file.

use super::CliError;
use crate::service::shown;
use std::io::Read as _;

/// More than any limit of ours, so that the rule about length does the talking.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The text that `value` stands for. `@@` begins a text that begins with `@`.
pub(super) fn resolve(flag: &str, value: &str) -> Result<String, CliError> {
    if value == "-" {
        return read(flag, "stdin", std::io::stdin().lock());
    }
    match value.strip_prefix('@') {
        None => Ok(value.to_owned()),
        Some(text) if text.starts_with('@') => Ok(text.to_owned()),
        Some(path) => {
            let file = std::fs::File::open(path).map_err(|error| {
                CliError::Usage(format!(
                    "{flag}: the file {} cannot be read ({error}); a text that begins with @ is \
                     written with @@",
                    shown(path)
                ))
            })?;
            read(flag, path, file)
        }
    }
}

fn read(flag: &str, name: &str, source: impl std::io::Read) -> Result<String, CliError> {
    let mut bytes = Vec::new();
    source.take(MAX_BYTES).read_to_end(&mut bytes).map_err(|error| {
        CliError::Usage(format!("{flag}: {} cannot be read ({error})", shown(name)))
    })?;
    let text = String::from_utf8(bytes)
        .map_err(|_| CliError::Usage(format!("{flag}: {} is not UTF-8 text", shown(name))))?;
    // Editors and `echo` end every file with a line break that nobody meant.
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_text_is_itself_and_a_file_is_read() {
        assert_eq!(resolve("--prompt", "a@b").unwrap(), "a@b");
        assert_eq!(resolve("--prompt", "@@anna").unwrap(), "@anna");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.txt");
        std::fs::write(&path, "two\nlines\n").unwrap();
        let value = format!("@{}", path.display());
        assert_eq!(resolve("--prompt", &value).unwrap(), "two\nlines");
        assert_eq!(resolve("--prompt", "@/no/such").unwrap_err().code(), 2);
    }
}
