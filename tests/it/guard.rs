//! Who may come in: every route, and every path where there is none, refuses the same requests in
//! the same way.

use crate::support::{PATIENCE, World, eventually};
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

/// Every route, and some paths that nothing is served under.
const ROUTES: &[(&str, &str)] = &[
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/api/no-such-path"),
    ("POST", "/v1/no-such-path"),
    ("DELETE", "/v1"),
    ("GET", "/"),
    ("POST", "/media/x"),
    ("OPTIONS", "/healthz"),
    ("PUT", "/../healthz"),
];

/// The vendor's API, with the scope that each call needs.
const GATEWAY: &[(&str, &str, &str)] = &[
    ("GET", "/api/ping", "read"),
    ("GET", "/api/models", "read"),
    ("GET", "/api/models/x", "read"),
    ("GET", "/api/models/x/images", "read"),
    ("GET", "/api/images/x", "read"),
    ("GET", "/api/jobs", "read"),
    ("GET", "/api/jobs/x", "read"),
    ("GET", "/api/videos", "read"),
    ("GET", "/api/videos/x", "read"),
    ("GET", "/api/videos/x/create-download", "read"),
    ("GET", "/api/videos/x/download", "read"),
    ("GET", "/api/presets", "read"),
    ("POST", "/api/models", "submit"),
    ("GET", "/api/models/x/train", "submit"),
    ("HEAD", "/api/models/x/train", "submit"),
    ("POST", "/api/images/upload", "submit"),
    ("POST", "/api/images/generation", "submit"),
    ("POST", "/api/images/upscaling", "submit"),
    ("POST", "/api/videos/generation", "submit"),
    ("DELETE", "/api/models/x", "admin"),
    ("DELETE", "/api/images/x", "admin"),
    ("DELETE", "/api/videos/x", "admin"),
];

/// Every route of the daemon: those of the native API are in its own document.
fn routes(world: &World) -> Vec<(String, String)> {
    let own = |(method, path): (&str, &str)| (method.to_owned(), path.to_owned());
    let mut all: Vec<_> = ROUTES.iter().copied().map(own).collect();
    // An answer to HEAD has no body to look into.
    let gateway = GATEWAY.iter().filter(|(method, ..)| *method != "HEAD");
    all.extend(gateway.map(|(method, path, _)| own((*method, *path))));
    let document = world.get("/v1/openapi.json");
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 20, "{document}");
    for (path, methods) in paths {
        let path = path.replace(['{', '}'], "");
        let known = ["get", "post", "put", "patch", "delete", "head"];
        let methods = methods.as_object().unwrap().keys().filter(|m| known.contains(&m.as_str()));
        all.extend(methods.map(|method| (method.to_uppercase(), path.clone())));
    }
    all
}

/// An answer as it came over the wire.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    /// The sentence for people, wherever the form of this path has it.
    fn sentence(&self, path: &str) -> String {
        let body = self.json();
        let gateway = path.starts_with("/api/");
        let (form, field) = match gateway {
            true => ("application/json", "message"),
            false => ("application/problem+json", "detail"),
        };
        assert_eq!(self.header("content-type"), Some(form), "{path}: {}", self.head);
        if gateway {
            assert_eq!(body["status"], "NOK", "{path}");
            assert_eq!(body["result"], Value::Null, "{path}");
            assert!(body["err"].is_string(), "{path}");
        } else {
            assert_eq!(body["status"], self.status, "{path}");
            assert!(body["title"].is_string(), "{path}");
        }
        body[field].as_str().unwrap().to_owned()
    }
}

/// What is wrong, the status, headers and body.
type Case<'a> = (&'a str, u16, &'a [(&'a str, &'a str)], &'a str);

fn connect(world: &World) -> TcpStream {
    let address = world.daemon().address.strip_prefix("http://").unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn port(world: &World) -> u16 {
    world.daemon().address.rsplit_once(':').unwrap().1.parse().unwrap()
}

fn parse(answer: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut body = body.to_owned();
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        let pieces: Vec<&str> = body.split("\r\n").skip(1).step_by(2).collect();
        body = pieces.concat();
    }
    Answer { status, head: head.to_owned(), body }
}

