//! The audit log: whether it is whole, and what stands in it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{Listed, OperationError, Page};
use crate::{
    audit::{
        chain::{Link, Place},
        head::Signer,
    },
    auth::keyring::Keyring,
    tenants::store::{Store, View, audit::Accepted},
};

/// What was found of a log that is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verified {
    /// The number of the first event that is kept.
    pub first: u64,
    /// The number of the last one.
    pub last: u64,
    /// Up to which it is signed.
    pub signed_up_to: Option<u64>,
    /// How many signatures were checked.
    pub heads: u64,
    /// Where it ends, `NUMBER:HASH`, to be kept elsewhere.
    pub head: String,
    /// How many events stand before its beginning, that nothing vouches for any more.
    pub unvouched: u64,
    /// The key that they were checked with.
    pub public_key: String,
}

/// An event in its place.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditEvent {
    /// Its number, from one.
    pub sequence: u64,
    /// When it was written, as a Unix time.
    pub time: i64,
    /// Who did what, and what came of it.
    #[schema(value_type = Object)]
    pub event: Box<RawValue>,
    /// The hash of it and of all before it.
    pub hash: String,
}

/// Checks that no event was altered, removed or put in, and that the end is signed. A head that was
/// kept elsewhere has to be in it.
pub fn verify(
    store: &mut Store,
    keyring: &Keyring,
    kept: Option<Place>,
) -> Result<Verified, OperationError> {
    let verified = store.verify_audit(keyring, kept, |_| {})??;
    let public_key = Signer::from_seed(keyring.audit_seed()).public_key().to_string();
    let report = verified.report;
    Ok(Verified {
        first: report.first,
        last: report.last,
        signed_up_to: report.signed_up_to,
        heads: report.heads_checked,
        head: verified.end.to_string(),
        unvouched: verified.unvouched,
        public_key,
    })
}

/// Lets a log that is not whole begin anew behind what stands there.
pub fn accept(store: &mut Store, keyring: &Keyring, now: i64) -> Result<Accepted, OperationError> {
    store.accept_audit(keyring, now)?.ok_or(OperationError::NothingToAccept)
}

/// Where a server is asked whether the log is whole.
pub fn verify_path(kept: Option<&Place>) -> String {
    kept.map_or_else(|| VERIFY.to_owned(), |kept| format!("{VERIFY}?head={kept}"))
}

const VERIFY: &str = "/v1/audit/verify";

/// The events, the oldest first.
pub fn list(view: &View<'_>, page: &Page) -> Result<Listed<AuditEvent>, OperationError> {
    let found = view.audit_links(page.after_number()?, page.probe())?;
    let Listed { items, next } = page.of(found, |link| link.sequence.to_string());
    let items = items.into_iter().map(shown).collect::<Result<_, _>>()?;
    Ok(Listed { items, next })
}

fn shown(link: Link) -> Result<AuditEvent, OperationError> {
    let Link { sequence, time, event, hash, .. } = link;
    let event = RawValue::from_string(event).map_err(|_| OperationError::NoEvent(sequence))?;
    Ok(AuditEvent { sequence, time, event, hash: hash.to_string() })
}
