//! A vendor that answers every question the same and notes when it was asked: for what the simulated
//! one is too slow to time.

use crate::Result;
use crate::seed;
use crate::world::now_ns;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// Path and time (nanoseconds of the Unix clock) of each request so far.
type Seen = Arc<Mutex<Vec<(String, u128)>>>;

/// Runs until the process ends.
pub(crate) struct Stub {
    pub(crate) api: String,
    seen: Seen,
}

impl Stub {
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let api = format!("http://{}/api", listener.local_addr()?);
        let seen = Seen::default();
        let noted = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let noted = noted.clone();
                // A connection that breaks off is the client's affair.
                std::thread::spawn(move || drop(answer(stream, &noted)));
            }
        });
        Ok(Self { api, seen })
    }

    /// Forgets what it has seen.
    pub(crate) fn forget(&self) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// When the first look at running jobs was seen, at one by itself or through the list.
    pub(crate) fn first_look(&self) -> Option<u128> {
        self.first_of(|path| path.starts_with("/api/jobs") && !path.ends_with(seed::ENDED))
    }

    /// When the list was first read.
    pub(crate) fn first_list(&self) -> Option<u128> {
        self.first_of(|path| path.starts_with("/api/jobs?"))
    }

    /// When this job was first read by itself.
    pub(crate) fn first_read(&self, id: &str) -> Option<u128> {
        self.first_of(|path| path.strip_prefix("/api/jobs/") == Some(id))
    }

    /// How often this job was read by itself.
    pub(crate) fn reads(&self, id: &str) -> usize {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|(path, _)| path.strip_prefix("/api/jobs/") == Some(id)).count()
    }

    fn first_of(&self, wanted: impl Fn(&str) -> bool) -> Option<u128> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().find(|(path, _)| wanted(path)).map(|(_, at)| *at)
    }

    /// How many requests it has seen.
    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn answer(mut stream: TcpStream, seen: &Seen) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let at = now_ns();
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        let bare = path.split('?').next().unwrap_or_default();
        let result = match bare.strip_prefix("/api/jobs/") {
            Some(id) => format!(
                r#"{{"jobId":"{id}","status":"created","createdAt":"2026-01-01T00:00:00Z"}}"#
            ),
            None if bare == "/api/jobs" => r#"{"jobs":[],"nextPageToken":""}"#.to_owned(),
            None => "[]".to_owned(),
        };
        seen.lock().unwrap_or_else(PoisonError::into_inner).push((path, at));
        let body = format!(r#"{{"result":{result},"status":"OK"}}"#);
        // As any server does, it says what time it is.
        let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: {date}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
}
