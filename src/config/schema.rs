//! Every section and key, once: type, default and meaning.

use super::layers::Sources;
use super::value::{Auto, BaseUrl, ByteSize, Hosts, Kind, LogLevel, Proxy, PublicUrl, Setting};
use crate::telemetry::Format;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The section's name.
    pub section: &'static str,
    /// The name within the section.
    pub name: &'static str,
    /// The default, as [`Key::kind`] is written but without quotes and brackets.
    pub default: &'static str,
    /// What it means, with its unit.
    pub doc: &'static str,
    /// How it is written in the file.
    pub kind: Kind,
    pub(super) check: fn(&str) -> Result<(), String>,
}

impl Key {
    /// `section.name`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// The environment variable that sets it: `DARKROOM__SECTION__KEY`.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}__{}", self.section, self.name).to_uppercase()
    }
}

/// What every key's environment variable begins with.
pub(super) const PREFIX: &str = "DARKROOM__";

/// The key `section.name`, if there is one: its index in [`KEYS`] and itself.
pub(super) fn find(section: &str, name: &str) -> Option<(usize, &'static Key)> {
    KEYS.iter().enumerate().find(|(_, key)| key.section == section && key.name == name)
}

macro_rules! schema {
    ($(
        $(#[doc = $about:literal])+
        $section:ident: $Section:ident {
            $( $(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:literal, )+
        }
    )+) => {
        $(
            $(#[doc = $about])+
            #[derive(Clone, Debug, PartialEq)]
            pub struct $Section {
                $( $(#[doc = $doc])+ pub $key: $type, )+
            }
        )+

        /// The whole configuration. It never holds the API key.
        #[derive(Clone, Debug)]
        pub struct Config {
            $( $(#[doc = $about])+ pub $section: $Section, )+
            pub(super) sources: Sources,
        }

        /// Equal values are equal, wherever they came from.
        impl PartialEq for Config {
            fn eq(&self, other: &Self) -> bool {
                $( self.$section == other.$section )&&+
            }
        }

        /// Every key, in the order of the documented file.
        pub const KEYS: &[Key] = &[$($(
            Key {
                section: stringify!($section),
                name: stringify!($key),
                default: $default,
                doc: concat!($($doc),+).trim_ascii_start(),
                kind: <$type as Setting>::KIND,
                check: |text| <$type as Setting>::parse(text).map(drop),
            },
        )+)+];

        impl Config {
            /// Parses the texts of all keys, given in the order of [`KEYS`].
            pub(super) fn parse(sources: Sources) -> Result<Self, String> {
                let mut texts = sources.values.iter().map(|value| value.text.as_str());
                let mut next = || texts.next().ok_or_else(|| "a value is missing".to_owned());
                Ok(Self {
                    $( $section: $Section { $( $key: Setting::parse(next()?)?, )+ }, )+
                    sources,
                })
            }
        }
    };
}

schema! {
    /// How the vendor's API is reached.
    vendor: Vendor {
        /// Address below which the vendor's paths begin; http or https.
        base_url: BaseUrl = "https://developer.photogptai.com/api",
        /// File that holds the API key and nothing else; empty: none. A relative path counts from
        /// the configuration file's folder.
        api_key_file: Option<PathBuf> = "",
        /// Total time for one call, after which its outcome is unknown (duration).
        request_timeout: Duration = "120s",
        /// Time to connect, after which nothing was sent (duration).
        connect_timeout: Duration = "10s",
        /// Proxy for outgoing calls, http or https; empty: none.
        proxy: Proxy = "",
    }
    /// The daemon's process and its listening side.
    daemon: Daemon {
        /// Address and port to listen on; port 0 takes a free one.
        listen: SocketAddr = "127.0.0.1:7878",
        /// Whether `listen` may be an address that other machines can reach.
        allow_remote: bool = "false",
        /// Further names under which clients may ask, host or host:port, for a proxy in front.
        allowed_hosts: Hosts = "",
        /// Address that clients use when a proxy is in front, for links; empty: as they ask.
        public_url: PublicUrl = "",
        /// Connections at the same time; beyond it the one that idles longest is closed.
        max_connections: u32 = "256",
        /// Time to finish calls in flight when asked to stop (duration).
        grace: Duration = "10s",
    }
    /// How often open work is looked at.
    poll: Poll {
        /// Time between two looks at a training (duration).
        training: Duration = "5m",
        /// Time between two looks at a job (duration).
        job: Duration = "5s",
        /// Time between two looks at a video download that the vendor prepares (duration).
        download: Duration = "2s",
    }
    /// Trainings.
    training: Training {
        /// Age at which a training is flagged as slow; it stays watched (duration).
        flag_after: Duration = "35m",
    }
    /// Upper bounds that keep the vendor and this machine comfortable.
    limits: Limits {
        /// Calls to the vendor per second.
        requests_per_second: u32 = "10",
        /// Photo uploads at the same time.
        uploads: u32 = "4",
        /// Downloads at the same time.
        downloads: u32 = "4",
        /// Jobs open at the vendor at the same time.
        open_jobs: u32 = "20",
        /// Trainings open at the vendor at the same time.
        open_trainings: u32 = "2",
        /// Unfinished rows, beyond which requests that order work are told to come back later.
        queue: u32 = "200000",
    }
    /// How a call whose reply was lost is settled.
    doubt: Doubt {
        /// Least time after which a paid call that left no trace counts as absent; auto is
        /// 15 minutes, and more where the vendor's list was seen to be late (duration or auto).
        settle: Auto<Duration> = "auto",
        /// Time between the two complete listings that must agree on absence (duration).
        relist: Duration = "30s",
        /// The same as `settle` for model creation and uploads, which cost nothing (duration).
        free_settle: Duration = "10s",
        /// Time of failed looks, or without a readable list, after which a person is asked (duration).
        give_up: Duration = "2h",
    }
    /// The vendor account.
    account: Account {
        /// Whether only this daemon uses the account; auto finds out (true, false or auto).
        exclusive: Auto<bool> = "auto",
    }
    /// The comparison of the vendor's lists with the database.
    sweep: Sweep {
        /// Time between two sweeps (duration).
        every: Duration = "10m",
    }
    /// Finished pictures and videos on their way home.
    outputs: Outputs {
        /// Largest file that is downloaded (size).
        max_bytes: ByteSize = "2GiB",
        /// Time of failed downloads after which a person is asked (duration).
        give_up_after: Duration = "24h",
    }
    /// The disk that holds the data directory.
    disk: Disk {
        /// Free space below which nothing is bought (size).
        floor: ByteSize = "200MB",
    }
    /// Public models that the vendor offers beyond those built in.
    catalogue: Catalogue {
        /// Further image model ids that `--model` accepts.
        image_models: Vec<String> = "",
        /// Further video model ids that `--model` accepts.
        video_models: Vec<String> = "",
    }
    /// Log output.
    log: Log {
        /// auto, text or json; auto is text on a terminal and json elsewhere.
        format: Format = "auto",
        /// off, error, warn, info, debug, trace, or directives like darkroom=debug,hyper=info.
        level: LogLevel = "info",
    }
}
