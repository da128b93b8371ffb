//! `tollgate master-key`: a file with a new master key, for its owner alone.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;

use super::{failure::Failure, output::Output};
use crate::auth::keyring::MasterKey;

/// Where to put the key.
#[derive(Debug, Args)]
pub struct MasterKeyArgs {
    /// The file to make; one that exists is never overwritten
    pub file: PathBuf,
}

#[derive(Serialize)]
struct Made<'a> {
    file: &'a Path,
}

/// Does it; needs no store.
pub fn run(args: &MasterKeyArgs, output: &mut Output<'_>) -> Result<(), Failure> {
    let key = MasterKey::generate()?;
    let path = &args.file;
    write(path, &key).map_err(|source| Failure::CannotCreate { path: path.clone(), source })?;
    let text = format!(
        "a new master key is in {}; keep a copy: without it no token and no credential works",
        path.display()
    );
    output.one(&Made { file: path }, &text)
}

fn write(path: &Path, key: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{key}")?;
    file.sync_all()
}
