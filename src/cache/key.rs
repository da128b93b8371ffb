//! The cache key: partition, view, upstream target, format. Nothing else decides what a reply shows.
//!
//! A key is made from a partition, and a partition belongs to a caller's credential. So a key
//! without a caller does not compile:
//!
//! ```compile_fail
//! use tollgate::{cache::key::Key, vocabulary::{Format, Secrecy}};
//! let target: http::uri::PathAndQuery = "/profile.json".parse().unwrap();
//! let key = Key::new(Secrecy::Hidden, target, Some(Format::Json)); // whose profile?
//! ```

use std::{
    borrow::Borrow,
    hash::{Hash, Hasher},
};

use http::uri::PathAndQuery;
use moka::Equivalent;

use super::partition::Partition;
use crate::vocabulary::{Closed as _, Format, Noted, Secrecy};

/// What an entry is kept under, and all that a fill is made from besides the credential. A hit looks with
/// the target where it stands, `Key<&PathAndQuery>`, and needs none of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key<T = PathAndQuery> {
    partition: u64,
    /// What is masked in it.
    secrecy: Secrecy,
    target: T,
    format: Option<Format>,
    /// The one format that the upstream has, if it is another one.
    native: Option<Format>,
}

/// What stands for a key where the key itself may not be shown: its query may hold secrets. Equal for
/// requests that one entry may answer; that others have the same is unlikely, and harms nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(pub u32);

impl Noted for Digest {
    fn pack(self) -> u64 {
        u64::from(self.0) | 1 << 32
    }

    fn unpack(packed: u64) -> Option<Self> {
        packed.checked_sub(1 << 32).and_then(|digest| u32::try_from(digest).ok()).map(Self)
    }
}

/// The same as derived, in fewer steps: every hit hashes its key.
impl<T: Borrow<PathAndQuery>> Hash for Key<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let bits = |format: Option<Format>| format.map_or(0, |format| format as u64 + 1);
        // There are far fewer partitions than this leaves room for.
        state.write_u64(self.view() << 4 | bits(self.format) << 2 | bits(self.native));
        state.write(self.target.borrow().as_str().as_bytes());
    }
}

impl Equivalent<Key> for Key<&PathAndQuery> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.borrowed()
    }
}

impl<T: Borrow<PathAndQuery>> Key<T> {
    /// The key of a target as it is asked for upstream; no format for what is asked for as it is.
    pub fn new(partition: &Partition, secrecy: Secrecy, target: T, format: Option<Format>) -> Self {
        Self { partition: partition.id(), secrecy, target, format, native: None }
    }

    /// Partition and view in one number.
    fn view(&self) -> u64 {
        self.partition << 1 | self.secrecy as u64
    }

    /// The same, of what the upstream has in this format alone.
    #[must_use]
    pub fn converted_from(self, native: Option<Format>) -> Self {
        let native = native.filter(|native| Some(*native) != self.format);
        Self { native, ..self }
    }

    /// Its digest.
    pub fn digest(&self) -> Digest {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.view().to_le_bytes());
        hasher.update(self.format.map_or("", Format::as_str).as_bytes());
        hasher.update(self.target.borrow().as_str().as_bytes());
        Digest(hasher.finalize())
    }
}

impl Key<&PathAndQuery> {
    /// The same, no longer borrowed. Its target is still a part of what was read (see [`Key::to_keep`]).
    pub fn owned(self) -> Key {
        let Self { partition, secrecy, target, format, native } = self;
        Key { partition, secrecy, target: target.clone(), format, native }
    }
}

impl Key {
    /// The same, with the target where it stands.
    fn borrowed(&self) -> Key<&PathAndQuery> {
        let Self { partition, secrecy, ref target, format, native } = *self;
        Key { partition, secrecy, target, format, native }
    }

    /// The format that is answered, and the one that the upstream has, if it is another one.
    pub fn conversion(&self) -> Option<(Format, Format)> {
        Some((self.format?, self.native?))
    }

    /// What the upstream is asked for.
    #[must_use]
    pub fn in_native(self) -> Self {
        Self { format: self.native, native: None, ..self }
    }

    /// The key of the same in the other format; none for what is asked for as it is, or converted, or
    /// names its format in its query.
    pub fn in_other_format(&self) -> Option<Self> {
        let format = self.format.filter(|_| self.native.is_none())?;
        let (path, query) = (self.target.path(), self.target.query());
        let suffix = format!(".{}", format.as_str());
        let named = |query: &str| query.split('&').any(|pair| pair.contains("format"));
        if query.is_some_and(named) {
            return None;
        }
        // Where it ends its segment.
        let ends = |at: &usize| matches!(path.as_bytes().get(at + suffix.len()), None | Some(b'/'));
        let at = path.match_indices(&suffix).map(|(at, _)| at).find(ends)?;
        let (before, behind) = (&path[..at], &path[at + suffix.len()..]);
        let other = format.other();
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let target = format!("{before}.{}{behind}{query}", other.as_str()).parse().ok()?;
        Some(Self { target, format: Some(other), ..self.clone() })
    }

