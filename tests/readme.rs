//! What the documents say is true: their commands parse, their links lead somewhere, their tables
//! are the program's own, and the tour works as pasted.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_darkroom");
const DOCUMENTS: [&str; 7] = [
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "docs/gateway.md",
    "docs/api.md",
    "docs/deciding.md",
    "docs/performance.md",
];
/// The tour takes about half a minute; longer than this it hangs.
const PATIENCE: Duration = Duration::from_secs(180);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// The part of a document below a heading, up to the next one of the same level.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let (_, below) = text.split_once(&format!("\n## {heading}\n")).unwrap();
    below.split_once("\n## ").map_or(below, |(body, _)| body)
}

/// The fenced blocks of a language, whole.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let parts = text.split(&fence).skip(1);
    parts.map(|part| part.split("\n```").next().unwrap().to_owned()).collect()
}

/// The fenced shell blocks.
fn shell_blocks(text: &str) -> Vec<String> {
    blocks(text, "sh")
}

/// Everything in single backticks outside of fenced blocks.
fn inline_code(text: &str) -> Vec<String> {
    let prose: Vec<&str> = text.split("```").step_by(2).collect();
    let spans = prose.iter().flat_map(|part| part.split('`').skip(1).step_by(2));
    spans.map(str::to_owned).collect()
}

/// The words of a command as a shell would split them; ends at `#`, `&`, `|` and `)`.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, '&' | '|' | ')') => break,
            (None, '#') if word.is_none() => break,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The arguments of every `darkroom` command in a line of shell.
fn commands(line: &str) -> Vec<Vec<String>> {
    let starts = line.match_indices("darkroom ").filter(|(at, _)| {
        let before = &line[..*at];
        before.is_empty() || before.ends_with("$(") || before.ends_with(" darkroom ")
    });
    starts.map(|(at, _)| words(&line[at..]).split_off(1)).collect()
}

/// The real program, with nothing of this shell's settings.
fn program(args: &[String]) -> Output {
    let mut command = Command::new(PROGRAM);
    without_settings(&mut command);
    command.args(args).output().unwrap()
}

fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("DARKROOM") || text.starts_with("PHOTOGPT") {
            command.env_remove(&name);
        }
    }
    command.env_remove("RUST_LOG").stdin(Stdio::null());
}

/// Whether the program knows the command and each of its options; nothing is done.
fn parses(args: &[String]) -> bool {
    // `help TOPIC` is a command that takes no options.
    if args.first().is_some_and(|word| word == "help") {
        return program(args).status.success();
    }
    let args: Vec<String> = args.iter().cloned().chain(["--help".to_owned()]).collect();
    program(&args).status.success()
}

#[test]
fn every_command_exists_with_its_options() {
    let mut seen = BTreeSet::new();
    for name in DOCUMENTS {
        let text = document(name);
        let lines = shell_blocks(&text).join("\n");
        let spans = inline_code(&text);
        let all = lines.lines().chain(spans.iter().map(String::as_str)).flat_map(commands);
        for args in all {
            assert!(parses(&args), "{name}: darkroom {}", args.join(" "));
            seen.extend(args.into_iter().next());
        }
    }
    assert!(seen.len() > 15, "only these commands were found: {seen:?}");
    for wrong in ["train --nope", "trian", "ls everything", "simulate --speed fast"] {
        assert!(!parses(&words(wrong)), "this check can fail: {wrong}");
    }
}

/// The headings of a document as links name them.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with("##"));
    let slug = |line: &str| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(slug).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut links = 0;
    for name in DOCUMENTS {
        let text = document(name);
        for part in text.split("](").skip(1) {
            let link = part.split(')').next().unwrap();
            if link.starts_with("https://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let here = root().join(name);
            let file = match file {
                "" => here,
                file => here.parent().unwrap().join(file),
            };
            assert!(file.exists(), "{name} links to {link}");
            if !anchor.is_empty() {
                let known = anchors(&std::fs::read_to_string(&file).unwrap());
                assert!(known.iter().any(|one| one == anchor), "{name} links to {link}: {known:?}");
            }
            links += 1;
        }
    }
    assert!(links > 20, "only {links} links were found");
}

