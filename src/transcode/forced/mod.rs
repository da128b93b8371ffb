//! The other format where there is only one, by rules alone.
//!
//! An upstream, or a route, may speak one format only. What it says is then converted without knowing
//! more than the document: names and shapes of what Rails usually means by it are assumed. What cannot
//! be kept is in the table of `FORMATS.md`, row by row a test.

mod body;
mod inflection;
mod to_json;
mod to_xml;

pub use body::{body_to_json, body_to_xml};
pub use inflection::Inflection;
pub use to_json::to_json;
pub use to_xml::to_xml;

/// Why a body of a request cannot be converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unconvertible {
    /// It is not what its Content-Type says.
    #[error("the body cannot be read: {0}")]
    NotRead(#[from] super::tree::NotRead),
    /// JSON that is no object with one member.
    #[error("the body has to be an object with one member, which XML has as its root")]
    Root,
    /// A type that Rails refuses, or that JSON cannot say.
    #[error("an element has a type that is refused: symbol, yaml, file, binary, base64Binary")]
    Kind,
    /// A name that XML does not have, or that Rails reads as another.
    #[error("a name in the body is none in XML, or would be read as another one")]
    Name,
    /// A name that is there twice.
    #[error("a name is repeated within an object, which XML would say is a list")]
    Repeated,
    /// A character that XML does not have.
    #[error("a character in the body is none in XML")]
    Character,
    /// Much longer than what it is made of.
    #[error("it would be too long")]
    Size,
    /// A date or a time that is none.
    #[error("an element has the type of a date or a time, and is none")]
    Date,
}

#[cfg(test)]
mod tests;
