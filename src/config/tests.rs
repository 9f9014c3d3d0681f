//! Precedence, messages, and the documented file.

mod secrets;

use super::*;
use std::time::Duration;

fn env(pairs: &[(&str, &str)]) -> Env {
    pairs.iter().copied().collect()
}

fn with(text: &str, pairs: &[(&str, &str)], flags: &Flags) -> Result<Config, ConfigError> {
    Config::from_text(Path::new("darkroom.toml"), text, flags, &env(pairs))
}

fn from(text: &str) -> Result<Config, ConfigError> {
    with(text, &[], &Flags::default())
}

fn message(text: &str) -> String {
    from(text).unwrap_err().to_string()
}

fn env_message(name: &str, value: &str) -> String {
    with("", &[(name, value)], &Flags::default()).unwrap_err().to_string()
}

#[test]
fn the_documented_file_is_exactly_the_defaults() {
    let text = DOCUMENTED_FILE;
    let config = from(text).unwrap();
    assert_eq!(config, Config::default());
    let mut seen = Vec::new();
    for setting in config.origins() {
        let key = setting.key;
        assert_eq!(setting.value, key.default, "{}", key.path());
        let Origin::File(_, line) = setting.origin else { panic!("{} is missing", key.path()) };
        let before = text.lines().nth(line - 2).unwrap();
        let shares_comment = key.name == "video_models";
        assert!(before.starts_with("# ") || shares_comment, "{} has no comment", key.path());
        seen.push(*line);
    }
    assert!(seen.is_sorted(), "the file has another order than the schema");
}

#[test]
fn the_defaults_are_the_designed_ones() {
    let config = Config::default();
    assert_eq!(config.vendor.base_url.as_str(), "https://developer.photogptai.com/api");
    assert_eq!(config.vendor.request_timeout, Duration::from_secs(120));
    assert_eq!(config.poll.training, Duration::from_secs(300));
    assert_eq!(config.outputs.max_bytes, ByteSize(2 << 30));
    assert_eq!(config.disk.floor, ByteSize(200_000_000));
    assert_eq!(config.doubt.settle, Auto::Auto);
    assert_eq!(config.account.exclusive, Auto::Auto);
    assert!(config.daemon.listen.ip().is_loopback());
    assert!(config.catalogue.image_models.is_empty());
}

#[test]
fn flag_over_environment_over_file_over_default() {
    let file = "[poll]\njob = \"1s\"\ntraining = \"1s\"\ndownload = \"1s\"\n";
    let pairs = [("DARKROOM__POLL__JOB", "2s"), ("DARKROOM__POLL__TRAINING", "2s")];
    let mut flags = Flags::default();
    flags.set("poll.job", "--poll-job", Some("3s".to_owned()));
    flags.set("poll.training", "--poll-training", None);
    let config = with(file, &pairs, &flags).unwrap();
    let shown = |path: &str| {
        let setting = config.origins().find(|setting| setting.key.path() == path).unwrap();
        format!("{} from {}", setting.value, setting.origin)
    };
    assert_eq!(config.poll.job, Duration::from_secs(3));
    assert_eq!(shown("poll.job"), "3s from --poll-job");
    assert_eq!(shown("poll.training"), "2s from DARKROOM__POLL__TRAINING");
    assert_eq!(shown("poll.download"), "1s from darkroom.toml:4");
    assert_eq!(shown("sweep.every"), "10m from default");
    assert_eq!(config.origin("poll.download"), Some(&Origin::File("darkroom.toml".into(), 4)));
}

