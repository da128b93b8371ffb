//! Durations that have to be longer than others, of other sections even.
//!
//! What was not written follows them, so that a file needs no key that means nothing to it. What was
//! written and is too short is refused, with both values.

use std::time::Duration;

use super::Config;
use crate::settings::{Origin, Problems, Section, Table};

/// What was written of a section.
pub(super) struct Written(Option<Table>);

/// What a duration has to be longer than.
struct Bound {
    /// In words.
    name: String,
    is: Duration,
    /// By how much it is longer where it was not written.
    spare: Duration,
}

impl Written {
    /// Takes a section, and remembers what was written of it.
    pub(super) fn take<S: Section>(
        root: &mut Table,
        name: &str,
        problems: &mut Problems,
    ) -> (S, Self) {
        let table = root.take_table(name, problems);
        let section = table.clone().map_or_else(S::default, |table| S::read(table, problems));
        (section, Self(table))
    }

    fn origin(&self, key: &str) -> Option<Origin> {
        let table = self.0.as_ref()?;
        table.names().iter().any(|name| name == key).then(|| table.origin(Some(key)))
    }

    /// Makes a value long enough, or refuses it if it was written.
    fn keep_above(&self, bound: &Bound, key: &str, value: &mut Duration, problems: &mut Problems) {
        let Bound { name, is, spare } = bound;
        let full = self.0.as_ref().map_or_else(String::new, |table| table.key(key));
        match self.origin(key) {
            None => *value = (*value).max(is.saturating_add(*spare)),
            // What could not be read was told, and is not what it seems to be.
            Some(_) if problems.iter().any(|problem| problem.key == full) => {}
            Some(_) if *value > *is => {}
            Some(origin) => {
                let value = shown(*value);
                let message = format!("is {value}, and must be longer than {name}: {}", shown(*is));
                problems.add(Some(origin), &full, &message);
            }
        }
    }
}

impl Config {
    /// Has an answer kept for longer than a command asks for it: who asks when it is gone, has it done
    /// again.
    pub(super) fn agree_on_answers(&mut self, written: &Written, problems: &mut Problems) {
        let asking = Bound {
            name: "a command asks for an answer, which is a matter of admin.exchange_timeout"
                .into(),
            is: self.admin.asks_within(),
            spare: Duration::from_secs(60),
        };
        written.keep_above(&asking, "replay_window", &mut self.admin.replay_window, problems);
    }

    /// Has rotations wait for whatever may still be under way.
    pub(super) fn agree_on_rotations(&mut self, written: &Written, problems: &mut Problems) {
        let (rotation, poll) = (&mut self.rotation, self.tenants.poll_interval);
        let seen = Bound {
            name: "tenants.poll_interval".to_owned(),
            is: poll,
            spare: Duration::from_millis(750),
        };
        written.keep_above(&seen, "notice", &mut rotation.notice, problems);
        let slowest = self.upstreams.iter().max_by_key(|(_, slow)| slow.config.reply_timeout);
        let Some((upstream, slowest)) = slowest else { return };
        // A panel that may still be at work on one key is not asked for another.
        let answered = Bound {
            name: format!("upstreams.{upstream}.reply_timeout"),
            is: slowest.config.reply_timeout,
            spare: Duration::from_secs(25),
        };
        written.keep_above(&answered, "settle", &mut rotation.settle, problems);
        // What a server that has not seen the switch sends last, is answered before the old key goes.
        let through = Bound {
            name: format!("{} and {} together", answered.name, seen.name),
            is: answered.is.saturating_add(poll),
            spare: Duration::from_secs(5),
        };
        written.keep_above(&through, "drain", &mut rotation.drain, problems);
    }
}

/// As it is written.
fn shown(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}
