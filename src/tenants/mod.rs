//! Tenants, their tokens and the upstream credentials these stand for: the store and its snapshot.
//!
//! The command line edits the store. The request path reads the snapshot, which a running
//! [`Directory`](directory::Directory) rebuilds when the store has changed; no SQL runs there.

use std::{path::PathBuf, time::Duration};

pub mod directory;
pub mod import;
pub mod master_key;
pub mod record;
pub mod secret;
pub mod snapshot;
pub mod store;

mod schema;

#[cfg(test)]
pub(crate) mod fixture;

crate::section! {
    /// Where tenants, tokens and credentials are kept.
    pub struct Config {
        /// The SQLite file; it is made when it does not exist.
        pub store: PathBuf = PathBuf::from("/var/lib/tollgate/tollgate.db"),
        /// How often a running server looks whether the store has changed.
        pub poll_interval: Duration = Duration::from_millis(250),
        /// The file that holds the master key; the variable `TOLLGATE_MASTER_KEY` wins over it.
        pub master_key_file: Option<PathBuf> = None,
        /// The word in new tokens that tells this installation from others, such as `live`.
        pub token_environment: String = "live".to_owned(),
    }
}
