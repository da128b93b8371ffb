//! Spellings of targets: what is normalized, what is refused.

use http::header::HOST;
use proptest::prelude::*;

use super::*;

fn canonicalize(target: &str) -> Result<Target, TargetError> {
    let uri: Uri = target.parse().map_err(|_| TargetError::NotAPath)?;
    let mut headers = HeaderMap::new();
    headers.insert(HOST, "cloud.example".parse().expect("a header value"));
    Target::canonicalize(uri, &headers, Version::HTTP_11, 8192)
}

fn check(target: &str, expected: &str) {
    let canonical = canonicalize(target).map(|t| t.path_and_query().to_string());
    assert_eq!(canonical.as_deref(), Ok(expected), "{target}");
}

fn refuse(target: &str, expected: TargetError) {
    assert_eq!(canonicalize(target).map(|t| t.path_and_query().to_string()), Err(expected));
}

#[test]
fn aliases_that_real_clients_send_are_one_target() {
    for alias in [
        "/virtual_machines/1.json",
        "//virtual_machines/1.json",
        "/virtual_machines//1.json",
        "/virtual_machines/1.json/",
        "/virtual_machines/%31.json",
        "/%76irtual_machines/1.json?",
    ] {
        check(alias, "/virtual_machines/1.json");
    }
    check("/", "/");
    check("//", "/");
    check("/a/52%3A54", "/a/52:54");
}

#[test]
fn what_rails_tells_apart_stays_apart() {
    check("/virtual_machines/1%2ejson", "/virtual_machines/1%2Ejson");
    check("/virtual_machines/%201", "/virtual_machines/%201");
    check("/virtual_machines/1;x", "/virtual_machines/1;x");
    check("/a/%c3%a9", "/a/%C3%A9");
    check("/a/%25", "/a/%25");
}

#[test]
fn the_query_keeps_its_bytes() {
    check("/a?b[]=2&b[]=1&c=x+y%5B", "/a?b[]=2&b[]=1&c=x+y%5B");
    check("/a//b?x=//", "/a/b?x=//");
}

#[test]
fn ambiguous_targets_are_refused() {
    refuse("/a/../b", TargetError::DotSegment);
    refuse("/a/.", TargetError::DotSegment);
    refuse("/a/%2e%2E/b", TargetError::DotSegment);
    refuse("/a%2fb", TargetError::EncodedSlash);
    refuse("/a%5Cb", TargetError::EncodedSlash);
    refuse("/a%00", TargetError::Control);
    refuse("/a%7f", TargetError::Control);
    refuse("/a%ff", TargetError::Utf8);
    refuse("/a%4", TargetError::Encoding);
    refuse("/a?b=%0d%0a", TargetError::Control);
    refuse("/a?b=%fe", TargetError::Utf8);
    refuse("/a?b=%zz", TargetError::Encoding);
    refuse("/a?b=1;c=2", TargetError::Semicolon);
    refuse("/a?format=xml&format=json", TargetError::RepeatedFormat);
    refuse("/a?format=xml&f%6Frmat=json", TargetError::RepeatedFormat);
    refuse("/a?format=xml&[format]=json", TargetError::RepeatedFormat);
    refuse("/a.json/b.xml", TargetError::TwoSuffixes);
    refuse(&format!("/{}", "a".repeat(9000)), TargetError::TooLong(8192));
    refuse("*", TargetError::NotAPath);
    refuse("cloud.example", TargetError::NotAPath);
}

#[test]
fn a_target_without_a_path_is_refused() {
    // As HTTP/2 makes one of a request that has neither `:path` nor `:authority`.
    let uri = Uri::from_parts(http::uri::Parts::default()).expect("a target");
    let mut headers = HeaderMap::new();
    headers.insert(HOST, "cloud.example".parse().expect("a header value"));
    let refused = Target::canonicalize(uri, &headers, Version::HTTP_2, 8192);
    assert_eq!(refused, Err(TargetError::NotAPath));
}

