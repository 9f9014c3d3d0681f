//! The types of configuration values, each with its way of being written.

use crate::telemetry::{Format, check_level};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// How a value is written in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text in quotes.
    Text,
    /// A whole number, no quotes.
    Number,
    /// `true` or `false`, no quotes.
    Switch,
    /// Text in quotes, or `true` or `false` without.
    TextOrSwitch,
    /// A list of texts. In the environment: separated by commas.
    List,
}

/// A type that a key can have.
pub(super) trait Setting: Sized {
    const KIND: Kind = Kind::Text;
    /// Reads the value; the error completes a sentence that names the key.
    fn parse(text: &str) -> Result<Self, String>;
}

/// A value that can be left to darkroom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auto<T> {
    /// Written `auto`: darkroom decides.
    Auto,
    /// Written out.
    Set(T),
}

impl<T: Setting> Setting for Auto<T> {
    const KIND: Kind = match T::KIND {
        Kind::Switch => Kind::TextOrSwitch,
        other => other,
    };

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => T::parse(text).map(Self::Set).map_err(|error| format!("{error}, or auto")),
        }
    }
}

impl Setting for Duration {
    fn parse(text: &str) -> Result<Self, String> {
        parse_duration(text)
    }
}

/// Reads `300ms`, `5s`, `5m`, `2h` or `1d`: a whole number and a unit, ten years at most.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 5] =
        [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    const MOST: u64 = 3_650 * 86_400_000;
    let wrong = || {
        format!(
            "`{text}` is not a duration: write a number and a unit, as in 300ms, 5s, 5m, 2h or 1d"
        )
    };
    let (number, unit) = split_unit(text).ok_or_else(wrong)?;
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    match number.checked_mul(*scale) {
        Some(millis) if millis <= MOST => Ok(Duration::from_millis(millis)),
        _ => Err(format!("`{text}` is too long: 3650d is the most")),
    }
}

/// An amount of bytes, written `200MB` (decimal) or `2GiB` (binary).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(
    /// Bytes.
    pub u64,
);

impl Setting for ByteSize {
    fn parse(text: &str) -> Result<Self, String> {
        const UNITS: [(&str, u64); 9] = [
            ("B", 1),
            ("kB", 1_000),
            ("MB", 1_000_000),
            ("GB", 1_000_000_000),
            ("TB", 1_000_000_000_000),
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
            ("TiB", 1 << 40),
        ];
        let wrong =
            || format!("`{text}` is not a size: write a number and a unit, as in 200MB or 2GiB");
        let (number, unit) = split_unit(text).ok_or_else(wrong)?;
        let (_, scale) =
            UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(wrong)?;
        match number.checked_mul(*scale) {
            // Larger ones do not fit the database's integers.
            Some(bytes) if i64::try_from(bytes).is_ok() => Ok(Self(bytes)),
            _ => Err(format!("`{text}` is too large")),
        }
    }
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start_matches(' ')))
}

/// Counts and rates: at least one, since none of something would stop the daemon silently.
impl Setting for u32 {
    const KIND: Kind = Kind::Number;

    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number @ 1..=1_000_000) => Ok(number),
            _ => Err(format!("`{text}` is not a whole number from 1 to 1000000")),
        }
    }
}

impl Setting for bool {
    const KIND: Kind = Kind::Switch;

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("`{text}` is not true or false"))
    }
}

impl Setting for Vec<String> {
    const KIND: Kind = Kind::List;

    fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::new());
        }
        let items: Self = text.split(',').map(|item| item.trim().to_owned()).collect();
        match items.iter().find(|item| item.is_empty() || item.contains(char::is_whitespace)) {
            Some(item) => Err(format!("`{item}` is not an id: no spaces, and not empty")),
            None => Ok(items),
        }
    }
}

/// A path; empty means none.
impl Setting for Option<PathBuf> {
    fn parse(text: &str) -> Result<Self, String> {
        // The only path there is leads to the API key, and people put the key itself there.
        if text.len() >= 20 && !text.contains(['/', '.']) {
            return Err(
                "this looks like a key, not like a path to a file that holds it; if it is \
                        a file, put ./ before its name"
                    .to_owned(),
            );
        }
        Ok((!text.is_empty()).then(|| PathBuf::from(text)))
    }
}

impl Setting for SocketAddr {
    fn parse(text: &str) -> Result<Self, String> {
        let address = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        address.parse().map_err(|_| {
            format!("`{text}` is not an address and port, as in 127.0.0.1:7878 or [::1]:7878")
        })
    }
}

impl Setting for Format {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{text}` is not auto, text or json")),
        }
    }
}

/// A log level or list of directives that [`crate::telemetry::init`] accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevel(String);

impl LogLevel {
    /// The text to hand to [`crate::telemetry::init`].
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for LogLevel {
    fn parse(text: &str) -> Result<Self, String> {
        check_level(text).map(|()| Self(text.to_owned())).map_err(|error| error.to_string())
    }
}

/// The address below which the vendor's paths begin; has no trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// The text without a trailing slash: append `/models` and so on.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// The parsed address.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// Whether it points at this machine, as the simulator's does.
    pub fn is_loopback(&self) -> bool {
        match self.0.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Setting for BaseUrl {
    fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text.trim_end_matches('/'))
            .map_err(|error| format!("not a web address ({error}), as in https://host/api"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("must start with https:// (or http://, for a simulator)".to_owned());
        }
        if has_credentials(&url) || url.query().is_some() || url.fragment().is_some() {
            return Err("must be host and path only: no user, password, ? or #".to_owned());
        }
        Ok(Self(url))
    }
}

/// The proxy for outgoing calls; empty means none. A password in it never prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy(Option<Url>);

impl Proxy {
    /// The proxy's address, with its password if it has one.
    pub fn url(&self) -> Option<&Url> {
        self.0.as_ref()
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask_proxy(self.0.as_ref().map_or("", Url::as_str)))
    }
}

impl Setting for Proxy {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                Ok(Self(Some(url)))
            }
            // The text may hold a password, so it is not repeated.
            _ => Err("not a proxy address, as in http://proxy.example:3128".to_owned()),
        }
    }
}

/// Names under which the daemon may be asked: `host` or `host:port`, lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl Setting for Hosts {
    const KIND: Kind = Kind::List;

    fn parse(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let hosts = items.map(|item| {
            let whole = Url::parse(&format!("http://{item}/"));
            let plain = !item.contains(['/', '@', '?', '#', '\\', '*']);
            match whole {
                Ok(url) if plain && url.has_host() => Ok(item.to_ascii_lowercase()),
                _ => Err(format!("`{item}` is not a host, as in photos.example or [::1]:8443")),
            }
        });
        hosts.collect::<Result<_, _>>().map(Self)
    }
}

/// The address that clients use; empty means the one they ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(Option<Url>);

impl PublicUrl {
    /// The address, if there is one.
    pub fn url(&self) -> Option<&Url> {
        self.0.as_ref()
    }
}

impl Setting for PublicUrl {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let wrong = || "not an address of a site, as in https://photos.example".to_owned();
        let url = Url::parse(text).map_err(|_| wrong())?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let web = matches!(url.scheme(), "http" | "https") && url.has_host();
        (web && bare && !has_credentials(&url)).then_some(Self(Some(url))).ok_or_else(wrong)
    }
}

/// The proxy's text without its user name and password.
pub(super) fn mask_proxy(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) if has_credentials(&url) => {
            let masked = url.set_username("***").and_then(|()| url.set_password(None));
            masked.map_or_else(|()| "***".to_owned(), |()| url.to_string())
        }
        _ => text.to_owned(),
    }
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}