#[test]
fn the_code_map_is_the_code() {
    let map = document("ARCHITECTURE.md");
    let spans = inline_code(&map);
    let mut paths = 0;
    for span in &spans {
        let known = ["src/", "tests/", "migrations/", "config/", "scripts/", ".ci/"];
        if known.iter().any(|folder| span.starts_with(folder)) && !span.contains(['*', '{', '<']) {
            assert!(root().join(span).exists(), "ARCHITECTURE.md names {span}");
            paths += 1;
        }
    }
    assert!(paths > 30, "only {paths} paths were found");
    for entry in std::fs::read_dir(root().join("src")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path =
            if entry.path().is_dir() { format!("src/{name}/") } else { format!("src/{name}") };
        assert!(spans.contains(&path), "ARCHITECTURE.md does not name {path}");
    }
}

/// The rows of the first table of a section, cells without backticks; the head left out.
fn table(text: &str) -> Vec<Vec<String>> {
    let rows = text.lines().filter(|line| line.starts_with('|')).skip(2);
    let cells = |line: &str| {
        line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect()
    };
    rows.map(cells).collect()
}

#[test]
fn the_configuration_table_has_the_defaults() {
    let readme = document("README.md");
    let empty = tempfile::tempdir().unwrap();
    let file = empty.path().join("darkroom.toml");
    std::fs::write(&file, "").unwrap();
    let args = ["config", "show", "--json", "--config", file.to_str().unwrap()];
    let output = program(&args.map(str::to_owned));
    let known: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = table(section(&readme, "Configuration"));
    assert!(rows.len() >= 8, "{rows:?}");
    for row in rows {
        let value = &known[&row[0]]["value"];
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert_eq!(row[1], value, "{}", row[0]);
    }
}

#[test]
fn the_exit_codes_are_those_of_the_help() {
    let readme = document("README.md");
    let help = program(&words("help exit-codes"));
    let help = String::from_utf8(help.stdout).unwrap();
    let first = |line: &str| line.split_whitespace().next().unwrap_or("").to_owned();
    let number = |word: &String| word.parse::<u8>().is_ok();
    let in_help: Vec<String> = help.lines().map(first).filter(number).collect();
    let rows = table(section(&readme, "Exit codes"));
    let in_readme: Vec<String> = rows.into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(in_readme, in_help);
}

/// A shell in a process group of its own, so that what it leaves behind goes with it.
struct Shell(Child);

impl Shell {
    fn start(script: &str, folder: &Path, log: &Path) -> Self {
        let out = std::fs::File::create(log).unwrap();
        let mut command = Command::new("bash");
        without_settings(&mut command);
        command
            .args(["-euo", "pipefail", "-c", script])
            .current_dir(root())
            .env("HOME", folder)
            .env("XDG_CONFIG_HOME", folder)
            .env("DARKROOM_LISTEN", "127.0.0.1:0")
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .process_group(0);
        Self(command.spawn().unwrap())
    }

    /// Waits for the end; answers whether it was a good one.
    fn wait(&mut self) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}

/// The README's own lines, with another port, folder and program, and a faster vendor.
fn adapted(block: &str, folder: &Path, port: u16) -> String {
    let program = PathBuf::from(PROGRAM);
    let replaced = [
        ("$PWD/target/release", program.parent().unwrap().to_str().unwrap().to_owned()),
        ("/tmp/darkroom-tour", folder.join("data").to_str().unwrap().to_owned()),
        ("127.0.0.1:7879", format!("127.0.0.1:{port}")),
        (
            "darkroom simulate --speed 130",
            format!("darkroom simulate --listen 127.0.0.1:{port} --speed 400"),
        ),
    ];
    let replace = |text: String, (from, to): &(&str, String)| text.replace(from, to);
    replaced.iter().fold(block.to_owned(), replace)
}

#[test]
fn the_tour_works_as_pasted() {
    let readme = document("README.md");
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let tour = shell_blocks(section(&readme, "A five-minute tour"));
    let database = shell_blocks(section(&readme, "Look into the database"));
    let [both, first, second @ ..] = tour.as_slice() else { panic!("the tour has no blocks") };
    assert!(second.len() >= 4 && database.len() == 1);
    let script = |blocks: &[String]| {
        let all = [&[both.clone()][..], blocks].concat().join("\n");
        adapted(&all, folder.path(), port)
    };
    let (servers, commands) = (folder.path().join("first"), folder.path().join("second"));
    let _servers = Shell::start(&script(std::slice::from_ref(first)), folder.path(), &servers);
    let typed = [second, &database].concat();
    let ended_well = Shell::start(&script(&typed), folder.path(), &commands).wait();
    let said = std::fs::read_to_string(&commands).unwrap();
    let served = std::fs::read_to_string(&servers).unwrap();
    assert!(ended_well, "--- second terminal\n{said}\n--- first terminal\n{served}");
    for shown in ["\tin_doubt\t", "\tfound\t", ".jpg", ".mp4", "nothing is stored or paid for"] {
        assert!(said.contains(shown), "{shown} is not shown by:\n{said}");
    }
}

