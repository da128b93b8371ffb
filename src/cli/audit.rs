//! `tollgate audit`: whether the log is whole, and what stands in it.

use clap::Subcommand;

use super::{Counter, Desk, failure::Failure, remote::Call};
use crate::{
    audit::chain::Place,
    operations::{
        Cursor, Page,
        audit::{self, Verified},
    },
    tenants::store::audit::Accepted,
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

/// Does it.
pub fn run(command: &AuditCommand, desk: &mut Desk<'_>) -> Result<(), Failure> {
    match command {
        AuditCommand::Verify { head } => verify(*head, desk),
        AuditCommand::Export => export(desk),
        AuditCommand::Accept => accept(desk),
    }
}

fn verify(kept: Option<Place>, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let verified: Verified = match &mut desk.counter {
        Counter::Store { store, means } => audit::verify(store, means.vault.keyring, kept)?,
        Counter::Server(server) => server.ask(Call::get(audit::verify_path(kept.as_ref())))?,
    };
    let behind = match verified.unvouched {
        0 => String::new(),
        count => format!("\nbefore that stand {count} events that nothing vouches for"),
    };
    let text = format!(
        "the audit log is whole: events {} to {}, signed with the key {}\n\
         its head, to be kept elsewhere: {}{behind}",
        verified.first, verified.last, verified.public_key, verified.head
    );
    desk.output.one(&verified, &text)
}

fn accept(desk: &mut Desk<'_>) -> Result<(), Failure> {
    let now = desk.now;
    let accepted: Accepted = match &mut desk.counter {
        Counter::Store { store, means } => audit::accept(store, means.vault.keyring, now)?,
        Counter::Server(server) => server.ask(Call::post_nothing("/v1/audit/accept"))?,
    };
    let text = format!(
        "the audit log begins anew: nothing vouches for events up to {} any more ({})",
        accepted.up_to, accepted.why
    );
    desk.output.one(&accepted, &text)
}

/// Part by part, because all of it may be more than fits into memory.
fn export(desk: &mut Desk<'_>) -> Result<(), Failure> {
    let mut page = Page::first();
    loop {
        let call = Call::get(format!("/v1/audit?{}", page.query()));
        let part = desk.view(call, |view| audit::list(view, &page))?;
        for event in &part.items {
            desk.output.document(event)?;
        }
        let Some(next) = part.next else { return Ok(()) };
        page.cursor = Some(Cursor::parse(&next)?);
    }
}
