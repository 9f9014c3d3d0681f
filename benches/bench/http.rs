//! A client that costs little: one connection, kept, written and read by hand.

use crate::Result;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A connection to one address.
pub(crate) struct Client {
    stream: TcpStream,
    host: String,
    headers: String,
    out: Vec<u8>,
    read: Vec<u8>,
}

/// An answer; its body is valid until the next request.
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Reply<'_> {
    pub(crate) fn json(&self) -> Result<Value> {
        if self.status >= 300 {
            return Err(
                format!("HTTP {}: {}", self.status, String::from_utf8_lossy(self.body)).into()
            );
        }
        Ok(serde_json::from_slice(self.body)?)
    }
}

impl Client {
    /// Connects; `token` goes with every request.
    pub(crate) fn connect(address: &str, token: &str) -> Result<Self> {
        let host = address.trim_start_matches("http://").split('/').next().unwrap_or_default();
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        let headers = format!("Host: {host}\r\nAuthorization: Bearer {token}\r\n");
        Ok(Self { stream, host: host.to_owned(), headers, out: Vec::new(), read: Vec::new() })
    }

    pub(crate) fn get(&mut self, path: &str) -> Result<Reply<'_>> {
        self.ask("GET", path, "")
    }

    pub(crate) fn post(&mut self, path: &str, body: &str) -> Result<Reply<'_>> {
        self.ask("POST", path, body)
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<Reply<'_>> {
        self.out.clear();
        write!(self.out, "{method} {path} HTTP/1.1\r\n{}API-Version: 1\r\n", self.headers)?;
        if !body.is_empty() {
            write!(
                self.out,
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            )?;
        }
        write!(self.out, "\r\n{body}")?;
        self.stream.write_all(&self.out)?;
        self.read.clear();
        let head = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more()?;
        };
        let text =
            String::from_utf8_lossy(self.read.get(..head).unwrap_or_default()).to_lowercase();
        let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let end = match length {
            Some(length) => head + length.trim().parse::<usize>()?,
            // Only the metrics are sent in pieces.
            None => return Err(format!("{} answered without a length", self.host).into()),
        };
        while self.read.len() < end {
            self.more()?;
        }
        Ok(Reply { status, body: self.read.get(head..end).unwrap_or_default() })
    }

    fn more(&mut self) -> Result<()> {
        let at = self.read.len();
        self.read.resize(at + 16 * 1024, 0);
        let got = self.stream.read(self.read.get_mut(at..).unwrap_or_default())?;
        self.read.truncate(at + got);
        if got == 0 { Err(format!("{} closed the connection", self.host).into()) } else { Ok(()) }
    }
}
