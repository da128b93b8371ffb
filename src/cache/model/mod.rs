//! The coherence core against its one promise: no read that begins after a write was acknowledged
//! shows an older version.
//!
//! `interleavings` runs every order of the atomic operations under loom; `histories` runs random
//! orders of the steps that readers, fetches and writes are made of, with flights and windows.

mod histories;
mod interleavings;
