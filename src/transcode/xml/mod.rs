//! XML: read strictly, written as Rails does.

mod reader;
mod writer;

pub use reader::{Mixed, is_name, read};
pub use writer::{is_shown_as, push_text};

/// The first line of every document.
pub const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
