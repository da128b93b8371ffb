//! `tollgate vault`: the keys of the store, their rotation, and another master key.

use std::{fmt::Write as _, path::PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Desk,
    failure::Failure,
    output::{Column, time},
};
use crate::{
    tenants::{
        master_key,
        rotation::{Rotated, Rotation},
        store::{KeyUse, StoreError},
    },
    vocabulary::Closed as _,
};

/// What can be done with the keys of the store.
#[derive(Debug, Subcommand)]
pub enum VaultCommand {
    /// List the keys of the store, and how many secrets or tokens each is used by
    Status,
    /// Seal every secret with a new data key, while servers serve, and delete the old one
    Rotate,
    /// Wrap the keys of the store with another master key; tokens and credentials stay good
    Rewrap(RewrapArgs),
}

/// The other master key.
#[derive(Debug, Args)]
pub struct RewrapArgs {
    /// The file that holds the new master key, made by `tollgate master-key FILE`
    #[arg(long, value_name = "PATH")]
    pub new_master_key_file: PathBuf,
}

#[derive(Serialize)]
struct Shown {
    purpose: &'static str,
    id: String,
    used_by: Option<i64>,
    created: i64,
    retired: Option<i64>,
    master_key: String,
}

#[derive(Serialize)]
struct Done<'a> {
    key: &'a str,
    resealed: u64,
    discarded: u64,
    left: Vec<String>,
}

#[derive(Serialize)]
struct Rewrapped<'a> {
    keys: u64,
    master_key: &'a str,
}

const COLUMNS: [Column<Shown>; 6] = [
    ("PURPOSE", |key| key.purpose.to_owned()),
    ("KEY", |key| key.id.clone()),
    ("USED BY", |key| key.used_by.map_or_else(|| "-".to_owned(), |uses| uses.to_string())),
    ("CREATED", |key| time(Some(key.created))),
    ("RETIRED", |key| time(key.retired)),
    ("MASTER KEY", |key| key.master_key.clone()),
];

/// Does it.
pub fn run(command: &VaultCommand, desk: &mut Desk<'_>) -> Result<(), Failure> {
    match command {
        VaultCommand::Status => {
            let uses = desk.at_store()?.0.key_uses()?;
            let shown: Vec<Shown> = uses.into_iter().map(Shown::from).collect();
            desk.output.list(&shown, &COLUMNS)
        }
        VaultCommand::Rotate => {
            let now = desk.now;
            let (store, means) = desk.at_store()?;
            let rotated = Rotation::default().run(store, &means.vault, now)?;
            report(desk, &rotated)
        }
        VaultCommand::Rewrap(args) => rewrap(args, desk),
    }
}

fn report(desk: &mut Desk<'_>, rotated: &Rotated) -> Result<(), Failure> {
    let Rotated { key, resealed, discarded, left } = rotated;
    let left: Vec<String> = left.iter().map(ToString::to_string).collect();
    let text = format!(
        "the data key is {key} now; sealed anew with it: {resealed} secrets; old keys \
         deleted: {discarded}"
    );
    let complaint = complaint(&left);
    let (resealed, discarded) = (*resealed, *discarded);
    desk.output.one(&Done { key, resealed, discarded, left }, &text)?;
    complaint.map_or(Ok(()), |complaint| Err(Failure::NotDone(complaint)))
}

/// What does not open is no less there than before, but somebody must look at it.
fn complaint(left: &[String]) -> Option<String> {
    let mut text = format!("not sealed anew, so that their keys stay: {} secrets", left.len());
    for one in left {
        // Writing to memory does not fail.
        let _ = write!(text, "\n  {one}");
    }
    (!left.is_empty()).then_some(text)
}

fn rewrap(args: &RewrapArgs, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let now = desk.now;
    let (store, means) = desk.at_store()?;
    let (from, to) = (means.vault.keyring, master_key::read(&args.new_master_key_file)?);
    let master_key = to.master_id().as_str();
    if from.master_id() == to.master_id() {
        let text = format!("the store is wrapped with this master key already ({master_key})");
        return Err(Failure::NotDone(text));
    }
    let keys = store.edit::<_, StoreError>(now, |edit| edit.rewrap(from, &to))?;
    let text = format!(
        "{keys} keys are wrapped with the master key {master_key}; tokens, credentials and the \
         audit log are as good as before.\nPut the new key in the place of the old one; running \
         servers go on as they are, and read it at SIGHUP"
    );
    desk.output.one(&Rewrapped { keys, master_key }, &text)
}

impl From<KeyUse> for Shown {
    fn from(key: KeyUse) -> Self {
        Self {
            purpose: key.purpose.as_str(),
            id: key.id,
            used_by: key.used_by,
            created: key.created,
            retired: key.retired,
            master_key: key.wrapped_by,
        }
    }
}
