//! What is masked and what is not, by example and against a model that knows no shortcut.

use std::sync::LazyLock;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use proptest::{collection::vec, prelude::*};

use super::{spellings::Spelling, *};

const KEY: &str = "0123456789abcdef0123456789abcdef01234567";
const LOGIN: &str = "joe@example.com";
const ODD: &str = "p/&<w>\"o'r\\d é😀+";

/// Keys and passwords with all that is escaped, and some that overlap themselves and each other.
const SECRETS: [Secret<'static>; 6] = [
    Secret { login: LOGIN, secret: KEY },
    Secret { login: "", secret: ODD },
    Secret { login: "", secret: "abababab" },
    Secret { login: "", secret: "babababac" },
    Secret { login: "", secret: "aaaaaaaaab" },
    Secret { login: "", secret: "too few" },
];

static NEEDLES: LazyLock<Arc<Needles>> = LazyLock::new(|| Arc::new(Needles::new(SECRETS)));

static SPELLINGS: LazyLock<Vec<Spelling>> = LazyLock::new(|| spellings::all(SECRETS));

fn needles() -> Arc<Needles> {
    Arc::clone(&NEEDLES)
}

fn only(secrets: &[&'static str]) -> Arc<Needles> {
    let secrets = secrets.iter().map(|&secret| Secret { login: "", secret });
    Arc::new(Needles::new(secrets))
}

/// Masks a body that comes in pieces of these sizes, and looks at what is held back on the way.
fn scan(
    needles: &Arc<Needles>,
    body: &[u8],
    sizes: &[usize],
    mut look: impl FnMut(&[u8], &Scanner),
) -> Masked {
    let mut scanner = Scanner::new(Arc::clone(needles));
    let mut out: Vec<u8> = Vec::new();
    let mut at = 0;
    for &size in sizes.iter().cycle() {
        if at == body.len() {
            break;
        }
        let end = body.len().min(at + size);
        out.extend_from_slice(&scanner.push(Bytes::copy_from_slice(&body[at..end])));
        at = end;
        assert_eq!(out.len() + scanner.held.len(), at, "nothing is lost");
        look(&body[..at], &scanner);
    }
    out.extend_from_slice(&scanner.finish());
    assert!(scanner.held.is_empty() && scanner.finish().is_empty());
    Masked { body: out.into(), found: scanner.found() }
}

fn check(needles: &Arc<Needles>, body: &str, want: &str, found: usize) {
    let want = Masked { body: Bytes::copy_from_slice(want.as_bytes()), found };
    assert_eq!(needles.mask(Bytes::copy_from_slice(body.as_bytes())), want, "{body}");
    for size in 1..=body.len() {
        let masked = scan(needles, body.as_bytes(), &[size], |_, _| ());
        assert_eq!(masked, want, "{body} in pieces of {size}");
    }
}

#[test]
fn every_spelling_is_masked_and_nothing_else() {
    let needles = needles();
    for spelling in SPELLINGS.iter() {
        let stars = "*".repeat(spelling.len());
        for (before, after) in [("", ""), ("{\"k\":\"", "\"}"), ("<k>", "</k>"), ("ü ", " ü")] {
            let body = Bytes::from([before, spelling.as_str(), after].concat());
            let want = [before, &stars, after].concat();
            assert_eq!(needles.mask(body.clone()).body, want, "{}", **spelling);
            let cut = scan(&needles, &body, &[1], |_, _| ());
            assert_eq!(cut.body, want, "{} byte by byte", **spelling);
            assert!(cut.found > 0);
        }
    }
}

#[test]
fn basic_credentials_are_masked_wherever_they_begin() {
    let pair = format!("{LOGIN}:{KEY}");
    for (before, after) in [("", ""), ("x", "yz"), ("xy", "z"), ("wxyz", "")] {
        let mut want = BASE64_STANDARD.encode([before, &pair, after].concat());
        let body = format!("Basic {want}\r\n");
        let whole = (before.len() * 8).div_ceil(6)..(before.len() + pair.len()) * 8 / 6;
        want.replace_range(whole.clone(), &"*".repeat(whole.len()));
        check(&needles(), &body, &format!("Basic {want}\r\n"), 1);
    }
}

#[test]
fn overlapping_and_nested_matches_are_all_masked() {
    let overlapping = only(&["abcdefgh", "efghijkl", "cdefghij"]);
    check(&overlapping, "xabcdefghijkly", "x************y", 1);
    check(&overlapping, "abcdefghabcdefgh", "****************", 2);
    check(&overlapping, "abcdefgh, cdefghij", "********, ********", 2);
    let nested = only(&["cdefghij", "abcdefghijkl"]);
    check(&nested, "-abcdefghijkl-", "-************-", 1);
    check(&nested, "-abcdefghijk-", "-ab********k-", 1);
    check(&only(&["aaaaaaaa"]), "-aaaaaaaaaaaa-", "-************-", 1);
    check(&only(&["aaaaaaaa"]), "-aaaaaaa-", "-aaaaaaa-", 0);
}

#[test]
fn a_body_without_matches_is_not_copied() {
    let needles = needles();
    let body = Bytes::from("#".repeat(10_000));
    let masked = needles.mask(body.clone());
    assert_eq!((masked.body.as_ptr(), masked.body.len()), (body.as_ptr(), body.len()));
    let mut scanner = Scanner::new(Arc::clone(&needles));
    let passed = scanner.push(body.clone());
    assert_eq!((passed.as_ptr(), passed.len()), (body.as_ptr(), body.len()));
    // What is held back is cut off, and the rest is not moved.
    let body = Bytes::from(["#".repeat(100).as_str(), &KEY[..20]].concat());
    let passed = scanner.push(body.clone());
    assert_eq!((passed.as_ptr(), passed.len()), (body.as_ptr(), 100));
    assert_eq!(scanner.finish(), &KEY[..20]);
}

#[test]
fn nothing_is_held_back_of_what_no_spelling_begins_with() {
    let first: Vec<u8> = SPELLINGS.iter().map(|s| s.as_bytes()[0]).collect();
    let other: Vec<u8> = (0..=u8::MAX).filter(|byte| !first.contains(byte)).collect();
    assert!(other.len() > 100);
    let masked = scan(&needles(), &other.repeat(3), &[1, 2, 7, 64], |_, scanner| {
        assert_eq!(scanner.held.len(), 0);
    });
    assert_eq!(masked, Masked { body: other.repeat(3).into(), found: 0 });
}

#[test]
fn without_secrets_everything_passes() {
    for needles in [only(&[]), only(&["1234567"])] {
        assert!(needles.is_empty());
        check(&needles, "1234567 and what else there is", "1234567 and what else there is", 0);
    }
    assert!(!needles().is_empty());
}

#[test]
fn a_scanner_is_good_for_another_body() {
    let mut scanner = Scanner::new(only(&["abcdefgz"]));
    assert_eq!(scanner.push(Bytes::from_static(b"abcdefgzabcd")), "********");
    assert_eq!(scanner.finish(), "abcd");
    assert_eq!(scanner.push(Bytes::from_static(b"efgz, abcdefgz")), "efgz, ********");
    assert_eq!((scanner.finish().len(), scanner.found()), (0, 2));
}

#[test]
fn secrets_are_not_printed() {
    let needles = needles();
    let mut scanner = Scanner::new(Arc::clone(&needles));
    scanner.push(Bytes::copy_from_slice(&KEY.as_bytes()[..30]));
    let printed = format!("{needles:?} {scanner:?} {SECRETS:?}");
    assert!(!printed.contains(&KEY[..8]) && !printed.contains(LOGIN), "{printed}");
}

/// Masks by comparing every spelling with the bytes at every place.
fn model(spellings: &[Spelling], body: &[u8]) -> Vec<u8> {
    let mut masked = body.to_vec();
    for at in 0..body.len() {
        for spelling in spellings {
            if body[at..].starts_with(spelling.as_bytes()) {
                masked[at..at + spelling.len()].fill(STAR);
            }
        }
    }
    masked
}

/// How long the longest end of what came is that a spelling begins with, which is longer.
fn model_of_held(spellings: &[Spelling], came: &[u8]) -> usize {
    let longest = spellings.last().map_or(0, |spelling| spelling.len());
    let mut ends = (came.len().saturating_sub(longest)..came.len()).map(|at| &came[at..]);
    let is_open = |end: &&[u8]| {
        spellings.iter().any(|s| s.len() > end.len() && s.as_bytes().starts_with(end))
    };
    ends.find(is_open).map_or(0, <[u8]>::len)
}

/// Bytes that look like secrets, parts of spellings, and whole ones, all mixed.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let soup = prop::sample::select(b"ab0123*\\u&#x%4aA+/= \xc3".to_vec());
    let whole = 0..SPELLINGS.len();
    let part = (whole.clone(), 0..12_usize, 0..12_usize);
    let piece = prop_oneof![
        3 => vec(soup, 0..20),
        1 => vec(any::<u8>(), 0..20),
        2 => whole.prop_map(|which| SPELLINGS[which].as_bytes().to_vec()),
        2 => part.prop_map(|(which, before, after)| {
            let spelling = SPELLINGS[which].as_bytes();
            let end = spelling.len().saturating_sub(after);
            spelling[before.min(end)..end].to_vec()
        }),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![3 => 1..4_usize, 2 => 1..40_usize, 1 => 1..400_usize], 1..12)
}

proptest! {
    #[test]
    fn any_body_is_masked_as_the_model_masks_it(body in body()) {
        let masked = needles().mask(Bytes::copy_from_slice(&body));
        let want = model(&SPELLINGS, &body);
        prop_assert_eq!(&masked.body[..], &want[..]);
        prop_assert_eq!(masked.found > 0, masked.body != body);
        let again = model(&SPELLINGS, &want);
        prop_assert_eq!(again, want, "something is left");
    }

    #[test]
    fn pieces_are_masked_as_the_whole(body in body(), sizes in sizes()) {
        let whole = needles().mask(Bytes::copy_from_slice(&body));
        prop_assert_eq!(scan(&needles(), &body, &sizes, |_, _| ()), whole);
    }
}

proptest! {
    // The model compares every end with every spelling.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_held_back_is_what_the_model_holds_back(body in body(), sizes in sizes()) {
        let longest = SPELLINGS.last().expect("there are spellings").len();
        scan(&needles(), &body, &sizes, |came, scanner| {
            assert!(scanner.held.len() < longest);
            assert_eq!(scanner.held.len(), model_of_held(&SPELLINGS, came));
        });
    }
}
