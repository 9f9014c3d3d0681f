//! How much room is left.

use std::io;
use std::path::Path;

/// Bytes that an ordinary user may still write on the filesystem of `path`. A path that does not
/// exist yet is answered for its nearest existing parent.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let path = std::path::absolute(path)?;
    let existing = path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    let stat = rustix::fs::statvfs(existing)?;
    // `f_bavail`, not `f_bfree`: the difference is reserved for root.
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn existing_and_future_paths_are_answered() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_bytes(dir.path()).unwrap() > 0);
        assert!(free_bytes(&dir.path().join("not/yet/there")).unwrap() > 0);
    }
}