/// Sends exactly these headers and this body, and reads until the end.
fn ask(world: &World, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = connect(world);
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        request += &format!("Content-Length: {}\r\n", body.len());
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    parse(&answer)
}

#[test]
fn every_route_refuses_the_same_in_the_same_way() {
    let world = World::started(&[], "");
    let host = format!("127.0.0.1:{}", port(&world));
    let bearer = format!("Bearer {}", world.token("admin"));
    let wrong = format!("Bearer {}", "0".repeat(64));
    let (host, token) = (("Host", host.as_str()), ("Authorization", bearer.as_str()));
    let text = ("Content-Type", "text/plain");
    let cases: &[Case<'_>] = &[
        ("no token", 401, &[host], ""),
        ("wrong token", 401, &[host, ("Authorization", &wrong)], ""),
        ("another scheme", 401, &[host, ("Authorization", "Basic eDp5")], ""),
        ("two tokens", 401, &[host, token, token], ""),
        ("no Host", 403, &[token], ""),
        ("two Hosts", 403, &[host, host, token], ""),
        ("foreign Host", 403, &[("Host", "evil.example"), token], ""),
        ("foreign Host, no token", 403, &[("Host", "evil.example")], ""),
        ("foreign Origin", 403, &[host, token, ("Origin", "http://evil.example")], ""),
        ("Origin null", 403, &[host, token, ("Origin", "null")], ""),
        ("another port's page", 403, &[host, token, ("Origin", "http://127.0.0.1:1")], ""),
        ("cross-site", 403, &[host, token, ("Sec-Fetch-Site", "cross-site")], ""),
        ("same-site", 403, &[host, token, ("Sec-Fetch-Site", "same-site")], ""),
        ("text/plain body", 415, &[host, token, text], "{}"),
        ("body without type", 415, &[host, token], "{}"),
    ];
    let routes = routes(&world);
    for (what, status, headers, body) in cases {
        let mut sentences = std::collections::BTreeSet::new();
        for (method, path) in &routes {
            let answer = ask(&world, method, path, headers, body);
            assert_eq!(answer.status, *status, "{what}: {method} {path}: {}", answer.body);
            sentences.insert(answer.sentence(path));
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
            assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
            assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
            let challenge = (*status == 401).then_some("Bearer");
            assert_eq!(answer.header("www-authenticate"), challenge, "{path}");
        }
        assert_eq!(sentences.len(), 1, "{what}: {sentences:?}");
    }
}

#[test]
fn a_token_opens_no_more_than_its_scope() {
    let world = World::started(&[], "");
    let host = format!("127.0.0.1:{}", port(&world));
    let scopes = ["read", "submit", "admin"];
    for (has, scope) in scopes.iter().enumerate() {
        let bearer = format!("Bearer {}", world.token(scope));
        let headers =
            [("Host", host.as_str()), ("Authorization", bearer.as_str()), ("API-Version", "1")];
        for (method, path, needs) in GATEWAY {
            let answer = ask(&world, method, path, &headers, "");
            let enough = scopes.iter().position(|one| one == needs).unwrap() <= has;
            assert_eq!(answer.status != 403, enough, "{scope}: {method} {path}: {}", answer.body);
            if !enough && *method != "HEAD" {
                assert!(answer.sentence(path).contains(needs), "{}", answer.body);
            }
        }
    }
    assert_eq!(world.sql("select count(*) from events").as_deref(), Some("0"));
}

#[test]
fn what_is_not_there_has_the_form_of_its_area_too() {
    let world = World::started(&[], "");
    let host = format!("localhost:{}", port(&world));
    let bearer = format!("Bearer {}", world.token("admin"));
    let headers = [("Host", host.as_str()), ("Authorization", bearer.as_str())];
    for path in ["/api/no-such-path", "/v1/no-such-path", "/%ff", "/media/no-such-file"] {
        let answer = ask(&world, "GET", path, &headers, "");
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.sentence(path).is_empty());
    }
    let answer = ask(&world, "DELETE", "/healthz", &headers, "");
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("allow"), Some("GET,HEAD"));
    assert!(answer.sentence("/healthz").contains("allowed are GET,HEAD"));
    assert_eq!(ask(&world, "TRACE", "/healthz", &headers, "").status, 405);
    let head = ask(&world, "HEAD", "/healthz", &headers, "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    // A target with the whole address is for us only if it agrees with Host.
    let foreign = ask(&world, "GET", "http://evil.example/healthz", &headers, "");
    assert_eq!(foreign.status, 403);
    let ours = ask(&world, "GET", &format!("http://{host}/healthz"), &headers, "");
    assert_eq!(ours.status, 200);
}

