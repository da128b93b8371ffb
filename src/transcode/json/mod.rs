//! JSON: read strictly (RFC 8259), written as Rails does.

mod reader;
mod writer;

pub use reader::{is_integer, is_number, read};
pub use writer::push_string;
