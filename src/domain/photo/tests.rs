use super::names::is_invisible;
use super::*;
use proptest::prelude::*;
use std::ffi::OsStr;
use std::path::Path;

fn good(n: usize) -> PhotoFacts {
    PhotoFacts {
        media: Some(MediaType::Jpeg),
        pixels: Some((900, 1200)),
        sha256: Some(format!("{n:064x}")),
        integrity: Integrity::Ok,
        // Seven bits apart at least: the index goes into bytes of its own.
        dhash: Some((n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        ..PhotoFacts::unread(Path::new(&format!("/photos/p{n:02}.jpg")), 50_000)
    }
}

fn goods(n: usize) -> Vec<PhotoFacts> {
    (0..n).map(good).collect()
}

fn named(path: &str, fact: PhotoFacts) -> PhotoFacts {
    let fresh = PhotoFacts::unread(Path::new(path), fact.bytes);
    PhotoFacts { name: fresh.name, path: fresh.path, extension: fresh.extension, ..fact }
}

fn check(facts: &[PhotoFacts]) -> Preflight {
    preflight(facts, &PhotoRules::default())
}

fn lenient(facts: &[PhotoFacts]) -> Preflight {
    preflight(facts, &PhotoRules { skip_bad: true, ..PhotoRules::default() })
}

#[test]
fn twelve_good_photos_pass_in_silence() {
    let report = check(&goods(12));
    assert!(report.ok());
    assert_eq!(report.chosen.len(), 12);
    assert!(report.left_out.is_empty() && report.warnings.is_empty(), "{report:?}");
    assert_eq!(report.chosen[3].upload_name, "p03.jpg");
}

#[test]
fn eleven_are_too_few_and_the_sentence_says_how_many_to_add() {
    let report = check(&goods(11));
    assert_eq!(report.problems, ["11 usable photos, the vendor wants 12 to 20: add 1 more."]);
    assert_eq!(check(&[]).problems, ["0 usable photos, the vendor wants 12 to 20: add 12 more."]);
}

#[test]
fn the_first_twenty_by_name_are_used_and_the_rest_is_named() {
    let report = check(&goods(35));
    assert!(report.ok());
    assert_eq!(report.chosen.last().unwrap().name, "p19.jpg");
    assert_eq!(report.left_out.len(), 15);
    let warning = &report.warnings[0];
    assert!(warning.contains("\"p20.jpg\"") && warning.ends_with("and 5 more."), "{warning}");
}

#[test]
fn every_bad_file_is_listed_at_once() {
    let bad = [
        (Integrity::Empty, "is empty (0 bytes)"),
        (Integrity::Truncated("no end marker".into()), "is cut short (no end marker)"),
        (Integrity::Corrupt("bad code".into()), "is damaged (bad code)"),
        (Integrity::NotAnImage("text".into()), "is text, not a picture"),
        (Integrity::Unsupported("a GIF image".into()), "is a GIF image, whatever its name says"),
        (Integrity::Unreadable("permission denied".into()), "cannot be read (permission denied)"),
        (Integrity::NotRead, "was not read"),
    ];
    let mut facts = goods(12);
    for (n, (integrity, _)) in bad.iter().enumerate() {
        facts.push(PhotoFacts { integrity: integrity.clone(), media: None, ..good(50 + n) });
    }
    facts.push(PhotoFacts { bytes: MAX_PHOTO_BYTES + 1, ..good(70) });
    facts.push(PhotoFacts { pixels: Some((20_000, 5_001)), ..good(71) });
    let report = check(&facts);
    assert_eq!(report.problems.len(), bad.len() + 2, "{:#?}", report.problems);
    for (n, (_, words)) in bad.iter().enumerate() {
        let start = format!("\"p{}.jpg\" {words}", 50 + n);
        assert!(report.problems.iter().any(|p| p.starts_with(&start)), "{start}");
    }
    assert!(report.problems[7].contains("has 19995905 bytes"), "{}", report.problems[7]);
    assert!(report.problems[8].contains("20000 x 5001 pixels"), "{}", report.problems[8]);

    let report = lenient(&facts);
    assert!(report.ok(), "{:?}", report.problems);
    assert_eq!((report.chosen.len(), report.left_out.len()), (12, 9));
    assert_eq!(report.warnings.len(), 9);
}

#[test]
fn limits_are_inclusive() {
    let mut facts = goods(12);
    facts[0].bytes = MAX_PHOTO_BYTES;
    facts[1].pixels = Some((10_000, 10_000));
    facts[2].pixels = Some((MIN_SIDE, MIN_SIDE));
    let report = check(&facts);
    assert!(report.ok() && report.warnings.is_empty(), "{report:?}");
}

#[test]
fn an_exact_copy_names_the_pair() {
    let mut facts = goods(13);
    facts[12].sha256 = facts[4].sha256.clone();
    facts[12].dhash = facts[4].dhash;
    let report = check(&facts);
    assert_eq!(
        report.problems,
        ["\"p12.jpg\" is an exact copy of \"p04.jpg\": remove one of the two."]
    );
    let report = lenient(&facts);
    assert!(report.ok());
    // Gone is gone: the twin is not reported a second time as a look-alike.
    assert_eq!(report.warnings.len(), 1, "{:?}", report.warnings);
}

#[test]
fn look_alikes_and_tiny_pictures_only_warn() {
    let mut facts = goods(12);
    facts[7].dhash = facts[3].dhash.map(|hash| hash ^ 0b1111);
    facts[9].pixels = Some((2000, 300));
    let report = check(&facts);
    assert!(report.ok());
    assert_eq!(report.warnings.len(), 2, "{:?}", report.warnings);
    assert!(report.warnings[0].contains("\"p07.jpg\" looks almost the same as \"p03.jpg\""));
    assert!(report.warnings[1].contains("\"p09.jpg\" is only 2000 x 300 pixels"));
}

#[test]
fn the_content_decides_and_a_wrong_name_is_noted() {
    let mut facts = goods(11);
    facts.push(named("/photos/really.PNG", good(30)));
    facts.push(named("/photos/z.JPEG", good(31)));
    let report = check(&facts);
    assert!(report.ok());
    assert_eq!(
        report.warnings,
        ["\"really.PNG\" is JPEG inside, whatever its name says: it is sent as image/jpeg."]
    );
    assert!(report.chosen.iter().any(|photo| photo.upload_name == "really.jpg"));
}

#[test]
fn bystanders_are_left_out_without_complaint() {
    let mut facts = goods(12);
    for name in ["notes.txt", ".DS_Store", "dance.gif", "README", ".hidden.jpg"] {
        facts.push(PhotoFacts::unread(&Path::new("/photos").join(name), 10));
    }
    let report = check(&facts);
    assert!(report.ok() && report.warnings.is_empty(), "{report:?}");
    let names: Vec<_> = report.left_out.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, [".DS_Store", ".hidden.jpg", "README", "dance.gif", "notes.txt"]);
    assert_eq!(report.left_out[3].reason, "the ending .gif is none of jpg, jpeg, png, webp, heic");
}

#[test]
fn heic_needs_no_pixels_and_no_hash() {
    let mut facts = goods(11);
    let heic = PhotoFacts { media: Some(MediaType::Heic), pixels: None, dhash: None, ..good(40) };
    facts.push(named("/photos/IMG_1.HEIC", heic));
    let report = check(&facts);
    assert!(report.ok() && report.warnings.is_empty(), "{report:?}");
    assert_eq!(report.chosen[0].upload_name, "IMG_1.heic");
}

#[test]
fn strange_names_are_shown_safely_and_sent_plainly() {
    use std::os::unix::ffi::OsStrExt as _;
    let raw = OsStr::from_bytes(b"a\n\"b\"\x1b[31m\xff \xc3\xa9'\\.jpg");
    assert_eq!(display_name(raw), r#"a\n\"b\"\u{1b}[31m\xff é'\\.jpg"#);
    assert_eq!(display_name(OsStr::new("x\u{202e}gpj.exe")), r"x\u{202e}gpj.exe");
    assert_eq!(upload_name("été \"1\".png", MediaType::Jpeg), "_t___1_.jpg");
    assert_eq!(upload_name(".png", MediaType::Png), "photo.png");
}

#[test]
fn the_report_serialises_even_when_a_path_is_not_utf8() {
    use std::os::unix::ffi::OsStrExt as _;
    let path = Path::new(OsStr::from_bytes(b"/photos/\xff.txt")).to_owned();
    let report = check(&[PhotoFacts::unread(&path, 1)]);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["left_out"][0]["name"], "\\xff.txt");
}

fn integrity() -> impl Strategy<Value = Integrity> {
    prop_oneof![
        8 => Just(Integrity::Ok),
        1 => Just(Integrity::NotRead),
        1 => Just(Integrity::Empty),
        1 => ".{0,5}".prop_map(Integrity::Truncated),
        1 => ".{0,5}".prop_map(Integrity::Corrupt),
        1 => ".{0,5}".prop_map(Integrity::NotAnImage),
        1 => ".{0,5}".prop_map(Integrity::Unsupported),
        1 => ".{0,5}".prop_map(Integrity::Unreadable),
    ]
}

prop_compose! {
    fn any_facts()(
        stem in ".{0,6}",
        ending in prop_oneof![8 => Just(".jpg"), 1 => Just(".HEIC"), 1 => Just(".txt"), 1 => Just("")],
        bytes in prop_oneof![9 => 1..MAX_PHOTO_BYTES, 1 => Just(u64::MAX)],
        media in prop_oneof![
            8 => Just(Some(MediaType::Jpeg)), 1 => Just(Some(MediaType::Heic)), 1 => Just(None)
        ],
        pixels in prop::option::of((any::<u32>().prop_map(|n| n % 9000), 0u32..20_000)),
        content in prop::option::weighted(0.9, 0u32..60),
        integrity in integrity(),
        dhash in prop::option::of(0u64..5000),
    ) -> PhotoFacts {
        let path = PathBuf::from(format!("{}{ending}", stem.replace(['/', '\0'], "_")));
        let sha256 = content.map(|n| format!("{n:064x}"));
        PhotoFacts { media, pixels, sha256, integrity, dhash, ..PhotoFacts::unread(&path, bytes) }
    }
}

proptest! {
    #[test]
    fn every_file_is_chosen_or_left_out(
        facts in prop::collection::vec(any_facts(), 0..60), skip_bad in any::<bool>()
    ) {
        let facts: Vec<PhotoFacts> = facts.into_iter().enumerate().map(|(n, mut fact)| {
            fact.path = PathBuf::from(format!("/photos/{n}")).join(&fact.path);
            fact
        }).collect();
        let report = preflight(&facts, &PhotoRules { skip_bad, ..PhotoRules::default() });
        prop_assert!(report.chosen.len() <= MAX_PHOTOS);
        prop_assert!(!report.ok() || report.chosen.len() >= MIN_PHOTOS);
        let mut seen: Vec<&Path> = report.chosen.iter().map(|photo| photo.path.as_path())
            .chain(report.left_out.iter().map(|file| file.path.as_path())).collect();
        seen.sort();
        let mut given: Vec<&Path> = facts.iter().map(|fact| fact.path.as_path()).collect();
        given.sort();
        prop_assert_eq!(seen, given);
        let mut hashes: Vec<_> = report.chosen.iter().map(|photo| &photo.sha256).collect();
        hashes.sort();
        hashes.dedup();
        prop_assert_eq!(hashes.len(), report.chosen.len());
        for photo in &report.chosen {
            prop_assert!(photo.upload_name.is_ascii() && photo.upload_name.len() <= 85);
        }
        for text in report.problems.iter().chain(&report.warnings) {
            prop_assert!(text.ends_with('.'), "{}", text);
        }
    }

    #[test]
    fn the_order_of_the_files_changes_nothing(
        (facts, shuffled) in prop::collection::vec(any_facts(), 0..40)
            .prop_flat_map(|facts| (Just(facts.clone()), Just(facts).prop_shuffle())),
        skip_bad in any::<bool>()
    ) {
        let rules = PhotoRules { skip_bad, ..PhotoRules::default() };
        prop_assert_eq!(preflight(&facts, &rules), preflight(&shuffled, &rules));
    }

    #[test]
    fn names_are_printable_and_keep_their_meaning(name in any::<Vec<u8>>()) {
        use std::os::unix::ffi::OsStrExt as _;
        let shown = display_name(OsStr::from_bytes(&name));
        prop_assert!(!shown.chars().any(|c| c.is_control() || is_invisible(c)));
    }
}
