//! Headers that are between two neighbors only and are never passed on (RFC 9110, section 7.6.1).

use http::{
    HeaderMap, HeaderName,
    header::{
        CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
        UPGRADE,
    },
};
use smallvec::SmallVec;

/// Names that are removed whether or not `Connection` lists them.
static ALWAYS: [HeaderName; 9] = [
    CONNECTION,
    // From HTTP/1.0, never standardized, still sent.
    HeaderName::from_static("keep-alive"),
    // What old browsers and curl send instead of `Connection` when they believe in a proxy.
    HeaderName::from_static("proxy-connection"),
    // Credentials for this hop; another server has no business with them.
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    // What this neighbor can decode; the next one is asked anew.
    TE,
    // Trailers are not passed on, so they must not be announced.
    TRAILER,
    // Each hop frames its messages itself.
    TRANSFER_ENCODING,
    // Passed on, it would let a client speak past the gateway.
    UPGRADE,
];

/// Removes what the fixed list and every value of `Connection` name.
///
/// On a request this comes before any header of ours is set: `Connection: authorization` must not
/// remove the credential that was injected.
pub fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        for name in listed(headers) {
            headers.remove(name);
        }
    }
    for name in &ALWAYS {
        headers.remove(name);
    }
}

/// Whether a message is encoded on its way by more than chunks, which hyper alone undoes. Once the header
/// is gone, nothing says so.
pub fn is_encoded(headers: &HeaderMap) -> bool {
    let values = headers.get_all(TRANSFER_ENCODING).iter();
    let mut codings = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    codings.any(|coding| {
        let coding = coding.trim_ascii();
        !coding.is_empty() && !coding.eq_ignore_ascii_case(b"chunked")
    })
}

/// The names in all values of `Connection`. Its options `close` and `keep-alive` name no header
/// that would have to be looked for here, and what is no token is skipped.
fn listed(headers: &HeaderMap) -> SmallVec<[HeaderName; 4]> {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| {
            !token.eq_ignore_ascii_case(b"close") && !token.eq_ignore_ascii_case(b"keep-alive")
        })
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(headers: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a header value"));
        }
        strip(&mut map);
        map.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn the_fixed_list_goes_without_being_named() {
        let every: Vec<_> = ALWAYS.iter().map(|name| (name.as_str(), "x")).collect();
        assert!(every.iter().all(|(name, _)| stripped(&[(name, "x")]).is_empty()));
    }

    #[test]
    fn every_value_of_connection_is_obeyed() {
        let left = stripped(&[
            ("connection", "close, X-One"),
            ("connection", " TE ,x-two,,"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("te", "trailers"),
            ("accept", "*/*"),
        ]);
        assert_eq!(left, ["accept"]);
    }

    #[test]
    fn chunks_are_no_encoding_and_all_else_is() {
        let encoded = |values: &[&str]| {
            let mut map = HeaderMap::new();
            for value in values {
                map.append(TRANSFER_ENCODING, value.parse().expect("a header value"));
            }
            is_encoded(&map)
        };
        for plain in [&[][..], &["chunked"], &["Chunked"], &[" ,chunked, "]] {
            assert!(!encoded(plain), "{plain:?}");
        }
        for other in [&["gzip, chunked"][..], &["gzip"], &["gzip", "chunked"], &["chunked;q=1"]] {
            assert!(encoded(other), "{other:?}");
        }
    }

    #[test]
    fn what_is_no_token_removes_nothing() {
        let left = stripped(&[("connection", "(, \"a b\""), ("accept", "*/*")]);
        assert_eq!(left, ["accept"]);
    }
}
