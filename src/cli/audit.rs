//! `tollgate audit`: whether the log is whole, and what stands in it.

use clap::Subcommand;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Desk, failure::Failure};
use crate::audit::{
    chain::{Link, Place},
    head::Signer,
};

/// What can be asked of the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check that no event was altered, removed or put in, and that the end is signed
    Verify {
        /// A head that was kept elsewhere, as this command printed it: it has to be in the log
        #[arg(long, value_name = "NUMBER:HASH")]
        head: Option<Place>,
    },
    /// Write every event as a line of JSON, the oldest first
    Export,
    /// Let a log that is not whole begin anew behind what stands there, and note that
    ///
    /// For a log that was tampered with, or is signed under a master key that is lost. Nothing is
    /// deleted, but nothing vouches for what stands there any more. First see what `verify` says,
    /// and keep a copy of the store.
    Accept,
}

#[derive(Serialize)]
struct Verified {
    first: u64,
    last: u64,
    signed_up_to: Option<u64>,
    heads: u64,
    head: String,
    unvouched: u64,
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
        AuditCommand::Verify { head } => verify(*head, desk),
        AuditCommand::Export => export(desk),
        AuditCommand::Accept => accept(desk),
    }
}

fn verify(kept: Option<Place>, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let keyring = desk.vault.keyring;
    let verified = desk.store.verify_audit(keyring, kept, |_| {})??;
    let (report, head, unvouched) = (verified.report, verified.end, verified.unvouched);
    let public_key = Signer::from_seed(keyring.audit_seed()).public_key().to_string();
    let behind = match unvouched {
        0 => String::new(),
        count => format!("\nbefore that stand {count} events that nothing vouches for"),
    };
    let text = format!(
        "the audit log is whole: events {} to {}, signed with the key {public_key}\n\
         its head, to be kept elsewhere: {head}{behind}",
        report.first, report.last
    );
    let verified = Verified {
        first: report.first,
        last: report.last,
        signed_up_to: report.signed_up_to,
        heads: report.heads_checked,
        head: head.to_string(),
        unvouched,
        public_key,
    };
    desk.output.one(&verified, &text)
}

fn accept(desk: &mut Desk<'_>) -> Result<(), Failure> {
    let accepted = desk.store.accept_audit(desk.vault.keyring, desk.now)?;
    let accepted = accepted.ok_or(Failure::NothingToAccept)?;
    let text = format!(
        "the audit log begins anew: nothing vouches for events up to {} any more ({})",
        accepted.up_to, accepted.why
    );
    desk.output.one(&accepted, &text)
}

fn export(desk: &mut Desk<'_>) -> Result<(), Failure> {
    let checkpoint = desk.store.audit_checkpoint()?;
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
