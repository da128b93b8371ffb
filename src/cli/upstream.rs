//! `tollgate upstream list`: the upstreams that the configuration defines.

use serde::Serialize;

use super::{
    failure::Failure,
    output::{Column, Output},
};
use crate::config::Config;

#[derive(Serialize)]
struct Shown {
    name: String,
    url: String,
    max_connections: u32,
}

const COLUMNS: [Column<Shown>; 3] = [
    ("NAME", |u| u.name.clone()),
    ("URL", |u| u.url.clone()),
    ("CONNECTIONS", |u| u.max_connections.to_string()),
];

/// Lists them.
pub fn list(config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
    let shown = config.upstreams.iter().map(|(name, upstream)| Shown {
        name: name.clone(),
        url: upstream.origin.to_string(),
        max_connections: upstream.config.max_connections,
    });
    output.list(&shown.collect::<Vec<_>>(), &COLUMNS)
}