#[test]
fn every_key_has_a_variable_and_short_names_give_way_to_it() {
    for key in KEYS {
        let config = with("", &[(&key.variable(), key.default)], &Flags::default());
        assert_eq!(config.unwrap(), Config::default(), "{}", key.variable());
    }
    let short =
        [("DARKROOM_LISTEN", "127.0.0.1:1"), ("PHOTOGPT_BASE_URL", "http://localhost:9/x/")];
    let config = with("", &short, &Flags::default()).unwrap();
    assert_eq!(config.daemon.listen.port(), 1);
    assert_eq!(config.vendor.base_url.as_str(), "http://localhost:9/x");
    assert!(config.vendor.base_url.is_loopback());
    let both = [("DARKROOM_LISTEN", "127.0.0.1:1"), ("DARKROOM__DAEMON__LISTEN", "127.0.0.1:2")];
    assert_eq!(with("", &both, &Flags::default()).unwrap().daemon.listen.port(), 2);
    let emptied = with(
        "[vendor]\nproxy = \"http://p:1\"\n",
        &[("DARKROOM__VENDOR__PROXY", ""), ("DARKROOM_LISTEN", "")],
        &Flags::default(),
    );
    assert_eq!(emptied.unwrap(), Config::default());
    let lists = with("", &[("DARKROOM__CATALOGUE__IMAGE_MODELS", "one, two")], &Flags::default());
    assert_eq!(lists.unwrap().catalogue.image_models, ["one", "two"]);
}

#[test]
fn unknown_keys_of_the_file() {
    assert_eq!(
        message("[poll]\ntrainning = \"5m\"\n"),
        "darkroom.toml:2:1: [poll] has no key `trainning`\n 2 | trainning = \"5m\"\n   | \
         ^^^^^^^^^\nhelp: did you mean `training`?"
    );
    assert_eq!(
        message("[polls]\n"),
        "darkroom.toml:1:2: there is no section `polls`\n 1 | [polls]\n   |  ^^^^^\nhelp: did you \
         mean [poll]?"
    );
    let help = |text: &str| message(text).rsplit_once("help: ").unwrap().1.to_owned();
    assert_eq!(help("[poll]\nsettle = \"5m\"\n"), "`settle` belongs below [doubt]");
    assert_eq!(help("[log]\nflag-after = \"5m\"\n"), "did you mean `flag_after` below [training]?");
    assert_eq!(help("[log]\nxyzzy = 1\n"), "the keys are format, level");
    assert_eq!(help("listen = \"127.0.0.1:1\"\n"), "move it below [daemon]");
    assert_eq!(help("poll = 5\n"), "write [poll] and its keys below it");
    assert!(help("xyzzy = 5\n").starts_with("the sections are vendor, daemon, poll, "));
}

#[test]
fn all_problems_are_reported_at_once() {
    let mut flags = Flags::default();
    flags.set("log.format", "--log-format", Some("xml".to_owned()));
    let error = with(
        "[poll]\njob = \"soon\"\n[limits]\nuploads = 0\n",
        &[("DARKROOM__POLL__JOBS", "5s"), ("DARKROOM__POLL__TRAINING", "5 minutes")],
        &flags,
    )
    .unwrap_err();
    let places: Vec<&str> =
        error.problems().iter().map(|problem| problem.split_once(": ").unwrap().0).collect();
    assert_eq!(
        places,
        [
            "darkroom.toml:2:7",
            "darkroom.toml:4:11",
            "DARKROOM__POLL__JOBS",
            "DARKROOM__POLL__TRAINING",
            "--log-format"
        ]
    );
}

#[test]
fn unknown_and_wrong_variables() {
    assert_eq!(
        env_message("DARKROOM__POLL__TRAINNING", "5m"),
        "DARKROOM__POLL__TRAINNING: no key has this variable\nhelp: did you mean \
         DARKROOM__POLL__TRAINING?"
    );
    assert_eq!(
        env_message("DARKROOM__POLL__JOB", "5 minutes"),
        "DARKROOM__POLL__JOB: `5 minutes` is not a duration: write a number and a unit, as in \
         300ms, 5s, 5m, 2h or 1d"
    );
    assert_eq!(
        env_message("DARKROOM__DOUBT__SETTLE", "never"),
        "DARKROOM__DOUBT__SETTLE: `never` is not a duration: write a number and a unit, as in \
         300ms, 5s, 5m, 2h or 1d, or auto"
    );
    assert_eq!(
        env_message("DARKROOM__DAEMON__ALLOW_REMOTE", "yes"),
        "DARKROOM__DAEMON__ALLOW_REMOTE: `yes` is not true or false"
    );
    assert_eq!(
        env_message("DARKROOM__SWEEP__EVERY", "0s"),
        "DARKROOM__SWEEP__EVERY: must be longer than 0"
    );
}

