//! What a reply depends on: on what it shows, or on what is not there.
//!
//! A 404 says that something is not there, and what may make it untrue is a write that does not name
//! it: a creation learns the name from its reply, if from anything. A list says the same of all that
//! it does not show. So:
//!
//! 1. A 404 depends on what a list of its families depends on, and not on its item. Whatever changes
//!    a family raises the mark of the whole or that of its lists, a change of one item the latter,
//!    too; so nothing can come to be, under whatever name, that leaves a 404 as it was.
//! 2. Both stamps are taken at the miss, before anything is sent. Which one counts is known when the
//!    reply is there; it is the one that is kept with it.
//! 3. Equal misses share a fetch by the stamp of what they show, so that writes to others do not part
//!    them. A 404 is then given only to who had the same stamp of what is absent; who began after a
//!    creation that the fetch did not see asks again.
//! 4. It is kept for `cache.not_found_lifetime`, never beyond, and unsettled no longer than others are.
//!    A flood of them takes the share of its partition and no more, and gives that back as soon.

use http::StatusCode;

use super::{
    coherence::{Cell, Item, Stamp, View},
    partition::Partition,
};
use crate::{
    api::{routes::Route, target::Target},
    vocabulary::RouteClass,
};

/// The families and class by which a reply is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dependence {
    /// What it depends on when it shows something.
    pub view: View,
    /// How long it may be kept.
    pub class: RouteClass,
}

/// The epochs when a read began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamps {
    /// Of what it shows.
    pub shown: Stamp,
    /// Of what is not there.
    pub absent: Stamp,
}

impl Dependence {
    /// That of what a route shows at a target.
    pub fn of(route: &Route, target: &Target) -> Self {
        let item = route.item(target).map(|(family, name)| Item::new(family, name));
        Self { view: View { families: route.families, item }, class: route.class }
    }

    /// What a reply with this status depends on.
    pub fn view_of(self, status: StatusCode) -> View {
        if status == StatusCode::NOT_FOUND { View::of(self.view.families) } else { self.view }
    }

    /// The stamps of a read that begins now.
    pub fn stamps<C: Cell>(self, partition: &Partition<C>) -> Stamps {
        let [shown, absent] =
            [StatusCode::OK, StatusCode::NOT_FOUND].map(|s| partition.stamp(self.view_of(s)));
        Stamps { shown, absent }
    }
}

impl Stamps {
    /// The one that a reply with this status is kept under.
    pub fn of(&self, status: StatusCode) -> &Stamp {
        if status == StatusCode::NOT_FOUND { &self.absent } else { &self.shown }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        api::families::FamilySet,
        cache::{
            coherence::{Change, Epochs, Item},
            names::Names,
            partition::{Breadth, Commons, Felt},
        },
    };

    const PRECISE: usize = 0;
    const OTHER: usize = 1;

    /// Whether a 200 and a 404 of item 5 are stale after a change by somebody of the same account, and
    /// as one sees them who sees all.
    fn check(change: Change, expected: [bool; 2]) {
        let precise = FamilySet::one(PRECISE);
        let commons = Arc::new(Commons::new(2, precise, FamilySet::EMPTY, Names::new(1)));
        let account = Arc::new(Epochs::new(2, precise));
        let partition = |sees_all| {
            Arc::new(Partition::new(Arc::clone(&account), Arc::clone(&commons), sees_all))
        };
        let view = View { families: precise, item: Some(Item::new(PRECISE, "5")) };
        let dependence = Dependence { view, class: RouteClass::Inventory };
        let readers = [partition(false), partition(true)];
        let before = readers.each_ref().map(|reader| dependence.stamps(reader));
        Felt::new(partition(false), change, Breadth::Reach).touch();
        for (reader, stamps) in readers.iter().zip(before) {
            let stale = [StatusCode::OK, StatusCode::NOT_FOUND]
                .map(|status| !reader.is_current(dependence.view_of(status), stamps.of(status)));
            assert_eq!(stale, expected, "{change:?}");
        }
    }

    #[test]
    fn what_is_not_there_depends_on_all_that_may_come_to_be() {
        let whole = Change::whole(FamilySet::one(PRECISE));
        let item = |name| Item::new(PRECISE, name);
        check(whole, [true, true]);
        // Something new, whose name nobody knows.
        check(whole.listed(PRECISE), [false, true]);
        check(whole.narrowed(item("5"), item("abc")), [true, true]);
        // Another, which may be a copy of something by the name of this one.
        check(whole.narrowed(item("6"), item("def")), [false, true]);
        check(Change::whole(FamilySet::one(OTHER)), [false, false]);
    }
}
