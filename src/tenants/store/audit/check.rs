//! Whether the log is whole, as of one moment.

use std::cell::RefCell;

use super::{
    super::{Session, Store, StoreError},
    CHAIN, Keys, rows,
    trust::{Untrusted, is_another, require_signed},
};
use crate::{
    audit::{
        chain::{Hash, Link, Place, Tail},
        event::{Action, Event},
        head::{Checkpoint, Head},
        verify::{Broken, Report, verify},
    },
    auth::keyring::Keyring,
};

/// What was found whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What was checked.
    pub report: Report,
    /// Where the log ends, to be kept elsewhere.
    pub end: Place,
    /// How many events stand before the beginning since an operator accepted the log as it was.
    pub unvouched: u64,
}

/// What is noted of the links while they are followed.
struct Notes {
    end: Tail,
    /// Whether the log begins where an operator accepted it.
    accepted: bool,
    /// The hash of the link that a head from elsewhere names.
    named: Option<Hash>,
}

impl Store {
    /// Follows the chain to its end, which has to be signed, and gives each link besides. A head that
    /// was kept elsewhere has to be in it.
    pub fn verify_audit(
        &mut self,
        keyring: &Keyring,
        kept: Option<Place>,
        each: impl FnMut(&Link),
    ) -> Result<Result<Verified, Broken>, StoreError> {
        let keys = Keys::of(keyring);
        self.look_at(|moment| {
            let verified = follow(moment, &keys, kept, each)?;
            match &verified {
                Ok(verified) => {
                    // It may end elsewhere than where the next event will be appended.
                    let tail = rows::tail(moment)?;
                    if tail.place() != verified.end {
                        return Err(Untrusted::Unsigned(tail.sequence).into());
                    }
                    require_signed(moment, &tail, &keys)?;
                }
                Err(Broken::HeadForged(sequence) | Broken::Checkpoint(sequence)) => {
                    let key = rows::key_at(moment, *sequence)?;
                    if key.is_some_and(|key| is_another(&key, &keys)) {
                        return Err(Untrusted::OtherKey(*sequence).into());
                    }
                }
                Err(_) => {}
            }
            Ok(verified)
        })
    }
}

fn follow(
    moment: &Session<'_>,
    keys: &Keys,
    kept: Option<Place>,
    mut each: impl FnMut(&Link),
) -> Result<Result<Verified, Broken>, StoreError> {
    let checkpoint = rows::checkpoint(moment)?;
    let start = checkpoint.as_ref().map_or_else(|| Tail::start(CHAIN), Checkpoint::tail);
    let beginning = start.sequence;
    let mut notes = Notes { end: start, accepted: false, named: None };
    let failed = RefCell::new(None);
    let read = |after| rows::links(moment, after, rows::PAGE);
    let links = rows::paged(beginning, |link: &Link| link.sequence, &failed, read);
    let links = links.inspect(|link| {
        notes.link(link, beginning, kept);
        each(link);
    });
    let read = |after| rows::heads(moment, after, u64::MAX);
    let heads = rows::paged(beginning, |head: &Head| head.sequence, &failed, read);
    let verifier = keys.signer.verifier();
    let whole = verify(CHAIN, links, heads, checkpoint.as_ref(), &verifier);
    if let Some(error) = failed.take() {
        return Err(error);
    }
    let unvouched = rows::count_to(moment, beginning)?;
    Ok(whole.and_then(|report| notes.conclude(report, kept, unvouched)))
}

impl Notes {
    fn link(&mut self, link: &Link, beginning: u64, kept: Option<Place>) {
        self.end = Tail::of(link);
        if link.sequence == beginning + 1 {
            let event = Event::from_json(&link.event);
            self.accepted = event.is_ok_and(|event| event.action == Action::AuditAccept);
        }
        if kept.is_some_and(|kept| kept.sequence == link.sequence) {
            self.named = Some(link.hash);
        }
    }

    fn conclude(
        self,
        report: Report,
        kept: Option<Place>,
        unvouched: u64,
    ) -> Result<Verified, Broken> {
        if unvouched > 0 && !self.accepted {
            let sequence = report.first.saturating_sub(1);
            return Err(Broken::Outside { sequence, links: unvouched });
        }
        if let Some(Place { sequence, hash }) = kept {
            match self.named {
                Some(named) if named == hash => {}
                Some(_) => return Err(Broken::HeadMismatch(sequence)),
                None if sequence > report.last => {
                    return Err(Broken::CutOff { sequence: report.last + 1, head: sequence });
                }
                None => return Err(Broken::Deleted(sequence)),
            }
        }
        Ok(Verified { report, end: self.end.place(), unvouched })
    }
}
