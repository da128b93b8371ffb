//! Where the master key comes from: a file, or the environment, which wins.

use std::{fs, io, path::PathBuf};

use zeroize::Zeroizing;

use super::Config;
use crate::auth::keyring::{Keyring, MasterKey, MasterKeyError};

/// The environment variable that holds the master key.
pub const VARIABLE: &str = "TOLLGATE_MASTER_KEY";

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum NoMasterKey {
    /// Neither place names one.
    #[error(
        "there is no master key: set master_key_file in the configuration, or {VARIABLE}; \
         `tollgate master-key FILE` makes one"
    )]
    Nowhere,
    /// The file cannot be read.
    #[error("the master key file {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The variable holds something else.
    #[error("{VARIABLE}: {0}")]
    Variable(MasterKeyError),
    /// The file holds something else.
    #[error("the master key file {}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        why: MasterKeyError,
    },
}

/// Derives the keys from the master key; `variable` is the value of [`VARIABLE`].
pub fn keyring(config: &Config, variable: Option<&str>) -> Result<Keyring, NoMasterKey> {
    if let Some(text) = variable {
        let key = MasterKey::parse(text).map_err(NoMasterKey::Variable)?;
        return Ok(Keyring::derive(&key));
    }
    let path = config.master_key_file.clone().ok_or(NoMasterKey::Nowhere)?;
    let text = fs::read_to_string(&path)
        .map(Zeroizing::new)
        .map_err(|source| NoMasterKey::Unreadable { path: path.clone(), source })?;
    let key = MasterKey::parse(&text).map_err(|why| NoMasterKey::File { path, why })?;
    Ok(Keyring::derive(&key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_wins_over_the_file() {
        let [one, two] = [(); 2].map(|()| MasterKey::generate().expect("randomness"));
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(&file, format!("{}\n", *one)).expect("written");
        let config = Config { master_key_file: Some(file.path().to_owned()), ..Config::default() };
        let id = |variable| keyring(&config, variable).expect("a keyring").id().clone();
        let of = |text: &str| Keyring::derive(&MasterKey::parse(text).expect("good")).id().clone();
        assert_eq!(id(None), of(&one));
        assert_eq!(id(Some(&two)), of(&two));
    }

    #[test]
    fn what_is_missing_is_named() {
        let message = |config: &Config, variable| {
            keyring(config, variable).expect_err("no master key").to_string()
        };
        let none = Config::default();
        assert!(message(&none, None).contains("master_key_file"));
        assert!(message(&none, Some("short")).starts_with("TOLLGATE_MASTER_KEY: "));
        let path = Some(PathBuf::from("/nowhere/key"));
        assert!(message(&Config { master_key_file: path, ..none }, None).contains("/nowhere/key"));
    }
}