    /// The number of its partition.
    pub fn partition(&self) -> u64 {
        self.partition
    }

    /// What is masked in it.
    pub fn secrecy(&self) -> Secrecy {
        self.secrecy
    }

    /// The target as it is asked for upstream.
    pub fn target(&self) -> &PathAndQuery {
        &self.target
    }

    /// The format that is asked for.
    pub fn format(&self) -> Option<Format> {
        self.format
    }

    /// The same with a target of its own. As it was asked for, it is a part of the buffer that its
    /// connection was read into, and would hold on to all of that for as long as it is kept.
    #[must_use]
    pub fn to_keep(&self) -> Self {
        let target = PathAndQuery::try_from(self.target.as_str());
        Self { target: target.unwrap_or_else(|_| self.target.clone()), ..*self }
    }

    /// How much memory the key takes.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.target.as_str().len()
    }
}

#[cfg(test)]
mod tests {
    use std::{hash::BuildHasher as _, sync::Arc};

    use super::*;
    use crate::{
        api::families::FamilySet,
        cache::{coherence::Epochs, names::Names, partition::Commons},
    };

    #[test]
    fn the_other_format_stands_under_its_own_suffix() {
        let none = FamilySet::EMPTY;
        let commons = Arc::new(Commons::new(1, none, none, Names::new(1)));
        let partition = Partition::new(Arc::new(Epochs::new(1, none)), commons, true);
        let key = |target: &str, format| {
            Key::new(&partition, Secrecy::Hidden, target.parse().expect("a target"), Some(format))
        };
        for (json, xml) in [
            ("/a.json", "/a.xml"),
            ("/a.json?b=1.json&c", "/a.xml?b=1.json&c"),
            ("/a.jsonp.b/c.json/page/2", "/a.jsonp.b/c.xml/page/2"),
        ] {
            let (json, xml) = (key(json, Format::Json), key(xml, Format::Xml));
            assert_eq!(
                (json.in_other_format(), xml.in_other_format()),
                (Some(xml.clone()), Some(json))
            );
        }
        let converted = key("/a.json", Format::Xml).converted_from(Some(Format::Json));
        for none in [converted, key("/a.json?format=xml", Format::Json), key("/a", Format::Json)] {
            assert_eq!(none.in_other_format(), None, "{none:?}");
        }
    }

    #[test]
    fn a_borrowed_key_finds_its_own_and_no_other() {
        let target = |text: &str| text.parse::<PathAndQuery>().expect("a target");
        let (hidden, shown) = (Secrecy::Hidden, Secrecy::Shown);
        let (json, xml) = (Some(Format::Json), Some(Format::Xml));
        let key = |partition, secrecy, path, format, native| Key {
            partition,
            secrecy,
            target: target(path),
            format,
            native,
        };
        // Each differs from the first in one thing.
        let keys = [
            key(1, hidden, "/a", json, None),
            key(2, hidden, "/a", json, None),
            key(1, shown, "/a", json, None),
            key(1, hidden, "/b", json, None),
            key(1, hidden, "/a", xml, None),
            key(1, hidden, "/a", None, None),
            key(1, hidden, "/a", json, xml),
        ];
        let hashes = std::hash::RandomState::new();
        for (at, one) in keys.iter().enumerate() {
            for (place, other) in keys.iter().enumerate() {
                assert_eq!(one.borrowed().equivalent(other), at == place, "{one:?} {other:?}");
            }
            assert_eq!(hashes.hash_one(one.borrowed()), hashes.hash_one(one), "{one:?}");
            assert_eq!(one.borrowed().owned(), *one);
        }
    }

    #[test]
    fn a_digest_tells_keys_apart() {
        let none = FamilySet::EMPTY;
        let commons = Arc::new(Commons::new(1, none, none, Names::new(1)));
        let partition = |id| {
            Partition::numbered(id, Arc::new(Epochs::new(1, none)), Arc::clone(&commons), true)
        };
        let digest = |id, secrecy, target: &str, format| {
            Key::new(
                &partition(id),
                secrecy,
                target.parse::<PathAndQuery>().expect("a target"),
                format,
            )
            .digest()
        };
        let (hidden, shown) = (Secrecy::Hidden, Secrecy::Shown);
        let one = digest(1, hidden, "/a", Some(Format::Json));
        assert_eq!(one, digest(1, hidden, "/a", Some(Format::Json)));
        let others = [
            digest(2, hidden, "/a", Some(Format::Json)),
            digest(1, shown, "/a", Some(Format::Json)),
            digest(1, hidden, "/b", Some(Format::Json)),
            digest(1, hidden, "/a", Some(Format::Xml)),
            digest(1, hidden, "/a", None),
        ];
        assert!(!others.contains(&one));
        for digest in [one, Digest(0), Digest(u32::MAX)] {
            assert_eq!(Digest::unpack(digest.pack()), Some(digest));
        }
    }
}
