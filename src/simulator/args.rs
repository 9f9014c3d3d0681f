//! The command line of `darkroom simulate`.

use super::clock::{Span, parse_duration, parse_signed_millis};
use super::fault::Fault;
use super::fault_table;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// What the simulated vendor should be like. The default is the vendor as documented.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value_t = default_listen())]
    pub listen: SocketAddr,

    /// Divide all simulated durations by this; timestamps stay real
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = parse_speed)]
    pub speed: f64,

    /// Trouble to make, may be repeated; `--help` lists all
    #[arg(long = "fault", value_name = "SPEC", long_help = fault_table::help())]
    pub faults: Vec<Fault>,

    /// Accept only this key, may be repeated; without it any key will do
    #[arg(long = "api-key", value_name = "KEY")]
    pub api_keys: Vec<String>,

    /// Seed of durations, pictures and dice
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,

    /// Entries on one page of the job list
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = parse_at_least_one)]
    pub page_size: usize,

    /// Trainings at a time per key; more are answered 429
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub max_trainings: usize,

    /// Unfinished jobs at a time per key; more are answered 429
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub max_active_jobs: usize,

    /// How long jobs take, such as 30s or 20s..40s; without it as long as the vendor says
    #[arg(long, value_name = "TIME")]
    pub job_time: Option<Span>,

    /// Let model records carry their name (the documented ones do not)
    #[arg(long)]
    pub names: bool,

    /// Send Retry-After with every 429
    #[arg(long, value_name = "SECONDS")]
    pub retry_after: Option<u64>,

    /// Refuse requests without `API-Version: 1`
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub require_version: bool,

    /// What triggering the training of a training or ready model does
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = Retrain::Conflict)]
    pub retrain: Retrain,

    /// Show trainings in the job list
    #[arg(long)]
    pub list_trainings: bool,

    /// Give `modelId` on jobs of public models too
    #[arg(long)]
    pub public_model_ids: bool,

    /// Write timestamps with milliseconds (the documented ones have whole seconds)
    #[arg(long)]
    pub millis: bool,

    /// How long media URLs stay valid, in real time
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_duration)]
    pub url_ttl: Duration,

    /// How far the vendor's clock is off, such as 90s or -5m
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_signed_millis,
          allow_hyphen_values = true)]
    pub clock_skew: i64,

    /// Send no Date header
    #[arg(long)]
    pub no_date: bool,
}

/// What a second training trigger does; the documentation does not say.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retrain {
    /// 409, nothing happens.
    Conflict,
    /// 200, nothing happens.
    Noop,
    /// 200, trained and paid for again.
    Double,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            listen: default_listen(),
            speed: 1.0,
            faults: Vec::new(),
            api_keys: Vec::new(),
            seed: 1,
            page_size: 100,
            max_trainings: 2,
            max_active_jobs: 100,
            job_time: None,
            names: false,
            retry_after: None,
            require_version: true,
            retrain: Retrain::Conflict,
            list_trainings: false,
            public_model_ids: false,
            millis: false,
            url_ttl: Duration::from_secs(24 * 3600),
            clock_skew: 0,
            no_date: false,
        }
    }
}

fn default_listen() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 7879))
}

fn parse_speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed > 0.0 && speed.is_finite() => Ok(speed),
        _ => Err("expected a number above 0".to_owned()),
    }
}

fn parse_at_least_one(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("expected a whole number above 0".to_owned()),
    }
}
