//! What a route's documents look like in both formats, learned from documents that said the same.
//!
//! From JSON alone nobody can tell a price from a version, or the name of an item; from XML alone not
//! what was wrapped. Of a route that has shown both they are known: a [`Map`] has them for each place
//! of its documents, and with it the other format is derived, character for character. What a map
//! has not seen it does not guess: then the document is [`Unfit`].

mod learn;
mod map;
mod to_json;
mod to_xml;

pub use learn::learn;
pub use map::{Map, NoMap};
pub use to_json::to_json;
pub use to_xml::to_xml;

/// Why nothing is derived from a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A member, an item or a root of another name.
    #[error("something has a name that was not seen there")]
    Name,
    /// A kind of value that was never seen at its place.
    #[error("something has a kind that was not seen there")]
    Kind,
    /// A text that is no time where all were.
    #[error("something is no time where all else was")]
    Time,
    /// What the other format cannot tell.
    #[error("something may stand for several values")]
    Ambiguous,
}

/// Why nothing is learned from two documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unlearned {
    /// They do not have the same names in the same order.
    #[error("the formats do not have the same names in the same order")]
    Names,
    /// They do not have the same values.
    #[error("the formats do not have the same values")]
    Values,
    /// One place would need two rules.
    #[error("values of one kind are shown in two ways")]
    Contradiction,
    /// A document that could be two.
    #[error("a name could be a wrapper or a member")]
    Ambiguous,
    /// More places than a map may have.
    #[error("the documents have too many places")]
    Size,
}

#[cfg(test)]
mod tests;
