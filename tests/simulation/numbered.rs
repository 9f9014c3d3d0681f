//! What is kept by the numbers of jobs, because the simulation asks for it all the time.

use crate::vendor::{Entry, number};
use judging::Millis;

/// Which jobs are rows', by the numbers of jobs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims {
    rows: Vec<Option<usize>>,
}

impl Claims {
    pub(crate) fn claim(&mut self, id: &str, row: usize) {
        let number = number(id);
        self.rows.resize(self.rows.len().max(number + 1), None);
        self.rows[number] = Some(row);
    }

    pub(crate) fn hold(&self, id: &str) -> bool {
        self.rows.get(number(id)).is_some_and(Option::is_some)
    }
}

/// What a list shows, by the numbers of jobs.
#[derive(Default)]
pub(crate) struct Showing {
    created: Vec<Option<Option<Millis>>>,
}

impl Showing {
    pub(crate) fn add(&mut self, entry: &Entry) {
        let number = number(&entry.id);
        self.created.resize(self.created.len().max(number + 1), None);
        self.created[number] = Some(entry.created_at);
    }

    pub(crate) fn get(&self, id: &str) -> Option<Option<Millis>> {
        self.created.get(number(id)).copied().flatten()
    }
}
