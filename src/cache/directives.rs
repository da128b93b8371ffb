//! What a client's `Cache-Control` asks of the cache (RFC 9111, 5.2.1).
//!
//! 1. `no-cache`, `max-age` and `min-fresh` make the upstream work. They are obeyed for whoever may
//!    do that (`cache:refresh`) and overlooked for everybody else: browsers and libraries send them
//!    without knowing.
//! 2. `only-if-cached` spares the upstream, and is obeyed for everybody.
//! 3. `no-store` is not obeyed: what is kept belongs to the credential, not to who asked for it, and
//!    the upstream says what must not be kept. Neither is `max-stale`: how long something may be
//!    shown beyond its lifetime is the operator's to say.
//! 4. Reading is lenient. What is unknown or makes no sense is overlooked, of two bounds the stricter
//!    one counts, and a number without end is a large one.

use http::{
    HeaderMap,
    header::{CACHE_CONTROL, PRAGMA},
};

use super::entry::Entry;
use crate::fields;

/// What a request asks of the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// The greatest age of what is shown, in seconds. Zero, which is also what `no-cache` means, is
    /// satisfied by nothing but what is fetched from now on.
    pub max_age: Option<u64>,
    /// For how many seconds more what is kept has to be fresh.
    pub min_fresh: Option<u64>,
    /// The upstream must not be asked.
    pub only_if_cached: bool,
}

impl Directives {
    /// What the headers of a request say.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut all = Self::default();
        let mut lines = fields::all(headers, CACHE_CONTROL).peekable();
        if lines.peek().is_some() {
            for line in lines {
                directives(line.as_bytes()).for_each(|(name, value)| all.add(name, value));
            }
        } else {
            let lines = fields::all(headers, PRAGMA);
            let mut names = lines.flat_map(|line| directives(line.as_bytes()));
            if names.any(|(name, _)| name.eq_ignore_ascii_case(NO_CACHE)) {
                all.max_age = Some(0);
            }
        }
        all
    }

    /// Whether not everything will do that is fresh.
    pub fn is_demanding(&self) -> bool {
        self.max_age.is_some() || self.min_fresh.is_some()
    }

    /// Whether a fresh entry will do.
    pub fn permit(&self, entry: &Entry, now: u64) -> bool {
        let young = self.max_age.is_none_or(|most| is_within(entry.asked_at, most, now));
        let millis = |seconds: u64| seconds.saturating_mul(1000);
        young && self.min_fresh.is_none_or(|more| entry.is_fresh(now.saturating_add(millis(more))))
    }

    fn add(&mut self, name: &[u8], value: Option<&[u8]>) {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        if is(NO_CACHE) {
            self.max_age = Some(0);
        } else if is(b"only-if-cached") {
            self.only_if_cached = true;
        } else if let Some(seconds) = value.and_then(seconds) {
            if is(b"max-age") {
                self.max_age = Some(self.max_age.map_or(seconds, |most| most.min(seconds)));
            } else if is(b"min-fresh") {
                self.min_fresh = self.min_fresh.max(Some(seconds));
            }
        }
    }
}

const NO_CACHE: &[u8] = b"no-cache";

/// Whether what was asked for at a time, in milliseconds, is no older than so many seconds. Zero is
/// no bound that an age can have, but a wish for what comes after: within one millisecond nobody
/// knows what came first.
pub fn is_within(asked_at: u64, seconds: u64, now: u64) -> bool {
    seconds > 0 && now.saturating_sub(asked_at) <= seconds.saturating_mul(1000)
}

/// The names of a list, and their values without quotes.
fn directives(mut list: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    std::iter::from_fn(move || {
        if list.is_empty() {
            return None;
        }
        let end = end_of_first(list);
        let first = &list[..end];
        list = list.get(end + 1..).unwrap_or_default();
        let Some(at) = first.iter().position(|byte| *byte == b'=') else {
            return Some((first.trim_ascii(), None));
        };
        let value = first[at + 1..].trim_ascii();
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        let value = value.strip_suffix(b"\"").unwrap_or(value);
        Some((first[..at].trim_ascii(), Some(value)))
    })
}

/// Where the first of a list ends: at a comma, which within quotes is one like any other letter.
fn end_of_first(list: &[u8]) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    let ends = |byte: &u8| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' => return !quoted,
            _ => {}
        }
        false
    };
    list.iter().position(ends).unwrap_or(list.len())
}