#[test]
fn the_suffix_is_found_where_it_stands() {
    let suffix = |t: &str| canonicalize(t).ok().and_then(|t| t.suffix());
    assert_eq!(suffix("/vms/1.json"), Some(Suffix { format: Format::Json, at: 6 }));
    assert_eq!(suffix("/t.xml/page/2"), Some(Suffix { format: Format::Xml, at: 2 }));
    assert_eq!(suffix("/vms/1.JSON"), None);
    // What is a whole segment is its name, and no second suffix either.
    assert_eq!(suffix("/vms/.json"), None);
    assert_eq!(suffix("/a/.json/b.xml"), Some(Suffix { format: Format::Xml, at: 10 }));
    assert_eq!(suffix("/resolvers/acceleration.enable"), None);
    let target = canonicalize("/transactions.json/page/2").expect("a target");
    assert_eq!(target.segments().collect::<Vec<_>>(), ["transactions", "page", "2"]);
}

proptest! {
    #[test]
    fn segments_are_what_stands_between_slashes(path in "(/[a-z]{0,3}(\\.json|\\.xml)?){1,4}") {
        let suffix = find_suffix(&path);
        prop_assume!(suffix.is_ok());
        let suffix = suffix.expect("assumed");
        let mut expected: Vec<_> = path.split('/').skip(1).collect();
        if let Some(Suffix { at, .. }) = suffix {
            let place = path[..at].matches('/').count() - 1;
            expected[place] = expected[place].rsplit_once('.').expect("a suffix").0;
        }
        prop_assert_eq!(segments(&path, suffix).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn there_is_exactly_one_valid_host() {
    let host = |uri: &str, hosts: &[&str], version| {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, host.parse().expect("a header value"));
        }
        let uri: Uri = uri.parse().expect("a target");
        Target::canonicalize(uri, &headers, version, 100).map(|_| ())
    };
    let h1 = Version::HTTP_11;
    assert_eq!(host("/", &["a.example:8443"], h1), Ok(()));
    assert_eq!(host("/", &["[::1]:8443"], h1), Ok(()));
    assert_eq!(host("/", &[], h1), Err(TargetError::Host));
    assert_eq!(host("/", &["a", "a"], h1), Err(TargetError::Host));
    assert_eq!(host("/", &[""], h1), Err(TargetError::Host));
    assert_eq!(host("/", &["a b"], h1), Err(TargetError::Host));
    assert_eq!(host("/", &["u@a"], h1), Err(TargetError::Host));
    assert_eq!(host("/", &["a:b"], h1), Err(TargetError::Host));
    assert_eq!(host("http://a/", &["A"], h1), Ok(()));
    assert_eq!(host("http://a/", &["b"], h1), Err(TargetError::HostMismatch));
    assert_eq!(host("http://a/", &[], Version::HTTP_2), Ok(()));
    assert_eq!(host("http://a/", &["b"], Version::HTTP_2), Err(TargetError::HostMismatch));
}

#[test]
fn names_of_the_query_come_without_values() {
    let target = canonicalize("/a?short&password=x&a[]=1").expect("a target");
    assert_eq!(target.query_names().collect::<Vec<_>>(), ["short", "password", "a[]"]);
}

proptest! {
    #[test]
    fn canonical_is_canonical(path in "(/[a-zA-Z0-9._~%+;:@/-]{0,12}){1,4}(\\?[a-z=&%0-9]{0,8})?") {
        if let Ok(once) = canonicalize(&path) {
            let text = once.path_and_query().to_string();
            prop_assert_eq!(canonicalize(&text).map(|t| t.path_and_query().to_string()), Ok(text));
        }
    }
}

/// Segment by segment, as the rule is said.
fn suffixes_by_segments(path: &str) -> Vec<Suffix> {
    let mut found = Vec::new();
    let mut end = 0;
    for segment in path.split('/') {
        end += segment.len();
        let behind = segment.rsplit_once('.').map(|(_, behind)| behind);
        match behind {
            Some("json") => found.push(Suffix { format: Format::Json, at: end - 5 }),
            Some("xml") => found.push(Suffix { format: Format::Xml, at: end - 4 }),
            Some(_) | None => {}
        }
        end += 1;
    }
    found
}

proptest! {
    #[test]
    fn suffixes_are_what_segments_end_in(path in "(/(a|é|\\.|json|xml|jsonx|\\.json|\\.xml){0,4}){1,4}") {
        prop_assert_eq!(suffixes(&path).collect::<Vec<_>>(), suffixes_by_segments(&path));
    }
}