#[test]
fn wrong_types_of_the_file() {
    assert_eq!(
        message("[poll]\n\tjob = 5\n"),
        "darkroom.toml:2:8: `poll.job` must be text in quotes, as in \"5s\"; this is a number\n 2 \
         | \tjob = 5\n   | \t      ^"
    );
    let first = |text: &str| message(text).lines().next().unwrap().to_owned();
    assert_eq!(
        first("[limits]\nuploads = \"4\"\n"),
        "darkroom.toml:2:11: `limits.uploads` must be a whole number without quotes; this is text \
         in quotes"
    );
    assert_eq!(
        first("[account]\nexclusive = 1\n"),
        "darkroom.toml:2:13: `account.exclusive` must be \"auto\", true or false; this is a number"
    );
    assert_eq!(
        first("[catalogue]\nvideo_models = [1]\n"),
        "darkroom.toml:2:16: `catalogue.video_models` must be a list of texts, as in [\"one\", \
         \"two\"]; this is a list with something else in it"
    );
    assert!(from("[account]\nexclusive = false\n").is_ok());
    assert!(from("[limits]\nopen_jobs = 1_00\n").is_ok());
    assert!(first("[poll\n").starts_with("darkroom.toml:1:"));
    assert!(first("[poll]\njob = \"1s\"\njob = \"2s\"\n").starts_with("darkroom.toml:3:1: "));
}

#[test]
fn other_machines_are_let_in_only_on_purpose() {
    let remote = "[daemon]\nlisten = \"0.0.0.0:7878\"\n";
    assert_eq!(
        message(remote),
        "darkroom.toml:2:10: other machines could reach this address; if that is meant, also set \
         `allow_remote = true` in [daemon] (DARKROOM__DAEMON__ALLOW_REMOTE=true, or `darkroom serve --allow-remote`)\n 2 | listen = \
         \"0.0.0.0:7878\"\n   |          ^^^^^^^^^^^^^^"
    );
    let allowed = [("DARKROOM__DAEMON__ALLOW_REMOTE", "true")];
    assert!(with(remote, &allowed, &Flags::default()).is_ok());
    assert!(from("[daemon]\nlisten = \"localhost:0\"\n").is_ok());
    assert!(from("[daemon]\nlisten = \"[::1]:0\"\n").is_ok());
}

