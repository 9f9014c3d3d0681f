//! When the vendor was last asked about running rows, kept for the next daemon.
//!
//! A look that finds nothing new stores nothing, so the database does not know of it. After a
//! `kill -9` this file does: whoever was down for longer than an interval may ask at once, whoever
//! was not keeps to the grid. It is a hint, overwritten in place a few times a second at most and
//! never synced: it survives the process.
//!
//! One line: a word, the machine's boot id, when that boot was (Unix ms), and for each kind until
//! when (ms since that boot, sleep included) it may have been asked about. The wall clock counts
//! after a reboot only, and where a container has a boot id of its own.

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

/// A mark so far ahead (ms) of the wall clock says that the clock was set.
const CLOCK_SET: Millis = 60_000;

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
        let (line, now) = (Line::parse(&text), since_boot());
        let quiet = line.as_ref().map_or([None; KINDS], |line| line.quiet(&boot, now, wall()));
        // Where nothing is known somebody may have asked just now.
        let marks = quiet.map(|quiet| now.saturating_sub(quiet.unwrap_or(0)));
        let mut asked = Self { file, boot, marks };
        if line.is_none_or(|line| line.boot != asked.boot) {
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
        let before = self.marks;
        if let Some(mark) = self.marks.get_mut(kind as usize) {
            *mark = since_boot().saturating_add(ahead);
        }
        let written = self.write();
        if written.is_err() {
            self.marks = before;
        }
        written
    }

    fn write(&mut self) -> io::Result<()> {
        let born = wall().saturating_sub(since_boot());
        let line = Line { boot: self.boot.clone(), born, marks: self.marks };
        let written = self.file.write_all_at(line.text().as_bytes(), 0);
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

fn wall() -> Millis {
    chrono::Utc::now().timestamp_millis()
}

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    boot: String,
    /// When that boot was (Unix ms).
    born: Millis,
    marks: [Millis; KINDS],
}

impl Line {
    /// Always of the same length, so that one write replaces all of it.
    fn text(&self) -> String {
        let marks: String = self.marks.iter().map(|mark| format!(" {mark:>15}")).collect();
        format!("{WORD} {} {:>15}{marks}\n", self.boot, self.born)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_suffix('\n')?.split_whitespace();
        let known = words.next() == Some(WORD);
        let boot = words.next()?.to_owned();
        let born = words.next()?.parse().ok()?;
        let marks: Result<Vec<Millis>, _> = words.map(str::parse).collect();
        let marks = <[Millis; KINDS]>::try_from(marks.ok()?).ok().filter(|_| known)?;
        Some(Self { boot, born, marks })
    }

    /// For how long nobody has asked at `now` (ms since this boot) and `wall` (Unix ms).
    fn quiet(&self, boot: &str, now: Millis, wall: Millis) -> Quiet {
        self.marks.map(|mark| {
            if self.boot == boot {
                return Some(now.saturating_sub(mark));
            }
            // Not longer than this boot: the wall clock may have been set meanwhile.
            let quiet = wall.saturating_sub(self.born.saturating_add(mark));
            (quiet >= -CLOCK_SET).then_some(quiet.min(now))
        })
    }
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
    fn after_a_reboot_the_wall_clock_counts() {
        let line = Line { boot: "this".to_owned(), born: 1_000_000, marks: [7_000; KINDS] };
        let of = |boot: &str, now: Millis, wall: Millis| line.quiet(boot, now, wall)[0];
        assert_eq!(of("this", 9_000, 0), Some(2_000), "no clock is asked within a boot");
        assert_eq!(of("this", 6_000, 0), Some(-1_000), "about to be asked");
        assert_eq!(of("other", 500, 1_900_000), Some(500), "nobody since that boot");
        // A container with a boot id of its own, on a machine that was not started anew.
        assert_eq!(of("other", 9_000, 1_009_000), Some(2_000));
        assert_eq!(of("other", 500, 10_000), None, "the clock was set back");
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        let line = Line { boot: "this".to_owned(), born: 3, marks: [7; KINDS] };
        let text = line.text();
        assert_eq!(Line::parse(&text), Some(line.clone()));
        for bad in [
            "",
            "asked",
            "asked this\n",
            "asked this 3\n",
            &text[..text.len() - 1],
            &text.replace("asked", "other"),
            &text.replacen(" 7", " x", 1),
            &text.replace('\n', " 7\n"),
        ] {
            assert_eq!(Line::parse(bad), None, "{bad:?}");
        }
        let later = Line { marks: [Millis::from(u32::MAX); KINDS], ..line };
        assert_eq!(text.len(), later.text().len());
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
