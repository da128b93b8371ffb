//! `tollgate vault`: the keys of the store, their rotation, and another master key.

use std::{fmt::Write as _, path::PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Counter, Desk,
    failure::Failure,
    output::{Column, time},
    remote::Call,
};
use crate::{
    operations::{
        Listed,
        vault::{self, RotatedVault, VaultKey},
    },
    tenants::{master_key, store::StoreError},
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
struct Rewrapped<'a> {
    keys: u64,
    master_key: &'a str,
}

const COLUMNS: [Column<VaultKey>; 6] = [
    ("PURPOSE", |key| key.purpose.clone()),
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
            let shown: Vec<VaultKey> = match &mut desk.counter {
                Counter::Store { store, .. } => vault::keys(store)?,
                Counter::Server(server) => {
                    server.ask::<Listed<_>>(Call::get("/v1/vault/keys"))?.items
                }
            };
            desk.output.list(&shown, &COLUMNS)
        }
        VaultCommand::Rotate => {
            let now = desk.now;
            let rotated: RotatedVault = match &mut desk.counter {
                Counter::Store { store, means } => vault::rotate(store, means, now)?,
                Counter::Server(server) => server.ask(Call::post_nothing("/v1/vault/rotate"))?,
            };
            report(desk, &rotated)
        }
        VaultCommand::Rewrap(args) => rewrap(args, desk),
    }
}

fn report(desk: &mut Desk<'_>, rotated: &RotatedVault) -> Result<(), Failure> {
    let RotatedVault { key, resealed, discarded, left } = rotated;
    let text = format!(
        "the data key is {key} now; sealed anew with it: {resealed} secrets; old keys deleted: \
         {discarded}"
    );
    desk.output.one(rotated, &text)?;
    complaint(left).map_or(Ok(()), |complaint| Err(Failure::NotDone(complaint)))
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
