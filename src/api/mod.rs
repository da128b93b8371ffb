//! What a URL of the upstream means: its canonical form, its route, its format, its effects.
//!
//! Pure rules: no I/O, no clock, nothing of ours but the vocabulary and the settings.

pub mod families;
pub mod format;
pub mod method;
pub mod pattern;
pub mod routes;
pub mod target;
