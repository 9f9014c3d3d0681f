//! The local token: whoever can read this file may command the daemon.

use secrecy::SecretString;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::path::Path;

/// The tokens of a data directory.
pub struct Tokens {
    admin: SecretString,
}

impl Tokens {
    /// Reads the tokens of this folder, making what is missing.
    ///
    /// # Errors
    /// A file or the folder cannot be read or written, or a file holds something else.
    pub fn load(data_dir: &Path) -> Result<Self> {
        Ok(Self { admin: load_or_create(&data_dir.join("token"))? })
    }

    /// The key that signs media links: a new token makes old links void.
    pub fn signing_key(&self) -> &SecretString {
        &self.admin
    }
}

/// As many random bytes as the token holds; it is stored as twice as many hex digits.
const BYTES: usize = 32;

/// Reads the token, making it (mode 0600) where there is none.
///
/// # Errors
/// The file or its folder cannot be read or written, or the file holds something else.
pub fn load_or_create(path: &Path) -> Result<SecretString> {
    match load(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => create(path),
        other => other,
    }
}

/// Reads the token.
///
/// # Errors
/// The file cannot be read, or it holds something else.
pub fn load(path: &Path) -> Result<SecretString> {
    let text = std::fs::read_to_string(path)?;
    let token = text.trim();
    if token.len() < 2 * BYTES || !token.chars().all(|c| c.is_ascii_graphic()) {
        let problem = "it does not hold a token; delete it and a new one is made";
        return Err(Error::new(ErrorKind::InvalidData, problem));
    }
    Ok(SecretString::from(token))
}

fn create(path: &Path) -> Result<SecretString> {
    let mut random = [0; BYTES];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    // A temporary file has mode 0600; nobody ever sees a half-written token.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{}", hex::encode(random))?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => {}
        // Another process was faster: its token counts.
        Err(lost) if lost.error.kind() == ErrorKind::AlreadyExists => {}
        Err(failed) => return Err(failed.error),
    }
    load(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn is_made_once_private_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let first = load_or_create(&path).unwrap();
        assert_eq!(first.expose_secret().len(), 64);
        assert_eq!(load_or_create(&path).unwrap().expose_secret(), first.expose_secret());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_short_token_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "secret\n").unwrap();
        assert_eq!(load_or_create(&path).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
