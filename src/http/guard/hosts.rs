//! Which site a request is for and which site it comes from. A name that anybody's DNS can point
//! at this machine, and a page of another site in a browser on it, are how local daemons are
//! robbed.

use crate::config::{Hosts, PublicUrl};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Why a request is not for us, or not from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    Host,
    Origin,
    Site,
}

impl Foreign {
    /// What the sender is told. What was sent is not repeated: it may be anything.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::Host => {
                "the Host header does not name this daemon; ask for localhost, or add the name to \
                 daemon.allowed_hosts if a proxy is in front"
            }
            Self::Origin => {
                "the request comes from a page of another site (Origin), which may not use this \
                 daemon"
            }
            Self::Site => {
                "the browser says that the request comes from another site (Sec-Fetch-Site), which \
                 may not use this daemon"
            }
        }
    }
}

/// The names that this daemon answers to.
#[derive(Debug)]
pub(in crate::http) struct AllowList {
    listen: SocketAddr,
    names: Vec<Listed>,
    /// The host behind a proxy that speaks TLS.
    https: bool,
}

/// `host` or `host:port`, lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    host: String,
    port: Option<u16>,
}

/// A name from the configuration.
#[derive(Debug)]
struct Listed {
    name: Name,
    any_port: bool,
}

impl Name {
    fn parse(text: &str) -> Option<Self> {
        let authority: Authority = text.parse().ok()?;
        let plain = !text.contains('@') && !authority.host().is_empty();
        let port = match text.get(authority.host().len()..)? {
            "" => None,
            // A number's parser would take a plus sign.
            rest => {
                let digits = rest.strip_prefix(':')?;
                let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
                Some(digits.parse().ok().filter(|_| plain)?)
            }
        };
        plain.then(|| Self { host: authority.host().to_ascii_lowercase(), port })
    }

    fn ip(&self) -> Option<IpAddr> {
        let bare = self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match bare {
            Some(six) => six.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => self.host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        }
    }
}

impl AllowList {
    pub(in crate::http) fn new(listen: SocketAddr, allowed: &Hosts, public: &PublicUrl) -> Self {
        let listed = allowed.iter().filter_map(Name::parse);
        let mut names: Vec<Listed> =
            listed.map(|name| Listed { any_port: name.port.is_none(), name }).collect();
        if let Some(url) = public.url() {
            let host = url.host_str().unwrap_or_default().to_owned();
            let mut add = |port| {
                names.push(Listed { name: Name { host: host.clone(), port }, any_port: false });
            };
            add(url.port_or_known_default());
            // Clients leave the usual port out.
            if url.port().is_none() {
                add(None);
            }
        }
        let https = !names.is_empty();
        Self { listen, names, https }
    }

    /// Whether a web address with this host and port is one of ours.
    pub(in crate::http) fn leads_here(&self, host: &str, port: u16) -> bool {
        Name::parse(&format!("{host}:{port}")).is_some_and(|name| self.allows(&name))
    }

    /// # Errors
    /// How it is foreign.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Foreign> {
        let host = one(headers, header::HOST.as_str()).ok_or(Foreign::Host)?;
        let host = host.and_then(Name::parse).ok_or(Foreign::Host)?;
        let target = uri.authority().map(|target| Name::parse(target.as_str()));
        if target.is_some_and(|target| target.as_ref() != Some(&host)) || !self.allows(&host) {
            return Err(Foreign::Host);
        }
        match one(headers, header::ORIGIN.as_str()) {
            None => return Err(Foreign::Origin),
            Some(Some(origin)) if !self.same_origin(origin, &host) => return Err(Foreign::Origin),
            Some(_) => {}
        }
        // `same-site` is foreign, too: every port of localhost is one site.
        match one(headers, "sec-fetch-site") {
            Some(None | Some("none" | "same-origin")) => Ok(()),
            _ => Err(Foreign::Site),
        }
    }

    fn allows(&self, host: &Name) -> bool {
        let ours = host.port.is_none_or(|port| port == self.listen.port());
        let loopback = host.host == "localhost" || host.ip().is_some_and(|ip| ip.is_loopback());
        // Nothing is reached at "everywhere".
        let listened = !self.listen.ip().is_unspecified() && host.ip() == Some(self.listen.ip());
        let named = |listed: &Listed| {
            listed.name.host == host.host && (listed.any_port || listed.name.port == host.port)
        };
        ours && (loopback || listened) || self.names.iter().any(named)
    }

    /// Whether a page of this origin is one of ours: the same host and port, over the scheme that
    /// leads here.
    fn same_origin(&self, origin: &str, host: &Name) -> bool {
        let Some((scheme, authority)) = origin.split_once("://") else { return false };
        let default = match scheme {
            "http" => 80,
            // We speak no TLS ourselves, but a proxy in front may.
            "https" if self.https => 443,
            _ => return false,
        };
        let Some(origin) = Name::parse(authority) else { return false };
        origin.host == host.host && origin.port.unwrap_or(default) == host.port.unwrap_or(default)
    }
}

