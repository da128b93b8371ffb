//! Which transactions a request may have begun of which nobody knows what became: the decision, without
//! a clock, a socket or a task.
//!
//! The panel does not say which request began a transaction. So these are candidates, to be looked at:
//!
//! 1. They were begun while the request may have been under way, by the panel's own clock.
//! 2. After a request about an item they are about that item, which its caller has named.
//! 3. After a creation they build an item of its kind, for the user of the very credential that it was
//!    sent with, and nothing older is known of that item. Whoever sees the transactions of all users is
//!    told of nobody else's.
//!
//! Two creations of one user at the same time have each other's, too; nothing tells them apart.

use crate::{
    idempotency::MAX_TRANSACTIONS,
    transcode::transactions::{Subject, Transaction},
};

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sought {
    /// That an item was built.
    New {
        /// Its type, as transactions name it.
        kind: Box<str>,
        /// What is done, as transactions name it.
        action: Box<str>,
        /// For whom.
        user: u64,
    },
    /// What is done to an item.
    Item(Subject),
}

/// When a transaction was begun, by the panel's clock: Unix seconds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: i64,
    pub(super) until: i64,
}

/// One look at the panel's clock, in milliseconds of Unix time by our own, but for what it showed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glance {
    /// When it was asked,
    pub(super) asked: i64,
    /// and when it had answered.
    pub(super) answered: i64,
    /// What its reply was dated, in Unix seconds; none where it does not say.
    pub(super) shown: Option<i64>,
}

impl Window {
    /// What lies between two times of ours; as much more as is not known of the panel's clock.
    pub(super) fn on(glance: Glance, from: i64, until: i64) -> Self {
        let Glance { asked, answered, shown } = glance;
        // It shows whole seconds, and was read at some moment between question and answer.
        let ahead = shown.map_or((0, 0), |shown| {
            let shown = shown.saturating_mul(1000);
            (shown.saturating_sub(answered), shown.saturating_add(999).saturating_sub(asked))
        });
        let second = |ms: i64| ms.div_euclid(1000);
        Self {
            from: second(from.saturating_add(ahead.0)),
            until: second(until.saturating_add(ahead.1)),
        }
    }

    /// Whether what is listed here, newest first, goes down to before it.
    pub(super) fn is_covered_by(self, rows: &[Transaction]) -> bool {
        rows.iter().any(|row| row.created.is_some_and(|at| at < self.from))
    }

    fn has(self, row: &Transaction) -> bool {
        row.created.is_some_and(|at| (self.from..=self.until).contains(&at))
    }
}

/// The numbers of the transactions that fit, the first that was begun first; a bounded number.
pub(super) fn candidates(rows: &[Transaction], sought: &Sought, window: Window) -> Box<[u64]> {
    let fitting = rows.iter().filter(|row| window.has(row) && sought.fits(row));
    let older = |row: &&Transaction| match sought {
        Sought::Item(_) => true,
        Sought::New { .. } => !rows.iter().any(|other| {
            other.parent == row.parent && other.created.is_some_and(|at| at < window.from)
        }),
    };
    let mut numbers: Vec<u64> = fitting.filter(older).map(|row| row.id).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.truncate(MAX_TRANSACTIONS);
    numbers.into()
}

impl Sought {
    fn fits(&self, row: &Transaction) -> bool {
        match self {
            Self::Item(subject) => {
                [&row.parent, &row.associated].into_iter().flatten().any(|named| named == subject)
            }
            Self::New { kind, action, user } => {
                row.user == Some(*user)
                    && row.action.as_ref() == Some(action)
                    && row.parent.as_ref().is_some_and(|parent| parent.kind == *kind)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { from: 100, until: 120 };

    fn machine(id: u64) -> Subject {
        Subject { kind: "VirtualMachine".into(), id }
    }

    /// A machine that is built for user 3.
    fn built(id: u64, created: i64, about: u64) -> Transaction {
        Transaction {
            id,
            parent: Some(machine(about)),
            associated: Some(machine(about)),
            action: Some("build_virtual_machine".into()),
            user: Some(3),
            created: Some(created),
            ..Transaction::default()
        }
    }

    fn creation() -> Sought {
        let (kind, action) = ("VirtualMachine".into(), "build_virtual_machine".into());
        Sought::New { kind, action, user: 3 }
    }

    #[track_caller]
    fn check(rows: &[Transaction], sought: &Sought, expected: &[u64]) {
        assert_eq!(*candidates(rows, sought, WINDOW), *expected);
    }

    #[test]
    fn a_creation_is_known_by_its_time_its_user_and_what_is_done() {
        let good = built(7, 105, 9);
        check(std::slice::from_ref(&good), &creation(), &[7]);
        for other in [
            Transaction { created: Some(99), ..good.clone() },
            Transaction { created: Some(121), ..good.clone() },
            Transaction { created: None, ..good.clone() },
            Transaction { user: Some(4), ..good.clone() },
            Transaction { user: None, ..good.clone() },
            Transaction { action: Some("startup_virtual_machine".into()), ..good.clone() },
            Transaction { action: None, ..good.clone() },
            Transaction { parent: Some(Subject { kind: "Disk".into(), id: 9 }), ..good.clone() },
            Transaction { parent: None, ..good.clone() },
        ] {
            check(&[other], &creation(), &[]);
        }
    }

    #[test]
    fn what_was_there_before_was_not_created() {
        let before = Transaction { user: Some(4), ..built(3, 50, 9) };
        check(&[built(7, 105, 9), before.clone()], &creation(), &[]);
        check(&[built(7, 105, 8), before], &creation(), &[7]);
    }

    #[test]
    fn what_is_done_to_an_item_names_it() {
        let sought = Sought::Item(machine(9));
        let other_user = Transaction { user: None, action: None, ..built(7, 105, 9) };
        let disk = Subject { kind: "Disk".into(), id: 9 };
        let of_disk = Transaction { parent: Some(disk.clone()), ..built(8, 105, 9) };
        let another = Transaction { associated: Some(disk), ..built(6, 105, 8) };
        check(&[of_disk, other_user, another, built(3, 50, 9)], &sought, &[7, 8]);
    }

    #[test]
    fn so_many_are_named_the_first_ones_first() {
        let rows: Vec<_> = (1..=20).rev().map(|id| built(id, 105, id)).collect();
        check(&rows, &creation(), &[1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn the_panels_clock_may_be_another() {
        let on =
            |shown| Window::on(Glance { asked: 50_000, answered: 52_000, shown }, 10_500, 20_500);
        assert_eq!(on(None), Window { from: 10, until: 20 });
        // An hour ahead, by at most three seconds more than that.
        assert_eq!(on(Some(3652)), Window { from: 3610, until: 3623 });
        assert_eq!(on(Some(0)), Window { from: -42, until: -29 });
    }

    #[test]
    fn a_list_goes_down_to_before_the_window_or_not() {
        assert!(!WINDOW.is_covered_by(&[built(7, 105, 9), built(6, 100, 8)]));
        assert!(WINDOW.is_covered_by(&[built(7, 105, 9), built(6, 99, 8)]));
    }
}
