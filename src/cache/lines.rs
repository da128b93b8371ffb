//! The lines of a reply's header as an entry keeps them: one after the other, in one piece.
//!
//! A map of headers finds a name quickly, and each of its lines takes half as much memory again for that.
//! A hit shows all the lines of an entry, and looks for one only where the request has a condition. Between
//! two hits of one entry others have had the processor's caches, so what a hit costs is in how many places
//! it has to look.

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Header lines that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines(Box<[(HeaderName, HeaderValue)]>);

/// What the headers of many replies say.
const COMMON: [&str; 8] = [
    "application/json; charset=utf-8",
    "application/xml; charset=utf-8",
    "application/json",
    "private, max-age=0, must-revalidate",
    "Authorization, Accept",
    "SAMEORIGIN",
    "nosniff",
    "1; mode=block",
];

fn common(value: &HeaderValue) -> Option<&'static str> {
    COMMON.into_iter().find(|text| *value == *text)
}

impl Lines {
    /// The same lines, with values of their own. As the upstream's reply gave them they are parts of
    /// what was read from its connection, and each would hold on to all of that. Together they have
    /// one buffer, because every hit touches every one of them; but for those that many replies have:
    /// what is in the program itself is shown without a count of who refers to it.
    pub fn of(headers: &HeaderMap) -> Self {
        let own = || headers.values().filter(|value| common(value).is_none());
        let mut buffer = BytesMut::with_capacity(own().map(HeaderValue::len).sum());
        own().for_each(|value| buffer.extend_from_slice(value.as_bytes()));
        let mut buffer = buffer.freeze();
        let keep = |(name, value): (&HeaderName, &HeaderValue)| {
            let kept = match common(value) {
                Some(text) => Ok(HeaderValue::from_static(text)),
                None => HeaderValue::from_maybe_shared(buffer.split_to(value.len())),
            };
            (name.clone(), kept.unwrap_or_else(|_| value.clone()))
        };
        Self(headers.iter().map(keep).collect())
    }

    /// All of them, those of one name next to each other.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The first value of a name.
    pub fn get(&self, name: &(impl PartialEq<HeaderName> + ?Sized)) -> Option<&HeaderValue> {
        self.0.iter().find(|(other, _)| name == other).map(|(_, value)| value)
    }

    /// As a map.
    pub fn to_map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.0.len());
        for (name, value) in self.iter() {
            map.append(name, value.clone());
        }
        map
    }

    /// How much memory they take.
    pub fn weight(&self) -> usize {
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            size_of::<(HeaderName, HeaderValue)>() + name.as_str().len() + value.len()
        };
        self.iter().map(line).sum()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::header::{CONTENT_TYPE, ETAG, VARY};

    use super::*;

    #[test]
    fn lines_hold_on_to_nothing_that_was_read() {
        let read = Bytes::from(vec![b'v'; 4096]);
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_maybe_shared(read.slice(..10)).expect("letters");
        headers.insert(CONTENT_TYPE, value);
        let lines = Lines::of(&headers);
        drop(headers);
        assert!(read.is_unique(), "they are still part of it");
        assert_eq!(lines.get(&CONTENT_TYPE).expect("kept"), "vvvvvvvvvv");
    }

    #[test]
    fn what_headers_say_is_shown_as_it_was() {
        let said = [
            ("x-one", "nosniff"),
            ("x-two", "its own"),
            ("content-type", "application/json; charset=utf-8"),
            ("x-two", "more of its own"),
            ("etag", "\"a\""),
        ];
        let mut shown = HeaderMap::new();
        for (name, value) in said {
            shown.append(name, HeaderValue::from_str(value).expect("letters"));
        }
        let lines = Lines::of(&shown);
        assert_eq!(lines.to_map(), shown);
        assert!(lines.iter().eq(shown.iter()), "in the same order");
        for name in [ETAG, CONTENT_TYPE, HeaderName::from_static("x-two"), VARY] {
            assert_eq!(lines.get(&name), shown.get(&name), "{name}");
        }
        assert_eq!(lines.get("X-Two"), shown.get("x-two"));
    }
}
