//! Progress on stderr: bars for a person, nothing in a pipe, lines with -v.

use super::CliError;
use super::context::GlobalArgs;
use super::out::{self, clean, span};
use super::waiting::Snapshot;
use crate::clock::{Clock, SystemClock};
use crate::domain::ids::{Id, Millis};
use crate::domain::work::Kind;
use crate::store::Store;
use crate::store::report::{Item, Noun, Time};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

/// Bars beyond this would scroll.
const MAX_BARS: usize = 12;
/// Steps of a training's bar.
const STEPS: u64 = 1000;
/// Fewer finished trainings than this say little.
const ENOUGH: usize = 3;
/// What the vendor says a training takes (vendor-api.md section 4: 20 to 25 minutes).
const VENDOR_TYPICAL: Millis = 22 * 60_000 + 30_000;
const VENDOR_SLOW: Millis = 25 * 60_000;

/// How long trainings take here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pace {
    typical: Millis,
    slow: Millis,
}

impl Pace {
    /// Median and 90th percentile of our own, if there are enough.
    fn of(sorted: &[Millis]) -> Self {
        let at = |percent: usize| sorted.get((sorted.len() * percent / 100).min(sorted.len() - 1));
        if sorted.len() < ENOUGH {
            return Self { typical: VENDOR_TYPICAL, slow: VENDOR_SLOW };
        }
        let typical = at(50).copied().unwrap_or(VENDOR_TYPICAL).max(1);
        Self { typical, slow: at(90).copied().unwrap_or(VENDOR_SLOW).max(typical) }
    }

    /// How full the bar is: it reaches nine tenths at the typical time and then creeps, because a
    /// bar that stands at 99 % lies.
    fn steps(self, age: Millis) -> u64 {
        #[allow(clippy::cast_precision_loss)]
        let part = age.max(0) as f64 / self.typical as f64;
        let filled = if part <= 1.0 { 0.9 * part } else { 0.9 + 0.08 * (1.0 - (1.0 - part).exp()) };
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss
        )]
        let steps = (filled * STEPS as f64) as u64;
        steps.min(STEPS)
    }

    /// "about 12 min left", "slower than usual".
    fn left(self, age: Millis) -> String {
        if age > self.slow {
            format!("slower than usual ({} so far)", span(age))
        } else if age >= self.typical {
            "any moment now".to_owned()
        } else {
            format!("about {} left", span(self.typical - age))
        }
    }
}

enum Mode {
    Bars { all: MultiProgress, bars: BTreeMap<Key, ProgressBar> },
    Lines { states: BTreeMap<Id, String> },
    Quiet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Row(Id),
    /// One that the vendor works on has a bar in place of the spinner it had before.
    Training(Id),
    Uploads,
    More,
}

/// Shows snapshots.
pub struct Progress {
    mode: Mode,
    pace: Pace,
    clock: SystemClock,
    said: Vec<String>,
}

impl Progress {
    /// What fits the process's stderr.
    ///
    /// # Errors
    /// A database error.
    pub async fn new(global: &GlobalArgs, store: &Store) -> Result<Self, CliError> {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let mode = if std::io::stderr().is_terminal() && !global.quiet && !dumb {
            Mode::Bars { all: MultiProgress::new(), bars: BTreeMap::new() }
        } else if global.verbose > 0 {
            Mode::Lines { states: BTreeMap::new() }
        } else {
            Mode::Quiet
        };
        Ok(Self {
            mode,
            pace: Pace::of(&store.training_durations().await?),
            clock: SystemClock::new(),
            said: Vec::new(),
        })
    }

    /// Whether it changes with time alone.
    pub fn is_live(&self) -> bool {
        matches!(self.mode, Mode::Bars { .. })
    }

    /// Says a sentence without breaking the bars.
    pub fn say(&self, text: &str) {
        match &self.mode {
            Mode::Bars { all, .. } => all.suspend(|| out::talk(text)),
            _ => out::talk(text),
        }
    }

    /// Shows how things stand.
    pub fn show(&mut self, snapshot: &Snapshot) {
        self.say_pauses(snapshot);
        let now = self.clock.now();
        match &mut self.mode {
            Mode::Quiet => {}
            Mode::Bars { .. } => self.redraw(snapshot),
            Mode::Lines { states } => {
                for item in &snapshot.items {
                    let state = format!("{}: {}", item.state, clean(&item.why));
                    let old = states.insert(item.id, item.state.clone());
                    if old.as_ref() != Some(&item.state) {
                        let (at, label) = (Time(now), clean(&item.label));
                        out::talk(&format!("{at} {label} {} {state}", item.id));
                    }
                }
            }
        }
    }

