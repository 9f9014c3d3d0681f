//! Talking to the native API as a program would.

use super::{PATIENCE, World};
use serde_json::Value;
use std::time::Instant;

/// An answer of the daemon's.
pub(crate) struct Reply {
    /// The HTTP status.
    pub(crate) status: u16,
    /// Its headers.
    pub(crate) headers: reqwest::header::HeaderMap,
    /// The body as it came.
    pub(crate) bytes: Vec<u8>,
    /// The same as JSON; null when it is none.
    pub(crate) body: Value,
}

impl Reply {
    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The same, if it has this status.
    #[track_caller]
    pub(crate) fn with(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        self
    }

    /// The id in the body.
    #[track_caller]
    pub(crate) fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id: {}", self.body)).to_owned()
    }

    /// Checks that it is a problem of this status whose sentence holds these words.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, words: &[&str]) -> Self {
        let reply = self.with(status);
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        assert_eq!(reply.body["status"], status);
        assert!(reply.body["title"].is_string() && reply.body["type"] == "about:blank");
        let detail = reply.body["detail"].as_str().unwrap();
        for word in words {
            assert!(detail.contains(word), "{word:?} is not in: {detail}");
        }
        reply
    }
}

/// One request to the daemon, ready to be sent.
pub(crate) struct Ask<'a> {
    world: &'a World,
    method: &'a str,
    path: String,
    scope: &'a str,
    headers: Vec<(&'a str, String)>,
    json: Option<Value>,
    form: Option<reqwest::multipart::Form>,
}

impl<'a> Ask<'a> {
    /// With the token of another scope than admin.
    pub(crate) fn scope(mut self, scope: &'a str) -> Self {
        self.scope = scope;
        self
    }

    /// With one more header.
    pub(crate) fn header(mut self, name: &'a str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// With a key.
    pub(crate) fn key(self, key: &str) -> Self {
        self.header("Idempotency-Key", key)
    }

    /// With a JSON body.
    pub(crate) fn json(mut self, body: Value) -> Self {
        self.json = Some(body);
        self
    }

    /// With a multipart body.
    pub(crate) fn form(mut self, form: reqwest::multipart::Form) -> Self {
        self.form = Some(form);
        self
    }

    /// Sends it.
    pub(crate) fn send(self) -> Reply {
        self.world.runtime().block_on(async {
            let response = self.request().send().await.unwrap();
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let bytes = response.bytes().await.unwrap().to_vec();
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            Reply { status, headers, bytes, body }
        })
    }

    fn request(self) -> reqwest::RequestBuilder {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}{}", self.world.daemon().address, self.path);
        let mut request = client
            .request(self.method.parse().unwrap(), url)
            .bearer_auth(self.world.token(self.scope));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        match (self.json, self.form) {
            (Some(json), _) => request.json(&json),
            (None, Some(form)) => request.multipart(form),
            (None, None) => request,
        }
    }

    /// Whether a stream of events can be opened; it is closed at once.
    pub(crate) fn try_stream(self) -> bool {
        let runtime = self.world.runtime();
        let request = self.header("Accept", "text/event-stream").request();
        runtime.block_on(request.send()).unwrap().status().as_u16() == 200
    }

    /// Opens a stream of events; the answer must be one.
    pub(crate) fn stream(self) -> EventStream {
        let runtime = self.world.runtime();
        let request = self.header("Accept", "text/event-stream").request();
        let response = runtime.block_on(request.send()).unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        EventStream { runtime, response, text: String::new() }
    }
}

/// One event as it came over a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Streamed {
    /// Its number.
    pub(crate) id: i64,
    /// Its name.
    pub(crate) event: String,
    /// Its content.
    pub(crate) data: Value,
}

/// An open stream of events.
pub(crate) struct EventStream {
    runtime: tokio::runtime::Runtime,
    response: reqwest::Response,
    text: String,
}

impl EventStream {
    /// The next block of lines; none when the stream has ended.
    pub(crate) fn block(&mut self) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            assert!(Instant::now() < deadline, "the stream says nothing");
            let waiting = async { tokio::time::timeout(PATIENCE, self.response.chunk()).await };
            let chunk = self.runtime.block_on(waiting);
            match chunk {
                Ok(Ok(Some(bytes))) => self.text.push_str(&String::from_utf8_lossy(&bytes)),
                Ok(Ok(None) | Err(_)) => return None,
                Err(_) => panic!("the stream says nothing"),
            }
        }
    }

    /// The next event; none when the stream has ended.
    pub(crate) fn next(&mut self) -> Option<Streamed> {
        loop {
            let block = self.block()?;
            let field = |name: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
                line.map(str::to_owned)
            };
            let (Some(id), Some(event), Some(data)) = (field("id"), field("event"), field("data"))
            else {
                continue;
            };
            let data = serde_json::from_str(&data).unwrap();
            return Some(Streamed { id: id.parse().unwrap(), event, data });
        }
    }

    /// Events up to the one with this number.
    pub(crate) fn until(&mut self, seq: i64) -> Vec<Streamed> {
        let mut out: Vec<Streamed> = Vec::new();
        while out.last().is_none_or(|event| event.id < seq) {
            out.push(self.next().unwrap_or_else(|| panic!("the stream ended too early")));
        }
        out
    }
}

impl World {
    fn runtime(&self) -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    /// A request to the daemon, with the admin token.
    pub(crate) fn ask<'a>(&'a self, method: &'a str, path: &str) -> Ask<'a> {
        Ask {
            world: self,
            method,
            path: path.to_owned(),
            scope: "admin",
            headers: Vec::new(),
            json: None,
            form: None,
        }
    }

    /// Reads something that is there.
    #[track_caller]
    pub(crate) fn read(&self, path: &str) -> Value {
        self.ask("GET", path).send().with(200).body
    }

    /// Orders something, and answers the receipt.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: Value) -> Reply {
        self.ask("POST", path).json(body).send()
    }
}
