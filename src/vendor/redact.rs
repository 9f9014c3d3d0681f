//! Keeps the key out of everything that is shown or stored.

use super::reply::Transport;
use crate::domain::failure::Failure;
use secrecy::{ExposeSecret, SecretString};

const REDACTED: &str = "[redacted]";

/// Takes the key out of texts.
pub(super) struct Redactor {
    key: SecretString,
}

impl Redactor {
    pub(super) fn new(key: SecretString) -> Self {
        Self { key }
    }

    /// The key as it may appear: bare, and with the slash escaped as some JSON writers do.
    fn spellings(&self) -> impl Iterator<Item = String> {
        let bare = self.key.expose_secret().trim().to_owned();
        let escaped = bare.replace('/', "\\/");
        [escaped, bare].into_iter().filter(|text| !text.is_empty())
    }

    /// The text without the key.
    pub(super) fn text(&self, text: &str) -> String {
        self.spellings().fold(text.to_owned(), |text, key| text.replace(&key, REDACTED))
    }

    /// The exchange without the key, for describing a failure: redacted before anything is quoted
    /// or cut, so that not even the first half of the key can remain.
    pub(super) fn transport(&self, transport: &Transport) -> Transport {
        let mut clean = transport.clone();
        match &mut clean {
            Transport::NotSent(problem) | Transport::TimedOut(problem) => {
                *problem = self.text(problem);
            }
            Transport::Broken { problem, .. } => *problem = self.text(problem),
            Transport::Answered(reply) => {
                for key in self.spellings() {
                    let body = std::mem::take(&mut reply.body);
                    reply.body = replace_bytes(body, key.as_bytes(), REDACTED.as_bytes());
                }
            }
        }
        clean
    }

    /// A second pass over what was quoted: decoding JSON can undo an escaping.
    pub(super) fn failure(&self, mut failure: Failure) -> Failure {
        failure.message = self.text(&failure.message);
        failure.reply = failure.reply.map(|reply| self.text(&reply));
        failure
    }
}

fn replace_bytes(text: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_slice();
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}