#[test]
fn a_token_that_is_rotated_counts_at_once() {
    let world = World::started(&[], "");
    let host = format!("localhost:{}", port(&world));
    let status = |token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("Host", host.as_str()), ("Authorization", bearer.as_str())];
        ask(&world, "GET", "/healthz", &headers, "").status
    };
    for scope in ["read", "submit", "admin"] {
        let old = world.token(scope);
        assert_eq!(status(&old), 200, "{scope}");
        let printed = world.json(&["token", "--scope", scope], 0);
        assert_eq!(printed["token"], old);
        assert_eq!(printed["scope"], scope);
        let new = world.json(&["token", "--scope", scope, "--rotate"], 0);
        let new = new["token"].as_str().unwrap();
        assert_eq!((status(new), status(&old)), (200, 401), "{scope}");
    }
    // What is printed without a scope is the admin's.
    let plain = world.run(&["token"]);
    assert_eq!(String::from_utf8(plain.stdout).unwrap().trim(), world.token("admin"));
    assert_eq!(world.run(&["token", "--scope", "root"]).status.code(), Some(2));
}

#[test]
fn a_token_open_to_others_stops_the_start() {
    use std::os::unix::fs::PermissionsExt;
    let mut world = World::started(&[], "");
    world.stop();
    let path = world.data().join("token.submit");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let refused = world.run(&["serve", "--listen", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("token.submit") && said.contains("chmod 600"), "{said}");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    world.serve();
    assert_eq!(world.json(&["health"], 0)["ok"], true);
}

#[test]
fn other_machines_only_on_demand_and_only_with_a_token() {
    let mut world = World::new(&[]);
    let refused = world.run(&["serve", "--listen", "0.0.0.0:0"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("--allow-remote"), "{said}");
    world.serve_with(&["--listen", "0.0.0.0:0", "--allow-remote"]);
    let host = format!("127.0.0.1:{}", port(&world));
    assert_eq!(ask(&world, "GET", "/healthz", &[("Host", &host)], "").status, 401);
    let bearer = format!("Bearer {}", world.token("read"));
    let headers = [("Host", host.as_str()), ("Authorization", bearer.as_str())];
    assert_eq!(ask(&world, "GET", "/healthz", &headers, "").status, 200);
    let everywhere = format!("0.0.0.0:{}", port(&world));
    let headers = [("Host", everywhere.as_str()), ("Authorization", bearer.as_str())];
    assert_eq!(ask(&world, "GET", "/healthz", &headers, "").status, 403);
    assert_eq!(world.json(&["health"], 0)["ok"], true);
}

#[test]
fn names_behind_a_proxy() {
    let daemon = "[daemon]\nallowed_hosts = [\"photos.example\"]\n\
                  public_url = \"https://public.example\"\n";
    let world = World::started(&[], daemon);
    let bearer = format!("Bearer {}", world.token("read"));
    let status = |host: &str, origin: &str| {
        let headers = [("Host", host), ("Authorization", &bearer), ("Origin", origin)];
        ask(&world, "GET", "/healthz", &headers, "").status
    };
    assert_eq!(status("photos.example", "https://photos.example"), 200);
    assert_eq!(status("public.example", "https://public.example"), 200);
    assert_eq!(status("public.example", "https://photos.example"), 403);
    assert_eq!(status("evil.example", "https://evil.example"), 403);
}

/// Half-open connections: some with half a line, some with nothing.
fn half_open(world: &World, count: usize) -> Vec<TcpStream> {
    (0..count)
        .map(|number| {
            let mut stream = connect(world);
            if number % 2 == 0 {
                // Beyond `max_connections` it may be closed already.
                let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHos");
            }
            stream.set_nonblocking(true).unwrap();
            stream
        })
        .collect()
}

fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 256]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

fn half_open_sockets_are_gone(world: &World) {
    let mut sockets = half_open(world, 200);
    // Somebody honest is answered all the while.
    assert_eq!(world.get("/healthz")["status"], "ok");
    eventually("all half-open sockets are closed", || {
        sockets.retain_mut(|socket| !is_closed(socket));
        sockets.is_empty().then_some(())
    });
    assert_eq!(world.get("/healthz")["status"], "ok");
}

#[test]
fn half_open_sockets_die_and_keep_nobody_out() {
    half_open_sockets_are_gone(&World::started(&[], ""));
}

#[test]
fn half_open_sockets_make_room_where_there_is_little() {
    half_open_sockets_are_gone(&World::started(&[], "[daemon]\nmax_connections = 20\n"));
}

/// The daemon's resident memory, in KiB.
fn memory(world: &World) -> u64 {
    let status = format!("/proc/{}/status", world.daemon().pid());
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Sends up to a gigabyte, as a client does that reads the answer only afterwards, and says how
/// much went out and what came back.
fn flood(world: &World, path: &str, kind: &str, chunked: bool) -> (u64, Answer) {
    const WHOLE: u64 = 1 << 30;
    let mut stream = connect(world);
    let length = match chunked {
        true => "Transfer-Encoding: chunked".to_owned(),
        false => format!("Content-Length: {WHOLE}"),
    };
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: {kind}\r\n{length}\r\n\r\n",
        world.token("admin")
    );
    stream.write_all(head.as_bytes()).unwrap();
    let block = vec![b'x'; 1 << 20];
    let mut sent = 0;
    while sent < WHOLE {
        let framed = match chunked {
            true => [format!("{:x}\r\n", block.len()).as_bytes(), &block, b"\r\n"].concat(),
            false => block.clone(),
        };
        if stream.write_all(&framed).is_err() {
            break;
        }
        sent += block.len() as u64;
    }
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        answer.extend_from_slice(&piece[..read]);
    }
    (sent, parse(&answer))
}

