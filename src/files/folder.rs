//! Looks at all photos of a folder.

use super::sniff;
use crate::domain::photo::{Integrity, PhotoFacts};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Photos looked at in parallel. Decoding takes memory (about 50 MB for a 12-megapixel photo), so
/// more cores do not mean more threads.
const WORKERS: usize = 4;
/// A folder with more photos than this is somebody's collection rather than a training set;
/// reading it all would take minutes for nothing.
pub const MAX_FOLDER_PHOTOS: usize = 500;

/// Why a folder cannot be looked at. Each reads as one sentence.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Nothing there.
    #[error("there is no folder {0:?}: check the path.")]
    Missing(PathBuf),
    /// A file, for example.
    #[error("{0:?} is not a folder: name the folder that holds the photos.")]
    NotAFolder(PathBuf),
    /// The operating system refused.
    #[error("the folder {path:?} cannot be read ({source}): check its permissions.")]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A whole collection.
    #[error(
        "{path:?} holds {found} photos, more than the {MAX_FOLDER_PHOTOS} looked at in one go: put \
         the chosen ones into a folder of their own."
    )]
    TooMany {
        /// The folder.
        path: PathBuf,
        /// Files in it that look like photos.
        found: usize,
    },
}

/// Reports on every file directly in `folder`, sorted by name. Hidden files and subfolders are
/// passed over; files without a photo's name ending are listed but not read. Blocks.
pub fn inspect_folder(folder: &Path) -> Result<Vec<PhotoFacts>, FolderError> {
    let unreadable = |source| FolderError::Unreadable { path: folder.to_owned(), source };
    let entries = std::fs::read_dir(folder).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => FolderError::Missing(folder.to_owned()),
        io::ErrorKind::NotADirectory => FolderError::NotAFolder(folder.to_owned()),
        _ => unreadable(error),
    })?;
    let (mut facts, mut photos) = (Vec::new(), Vec::new());
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") || path.is_dir() {
            continue;
        }
        // A broken link is measured as itself; `sniff` then says what is wrong.
        let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
        let fact = PhotoFacts::unread(&path, bytes);
        if fact.ignored().is_some() {
            facts.push(fact);
        } else {
            photos.push(path);
        }
    }
    if photos.len() > MAX_FOLDER_PHOTOS {
        return Err(FolderError::TooMany { path: folder.to_owned(), found: photos.len() });
    }
    facts.extend(inspect_files(&photos));
    facts.sort();
    Ok(facts)
}

/// Reports on the given files, sorted by name. What cannot be read is said in the facts. Blocks.
pub fn inspect_files(paths: &[PathBuf]) -> Vec<PhotoFacts> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut facts = Vec::new();
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            facts.push(inspect_or_say_why_not(path));
        }
        facts
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let helpers = WORKERS.min(cores).min(paths.len()).saturating_sub(1);
    let mut facts = std::thread::scope(|scope| {
        let others: Vec<_> = (0..helpers).map(|_| scope.spawn(worker)).collect();
        let mut facts = worker();
        for other in others {
            // `inspect` catches what decoders do; a panic beyond that is ours and must be seen.
            match other.join() {
                Ok(more) => facts.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        facts
    });
    facts.sort();
    facts
}

fn inspect_or_say_why_not(path: &Path) -> PhotoFacts {
    sniff::inspect(path).unwrap_or_else(|error| PhotoFacts {
        integrity: Integrity::Unreadable(match error.kind() {
            io::ErrorKind::NotFound => "it is gone, or a link to nowhere".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => error.to_string(),
        }),
        ..PhotoFacts::unread(path, 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::photo::{PhotoRules, preflight};

    fn data(folder: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(folder)
    }

    #[test]
    fn the_test_photos_pass_without_a_word() {
        let facts = inspect_folder(&data("photos")).unwrap();
        let report = preflight(&facts, &PhotoRules::default());
        assert!(report.ok() && report.warnings.is_empty(), "{report:#?}");
        assert_eq!(report.chosen.len(), 14);
        assert!(facts.is_sorted());
    }

    #[test]
    fn every_bad_test_file_is_named() {
        let facts = inspect_folder(&data("bad")).unwrap();
        let report = preflight(&facts, &PhotoRules::default());
        let expected = [
            "\"avif-named.heic\" is an AVIF image",
            "\"empty.png\" is empty",
            "\"gif-named.png\" is a GIF image",
            "\"text.jpg\" is text, not a picture",
            "\"truncated.heic\" is cut short",
            "\"truncated.jpg\" is cut short",
            "\"truncated.png\" is cut short",
            "\"truncated.webp\" is cut short",
            "0 usable photos",
        ];
        assert_eq!(report.problems.len(), expected.len(), "{:#?}", report.problems);
        for (problem, start) in report.problems.iter().zip(expected) {
            assert!(problem.starts_with(start), "{problem}");
        }
    }

    #[test]
    fn strange_names_links_and_bystanders() {
        use std::os::unix::ffi::OsStrExt as _;
        let dir = tempfile::tempdir().unwrap();
        let photo = std::fs::read(data("photos/portrait-01.jpg")).unwrap();
        let raw = std::ffi::OsStr::from_bytes(b"b\n\"\xff\".JPG");
        std::fs::write(dir.path().join(raw), &photo).unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", dir.path().join("c.jpg")).unwrap();
        std::os::unix::fs::symlink(raw, dir.path().join("d.jpeg")).unwrap();
        std::fs::write(dir.path().join("notes.txt"), "x").unwrap();
        std::fs::write(dir.path().join(".DS_Store"), "x").unwrap();
        std::fs::create_dir(dir.path().join("folder.jpg")).unwrap();
        let facts = inspect_folder(dir.path()).unwrap();
        let names: Vec<_> = facts.iter().map(|fact| fact.name.as_str()).collect();
        assert_eq!(names, [r#"b\n\"\xff\".JPG"#, "c.jpg", "d.jpeg", "notes.txt"]);
        assert_eq!(facts[0].integrity, Integrity::Ok);
        assert!(matches!(&facts[1].integrity, Integrity::Unreadable(why) if why.contains("link")));
        assert_eq!(facts[2].sha256, facts[0].sha256);
        assert_eq!(facts[3].integrity, Integrity::NotRead);
    }

    #[test]
    fn folders_that_are_none_are_explained() {
        let dir = tempfile::tempdir().unwrap();
        let missing = inspect_folder(&dir.path().join("x")).unwrap_err();
        assert!(missing.to_string().starts_with("there is no folder"), "{missing}");
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let file = inspect_folder(&file).unwrap_err();
        assert!(matches!(file, FolderError::NotAFolder(_)), "{file}");
        let empty = tempfile::tempdir().unwrap();
        assert!(inspect_folder(empty.path()).unwrap().is_empty());
        for n in 0..=MAX_FOLDER_PHOTOS {
            std::fs::write(dir.path().join(format!("{n}.jpg")), "").unwrap();
        }
        let many = inspect_folder(dir.path()).unwrap_err();
        assert!(many.to_string().contains("holds 501 photos"), "{many}");
    }
}
