//! When the vendor was last asked about running rows, kept for the next daemon.
//!
//! A look that finds nothing new stores nothing, so the database does not know of it. After a
//! `kill -9` this file does: whoever was down for longer than an interval may ask at once, whoever
//! was not keeps to the grid. It is a hint, overwritten in place a few times a second at most and
//! never synced: it survives the process, and after a reboot nobody has asked since.
//!
//! One line: a word, the machine's boot id, and for each kind until when (ms since that boot, sleep
//! included) it may have been asked about.

use crate::domain::ids::Millis;
use crate::domain::work::Kind;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

const KINDS: usize = Kind::ALL.len();
const WORD: &str = "asked";
/// Where Linux tells one boot from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// For how long (ms) nobody has asked about rows of each kind; nothing where that is not known, and
/// less than 0 where the last daemon may have been about to ask.
pub type Quiet = [Option<Millis>; KINDS];

/// The file, open.
#[derive(Debug)]
pub struct Asked {
    file: File,
    boot: String,
    marks: [Millis; KINDS],
}

impl Asked {
    /// Opens the file of a data directory, made if need be, and answers what the last daemon left.
    ///
    /// # Errors
    /// What the system says; there is none where boots have no id.
    pub fn open(data_dir: &Path) -> io::Result<(Self, Quiet)> {
        let boot = std::fs::read_to_string(BOOT_ID)?.trim().to_owned();
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(data_dir.join("asked"))?;
        let mut text = String::new();
        // What is no text is no mark either.
        let _ = (&mut file).take(1024).read_to_string(&mut text);
        let (marks, now) = (parse(&text, &boot), since_boot());
        let quiet = marks.map_or([None; KINDS], |marks| marks.map(|mark| Some(now - mark)));
        let mut asked = Self { file, boot, marks: marks.unwrap_or([now; KINDS]) };
        if marks.is_none() {
            asked.file.set_len(0)?;
            asked.write()?;
        }
        Ok((asked, quiet))
    }

    /// Whether rows of a kind may be asked about without another mark.
    pub fn is_noted(&self, kind: Kind) -> bool {
        self.marks.get(kind as usize).is_some_and(|mark| *mark > since_boot())
    }

    /// Says, before the first question goes out, that rows of a kind may be asked about for the next
    /// `ahead` ms. Blocks.
    ///
    /// # Errors
    /// What the system says; the next daemon then knows nothing.
    pub fn note(&mut self, kind: Kind, ahead: Millis) -> io::Result<()> {
        if let Some(mark) = self.marks.get_mut(kind as usize) {
            *mark = since_boot() + ahead;
        }
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        let written = self.file.write_all_at(line(&self.boot, &self.marks).as_bytes(), 0);
        if written.is_err() {
            let _ = self.file.set_len(0);
        }
        written
    }
}

/// Milliseconds since the machine was started, sleep included.
fn since_boot() -> Millis {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
}

/// Always of the same length, so that one write replaces all of it.
fn line(boot: &str, marks: &[Millis; KINDS]) -> String {
    let marks: String = marks.iter().map(|mark| format!(" {mark:>15}")).collect();
    format!("{WORD} {boot}{marks}\n")
}

/// The marks, in the time of this boot; of another boot it is only known that it was before it.
fn parse(text: &str, boot: &str) -> Option<[Millis; KINDS]> {
    let mut words = text.strip_suffix('\n')?.split_whitespace();
    let known = words.next() == Some(WORD);
    let same = words.next()? == boot;
    let marks: Result<Vec<Millis>, _> = words.map(str::parse).collect();
    let marks = <[Millis; KINDS]>::try_from(marks.ok()?).ok().filter(|_| known)?;
    Some(if same { marks } else { [0; KINDS] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_daemon_knows_what_was_asked_and_nothing_of_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let (mut asked, quiet) = Asked::open(dir.path()).unwrap();
        assert_eq!(quiet, [None; KINDS], "there was no daemon before");
        assert!(!asked.is_noted(Kind::Job));
        asked.note(Kind::Job, 600_000).unwrap();
        assert!(asked.is_noted(Kind::Job) && !asked.is_noted(Kind::Training));
        asked.note(Kind::Job, 500_000).unwrap();
        drop(asked);
        let (_, quiet) = Asked::open(dir.path()).unwrap();
        let job = quiet[Kind::Job as usize].unwrap();
        assert!((-500_000..-400_000).contains(&job), "{job}");
        let training = quiet[Kind::Training as usize].unwrap();
        assert!((0..100_000).contains(&training), "not since the file was made: {training}");
    }

    #[test]
    fn another_boot_is_over_and_what_cannot_be_read_says_nothing() {
        let marks = [7; KINDS];
        let text = line("this", &marks);
        assert_eq!(parse(&text, "this"), Some(marks));
        assert_eq!(parse(&text, "other"), Some([0; KINDS]));
        for bad in [
            "",
            "asked",
            "asked this\n",
            &text[..text.len() - 1],
            &text.replace("asked", "other"),
            &text.replacen(" 7", " x", 1),
            &text.replace('\n', " 7\n"),
        ] {
            assert_eq!(parse(bad, "this"), None, "{bad:?}");
        }
        assert_eq!(text.len(), line("this", &[Millis::from(u32::MAX); KINDS]).len());
    }

    #[test]
    fn a_file_that_is_no_text_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("asked"), [0xff; 300]).unwrap();
        let (mut asked, quiet) = Asked::open(dir.path()).unwrap();
        assert_eq!(quiet, [None; KINDS]);
        asked.note(Kind::Job, 1_000).unwrap();
        let (_, quiet) = Asked::open(dir.path()).unwrap();
        assert!(quiet[Kind::Job as usize].is_some());
    }
}