#[test]
fn a_gigabyte_is_cut_off_and_costs_no_memory() {
    let world = World::started(&[], "");
    let _ = world.get("/healthz");
    let before = memory(&world);
    for (path, kind) in [
        ("/api/models/x/images/upload", "multipart/form-data; boundary=b"),
        ("/api/models", "application/json"),
        ("/v1/no-such-path", "application/json"),
        ("/v1/no-such-path", "text/plain"),
    ] {
        for chunked in [false, true] {
            let (sent, answer) = flood(&world, path, kind, chunked);
            assert!(sent < 1 << 30, "{path}: all of it was taken");
            // Where nothing reads the body, that there is nothing goes before its length.
            let expected: &[u16] = match kind {
                "text/plain" => &[415],
                _ if chunked => &[413, 404, 400, 428],
                _ => &[413],
            };
            assert!(expected.contains(&answer.status), "{path} {chunked}: {}", answer.head);
            assert_eq!(answer.header("connection"), Some("close"), "{path} {chunked}");
            assert!(!answer.sentence(path).is_empty());
        }
    }
    let grown = memory(&world).saturating_sub(before);
    assert!(grown < 64 * 1024, "it grew by {grown} KiB");
    assert_eq!(world.get("/healthz")["status"], "ok");
}

#[test]
fn a_little_too_much_is_answered_and_read_to_the_end() {
    let world = World::started(&[], "");
    let mut stream = connect(&world);
    let body = "x".repeat(2 << 20);
    let head = format!(
        "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        world.token("submit"),
        body.len()
    );
    // Every byte can be written, and only then the answer is read.
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = parse(&answer);
    assert_eq!(answer.status, 413);
    assert!(answer.sentence("/v1/x").contains("1048576"), "{}", answer.body);
}

