//! The lines of a request's header by the name of their field.
//!
//! A map of headers hashes the name that it is asked for. Every request is asked for several, and has few
//! lines, at most `http1_max_headers` or what `http2_max_head` has room for: to compare their names one
//! after the other costs less.

use std::borrow::Borrow;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The values of a field, in the order in which they came.
pub fn all<N: Borrow<HeaderName>>(
    headers: &HeaderMap,
    name: N,
) -> impl Iterator<Item = &HeaderValue> {
    headers.iter().filter(move |(other, _)| *other == name.borrow()).map(|(_, value)| value)
}

/// The first value of a field.
pub fn first(headers: &HeaderMap, name: impl Borrow<HeaderName>) -> Option<&HeaderValue> {
    all(headers, name).next()
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, HOST, UPGRADE};

    use super::*;

    #[test]
    fn lines_are_found_as_the_map_finds_them() {
        let own = HeaderName::from_static("x-own");
        let lines = [(&ACCEPT, "a"), (&own, "b"), (&ACCEPT, "c"), (&HOST, "d"), (&ACCEPT, "e")];
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_static(value));
        }
        for name in [ACCEPT, HOST, UPGRADE, own] {
            assert!(all(&headers, &name).eq(headers.get_all(&name)), "{name}");
            assert_eq!(first(&headers, &name), headers.get(&name), "{name}");
        }
    }
}
