//! `tollgate audit`: whether the log is whole, and what stands in it.

use clap::Subcommand;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Desk, failure::Failure};
use crate::audit::{chain::Link, head::Signer};

/// What can be asked of the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check that no event was altered, removed or put in, as far as it is signed
    Verify,
    /// Write every event as a line of JSON, the oldest first
    Export,
}

#[derive(Serialize)]
struct Verified {
    first: u64,
    last: u64,
    signed_up_to: Option<u64>,
    heads: u64,
    public_key: String,
}

#[derive(Serialize)]
struct Exported<'a> {
    sequence: u64,
    time: i64,
    event: &'a RawValue,
    hash: String,
}

/// Does it.
pub fn run(command: &AuditCommand, desk: &mut Desk<'_>) -> Result<(), Failure> {
    match command {
        AuditCommand::Verify => verify(desk),
        AuditCommand::Export => export(desk),
    }
}

fn verify(desk: &mut Desk<'_>) -> Result<(), Failure> {
    let keyring = desk.vault.keyring;
    let report = desk.store.verify_audit(keyring, |_| {})??;
    let public_key = Signer::from_seed(keyring.audit_seed()).public_key().to_string();
    let signed = match report.signed_up_to {
        Some(sequence) => format!("signed up to {sequence}"),
        None => "not signed".to_owned(),
    };
    let text = format!(
        "the audit log is whole: events {} to {}, {signed} with the key {public_key}",
        report.first, report.last
    );
    let verified = Verified {
        first: report.first,
        last: report.last,
        signed_up_to: report.signed_up_to,
        heads: report.heads_checked,
        public_key,
    };
    desk.output.one(&verified, &text)
}

fn export(desk: &mut Desk<'_>) -> Result<(), Failure> {
    let (_, checkpoint) = desk.store.audit_heads()?;
    let mut after = checkpoint.map_or(0, |checkpoint| checkpoint.sequence);
    loop {
        let links = desk.store.audit_links(after)?;
        let Some(last) = links.last() else { return Ok(()) };
        after = last.sequence;
        for link in &links {
            desk.output.document(&exported(link)?)?;
        }
    }
}

fn exported(link: &Link) -> Result<Exported<'_>, Failure> {
    let event = serde_json::from_str(&link.event);
    let event = event.map_err(|_| Failure::NoEvent(link.sequence))?;
    let Link { sequence, time, hash, .. } = link;
    Ok(Exported { sequence: *sequence, time: *time, event, hash: hash.to_string() })
}