#[test]
fn a_connection_goes_on_after_a_small_refused_body() {
    let world = World::started(&[], "");
    let mut stream = connect(&world);
    let head = format!("Host: localhost\r\nAuthorization: Bearer {}\r\n", world.token("read"));
    let refused = format!(
        "POST /v1/x HTTP/1.1\r\n{head}Content-Type: text/plain\r\nContent-Length: 5\r\n\r\n"
    );
    stream.write_all(refused.as_bytes()).unwrap();
    stream.write_all(b"hello").unwrap();
    let next = format!("GET /healthz HTTP/1.1\r\n{head}Connection: close\r\n\r\n");
    stream.write_all(next.as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert!(answers.starts_with("HTTP/1.1 415 "), "{answers}");
    assert!(answers.contains("HTTP/1.1 200 OK"), "{answers}");
}

fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// A job as the vendor's API shows it.
fn record(world: &World, id: &str) -> Value {
    let host = format!("127.0.0.1:{}", port(world));
    let bearer = format!("Bearer {}", world.token("read"));
    let headers = [("Host", host.as_str()), ("Authorization", &bearer), ("API-Version", "1")];
    let answer = ask(world, "GET", &format!("/api/jobs/{id}"), &headers, "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["result"].clone()
}

#[test]
fn secrets_are_nowhere() {
    let mut world = World::new(&[]);
    world.key = "canary-5f2c9e-vendor-key".to_owned();
    // Everything that any part of the program would log.
    world.env.push(("RUST_LOG".to_owned(), "trace".to_owned()));
    world.serve();
    let photos = crate::support::photos();
    let person = ["--name", "Canary", "--age", "30", "--gender", "Male", "--wait"];
    let train = [&["train", "--images", photos.to_str().unwrap()][..], &person].concat();
    let model = world.json(&train, 0);
    let model = model["id"].as_str().unwrap();
    let job = world.json(&["image", "--model", model, "--prompt", "at sea", "--wait"], 0);
    assert_eq!(job["state"], "succeeded");

    let id = job["id"].as_str().unwrap();
    let mut secrets = vec![world.key.clone()];
    secrets.extend(["read", "submit", "admin"].map(|scope| world.token(scope)));
    let mut places: Vec<(String, Vec<u8>)> = Vec::new();
    let looks = [
        "/metrics",
        "/readyz",
        "/healthz",
        "/api/x",
        "/v1/x",
        "/v1/info",
        "/v1/health",
        "/v1/ledger",
        "/v1/events?limit=500",
        "/v1/models",
        "/v1/jobs",
        "/v1/outputs",
        "/v1/openapi.json",
    ]
    .map(str::to_owned);
    let about = ["", "/events", "/explain"].map(|what| format!("/v1/jobs/{id}{what}"));
    for path in looks.iter().chain(&about) {
        places.push((path.clone(), world.get(path).to_string().into_bytes()));
    }
    // A refused key is a reason to speak of it: the call, and the question about that.
    world.vendor.fault(&["unauthorized,times=2"]);
    let photo = photos.join("portrait-01.jpg");
    let upload = ["upload", photo.to_str().unwrap(), "--model", model, "--type", "reference"];
    world.json(&upload, 0);
    world.until("select count(*) from settings where name like 'pause.%'", "2");
    // A link to a file is a secret of its own: it stands in answers to programs and nowhere else.
    let link = record(&world, id)["images"][0]["url"].as_str().unwrap().to_owned();
    secrets.push(link.split("sig=").nth(1).unwrap().to_owned());
    let cmdline = format!("/proc/{}/cmdline", world.daemon().pid());
    places.push((cmdline.clone(), std::fs::read(&cmdline).unwrap()));
    // Some of it only reaches the file at the end.
    for running in [true, false] {
        if !running {
            assert_eq!(world.stop(), Some(0));
        }
        for path in files_below(world.folder.path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !["token", "token.read", "token.submit"].contains(&name.as_str()) {
                let bytes = std::fs::read(&path).unwrap();
                places.push((format!("{} ({running})", path.display()), bytes));
            }
        }
    }
    let seen = |name: &str| places.iter().any(|(place, _)| place.contains(name));
    assert!(seen("darkroom.db ") && seen("darkroom.db-wal") && seen("daemon.log"));
    assert!(seen("daemon.json") && seen("/outputs/"));
    let holds =
        |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    // What is no secret is found, so the search finds.
    assert!(
        places.iter().any(|(place, bytes)| place.contains("darkroom.db") && holds(bytes, model))
    );
    for (place, bytes) in &places {
        for secret in &secrets {
            assert!(!holds(bytes, secret), "{place} holds {secret}");
        }
    }
}
