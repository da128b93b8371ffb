//! What is written down of what tokens make and remove, so that their caps hold across restarts and for
//! all servers on a store.
//!
//! What one server lets through the others hear of after two writes at most, its own and theirs; for so
//! long each may let through what is left of the cap for all it knows.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use super::Grant;
use crate::{
    policy::{PolicyName, cap},
    tenants::store::{Acts, Store, StoreError},
};

/// What counts in windows.
const CAPS: [PolicyName; 2] = [PolicyName::Creates, PolicyName::Deletes];

/// The most rows that are written in one transaction, so that no edit waits for long.
const AT_ONCE: usize = 500;

/// What is dated further ahead was counted by a wrong clock: a day, in milliseconds.
const AHEAD_MS: i64 = 24 * 60 * 60 * 1000;

/// Writes down at a Unix time in milliseconds what is new, and hears what others have written.
pub(super) fn write(
    grants: &HashMap<&str, &Grant>,
    store: &mut Store,
    now: i64,
    warned: &AtomicBool,
) -> Result<(), StoreError> {
    let held = |grant: &&Grant| CAPS.iter().any(|policy| grant.allowance.acts(*policy).is_some());
    if !grants.values().any(held) {
        return Ok(());
    }
    let mut new: Vec<Acts> = grants.values().flat_map(|grant| unwritten(grant, now)).collect();
    new.sort_unstable_by(|one, other| one.order().cmp(&other.order()));
    for some in new.chunks(AT_ONCE) {
        let added = store.add_acts(some, now);
        // What may be written is not written again, as it is with requests.
        if let Ok(()) | Err(StoreError::Unsettled(_)) = added {
            for acts in some {
                let counted = counted(grants, acts);
                counted.inspect(|counted| counted.written(unsigned(acts.dated), acts.number));
            }
        }
        added?;
    }
    let mut beyond = 0_usize;
    for acts in store.acts(now)? {
        if acts.dated > now.saturating_add(AHEAD_MS) {
            beyond += 1;
        } else if let Some(counted) = counted(grants, &acts) {
            counted.hear(unsigned(acts.dated), acts.number);
        }
    }
    if beyond > 0 && !warned.swap(true, Relaxed) {
        tracing::warn!(
            rows = beyond,
            "what tokens have made or removed was written down for a time that is far ahead, and is \
             passed over; a clock is wrong, this server's or another's"
        );
    }
    Ok(())
}

/// What of a token's caps is to be written.
fn unwritten(grant: &Grant, now: i64) -> impl Iterator<Item = Acts> {
    CAPS.iter().filter_map(|policy| Some((policy, grant.allowance.acts(*policy)?))).flat_map(
        move |(policy, (acts, held))| {
            let window = held.rule;
            acts.unwritten(window, unsigned(now)).into_iter().map(move |(date, number)| Acts {
                token: grant.token_id.clone(),
                policy: *policy,
                dated: signed(date),
                number,
                ends: signed(window.end_of(date)),
            })
        },
    )
}

/// Where the same is counted in this process, if it is.
fn counted<'a>(grants: &HashMap<&str, &'a Grant>, acts: &Acts) -> Option<&'a cap::Acts> {
    let grant: &'a Grant = grants.get(&*acts.token)?;
    grant.allowance.acts(acts.policy).map(|(counted, _)| counted)
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

fn unsigned(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or_default()
}
