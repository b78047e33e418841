use proptest::prelude::*;

use super::*;

const KEYS: [(&str, &str); 14] = [
    ("openai-key", "sk-proj-abcdefghijklmnopqrstuvwx"),
    ("anthropic-key", "sk-ant-api03-abcdefghijklmnopqrstuvwx_-"),
    ("github-token", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
    ("github-token", "github_pat_abcdefghijklmnopqrstuvwxyz_0123456789abcd"),
    ("gitlab-token", "glpat-abcdefghij0123456789"),
    ("amazon-key", "AKIAABCDEFGHIJKLMNOP"),
    ("google-key", "AIzaabcdefghijklmnopqrstuvwxyz012345678"),
    ("slack-token", "xoxb-0123456789-abc"),
    ("stripe-key", "sk_live_abcdefghijklmnopqrst"),
    ("npm-token", "npm_abcdefghijklmnopqrstuvwxyz0123456789"),
    ("hugging-face-token", "hf_abcdefghijklmnopqrstuvwxyz0123"),
    ("signed-token", "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ3b3JsZCJ9.c2lnbmF0dXJlLW9mLWl0"),
    (
        "private-key",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAabcdefghijklmnopqrstuvwxyz0123456789+/\nabc=\n-----END RSA PRIVATE KEY-----",
    ),
    (
        "private-key",
        "-----BEGIN PRIVATE KEY-----\\nMIIEowIBAAKCAQEAabcdefghijklmnopqrstuvwxyz0123456789+/\\n-----END PRIVATE KEY-----",
    ),
];
const VALUE: &str = "correct horse\nbattery \"staple\"";

fn filter() -> Filter {
    Filter::by_pattern().with_values([VALUE, "überlanges-Geheimnis"], 4)
}

fn in_parts<'a>(filter: &Filter, parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut masker = filter.stream();
    let mut passed: String = parts.into_iter().map(|part| masker.feed(part)).collect();
    passed.push_str(&masker.finish());
    assert!(!masker.holds());
    passed
}

#[test]
fn each_pattern_is_found_by_its_name_and_code_is_not() {
    let filter = Filter::by_pattern();
    for (id, key) in KEYS {
        for text in [format!("key={key};"), format!("\\n{key}\\n"), format!("%3D{key}"), key.to_owned()] {
            let (masked, findings) = filter.mask(&text);
            assert_eq!(masked, text.replace(key, MASK), "{id}");
            let found: Vec<_> = findings.iter().map(|finding| (finding.pattern_id, finding.count)).collect();
            assert_eq!(found, [(id, 1)], "{text}");
            assert!(PATTERN_IDS.contains(&id));
        }
    }
    for code in [
        "sk-learn",
        "task-force-one-and-two-and-three",
        "let key = hash(value);",
        "ghp_short",
        "eyJ.a.b",
        "AKIAABCDEFGHIJKLMNOPQ",
        "if text.startswith('-----BEGIN PRIVATE KEY-----'):",
    ] {
        let (masked, findings) = filter.mask(code);
        assert!(masked == code && findings.is_empty() && matches!(masked, Cow::Borrowed(_)), "{code}");
    }
}

#[test]
fn every_pattern_has_its_name_in_the_list() {
    let listed: BTreeSet<_> = PATTERN_IDS.into_iter().collect();
    let named: BTreeSet<_> = PATTERNS.iter().map(|pattern| pattern.id).chain([SECRET_VALUE]).collect();
    assert_eq!(listed, named);
    let shown: BTreeSet<_> = KEYS.into_iter().map(|(id, _)| id).chain([SECRET_VALUE]).collect();
    assert_eq!(shown, named, "each has an example");
}

#[test]
fn a_value_is_masked_whole_by_line_and_in_its_other_forms() {
    let filter = Filter::default().with_values(["first-line\nsecond \"line\"\n", "abc"], 4);
    for (text, masked) in [
        ("x first-line y second \"line\" abc", "x *** y *** abc"),
        ("x first-line\nsecond \"line\" y", "x *** y"),
        ("{\"a\":\"second \\\"line\\\"\"}", "{\"a\":\"***\"}"),
        ("second%20%22line%22", "***"),
        ("aXQ6Zmlyc3QtbGluZTo=", "aXQ6***To="),
        ("sk-proj-abcdefghijklmnopqrstuvwx", "sk-proj-abcdefghijklmnopqrstuvwx"),
    ] {
        assert_eq!(filter.masked(text), masked, "{text}");
    }
    assert!(!format!("{filter:?}").contains("line"), "{filter:?}");
}