/// A simulated vendor and a daemon on ports of their own; they end with the test.
struct Servers {
    folder: tempfile::TempDir,
    log: PathBuf,
    _shell: Shell,
    vendor: u16,
    daemon: u16,
}

/// What every script of these tests begins with.
fn environment(folder: &Path, vendor: u16) -> String {
    let programs = Path::new(PROGRAM).parent().unwrap();
    format!(
        "export PATH={}:\"$PATH\" PHOTOGPT_API_KEY=key PHOTOGPT_BASE_URL=http://127.0.0.1:{vendor}/api\n\
         export DARKROOM_DATA_DIR={} DARKROOM__POLL__TRAINING=500ms DARKROOM__POLL__JOB=100ms\n",
        programs.display(),
        folder.join("data").display(),
    )
}

impl Servers {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let (vendor, daemon) = (port(), port());
        let log = folder.path().join("servers");
        let script = format!(
            "{}darkroom simulate --listen 127.0.0.1:{vendor} --speed 400 &\n\
             darkroom serve --listen 127.0.0.1:{daemon}\n",
            environment(folder.path(), vendor)
        );
        let shell = Shell::start(&script, folder.path(), &log);
        Self { _shell: shell, folder, log, vendor, daemon }
    }

    /// Runs this in a shell of its own once the daemon is up; answers what it said.
    fn run(&self, script: &str) -> String {
        let ready = "until darkroom health >/dev/null 2>&1; do sleep 0.1; done\n";
        let begin = environment(self.folder.path(), self.vendor) + ready;
        let script = script.replace("127.0.0.1:7878", &format!("127.0.0.1:{}", self.daemon));
        let log = self.folder.path().join("typed");
        let good = Shell::start(&(begin + &script), self.folder.path(), &log).wait();
        let said = std::fs::read_to_string(&log).unwrap();
        let served = std::fs::read_to_string(&self.log).unwrap();
        assert!(good, "--- typed\n{script}\n--- said\n{said}\n--- servers\n{served}");
        said
    }
}

/// A program with the lines of a diff replaced.
fn patched(program: &str, diff: &str) -> String {
    let lines = |sign: char| diff.lines().filter_map(move |line| line.strip_prefix(sign));
    lines('-').zip(lines('+')).fold(program.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "the program has no line {old}");
        text.replace(old, new)
    })
}

/// The programs of the page on the gateway: for the vendor, and for darkroom with two lines changed.
#[test]
fn two_changed_lines_are_enough() {
    let page = document("docs/gateway.md");
    let servers = Servers::start();
    let diffs = blocks(&page, "diff");
    let programs = [("python", "program.py"), ("js", "program.mjs")];
    assert_eq!(diffs.len(), programs.len());
    let token = shell_blocks(&page).remove(0);
    for ((language, file), diff) in programs.into_iter().zip(diffs) {
        assert_eq!(diff.lines().count(), 4, "two lines change");
        let before = blocks(&page, language).remove(0);
        let after = patched(&before, &diff);
        let vendor = format!("http://127.0.0.1:{}/api", servers.vendor);
        for program in [before.replace("https://developer.photogptai.com/api", &vendor), after] {
            // The program is as shown, but for its patience.
            let program = program.replace("sleep(5)", "sleep(0.1)").replace("5000", "100");
            let program =
                program.replace("127.0.0.1:7878", &format!("127.0.0.1:{}", servers.daemon));
            std::fs::write(servers.folder.path().join(file), program).unwrap();
            let said = servers.run(&format!(
                "{token}\n\
                 python=python3; $python -c 'import requests' 2>/dev/null || python=/usr/bin/python3\n\
                 cd \"$HOME\"\n\
                 case {file} in *.py) $python {file} ;; *) node {file} ;; esac\n"
            ));
            assert!(said.contains("lighthouse.png, "), "{said}");
        }
    }
}

/// The page on the native API, pasted from start to end.
#[test]
fn the_page_on_the_native_api_works_as_pasted() {
    let page = document("docs/api.md");
    let typed = shell_blocks(&page);
    assert!(typed.len() > 8, "only {} blocks were found", typed.len());
    let said = Servers::start().run(&typed.join("\n"));
    for shown in ["text/event-stream", "ftyp", "did you mean `prompt`?", "\"balances\": true"] {
        assert!(said.contains(shown), "{shown} is not shown by:\n{said}");
    }
}
