//! Who is calling and what for, as pure rules: tokens, how they are presented, keys, scopes, roles.
//!
//! This folder does no I/O and holds no clock of its own. It imports nothing of ours but the
//! vocabulary and the settings.

pub mod data_key;
pub mod failures;
pub mod keyring;
pub mod presented;
pub mod role;
pub mod scopes;
pub mod token;