#[test]
fn wherever_a_text_is_divided_it_is_masked_the_same() {
    let filter = filter();
    let mut text = "a task-force; überlanges-Geheimnis überlange sk- -----BEGIN x".to_owned();
    for (_, key) in KEYS {
        text.extend([" ", key, " battery correct horse\"", key, "\"", VALUE, ", glpat-", key]);
    }
    let whole = filter.masked(&text);
    assert!(whole.contains("a task-force; *** überlange sk- -----BEGIN x ***"), "{whole}");
    for (_, key) in KEYS {
        assert!(!whole.contains(key), "{key}");
    }
    for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
        let (one, other) = text.split_at(at);
        assert_eq!(in_parts(&filter, [one, other]), whole, "divided at {at}");
    }
    let letters: Vec<String> = text.chars().map(String::from).collect();
    assert_eq!(in_parts(&filter, letters.iter().map(String::as_str)), whole, "letter by letter");
}

#[test]
fn no_part_of_a_secret_passes_before_its_end_is_known() {
    let filter = filter();
    for (_, key) in KEYS {
        for at in 1..key.len() {
            let mut masker = filter.stream();
            assert_eq!(masker.feed(&format!("key: {}", &key[..at])), "key: ", "{key} divided at {at}");
            assert_eq!(masker.feed(&format!("{};", &key[at..])), "***;");
        }
    }
}

#[test]
fn ordinary_text_is_not_held_back() {
    let mut masker = Filter::by_pattern().stream();
    let begin = "Let us see what the tests say, and how";
    assert_eq!(masker.feed(begin), begin);
    assert_eq!(masker.feed(" s"), " ", "it may be the beginning of a key");
    assert_eq!(masker.feed("ee"), "see");
    assert!(masker.take_findings().is_empty());
}

#[test]
fn a_snippet_tells_a_few_characters_and_no_other_secret() {
    let key = KEYS[0].1;
    let text = format!("OPENAI_API_KEY={key}\nOTHER={key} and more than that");
    let (_, findings) = filter().mask(&text);
    let all: Vec<_> = findings.iter().collect();
    let [finding] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((finding.count, finding.masked_snippet.as_str()), (2, "ENAI_API_KEY=*** OTHER=*** a".get(1..).unwrap()));
    let mut masker = filter().stream();
    text.chars().for_each(|letter| drop(masker.feed(&letter.to_string())));
    let findings = masker.take_findings();
    assert_eq!(findings.iter().map(|finding| finding.count).sum::<u64>(), 2);
    assert!(findings.iter().all(|finding| finding.masked_snippet.starts_with("NAI_API_KEY=***")), "{findings:?}");
}

#[test]
fn a_long_run_is_read_once() {
    // A text that is looked at again from each of its beginnings would take minutes.
    for piece in ["sk-", "eyJ-", "-----BEGIN ", "xoxb-", "eyJaaaaaaaaaaaa."] {
        let text = piece.repeat(1_000_000 / piece.len());
        let begun = std::time::Instant::now();
        drop(filter().mask(&text));
        assert!(begun.elapsed().as_secs() < 20, "{piece}: {:?}", begun.elapsed());
    }
}

fn pieces() -> impl Strategy<Value = Vec<String>> {
    let words = prop::sample::select(vec![
        "sk-",
        "sk-ant-",
        "abcdefghij",
        "0123456789",
        "ghp_",
        "eyJ",
        ".",
        " ",
        "\\n",
        "-",
        "AKIA",
        "ABCDEFGH",
        "\"",
        "é",
        "correct",
        " horse",
        "\n",
        "battery ",
        "staple",
        "-----BEGIN ",
        "RSA PRIVATE KEY",
        "-----",
        "-----END ",
        "xoxb-",
        "überlanges",
        "-Geheimnis",
        "%3D",
        "hf_",
        "AIza",
    ]);
    prop::collection::vec(words.prop_map(str::to_owned), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn parts_and_the_whole_are_masked_alike(pieces in pieces()) {
        let filter = filter();
        let whole = filter.masked(&pieces.concat());
        prop_assert_eq!(in_parts(&filter, pieces.iter().map(String::as_str)), whole.clone());
        let text = pieces.concat();
        let letters: Vec<String> = text.chars().map(String::from).collect();
        prop_assert_eq!(in_parts(&filter, letters.iter().map(String::as_str)), whole);
    }
}
