//! Imports point one way, SQL and vendor HTTP have one home each, and nobody moves a row but
//! `store/apply`. Read from the sources, so that a drawing in a document cannot drift from them.

use std::path::{Path, PathBuf};

/// Who may import whom. `cli` names the simulator and the vendor for their arguments and for
/// questions that cost nothing (`presets`, `doctor`, `release`); it never sends an effect.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("domain", &["domain"]),
    ("clock", &["domain"]),
    ("telemetry", &[]),
    ("config", &["config", "clock", "domain", "telemetry"]),
    ("files", &["files", "domain"]),
    ("store", &["store", "domain", "clock"]),
    ("vendor", &["vendor", "domain"]),
    ("engine", &["engine", "store", "vendor", "files", "domain", "config", "clock"]),
    ("service", &["service", "engine", "store", "files", "domain", "config", "clock"]),
    ("http", &["http", "service", "engine", "store", "files", "domain", "config", "clock"]),
    (
        "cli",
        &[
            "cli",
            "http",
            "service",
            "engine",
            "store",
            "vendor",
            "files",
            "domain",
            "config",
            "clock",
            "telemetry",
            "simulator",
        ],
    ),
    ("simulator", &["simulator"]),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Every source file with its first path component below `src` (`store`, `clock` ...).
fn modules() -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&src)
        .into_iter()
        .map(|path| {
            let below = path.strip_prefix(&src).unwrap();
            let first = below.components().next().unwrap().as_os_str().to_string_lossy();
            let module = first.trim_end_matches(".rs").to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            (module, path, text)
        })
        .collect()
}

/// The code of a file: comments and everything from its test module on left out.
fn code(text: &str) -> String {
    let body = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    body.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn imports_point_one_way() {
    let mut wrong = Vec::new();
    for (module, path, text) in modules() {
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
            assert!(["app", "main", "lib"].contains(&module.as_str()), "a new module: {module}");
            continue;
        };
        for part in code(&text).split("crate::").skip(1) {
            let name: String =
                part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if !name.is_empty() && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{} imports {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_domain_is_pure() {
    for (module, path, text) in modules() {
        if module != "domain" || path.to_string_lossy().contains("tests") {
            continue;
        }
        for banned in [
            "std::fs",
            "std::io",
            "SystemTime",
            "Instant",
            "tokio",
            "sqlx",
            "reqwest",
            "now_v7",
            "async ",
        ] {
            assert!(!code(&text).contains(banned), "{} uses {banned}", path.display());
        }
    }
}

#[test]
fn sql_and_vendor_http_have_one_home_each() {
    for (module, path, text) in modules() {
        let code = code(&text);
        if module != "store" {
            assert!(!code.contains("sqlx::"), "{} speaks SQL", path.display());
        }
        // The demo reads the simulator's ledger; the health command asks the daemon.
        if !["vendor", "simulator", "app", "cli"].contains(&module.as_str()) {
            assert!(!code.contains("reqwest::"), "{} speaks HTTP", path.display());
        }
    }
}

#[test]
fn one_place_moves_a_row() {
    for (_, path, text) in modules() {
        let code = code(&text);
        // The simulation of the core is a test: it has a model of the store.
        if ["test", "src/domain/simulation/"].iter().any(|of| path.to_string_lossy().contains(of)) {
            continue;
        }
        let name = path.to_string_lossy().replace('\\', "/");
        if code.contains(".evolve(") {
            assert!(name.ends_with("src/store/apply.rs"), "{name} evolves a row");
        }
        if code.contains("tx.store(&") {
            assert!(name.ends_with("src/store/apply.rs"), "{name} writes a lifecycle back");
        }
    }
}

#[test]
fn files_stay_readable() {
    let mut long: Vec<String> = modules()
        .into_iter()
        .filter(|(_, path, _)| !path.to_string_lossy().contains("test"))
        .map(|(_, path, text)| (text.lines().count(), path))
        .filter(|(lines, _)| *lines > 750)
        .map(|(lines, path)| format!("{lines} {}", path.display()))
        .collect();
    long.sort();
    assert!(long.is_empty(), "split these: {long:#?}");
}