#[test]
fn durations_and_sizes() {
    let good =
        [("300ms", 300), ("5s", 5_000), ("5m", 300_000), ("2h", 7_200_000), ("1d", 86_400_000)];
    for (text, millis) in good {
        assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in
        ["", "5", "s", "-5s", "1.5h", "5S", "5 minutes", "5s ", "99999999999999999999s", "3651d"]
    {
        assert!(parse_duration(text).is_err(), "{text}");
    }
    use value::Setting;
    let good =
        [("7B", 7), ("1kB", 1_000), ("200MB", 200_000_000), ("2GiB", 2 << 30), ("1 mib", 1 << 20)];
    for (text, bytes) in good {
        assert_eq!(ByteSize::parse(text), Ok(ByteSize(bytes)), "{text}");
    }
    for text in ["", "5", "MB", "-1MB", "1.5GB", "1PB", "9999999TiB"] {
        assert!(ByteSize::parse(text).is_err(), "{text}");
    }
}

#[test]
fn the_data_directory_is_found_in_order() {
    let mut pairs = vec![("HOME", "/home/ann")];
    let mut flags = Flags::default();
    let found = |flags: &Flags, pairs: &[(&str, &str)]| {
        Paths::locate(flags, &env(pairs)).unwrap().data_dir().to_str().unwrap().to_owned()
    };
    assert_eq!(found(&flags, &pairs), "/home/ann/.local/share/darkroom");
    pairs.push(("XDG_DATA_HOME", "relative/is/ignored"));
    assert_eq!(found(&flags, &pairs), "/home/ann/.local/share/darkroom");
    pairs.push(("XDG_DATA_HOME", "/xdg"));
    assert_eq!(found(&flags, &pairs), "/xdg/darkroom");
    pairs.push(("STATE_DIRECTORY", "/var/lib/darkroom:/var/lib/other"));
    assert_eq!(found(&flags, &pairs), "/var/lib/darkroom");
    pairs.push(("DARKROOM_DATA_DIR", "/data"));
    assert_eq!(found(&flags, &pairs), "/data");
    flags.data_dir = Some("/flag".into());
    assert_eq!(found(&flags, &pairs), "/flag");
    assert_eq!(
        Paths::locate(&Flags::default(), &env(&[])).unwrap_err().to_string(),
        "data directory: there is no home folder to put it in\nhelp: name one with --data-dir or \
         DARKROOM_DATA_DIR"
    );
    let paths = Paths::new("/data");
    assert_eq!(paths.db(), Path::new("/data/darkroom.db"));
    assert_eq!(paths.lock(), Path::new("/data/darkroom.lock"));
}

#[test]
fn the_file_is_found_in_order_and_must_exist_when_named() {
    let mut pairs = vec![("HOME", "/home/ann")];
    let mut flags = Flags::default();
    let found = |flags: &Flags, pairs: &[(&str, &str)]| {
        Config::file(flags, &env(pairs)).unwrap().to_str().unwrap().to_owned()
    };
    assert_eq!(found(&flags, &pairs), "/home/ann/.config/darkroom/darkroom.toml");
    assert_eq!(Config::load(&flags, &env(&pairs)).unwrap(), Config::default());
    pairs.push(("CONFIGURATION_DIRECTORY", "/etc/darkroom"));
    assert_eq!(found(&flags, &pairs), "/etc/darkroom/darkroom.toml");
    pairs.push(("DARKROOM_CONFIG", "/nowhere/d.toml"));
    assert_eq!(
        Config::load(&flags, &env(&pairs)).unwrap_err().to_string(),
        "DARKROOM_CONFIG: `/nowhere/d.toml` cannot be read: No such file or directory (os error 2)"
    );
    flags.config = Some("/nowhere/f.toml".into());
    assert!(Config::load(&flags, &env(&pairs)).unwrap_err().to_string().starts_with("--config: "));
}

#[test]
fn names_and_the_public_address() {
    let hosts = |text: &str| from(&format!("[daemon]\nallowed_hosts = [{text}]\n"));
    let config = hosts("\"Photos.example\", \"[::1]:8443\"").unwrap();
    let names: Vec<&str> = config.daemon.allowed_hosts.iter().collect();
    assert_eq!(names, ["photos.example", "[::1]:8443"]);
    for wrong in ["*.example", "https://a.example", "a.example/x", "a b", "u@a.example", "a:99999"]
    {
        let error = hosts(&format!("\"{wrong}\"")).unwrap_err().to_string();
        assert!(error.contains("is not a host"), "{wrong}: {error}");
    }
    let public = |text: &str| from(&format!("[daemon]\npublic_url = \"{text}\"\n"));
    let config = public("https://photos.example:8443").unwrap();
    assert_eq!(config.daemon.public_url.url().unwrap().port(), Some(8443));
    for wrong in ["photos.example", "ftp://a.example", "https://u:p@a.example", "https://a/x"] {
        let error = public(wrong).unwrap_err().to_string();
        assert!(error.contains("not an address of a site"), "{wrong}: {error}");
    }
}
