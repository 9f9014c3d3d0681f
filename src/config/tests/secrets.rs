//! Keys and passwords are found, and never printed.

use super::*;
use secrecy::ExposeSecret;

const CANARY: &str = "pk-canary-0123456789";

#[test]
fn the_api_key_comes_from_variable_file_or_credential() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("darkroom.toml");
    std::fs::write(folder.path().join("the.key"), "from-file\n").unwrap();
    std::fs::write(folder.path().join(CREDENTIAL), " from-credential ").unwrap();
    let key = |text: &str, pairs: &[(&str, &str)]| {
        let config = Config::from_text(&file, text, &Flags::default(), &env(&[])).unwrap();
        let key = config.api_key(&env(pairs)).unwrap();
        key.map(|key| key.expose_secret().to_owned())
    };
    let credential = ("CREDENTIALS_DIRECTORY", folder.path().to_str().unwrap());
    let named = "[vendor]\napi_key_file = \"the.key\"\n";
    assert_eq!(key("", &[]), None);
    assert_eq!(key("", &[("PHOTOGPT_API_KEY", "")]), None);
    assert_eq!(key("", &[("CREDENTIALS_DIRECTORY", "/nowhere")]), None);
    assert_eq!(key("", &[credential]).as_deref(), Some("from-credential"));
    assert_eq!(key(named, &[credential]).as_deref(), Some("from-file"));
    let all = [credential, ("PHOTOGPT_API_KEY", " from-env\n")];
    assert_eq!(key(named, &all).as_deref(), Some("from-env"));
}

#[test]
fn a_bad_api_key_is_described_and_not_repeated() {
    let complaint = |text: &str| {
        let key = Config::default().api_key(&env(&[("PHOTOGPT_API_KEY", text)]));
        key.unwrap_err().to_string()
    };
    assert_eq!(
        complaint("pk canary"),
        "PHOTOGPT_API_KEY: the API key has a space, a line break or another character in it that \
         no key has: copy it again, alone and on one line"
    );
    assert_eq!(complaint("pk\u{7}canary"), complaint("pk canary"));
    assert_eq!(complaint(" \n"), "PHOTOGPT_API_KEY: the API key is empty");
    let missing = from("[vendor]\napi_key_file = \"/nowhere/key\"\n").unwrap();
    let missing = missing.api_key(&env(&[])).unwrap_err().to_string();
    assert!(missing.starts_with("vendor.api_key_file: the file that holds the API key cannot be"));
}

#[test]
fn the_api_key_is_refused_in_the_file_and_never_repeated() {
    assert_eq!(
        message(&format!("[vendor]\napi_key = \"{CANARY}\"\n")),
        "darkroom.toml:2:1: the API key does not belong in the configuration file\n 2 | api_key = \
         ...\n   | ^^^^^^^\nhelp: set PHOTOGPT_API_KEY, or let `api_key_file` in [vendor] name a \
         file that holds it, or use the systemd credential photogpt_api_key"
    );
    for text in [
        format!("api_key = \"{CANARY}\"\n"),
        format!("[daemon]\nApi-Key = \"{CANARY}\"\n"),
        format!("[vendor]\nphotogpt_api_key = \"{CANARY}\"\n"),
        format!("[vendor]\nkey = \"{CANARY}\"\n"),
        format!("[vendor]\napi_key = {CANARY}\n"),
        format!("[vendor]\napi_key = \"{CANARY}\n"),
        format!("[vendor]\napi_key_file = \"{CANARY}\"\n"),
        format!("[vendor]\nproxy = \"ftp://user:{CANARY}@host\"\n"),
        format!("vendor = {{ api_key = \"{CANARY}\" }}\n"),
    ] {
        let message = message(&text);
        assert!(!message.contains("canary"), "{message}");
    }
    for name in ["DARKROOM__VENDOR__API_KEY", "DARKROOM__VENDOR__API_KEY_FILE"] {
        let message = env_message(name, CANARY);
        assert!(message.starts_with(name) && !message.contains("canary"), "{message}");
    }
}

#[test]
fn nothing_printable_holds_a_secret() {
    let proxy = format!("http://user:{CANARY}@proxy.example:3128");
    let pairs = [("PHOTOGPT_API_KEY", CANARY), ("DARKROOM__VENDOR__PROXY", proxy.as_str())];
    let config = with("", &pairs, &Flags::default()).unwrap();
    let key = config.api_key(&env(&pairs)).unwrap();
    assert_eq!(config.vendor.proxy.url().unwrap().password(), Some(CANARY));
    let origins: Vec<Setting<'_>> = config.origins().collect();
    let printed = format!("{config:#?} {origins:?} {key:?} {:?}", env(&pairs));
    assert!(!printed.contains("canary"), "{printed}");
    assert!(printed.contains("http://***@proxy.example:3128/"));
}
