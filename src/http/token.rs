//! The local tokens: whoever can read one of these files may command the daemon, as far as the
//! token's scope goes.
//!
//! The files are what counts: each request looks whether one was replaced (three `stat`s), so a
//! token that is rotated or deleted is void at once.

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use subtle::{Choice, ConstantTimeEq};

/// What a token allows; each includes the ones before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// To look.
    Read,
    /// To order work that may cost credits.
    Submit,
    /// To delete, decide and pause.
    Admin,
}

impl Scope {
    /// Every scope, the smallest first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Submit, Self::Admin];

    /// The word for it, as in `darkroom token --scope`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Admin => "admin",
        }
    }

    /// The file with the token of this scope.
    pub fn token_file(self, data_dir: &Path) -> PathBuf {
        data_dir.join(match self {
            Self::Read => "token.read",
            Self::Submit => "token.submit",
            Self::Admin => "token",
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| "a scope is read, submit or admin".to_owned())
    }
}

/// The tokens of a data directory.
pub struct Tokens {
    state: Mutex<State>,
}

struct State {
    /// In the order of [`Scope::ALL`].
    files: [TokenFile; 3],
    signing_key: SecretString,
}

/// One token as its file said when it was read last.
struct TokenFile {
    scope: Scope,
    path: PathBuf,
    /// `None` when the file is gone or says nothing that counts.
    token: Option<SecretString>,
    stamp: Option<Stamp>,
}

/// What changes whenever a file is replaced, written to or opened to others.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        Some(Self { inode: file.ino(), changed: (file.ctime(), file.ctime_nsec()) })
    }
}

impl TokenFile {
    fn refresh(&mut self) {
        let stamp = Stamp::of(&self.path);
        if stamp == self.stamp {
            return;
        }
        self.stamp = stamp;
        self.token = match load(&self.path) {
            Ok(token) => {
                tracing::info!("a new {} token counts from now on", self.scope);
                Some(token)
            }
            Err(error) => {
                tracing::warn!("there is no {} token until this is mended: {error}", self.scope);
                None
            }
        };
    }
}

impl Tokens {
    /// Reads the tokens of this folder, making what is missing.
    ///
    /// # Errors
    /// A file or the folder cannot be read or written, or a file holds something else, or others
    /// can read it; the sentence names the file.
    pub fn load(data_dir: &Path) -> Result<Self> {
        let read = |scope: Scope| -> Result<TokenFile> {
            let path = scope.token_file(data_dir);
            let token = load_or_create(&path)?;
            Ok(TokenFile { scope, token: Some(token), stamp: Stamp::of(&path), path })
        };
        let [look, submit, admin] = Scope::ALL;
        let files: [TokenFile; 3] = [read(look)?, read(submit)?, read(admin)?];
        let signing_key = signing_key_of(&files)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no admin token"))?;
        Ok(Self { state: Mutex::new(State { files, signing_key }) })
    }

    /// The scope that belongs to a token, compared in constant time with each of the three.
    pub fn scope_of(&self, presented: &str) -> Option<Scope> {
        let state = self.refreshed();
        let mut found = None;
        for file in &state.files {
            let same = match &file.token {
                Some(token) => token.expose_secret().as_bytes().ct_eq(presented.as_bytes()),
                None => Choice::from(0),
            };
            if bool::from(same) {
                found = Some(file.scope);
            }
        }
        found
    }

    /// The key that signs media links. It follows from the admin token: a new one makes old links
    /// void.
    pub fn signing_key(&self) -> SecretString {
        self.refreshed().signing_key.clone()
    }

    fn refreshed(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for file in &mut state.files {
            file.refresh();
        }
        // Without a token the last key stays, so that links do not die of a file that is away.
        if let Some(key) = signing_key_of(&state.files) {
            state.signing_key = key;
        }
        state
    }
}

fn signing_key_of(files: &[TokenFile; 3]) -> Option<SecretString> {
    let token = files.last()?.token.as_ref()?;
    let mut hash = Sha256::new();
    hash.update(b"darkroom media links\0");
    hash.update(token.expose_secret().as_bytes());
    Some(SecretString::from(hex::encode(hash.finalize())))
}