/// A header that may be there once: `None` when it is there several times or is not text.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return None;
    }
    match first {
        None => Some(None),
        Some(value) => value.to_str().ok().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Env, Flags};
    use std::path::Path;

    fn list(more: &str) -> AllowList {
        let text = format!("[daemon]\n{more}");
        let env = Env::default();
        let config =
            Config::from_text(Path::new("d.toml"), &text, &Flags::default(), &env).unwrap();
        let listen = "127.0.0.1:7878".parse().unwrap();
        AllowList::new(listen, &config.daemon.allowed_hosts, &config.daemon.public_url)
    }

    fn ask(list: &AllowList, pairs: &[(&'static str, &str)]) -> Result<(), Foreign> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        list.check(&Uri::from_static("/v1/x"), &headers)
    }

    #[test]
    fn only_our_names() {
        let plain = list("");
        for host in [
            "127.0.0.1:7878",
            "localhost:7878",
            "LOCALHOST:7878",
            "[::1]:7878",
            "127.1.2.3:7878",
            "localhost",
            "127.0.0.1",
            "[::1]",
        ] {
            assert_eq!(ask(&plain, &[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:7878",
            "127.0.0.1:80",
            "localhost:7879",
            "0.0.0.0:7878",
            "localhost.evil.example:7878",
            "127.0.0.1.evil.example",
            "user@localhost:7878",
            "localhost.:7878",
            "192.168.1.5:7878",
            "localhost:",
            "localhost:+7878",
            "",
            "[::]",
            "2130706433",
            "0x7f.1",
        ] {
            assert_eq!(ask(&plain, &[("host", host)]), Err(Foreign::Host), "{host}");
        }
        assert_eq!(ask(&plain, &[]), Err(Foreign::Host));
        assert_eq!(
            ask(&plain, &[("host", "localhost"), ("host", "localhost")]),
            Err(Foreign::Host)
        );
    }

    #[test]
    fn names_of_a_proxy() {
        let list = list(
            "allowed_hosts = [\"Photos.example\", \"other.example:8443\"]\n\
             public_url = \"https://public.example\"\n",
        );
        for host in [
            "photos.example",
            "photos.example:1",
            "other.example:8443",
            "public.example",
            "public.example:443",
        ] {
            assert_eq!(ask(&list, &[("host", host)]), Ok(()), "{host}");
        }
        for host in ["other.example", "other.example:1", "public.example:444"] {
            assert_eq!(ask(&list, &[("host", host)]), Err(Foreign::Host), "{host}");
        }
        let origin = |origin| ask(&list, &[("host", "public.example"), ("origin", origin)]);
        assert_eq!(origin("https://public.example"), Ok(()));
        assert_eq!(origin("https://public.example:443"), Ok(()));
        assert_eq!(origin("https://photos.example"), Err(Foreign::Origin));
    }

    #[test]
    fn an_absolute_target_must_agree() {
        let list = list("");
        let mut headers = HeaderMap::new();
        headers.insert("host", "localhost:7878".parse().unwrap());
        let ask = |target: &'static str| list.check(&Uri::from_static(target), &headers);
        assert_eq!(ask("http://localhost:7878/v1/x"), Ok(()));
        assert_eq!(ask("http://evil.example/v1/x"), Err(Foreign::Host));
        assert_eq!(ask("http://127.0.0.1:7878/v1/x"), Err(Foreign::Host));
    }

    #[test]
    fn pages_of_other_sites() {
        let list = list("");
        let ask = |name, value| ask(&list, &[("host", "localhost:7878"), (name, value)]);
        assert_eq!(ask("origin", "http://localhost:7878"), Ok(()));
        for origin in [
            "null",
            "http://localhost",
            "http://localhost:3000",
            "https://localhost:7878",
            "http://127.0.0.1:7878",
            "http://evil.example",
            "",
            "localhost:7878",
        ] {
            assert_eq!(ask("origin", origin), Err(Foreign::Origin), "{origin}");
        }
        for site in ["none", "same-origin"] {
            assert_eq!(ask("sec-fetch-site", site), Ok(()));
        }
        for site in ["same-site", "cross-site", "", "Same-Origin"] {
            assert_eq!(ask("sec-fetch-site", site), Err(Foreign::Site), "{site}");
        }
    }
}