    /// A pause explains why nothing moves; each is told once.
    fn say_pauses(&mut self, snapshot: &Snapshot) {
        if let Some(quarantine) = &snapshot.quarantine {
            let reason = clean(&quarantine.reason);
            let text = format!("in quarantine: {reason}; `darkroom release` opens it");
            if !self.said.contains(&text) {
                self.say(&text);
                self.said.push(text);
            }
        }
        let pauses = &snapshot.pauses;
        for (word, pause) in [("spending", &pauses.spending), ("watching", &pauses.watching)] {
            let Some(pause) = pause else { continue };
            let text = super::ls::pause_sentence(word, pause);
            if !self.said.contains(&text) {
                self.say(&text);
                self.said.push(text);
            }
        }
    }

    /// Draws the bars anew: remaining times change without any news.
    pub fn redraw(&mut self, snapshot: &Snapshot) {
        let now = self.clock.now();
        let pace = self.pace;
        let Mode::Bars { all, bars } = &mut self.mode else {
            return;
        };
        let mut drawn = Vec::new();
        let mut draw = |key: Key, length: Option<u64>, at: u64, message: String| {
            let bar = bars.entry(key).or_insert_with(|| {
                // Ticking begins once it is one of all: alone it would draw a line of its own,
                // which nobody clears.
                let bar = all.add(new_bar(length.is_some()));
                bar.enable_steady_tick(Duration::from_millis(200));
                bar
            });
            if let Some(length) = length {
                bar.set_length(length);
                bar.set_position(at);
            }
            bar.set_message(message);
            drawn.push(key);
        };
        let (uploads, others): (Vec<&Item>, Vec<&Item>) =
            snapshot.items.iter().partition(|item| item.kind == Noun::Work(Kind::Upload));
        let home = uploads.iter().filter(|item| item.is_finished()).count();
        if home < uploads.len() {
            let (home, total) = (count(home), count(uploads.len()));
            draw(Key::Uploads, Some(total), home, format!("photos {home}/{total}"));
        }
        let live: Vec<&Item> = others.into_iter().filter(|item| !item.is_finished()).collect();
        for item in live.iter().take(MAX_BARS) {
            let started = item
                .accepted_at
                .filter(|_| item.kind == Noun::Work(Kind::Training) && item.state == "running");
            let label = clean(&item.label);
            match started {
                Some(started) => {
                    let age = now - started.0;
                    let left = pace.left(age);
                    let message = format!("{label}: {left}{}", next_look(item, now));
                    draw(Key::Training(item.id), Some(STEPS), pace.steps(age), message);
                }
                None => {
                    let message = format!("{label}: {}{}", item.state, next_look(item, now));
                    draw(Key::Row(item.id), None, 0, message);
                }
            }
        }
        if live.len() > MAX_BARS {
            let more = format!("and {} more", live.len() - MAX_BARS);
            draw(Key::More, None, 0, more);
        }
        bars.retain(|key, bar| {
            let keep = drawn.contains(key);
            if !keep {
                bar.finish_and_clear();
                all.remove(bar);
            }
            keep
        });
    }

    /// Takes everything off the screen.
    pub fn clear(&mut self) {
        if let Mode::Bars { all, bars } = &mut self.mode {
            for bar in bars.values() {
                bar.finish_and_clear();
            }
            bars.clear();
            // Nothing can be done about a terminal that has gone.
            let _ = all.clear();
        }
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn next_look(item: &Item, now: Millis) -> String {
    match item.due_at {
        Some(due) if due.0 - now >= 1000 => {
            let seconds = (due.0 - now) / 1000;
            format!(", next look in {}:{:02}", seconds / 60, seconds % 60)
        }
        _ => String::new(),
    }
}

fn new_bar(with_length: bool) -> ProgressBar {
    let (bar, template) = if with_length {
        (ProgressBar::new(STEPS), "{bar:24.cyan} {wide_msg}")
    } else {
        (ProgressBar::new_spinner(), "{spinner:.cyan} {wide_msg}")
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Millis = 60_000;

    #[test]
    fn without_history_the_vendor_is_believed() {
        let pace = Pace::of(&[MINUTE, MINUTE]);
        assert_eq!(pace.left(0), "about 22 min left");
        assert!(pace.left(26 * MINUTE).starts_with("slower than usual"));
        assert_eq!(Pace::of(&[]), pace);
    }

    #[test]
    fn with_history_the_median_counts() {
        let pace = Pace::of(&[10 * MINUTE, 12 * MINUTE, 14 * MINUTE, 40 * MINUTE]);
        assert_eq!(pace.typical, 14 * MINUTE);
        assert_eq!(pace.slow, 40 * MINUTE);
        assert_eq!(pace.left(2 * MINUTE), "about 12 min left");
        assert_eq!(pace.left(15 * MINUTE), "any moment now");
    }

    #[test]
    fn a_bar_never_stands_at_its_end() {
        let pace = Pace::of(&[]);
        assert_eq!(pace.steps(0), 0);
        assert_eq!(pace.steps(VENDOR_TYPICAL), 900);
        assert!(pace.steps(100 * VENDOR_TYPICAL) <= 980);
        assert!(pace.steps(2 * VENDOR_TYPICAL) > 900);
    }
}