/// A number of seconds; the largest there is for one without end.
fn seconds(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    digits.then(|| value.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderValue, StatusCode};
    use proptest::prelude::*;

    use super::*;
    use crate::cache::{
        coherence::{Stamp, View},
        entry::Representation,
    };

    fn read(lines: &[(&str, &str)]) -> Directives {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: http::HeaderName = name.parse().expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
        Directives::of(&headers)
    }

    fn check(lines: &[&str], max_age: Option<u64>, min_fresh: Option<u64>, only_if_cached: bool) {
        let lines: Vec<_> = lines.iter().map(|line| ("cache-control", *line)).collect();
        let expected = Directives { max_age, min_fresh, only_if_cached };
        assert_eq!(read(&lines), expected, "{lines:?}");
    }

    #[test]
    fn what_is_known_is_read() {
        check(&["no-cache"], Some(0), None, false);
        check(&["max-age=0"], Some(0), None, false);
        check(&["max-age=60"], Some(60), None, false);
        check(&["min-fresh=5"], None, Some(5), false);
        check(&["only-if-cached"], None, None, true);
        check(&["No-Cache , Max-AGE = 7,only-IF-cached"], Some(0), None, true);
        check(&["max-age=\"60\""], Some(60), None, false);
        check(&["no-cache=\"x\""], Some(0), None, false);
    }

    #[test]
    fn lists_and_lines_are_one_and_the_stricter_counts() {
        check(&["max-age=9, max-age=7", "max-age=8"], Some(7), None, false);
        check(&["max-age=9", "no-cache"], Some(0), None, false);
        check(&["no-cache, max-age=9"], Some(0), None, false);
        check(&["min-fresh=1", "min-fresh=3, min-fresh=2"], None, Some(3), false);
        check(&[",, max-age=5 ,,", ""], Some(5), None, false);
    }

    #[test]
    fn what_makes_no_sense_is_overlooked() {
        for line in [
            "",
            "no-store, max-stale=5, no-transform, stale-if-error=3, x",
            "max-age",
            "max-age=",
            "max-age=-1",
            "max-age=+1",
            "max-age=1.5",
            "max-age=1 2",
            "max-age==5",
            "max-age=\"",
            "x=\"no-cache, max-age=0\"",
            "x=\"a\\\", no-cache\"",
            "x=\"no end, no-cache",
            "no-cached, xno-cache",
        ] {
            check(&[line], None, None, false);
        }
        check(&["x=\"a,b\", max-age=5"], Some(5), None, false);
        check(&["x=\"a\\\\\", max-age=5"], Some(5), None, false);
    }

    #[test]
    fn a_number_without_end_is_the_largest() {
        check(&[&format!("max-age={}", "9".repeat(500))], Some(u64::MAX), None, false);
        check(&["max-age=18446744073709551616"], Some(u64::MAX), None, false);
        check(&["max-age=0000000000000000000000007"], Some(7), None, false);
    }

    #[test]
    fn pragma_counts_where_there_is_nothing_newer() {
        let of = |lines| read(lines).max_age;
        assert_eq!(of(&[("pragma", "no-cache")]), Some(0));
        assert_eq!(of(&[("pragma", "x, No-Cache")]), Some(0));
        assert_eq!(of(&[("pragma", "max-age=0")]), None);
        assert_eq!(of(&[("pragma", "no-cache"), ("cache-control", "max-age=5")]), Some(5));
        assert_eq!(of(&[("pragma", "no-cache"), ("cache-control", "")]), None);
    }

    #[test]
    fn an_entry_is_judged_by_its_age_and_by_what_is_left_of_it() {
        let shown = Representation::new(StatusCode::OK, &HeaderMap::new(), Bytes::new());
        let entry = Entry::new(shown, View::default(), Stamp::empty(), 10_000, 70_000, 70_000);
        let check = |max_age, min_fresh, now, expected| {
            let directives = Directives { max_age, min_fresh, only_if_cached: false };
            assert_eq!(directives.permit(&entry, now), expected, "{directives:?} at {now}");
        };
        check(None, None, 10_000, true);
        check(Some(0), None, 10_000, false);
        check(Some(1), None, 11_000, true);
        check(Some(1), None, 11_001, false);
        check(Some(u64::MAX), None, 69_999, true);
        check(None, Some(0), 69_999, true);
        check(None, Some(10), 59_999, true);
        check(None, Some(10), 60_000, false);
        check(None, Some(u64::MAX), 10_000, false);
        check(Some(60), Some(60), 10_000, false);
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_makes_it_panic(
            lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4),
            likely in "([a-z=\",\\\\ 0-9-]|no-cache|max-age=|min-fresh=){0,20}",
        ) {
            let mut headers = HeaderMap::new();
            for line in lines.iter().map(|line| &**line).chain([likely.as_bytes()]) {
                for name in [CACHE_CONTROL, PRAGMA] {
                    if let Ok(value) = HeaderValue::from_bytes(line) {
                        headers.append(name, value);
                    }
                }
            }
            let _ = Directives::of(&headers);
            headers.remove(CACHE_CONTROL);
            let old = Directives::of(&headers);
            prop_assert!(!old.only_if_cached && old.min_fresh.is_none());
        }
    }
}
