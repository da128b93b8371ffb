//! The cache: what may be kept, under which key, and for how long it is true.
//!
//! The deciding files (`coherence`, `dependence`, `directives`, `names`, `flight`, `key`, `lines`, `entry`,
//! `standing`, `validator`, `status`) do no I/O, hold no clock and spawn nothing; `store` knows where entries live,
//! `touch` ties a write to its epochs.

pub mod cause;
pub mod coherence;
pub mod dependence;
pub mod directives;
pub mod entry;
pub mod flight;
pub mod key;
pub mod lines;
pub mod mark;
pub mod names;
pub mod partition;
pub mod shelf;
pub mod standing;
pub mod status;
pub mod store;
pub mod touch;
pub mod validator;

#[cfg(test)]
mod model;
