//! Links, and where a chain of them ends.

use std::{fmt, str::FromStr};

use aws_lc_rs::digest::{SHA256, digest};

use super::{
    encoding::{encoded, read_hex, write_hex},
    event::Event,
};

/// A SHA-256, which is no secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 32]);

/// Why a text is no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash is written as 64 hexadecimal digits, in lower case")]
pub struct BadHash;

/// An event in its place, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The name of its chain.
    pub chain: String,
    /// Its number, from 1.
    pub sequence: u64,
    /// When it was appended, as a Unix time in seconds.
    pub time: i64,
    /// The event's JSON, byte for byte: what is hashed is this, and not what is read from it.
    pub event: String,
    /// The hash of the link before; of the first one, that of the chain's start.
    pub previous: Hash,
    /// The hash of all of the above.
    pub hash: Hash,
}

/// Where a chain ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The name of the chain.
    pub chain: String,
    /// The number of its last link; 0 if it has none.
    pub sequence: u64,
    /// The hash of its last link, or of its start.
    pub hash: Hash,
}

/// A link by its number and its hash, `NUMBER:HASH`: what is kept elsewhere of the end of a chain, so
/// that nobody can cut it off there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number.
    pub sequence: u64,
    /// Its hash.
    pub hash: Hash,
}

/// Why a text is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected NUMBER:HASH, as `tollgate audit verify` prints it")]
pub struct BadPlace;

const LINK: &str = "tollgate audit link 1";

/// The name is hashed under a label of its own, so that links cannot move between chains.
const START: &str = "tollgate audit chain 1";

impl Hash {
    /// As it stands in the store; none when it has another length than 32.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes to keep.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(hash)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl FromStr for Hash {
    type Err = BadHash;

    fn from_str(text: &str) -> Result<Self, BadHash> {
        read_hex(text).map(Self).ok_or(BadHash)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, self.hash)
    }
}

impl FromStr for Place {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        let (sequence, hash) = text.split_once(':').ok_or(BadPlace)?;
        let sequence = sequence.parse().map_err(|_| BadPlace)?;
        Ok(Self { sequence, hash: hash.parse().map_err(|_| BadPlace)? })
    }
}

impl Link {
    /// The hash that it should have.
    pub fn digest(&self) -> Hash {
        Hash::of(&encoded(
            LINK,
            &[
                self.chain.as_bytes(),
                &self.sequence.to_be_bytes(),
                &self.time.to_be_bytes(),
                self.event.as_bytes(),
                &self.previous.0,
            ],
        ))
    }
}

impl Tail {
    /// The end of a chain that has no link yet.
    pub fn start(chain: &str) -> Self {
        let hash = Hash::of(&encoded(START, &[chain.as_bytes()]));
        Self { chain: chain.to_owned(), sequence: 0, hash }
    }

    /// The end of a chain whose last link this is.
    pub fn of(link: &Link) -> Self {
        Self { chain: link.chain.clone(), sequence: link.sequence, hash: link.hash }
    }

    /// What can be kept of it elsewhere.
    pub fn place(&self) -> Place {
        Place { sequence: self.sequence, hash: self.hash }
    }

    /// The next link, at a Unix time in seconds. Nothing is changed here: its own tail follows.
    pub fn append(&self, time: i64, event: &Event) -> Link {
        let link = Link {
            chain: self.chain.clone(),
            sequence: self.sequence + 1,
            time,
            event: event.to_json(),
            previous: self.hash,
            hash: self.hash,
        };
        Link { hash: link.digest(), ..link }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{Action, Actor, ActorKind, Decision};

    fn event() -> Event {
        Event::new(Actor::unnamed(ActorKind::Server), Action::Purge, Decision::Done)
    }

    /// What was written by one version is checked by all later ones.
    #[test]
    fn hashes_are_what_they_have_always_been() {
        let start = Tail::start("main");
        let first = start.append(1_800_000_000, &event());
        let second = Tail::of(&first).append(-1, &event());
        let expected = [
            "0d3311ec76ed9ee53fb73d1af6925da7a1a7efca03b2a24c49838e67a87be221",
            "f08ae07e01e1608b6a775026ae233bdb8a8f85cf89ad6cb641067f1e7edc2b9b",
            "243e37fc1e678969da1a8214e8442e9ea25ace8885f69d2ebc2a916d40ce9b57",
        ];
        assert_eq!([start.hash, first.hash, second.hash].map(|hash| hash.to_string()), expected);
    }

    #[test]
    fn links_follow_one_another() {
        let start = Tail::start("main");
        let first = start.append(5, &event());
        assert_eq!((first.sequence, first.previous), (1, start.hash));
        let second = Tail::of(&first).append(6, &event());
        assert_eq!((second.sequence, second.previous), (2, first.hash));
        assert_eq!((second.chain.as_str(), second.time), ("main", 6));
        assert_eq!(second.event, event().to_json());
    }

    #[test]
    fn the_same_event_is_another_link_elsewhere() {
        let here = Tail::start("main").append(5, &event());
        assert_ne!(here.hash, Tail::start("other").append(5, &event()).hash);
        assert_ne!(here.hash, Tail::start("main").append(6, &event()).hash);
        assert_ne!(here.hash, Tail::of(&here).append(5, &event()).hash);
        assert_eq!(here, Tail::start("main").append(5, &event()));
    }

    #[test]
    fn a_hash_is_read_as_it_is_written() {
        let hash = Tail::start("main").hash;
        assert_eq!(hash.to_string().parse::<Hash>(), Ok(hash));
        assert_eq!(format!("{hash:?}"), hash.to_string());
        assert_eq!(Hash::from_bytes(hash.as_bytes()), Some(hash));
        assert_eq!(Hash::from_bytes(b"short"), None);
        assert_eq!("00".parse::<Hash>(), Err(BadHash));
        let place = Place { sequence: 12, hash };
        assert_eq!(place.to_string().parse::<Place>(), Ok(place));
        for text in ["", "12", "12:", ":00", &format!("-1:{hash}"), &format!("{hash}")] {
            assert_eq!(text.parse::<Place>(), Err(BadPlace), "{text}");
        }
        assert_eq!(hash.to_string().to_uppercase().parse::<Hash>(), Err(BadHash));
    }
}