/// As many random bytes as the token holds; it is stored as twice as many hex digits.
const BYTES: usize = 32;
/// More than any token file has.
const MAX_FILE: u64 = 4096;

/// Reads a token, making it (mode 0600) where there is none.
///
/// # Errors
/// The file or its folder cannot be read or written, the file holds something else, or others can
/// read it; the sentence names the file.
pub fn load_or_create(path: &Path) -> Result<SecretString> {
    match load(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            create(path, false).map_err(|error| named(path, error))?;
            load(path)
        }
        other => other,
    }
}

/// Puts a new token in place of the old one.
///
/// # Errors
/// The folder cannot be written; the sentence names the file.
pub fn rotate(path: &Path) -> Result<SecretString> {
    create(path, true).map_err(|error| named(path, error))?;
    load(path)
}

/// Reads a token.
///
/// # Errors
/// The file cannot be read, holds something else, or others can read it; the sentence names it.
pub fn load(path: &Path) -> Result<SecretString> {
    read(path).map_err(|error| named(path, error))
}

fn read(path: &Path) -> Result<SecretString> {
    let file = std::fs::File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let problem = format!(
            "other users may read or write this token (mode {mode:03o}); `chmod 600` it, and \
             `darkroom token --rotate` if they may have done so"
        );
        return Err(Error::new(ErrorKind::PermissionDenied, problem));
    }
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text)?;
    let token = text.trim();
    if token.len() < 2 * BYTES || !token.chars().all(|c| c.is_ascii_graphic()) {
        let problem = "it does not hold a token; delete it and a new one is made";
        return Err(Error::new(ErrorKind::InvalidData, problem));
    }
    Ok(SecretString::from(token))
}

fn named(path: &Path, error: Error) -> Error {
    Error::new(error.kind(), format!("the token {}: {error}", path.display()))
}

fn create(path: &Path, replace: bool) -> Result<()> {
    let mut random = [0; BYTES];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    // A temporary file has mode 0600; nobody ever sees a half-written token.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{}", hex::encode(random))?;
    file.as_file().sync_all()?;
    if replace {
        file.persist(path).map_err(|failed| failed.error)?;
    } else {
        match file.persist_noclobber(path) {
            Ok(_) => {}
            // Another process was faster: its token counts.
            Err(lost) if lost.error.kind() == ErrorKind::AlreadyExists => {}
            Err(failed) => return Err(failed.error),
        }
    }
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(load_or_create(&path).unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn a_token_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        load_or_create(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let problem = Tokens::load(dir.path()).err().unwrap().to_string();
        assert!(problem.contains("mode 640") && problem.contains("chmod 600"), "{problem}");
        assert!(problem.contains(path.to_str().unwrap()), "{problem}");
    }

    #[test]
    fn each_token_has_its_scope_and_the_newest_counts() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::load(dir.path()).unwrap();
        let mut old = Vec::new();
        for scope in Scope::ALL {
            let token = load(&scope.token_file(dir.path())).unwrap();
            assert_eq!(tokens.scope_of(token.expose_secret()), Some(scope));
            old.push(token);
        }
        assert_eq!(tokens.scope_of(""), None);
        assert_eq!(tokens.scope_of(&"0".repeat(64)), None);
        let key = tokens.signing_key();
        let new = rotate(&Scope::Submit.token_file(dir.path())).unwrap();
        assert_eq!(tokens.scope_of(new.expose_secret()), Some(Scope::Submit));
        assert_eq!(tokens.scope_of(old[1].expose_secret()), None);
        assert_eq!(tokens.signing_key().expose_secret(), key.expose_secret());
        rotate(&Scope::Admin.token_file(dir.path())).unwrap();
        assert_ne!(tokens.signing_key().expose_secret(), key.expose_secret());
        assert_eq!(tokens.scope_of(old[2].expose_secret()), None);
        std::fs::remove_file(Scope::Submit.token_file(dir.path())).unwrap();
        assert_eq!(tokens.scope_of(new.expose_secret()), None);
    }
}
