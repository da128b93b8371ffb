//! `tollgate formats`: what the running server has learned of the formats of routes.

use std::path::PathBuf;

use clap::Subcommand;

use super::{
    failure::Failure,
    output::{Column, Output},
    remote::{Call, Remote},
};
use crate::{
    admin::api::formats::{Imported, PATH},
    formats::Shown,
};

/// What can be asked of maps.
#[derive(Debug, Subcommand)]
pub enum FormatsCommand {
    /// List the routes whose formats are known
    List,
    /// Write all maps as JSON, for another server or for later
    Export,
    /// Hand in what was exported; each map is used when it has reproduced a pair
    Import {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

const COLUMNS: [Column<Shown>; 5] = [
    ("UPSTREAM", |shown| shown.upstream.clone()),
    ("ROUTE", |shown| shown.route.clone()),
    ("STATE", |shown| if shown.proven { "proven" } else { "unproven" }.to_owned()),
    ("PLACES", |shown| shown.map.len().to_string()),
    ("SECRETS", |shown| if shown.secrets { "shown" } else { "hidden" }.to_owned()),
];

/// Asks, and says what the answer is.
pub fn run(
    server: &Remote,
    command: &FormatsCommand,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    if let FormatsCommand::Import { file } = command {
        let unreadable = |error: &dyn std::fmt::Display| {
            Failure::NotDone(format!("{}: {error}", file.display()))
        };
        let text = std::fs::read_to_string(file).map_err(|error| unreadable(&error))?;
        let maps: Vec<Shown> = serde_json::from_str(&text).map_err(|error| unreadable(&error))?;
        let imported: Imported = server.ask(Call::post(PATH, &maps))?;
        return output.one(&imported, &format!("{} maps taken", imported.taken));
    }
    let maps: Vec<Shown> = server.ask(Call::get(PATH))?;
    match command {
        FormatsCommand::Export => {
            let text = serde_json::to_string(&maps).expect("names and numbers always serialize");
            output.one(&maps, &text)
        }
        FormatsCommand::List | FormatsCommand::Import { .. } => output.list(&maps, &COLUMNS),
    }
}
