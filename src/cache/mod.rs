//! The cache: what may be kept, under which key, and for how long it is true.

pub mod partition;
