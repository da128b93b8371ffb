//! `tollgate demo`: the whole of it on this machine, with a simulated panel behind.
//!
//! It needs nothing: it makes its own certificate, master key, tenants and tokens in a folder that
//! goes when it ends, and prints commands to paste.

pub mod simulator;

mod certificate;
mod launch;
mod tour;

use std::{net::SocketAddr, sync::Arc};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::cli::{
    Failure,
    output::Output,
    serve::{follow_signals, runtime},
};

pub use launch::{Demo, Options, Serving};

/// What a program that drives the demo needs to know.
#[derive(Debug, Serialize)]
pub struct Card {
    /// The data listener.
    pub url: String,
    /// The admin listener.
    pub admin: String,
    /// The authority of the certificate, as PEM.
    pub ca: String,
    /// The simulated panel.
    pub upstream: String,
    /// Who may call.
    pub tenants: Vec<TenantCard>,
}

/// A tenant of the demo.
#[derive(Debug, Serialize)]
pub struct TenantCard {
    /// Its name.
    pub name: String,
    /// The login that its client uses; any will do.
    pub login: String,
    /// Its token.
    pub token: String,
    /// The panel's own login behind it.
    pub upstream_login: String,
    /// The panel's own key behind it.
    pub upstream_key: String,
}

/// Runs the demo until SIGTERM or SIGINT.
pub fn run(output: &mut Output<'_>) -> Result<(), Failure> {
    runtime(0)?.block_on(async {
        let demo = Demo::start(Options::default()).await?;
        let shutdown = CancellationToken::new();
        follow_signals(Arc::clone(demo.process()), shutdown.clone())?;
        let text = if output.is_json() { String::new() } else { tour::text(&demo) };
        // Served first, printed then: who reads the line may call at once.
        let serving = demo.serve(shutdown);
        output.one(serving.card(), text.trim_end())?;
        serving.ended().await;
        Ok(())
    })
}

/// The address with which a client reaches a listener.
fn local(address: SocketAddr) -> String {
    format!("localhost:{}", address.port())
}
