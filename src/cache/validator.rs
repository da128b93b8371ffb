//! Whether what is kept is still what the upstream shows: asked by the upstream's own entity tag, so
//! that the bytes need not travel once more.
//!
//! 1. A 304 is the 200 that it stands for. It is judged, learned from, stamped and dated as that: the
//!    stamp is taken before it is asked for, and a body that says `locked` is unsettled again.
//! 2. A tag is the upstream's for a whole body in one format, for one credential; an entry has the
//!    same key as the fill that asks about it. So a weak tag will do (RFC 9110, 13.1.2).
//! 3. What is kept was masked by the secrets that were known then. With any other vault it is fetched
//!    in full: the upstream would confirm a body that shows what is secret now.
//! 4. Headers of the 304 replace those that are kept (RFC 9111, 3.2): a page of a list can be the same
//!    while the total has changed.
//! 5. It is asked only where that saves something: below `LEAST` it does not.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG},
};

use super::entry::{Entry, Representation, Stored};

/// By what the upstream knows again what it has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    /// Its own entity tag.
    tag: HeaderValue,
    /// The version of the vault whose secrets the body was searched for.
    vault: u64,
}

/// What a fill may ask about; it stays at hand even if the entry is evicted meanwhile.
#[derive(Clone, Debug)]
pub struct Held(Arc<Stored>);

/// How a reply to a fill came to be; it travels with the reply, as an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The version of the vault whose secrets its body is searched for.
    pub vault: u64,
    /// The upstream has not sent it, but said that it is what was kept.
    pub not_modified: bool,
}

/// The least body that is asked about. With the head of a reply, a smaller one travels in the one
/// packet that a 304 takes as well.
const LEAST: usize = 1 << 10;

/// What a 304 says of its own, missing, body.
static OF_THE_BODY: [HeaderName; 4] =
    [CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE];

impl Validator {
    /// That of a reply as the upstream sent it, if it has one and is worth it.
    pub fn of(headers: &HeaderMap, body: &Bytes, vault: u64) -> Option<Self> {
        let mut tags = headers.get_all(ETAG).iter();
        let (Some(tag), None) = (tags.next(), tags.next()) else { return None };
        let whole = opaque(tag).len() > 2
            && opaque(tag).starts_with(b"\"")
            && tag.as_bytes().ends_with(b"\"");
        // Of its own: what was read holds on to all that was read with it.
        let tag = HeaderValue::from_bytes(tag.as_bytes()).ok()?;
        (whole && body.len() >= LEAST).then_some(Self { tag, vault })
    }

    /// How much memory it takes.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.tag.len()
    }
}

impl Held {
    /// What is kept, if the upstream can be asked about it.
    pub fn of(stored: &Arc<Stored>) -> Option<Self> {
        match &**stored {
            Stored::Entry(Entry {
                representation: Representation { validator: Some(_), .. },
                ..
            }) => Some(Self(Arc::clone(stored))),
            Stored::Entry(_) | Stored::Uncacheable { .. } => None,
        }
    }

    /// What the upstream is asked under this version of the vault.
    pub fn condition(&self, vault: u64) -> Option<&HeaderValue> {
        let (_, validator) = self.parts()?;
        (validator.vault == vault).then_some(&validator.tag)
    }

    /// What a 304 with these headers stands for, under this version of the vault; none if it speaks
    /// of something else.
    pub fn renewed(&self, said: &HeaderMap, vault: u64) -> Option<(HeaderMap, Bytes)> {
        let (kept, Validator { tag, vault: masked_by }) = self.parts()?;
        let shown = said.get(ETAG).unwrap_or(tag);
        if *masked_by != vault || opaque(shown) != opaque(tag) {
            return None;
        }
        let mut headers = kept.headers.to_map();
        let replaced = || said.keys().filter(|name| !OF_THE_BODY.contains(name));
        for name in replaced() {
            headers.remove(name);
            for value in said.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        headers.insert(ETAG, shown.clone());
        Some((headers, kept.body.clone()))
    }

    fn parts(&self) -> Option<(&Representation, &Validator)> {
        let Stored::Entry(entry) = &*self.0 else { return None };
        let validator = entry.representation.validator.as_deref()?;
        Some((&entry.representation, validator))
    }
}

/// A tag without its weakness.
fn opaque(tag: &HeaderValue) -> &[u8] {
    tag.as_bytes().strip_prefix(b"W/").unwrap_or(tag.as_bytes())
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::cache::coherence::{Stamp, View};

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(k, v): &(&'static str, &str)| {
            (HeaderName::from_static(k), v.parse::<HeaderValue>().expect("a value"))
        };
        pairs.iter().map(pair).collect()
    }

    fn body() -> Bytes {
        Bytes::from(vec![b'x'; LEAST])
    }

    fn held(pairs: &[(&'static str, &str)], vault: u64) -> Option<Held> {
        let headers = headers(pairs);
        let validator = Validator::of(&headers, &body(), vault);
        let shown = Representation {
            validator: validator.map(Box::new),
            ..Representation::new(StatusCode::OK, &headers, body())
        };
        let (view, stamp) = (View::default(), Stamp::empty());
        Held::of(&Arc::new(Stored::Entry(Entry::new(shown, view, stamp, 0, 1, 1))))
    }

    #[test]
    fn only_one_whole_tag_of_a_body_that_is_worth_it_is_asked_about() {
        let has = |tags: &[&str], length: usize| {
            let pairs: Vec<_> = tags.iter().map(|tag| ("etag", *tag)).collect();
            Validator::of(&headers(&pairs), &body().slice(..length), 1).is_some()
        };
        assert!(has(&["\"a\""], LEAST) && has(&["W/\"a\""], LEAST));
        assert!(!has(&["\"a\""], LEAST - 1));
        assert!(!has(&[], LEAST) && !has(&["\"a\"", "\"b\""], LEAST));
        assert!(!has(&["a"], LEAST) && !has(&["\""], LEAST) && !has(&["\"\""], LEAST));
    }

    #[test]
    fn nothing_is_asked_under_other_secrets() {
        let held = held(&[("etag", "W/\"a\"")], 7).expect("a tag");
        assert_eq!(held.condition(7), Some(&HeaderValue::from_static("W/\"a\"")));
        assert_eq!(held.condition(8), None);
        assert!(held.renewed(&HeaderMap::new(), 8).is_none(), "the vault changed meanwhile");
    }

    #[test]
    fn a_304_renews_what_it_speaks_of_and_replaces_headers() {
        let kept = [("etag", "W/\"a\""), ("content-type", "application/json"), ("x-total", "1")];
        let held = held(&kept, 7).expect("a tag");
        assert!(held.renewed(&headers(&[("etag", "\"b\"")]), 7).is_none());
        let said =
            [("etag", "\"a\""), ("content-type", "text/html"), ("x-total", "2"), ("x-page", "1")];
        let (shown, bytes) = held.renewed(&headers(&said), 7).expect("the same");
        let expected = [
            ("etag", "\"a\""),
            ("content-type", "application/json"),
            ("x-total", "2"),
            ("x-page", "1"),
        ];
        assert_eq!((shown, bytes), (headers(&expected), body()));
        let (shown, _) = held.renewed(&HeaderMap::new(), 7).expect("the same");
        assert_eq!(shown, headers(&kept), "what it does not say stays");
    }
}
