//! What the gateway itself reads and writes of Rails' JSON and XML.
//!
//! This folder does no I/O, holds no clock and imports nothing of ours but the vocabulary.

pub mod compare;
pub mod disclosure;
pub mod errors;
pub mod forced;
pub mod json;
pub mod learned;
pub mod locked;
pub mod mask;
pub mod resources;
pub mod time;
pub mod transactions;
pub mod tree;
pub mod xml;
