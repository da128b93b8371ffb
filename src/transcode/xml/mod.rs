//! XML: read strictly, written as Rails does.

mod characters;
mod reader;
mod writer;

pub use characters::{is_character, is_in_a_name, is_name};
pub use reader::{Mixed, read};
pub use writer::{is_shown_as, push_text};

/// The first line of every document.
pub const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
