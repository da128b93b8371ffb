//! Which spellings there are, by example.

use base64::prelude::BASE64_STANDARD;

use super::*;

/// One of everything that some encoder escapes.
const ODD: &str = "a/b&c<d>\"e'f\\g é😀+~";

fn spellings_of(login: &str, secret: &str) -> Vec<String> {
    all([Secret { login, secret }]).iter().map(|spelling| spelling.as_str().to_owned()).collect()
}

#[test]
fn every_usual_escape_is_a_spelling() {
    let known = spellings_of("", ODD);
    for (encoder, spelling) in [
        ("none", ODD),
        ("RFC 3986", "a%2Fb%26c%3Cd%3E%22e%27f%5Cg%20%C3%A9%F0%9F%98%80%2B~"),
        ("the same, lower", "a%2fb%26c%3cd%3e%22e%27f%5cg%20%c3%a9%f0%9f%98%80%2b~"),
        ("CGI.escape", "a%2Fb%26c%3Cd%3E%22e%27f%5Cg+%C3%A9%F0%9F%98%80%2B~"),
        ("a form", "a%2Fb%26c%3Cd%3E%22e%27f%5Cg+%C3%A9%F0%9F%98%80%2B%7E"),
        ("encodeURIComponent", "a%2Fb%26c%3Cd%3E%22e'f%5Cg%20%C3%A9%F0%9F%98%80%2B~"),
        ("encodeURI", "a/b&c%3Cd%3E%22e'f%5Cg%20%C3%A9%F0%9F%98%80+~"),
        ("plain JSON", "a/b&c<d>\\\"e'f\\\\g é😀+~"),
        ("script-safe JSON", "a\\/b&c<d>\\\"e'f\\\\g é😀+~"),
        ("Python's JSON", "a/b&c<d>\\\"e'f\\\\g \\u00e9\\ud83d\\ude00+~"),
        ("PHP's JSON", "a\\/b&c<d>\\\"e'f\\\\g \\u00e9\\ud83d\\ude00+~"),
        ("Rails' JSON", "a/b\\u0026c\\u003cd\\u003e\\\"e'f\\\\g é😀+~"),
        ("Rails 3's JSON", "a/b\\u0026c\\u003Cd\\u003E\\\"e'f\\\\g \\u00e9\\ud83d\\ude00+~"),
        (".NET", "a/b\\u0026c\\u003Cd\\u003E\\u0022e\\u0027f\\\\g \\u00E9\\uD83D\\uDE00\\u002B~"),
        ("Builder, text", "a/b&amp;c&lt;d&gt;\"e'f\\g é😀+~"),
        ("Builder, attribute", "a/b&amp;c&lt;d&gt;&quot;e'f\\g é😀+~"),
        ("Builder, ASCII", "a/b&amp;c&lt;d&gt;\"e'f\\g &#233;&#128512;+~"),
        ("REXML", "a/b&amp;c&lt;d&gt;&quot;e&apos;f\\g é😀+~"),
        ("Rails' HTML", "a/b&amp;c&lt;d&gt;&quot;e&#39;f\\g é😀+~"),
        ("Rails 3's HTML", "a/b&amp;c&lt;d&gt;&quot;e&#x27;f\\g é😀+~"),
        ("Rack", "a&#x2F;b&amp;c&lt;d&gt;&quot;e&#x27;f\\g é😀+~"),
        ("canonical XML, attribute", "a/b&amp;c&lt;d>&quot;e'f\\g é😀+~"),
        ("decimal", "a/b&#38;c&#60;d&#62;&#34;e&#39;f\\g &#233;&#128512;+~"),
        ("hexadecimal", "a/b&#x26;c&#x3c;d&#x3e;\"e'f\\g &#xe9;&#x1f600;+~"),
        ("the same, upper", "a/b&#x26;c&#x3C;d&#x3E;\"e'f\\g &#xE9;&#x1F600;+~"),
    ] {
        assert!(known.iter().any(|known| known == spelling), "{encoder}: {spelling}");
    }
}

#[test]
fn base64_of_a_secret_is_what_depends_on_nothing_else() {
    let known = spellings_of("", "abcdefgh");
    assert_eq!(known, ["abcdefgh", "FiY2RlZmdo", "YWJjZGVmZ2", "hYmNkZWZna"]);
    for (before, after) in [("", ""), ("x", ""), ("xy", "z"), ("xyz", "zz"), ("wxyz", "zzz")] {
        let encoded = BASE64_STANDARD.encode([before, "abcdefgh", after].concat());
        let found = known[1..].iter().filter(|known| encoded.contains(*known)).count();
        assert_eq!(found, 1, "{encoded}");
    }
}

#[test]
fn base64_of_login_and_secret_is_a_spelling() {
    let known = spellings_of("joe", "abcdefgh");
    let encoded = BASE64_STANDARD.encode("joe:abcdefgh");
    assert!(known.contains(&encoded), "{encoded} is determined whole");
    // What stands for the secret alone, too.
    assert!(known.contains(&"FiY2RlZmdo".to_owned()));
}

#[test]
fn base64_is_escaped_as_well() {
    // In base64 this has "+" and "/" wherever it begins.
    let known = spellings_of("", "~?~?>>>>ÿÿÿÿ");
    let is_plain = |s: &&String| s.contains('/') && s.contains('+') && s.is_ascii();
    let plain = known.iter().find(is_plain).expect("in base64");
    for spelling in [
        plain.replace('+', "-").replace('/', "_"),
        plain.replace('/', "\\/"),
        plain.replace('+', "%2B").replace('/', "%2F"),
        plain.replace('+', "%2b").replace('/', "%2f"),
    ] {
        assert!(known.contains(&spelling), "{spelling} of {plain}");
    }
}

#[test]
fn each_spelling_is_there_once_and_long_enough() {
    let twice = ["joe", "joe", "sue"].map(|login| Secret { login, secret: ODD });
    let short = Secret { login: "someone@example.com", secret: "1234567" };
    let spellings = all(twice.into_iter().chain([short]));
    assert!(spellings.iter().all(|spelling| spelling.len() >= SHORTEST));
    assert!(spellings.is_sorted_by_key(|spelling| spelling.len()));
    let distinct: std::collections::HashSet<&str> = spellings.iter().map(|s| s.as_str()).collect();
    assert_eq!(distinct.len(), spellings.len());
    assert_eq!(spellings_of("", "0123456789abcdef").len(), 4);
}

#[test]
fn nothing_outgrows_its_buffer() {
    for text in ["&'/\"", "é", "\u{7ff}", "\u{ffff}", "😀", "\u{10ffff}"] {
        let mut escaped = Vec::new();
        escape_for_urls(text, &mut escaped);
        escape_for_json(text, &mut escaped);
        escape_for_xml(text, &mut escaped);
        assert!(escaped.iter().all(|spelling| spelling.len() <= text.len() * LONGEST_ESCAPE));
    }
}
