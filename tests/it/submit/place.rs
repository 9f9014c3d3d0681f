//! A place to run the real binary in.

use serde_json::Value;
use sqlx::Connection;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A data directory, a folder of photos, and the binary with a clean environment.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
}

/// A finished command.
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, sentences: &[&str]) -> &Self {
        assert_eq!(self.code, code, "{}", self.err);
        assert_eq!(self.out, "", "nothing on stdout");
        assert!(self.err.starts_with("error: "), "{}", self.err);
        self.says(sentences)
    }

    #[track_caller]
    pub(crate) fn says(&self, sentences: &[&str]) -> &Self {
        for sentence in sentences {
            assert!(self.err.contains(sentence), "{sentence:?} is not in:\n{}", self.err);
        }
        self
    }

    #[track_caller]
    pub(crate) fn id(&self) -> String {
        assert_eq!(self.code, 0, "{}", self.err);
        let id = self.out.trim();
        assert_eq!(id.len(), 36, "one id: {:?}", self.out);
        id.to_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{}{}", self.out, self.err))
    }
}

pub(crate) fn portraits() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/photos");
    let mut all: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap() != ".gitattributes")
        .collect();
    all.sort();
    all
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("photos")).unwrap();
        fs::create_dir(dir.path().join("home")).unwrap();
        Self { dir }
    }

    /// With `n` good photos.
    pub(crate) fn with_photos(n: usize) -> Self {
        let place = Self::new();
        for photo in portraits().iter().take(n) {
            fs::copy(photo, place.photos().join(photo.file_name().unwrap())).unwrap();
        }
        place
    }

    pub(crate) fn photos(&self) -> PathBuf {
        self.dir.path().join("photos")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn add(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        fs::write(self.photos().join(name), bytes).unwrap();
        self
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_darkroom"));
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["DARKROOM", "PHOTOGPT", "XDG_"].iter().any(|p| text.starts_with(p)) {
                command.env_remove(&name);
            }
        }
        for name in ["STATE_DIRECTORY", "CONFIGURATION_DIRECTORY", "CREDENTIALS_DIRECTORY"] {
            command.env_remove(name);
        }
        command
            .env("HOME", self.dir.path().join("home"))
            .env("DARKROOM_DATA_DIR", self.data())
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Done {
        done(self.command().args(args).output().unwrap())
    }

    pub(crate) fn train(&self, more: &[&str]) -> Done {
        let args = ["train", "--name", "Anna", "--age", "27", "--gender", "Female"];
        self.run(&[&args[..], &["--images", "photos"], more].concat())
    }

    pub(crate) fn recipe(&self, text: &str) -> PathBuf {
        let path = self.dir.path().join("recipe.toml");
        fs::write(&path, text).unwrap();
        path
    }

    /// Rows of every table that a submission fills.
    pub(crate) fn rows(&self) -> Vec<(&'static str, i64)> {
        const TABLES: [&str; 9] = [
            "models",
            "uploads",
            "trainings",
            "jobs",
            "changes",
            "runs",
            "events",
            "idempotency_keys",
            "dependencies",
        ];
        let path = self.data().join("darkroom.db");
        if !path.exists() {
            return Vec::new();
        }
        let counts = TABLES.map(|table| {
            let count = self.query(&format!("SELECT count(*) FROM {table}"));
            (table, count.parse().unwrap())
        });
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// One value as text.
    pub(crate) fn query(&self, sql: &str) -> String {
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(self.data().join("darkroom.db"))
            .read_only(true);
        let sql = format!("SELECT CAST(({sql}) AS TEXT)");
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let mut conn = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
            sqlx::query_scalar::<_, Option<String>>(sqlx::AssertSqlSafe(sql))
                .fetch_one(&mut conn)
                .await
                .unwrap()
                .unwrap_or_default()
        })
    }

    pub(crate) fn count(&self, table: &str) -> i64 {
        let rows = self.rows();
        rows.iter().find(|(name, _)| *name == table).map_or(0, |(_, n)| *n)
    }

    #[track_caller]
    pub(crate) fn nothing_stored(&self) {
        assert_eq!(self.rows(), []);
        assert!(!self.data().join("blobs").exists(), "photos were copied");
    }
}

pub(crate) fn done(output: Output) -> Done {
    Done {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
