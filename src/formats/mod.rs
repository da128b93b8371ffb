//! One fetch for both formats: what each route's documents look like, learned from the upstream.
//!
//! 1. A route that is read in both formats is learned from. A *pair* is its JSON, its XML, and its
//!    JSON again, of one resource, with nothing that may have changed it in between; so a field that
//!    moves by itself spoils no pair. Its fetches are bounded in number and rate, and no tenant's.
//! 2. A route is *unproven* until what was learned has reproduced both sides of a later pair, byte for
//!    byte. Then the other format is derived from what is kept, and a miss in XML fetches JSON, from
//!    which both are shown.
//! 3. What a map has not seen (a null's first value, a new member) is not derived but fetched, and
//!    learned from. A share of what is derived is compared with the upstream's own; the first
//!    difference makes the route unproven, and forgets all that was derived of it.
//! 4. What JSON does not show at all, such as a text that has become a price, is noticed by that
//!    comparison alone: after one in `formats.check_share` of a million derivations on average.
//!
//! Replies other than 200, and those to writes, are never derived. Maps hold names and kinds, and no
//! value.

mod book;
mod course;

pub use book::{Book, ImportError, Pair, Proven, Shown};

use crate::{
    chance::MILLION,
    settings::Problems,
    transcode::{forced::Inflection, xml::is_name},
};

crate::section! {
    /// How the formats of routes are learned.
    pub struct Config {
        /// Whether they are; if not, each format is fetched by itself.
        pub learn: bool = true,
        /// Pairs that are fetched a second, of the whole process. Each is three requests.
        pub pairs_per_second: u32 = 1,
        /// How many of a million derived replies are compared with the upstream's own.
        pub check_share: u32 = 10_000,
        /// Plurals whose singulars Rails' own rules do not give, written `PLURAL/SINGULAR`: what the
        /// items of a list are called where XML is made of JSON by rules.
        pub inflections: Vec<String> = Vec::new(),
    }
}

impl Config {
    /// Adds what is wrong with the values as such.
    pub fn validate(&self, problems: &mut Problems) {
        if self.pairs_per_second == 0 {
            let wanted = "must be at least 1; formats.learn = false fetches none";
            problems.add(None, "formats.pairs_per_second", wanted);
        }
        if self.check_share > MILLION {
            problems.add(None, "formats.check_share", "must be from 0 to 1000000");
        }
        for entry in &self.inflections {
            if inflection(entry).is_none() {
                let message = format!("expected PLURAL/SINGULAR, found {entry:?}");
                problems.add(None, "formats.inflections", &message);
            }
        }
    }

    /// The singulars of lists.
    pub fn inflection(&self) -> Inflection {
        Inflection::new(self.inflections.iter().filter_map(|entry| inflection(entry)))
    }
}

/// A plural and its singular.
fn inflection(entry: &str) -> Option<(String, String)> {
    let (many, one) = entry.split_once('/')?;
    let good = is_name(many) && is_name(one);
    good.then(|| (many.to_owned(), one.to_owned()))
}
