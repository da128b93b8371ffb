//! Where the master key comes from: the environment, which wins, or a file, or a command.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::Config;
use crate::auth::keyring::{Keyring, MasterKey, MasterKeyError};

mod command;

pub use command::CommandError;

/// The environment variable that holds the master key.
pub const VARIABLE: &str = "TOLLGATE_MASTER_KEY";

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum NoMasterKey {
    /// No place names one.
    #[error(
        "there is no master key: set master_key_file or master_key_command in the configuration, \
         or {VARIABLE}; `tollgate master-key FILE` makes one"
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
    /// The command gives none.
    #[error("the master key command {program}")]
    Command {
        /// The program.
        program: String,
        /// Why.
        source: CommandError,
    },
    /// The command prints something else.
    #[error("what the master key command {program} prints: {why}")]
    Printed {
        /// The program.
        program: String,
        /// Why.
        why: MasterKeyError,
    },
}

/// Derives the keys from the master key; `variable` is the value of [`VARIABLE`].
pub fn keyring(config: &Config, variable: Option<&str>) -> Result<Keyring, NoMasterKey> {
    if let Some(text) = variable {
        return parsed(text).map_err(NoMasterKey::Variable);
    }
    if let Some(path) = &config.master_key_file {
        return read(path);
    }
    let (program, arguments) =
        config.master_key_command.split_first().ok_or(NoMasterKey::Nowhere)?;
    let printed = command::ask(program, arguments, config.master_key_timeout)
        .map_err(|source| NoMasterKey::Command { program: program.clone(), source })?;
    parsed(&printed).map_err(|why| NoMasterKey::Printed { program: program.clone(), why })
}

/// Derives the keys from the master key in a file.
pub fn read(path: &Path) -> Result<Keyring, NoMasterKey> {
    let path = path.to_owned();
    let text = fs::read_to_string(&path)
        .map(Zeroizing::new)
        .map_err(|source| NoMasterKey::Unreadable { path: path.clone(), source })?;
    parsed(&text).map_err(|why| NoMasterKey::File { path, why })
}

fn parsed(text: &str) -> Result<Keyring, MasterKeyError> {
    MasterKey::parse(text).map(|master| Keyring::derive(&master))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_chain::error_chain;

    #[test]
    fn the_variable_wins_over_the_file_and_the_command() {
        let [one, two, three] = [(); 3].map(|()| MasterKey::generate().expect("randomness"));
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), format!("{}\n", *one)).expect("written");
        let by_file = Config { master_key_file: Some(file.path().to_owned()), ..Config::default() };
        let command = vec!["echo".to_owned(), three.to_string()];
        let by_command = Config { master_key_command: command, ..Config::default() };
        let id = |config, variable| keyring(config, variable).expect("a keyring").id().clone();
        let of = |text: &str| Keyring::derive(&MasterKey::parse(text).expect("good")).id().clone();
        assert_eq!(id(&by_file, None), of(&one));
        assert_eq!(id(&by_file, Some(&two)), of(&two));
        assert_eq!(id(&by_command, None), of(&three));
        assert_eq!(id(&by_command, Some(&two)), of(&two));
    }

    #[test]
    fn what_is_missing_is_named() {
        let message = |config: &Config, variable| {
            error_chain(&keyring(config, variable).expect_err("no master key")).to_string()
        };
        let none = Config::default();
        assert!(message(&none, None).contains("master_key_file"));
        assert!(message(&none, Some("short")).starts_with("TOLLGATE_MASTER_KEY: "));
        let path = Some(PathBuf::from("/nowhere/key"));
        let file = Config { master_key_file: path, ..Config::default() };
        assert!(message(&file, None).contains("/nowhere/key"));
        let by = |words: &[&str]| {
            let command = words.iter().map(|word| (*word).to_owned()).collect();
            message(&Config { master_key_command: command, ..Config::default() }, None)
        };
        let failed = by(&["sh", "-c", "echo sealed >&2; exit 2"]);
        assert_eq!(failed, "the master key command sh: exit status: 2; it said: \"sealed\"");
        let poor = by(&["echo", "planted"]);
        assert!(poor.starts_with("what the master key command echo prints: "), "{poor}");
        assert!(!poor.contains("planted"), "{poor}");
    }
}
