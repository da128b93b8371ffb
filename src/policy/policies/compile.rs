//! Makes policies of a document, or says what to change in it.
//!
//! What could never be matched is refused along with what is malformed: a denial that no path is
//! under would be taken for a protection.

use http::Method;

use super::{Held, PathRule, Policies, Rates};
use crate::{
    api::pattern::{MAX_SEGMENTS, Pattern, PatternError, PatternTree},
    policy::{
        Mode,
        cap::Window,
        document::{
            CapPart, LimitsPart, MAX_ENTRIES, MAX_IN_WINDOW, MAX_MONTHLY, MAX_PATH_BYTES, MAX_RATE,
            MAX_WINDOW_SECONDS, MethodsPart, MonthlyPart, PathsPart, PolicyDocument,
        },
        reference::Reference,
        usage::Monthly,
    },
};

/// Why a document cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A part that says nothing: without it more, or less, might be meant.
    #[error("{part} says nothing; name {want}, or leave the part out")]
    Empty {
        /// The part or its list.
        part: &'static str,
        /// What it has to name.
        want: &'static str,
    },
    /// Too many entries.
    #[error("{list} has {found} entries; {} are the most", MAX_ENTRIES)]
    TooMany {
        /// The list.
        list: &'static str,
        /// How many it has.
        found: usize,
    },
    /// An entry that is too long.
    #[error("{list} has an entry of more than {} bytes", MAX_PATH_BYTES)]
    TooLong {
        /// The list.
        list: &'static str,
    },
    /// An entry that has too many segments.
    #[error("{list}: {path:?} has more than {} segments", MAX_SEGMENTS)]
    TooDeep {
        /// The list.
        list: &'static str,
        /// As it was written.
        path: String,
    },
    /// A method that cannot be named.
    #[error("methods.only: {0:?} is none of GET (for HEAD too), POST, PUT, PATCH, DELETE, OPTIONS")]
    Method(String),
    /// A pattern that does not parse.
    #[error("{list}: pattern {pattern:?}: {source}")]
    Pattern {
        /// The list.
        list: &'static str,
        /// As it was written.
        pattern: String,
        /// What is wrong with it.
        source: PatternError,
    },
    /// A pattern that no path is under.
    #[error(
        "{list}: no path is under {pattern:?}; write it in plain ASCII, without a query, a format \
         suffix or percent-encoding"
    )]
    Unreachable {
        /// The list.
        list: &'static str,
        /// As it was written.
        pattern: String,
    },
    /// A path that names no item.
    #[error(
        "{list}: {path:?} names no item; write a collection and an id, such as \
         /virtual_machines/12, where the id is a number or a 14-character identifier"
    )]
    Resource {
        /// The list.
        list: &'static str,
        /// As it was written.
        path: String,
    },
    /// A number that is zero or too large.
    #[error("{key} is {found}; at least 1 and at most {most} are possible")]
    Number {
        /// Where it stands.
        key: &'static str,
        /// The number.
        found: u64,
        /// The largest that is possible.
        most: u64,
    },
}

/// The methods that can be named. HEAD is not among them: it counts as GET, and a list that names
/// it alone would mean what it does not say.
static METHODS: [Method; 6] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

impl Policies {
    /// Makes policies of a document. A part that is off is checked like any other.
    pub fn compile(document: &PolicyDocument) -> Result<Self, PolicyError> {
        let PolicyDocument {
            methods,
            paths,
            resources,
            protected,
            creates,
            deletes,
            limits,
            monthly,
        } = document;
        let resources =
            resources.as_ref().map(|part| read_items(part.mode, "resources.only", &part.only));
        let protected =
            protected.as_ref().map(|part| read_items(part.mode, "protected.items", &part.items));
        let creates =
            creates.map(|part| read_cap(part, ["creates.at_most", "creates.window_seconds"]));
        let deletes =
            deletes.map(|part| read_cap(part, ["deletes.at_most", "deletes.window_seconds"]));
        Ok(Self {
            methods: judged(methods.as_ref().map(read_methods))?,
            paths: judged(paths.as_ref().map(read_paths))?,
            resources: judged(resources)?,
            protected: judged(protected)?,
            creates: judged(creates)?,
            deletes: judged(deletes)?,
            limits: judged(limits.map(read_limits))?,
            monthly: judged(monthly.map(read_monthly))?,
        })
    }
}

fn judged<T>(part: Option<Result<Held<T>, PolicyError>>) -> Result<Option<Held<T>>, PolicyError> {
    Ok(part.transpose()?.filter(|held| held.mode != Mode::Off))
}

fn read_methods(part: &MethodsPart) -> Result<Held<Vec<Method>>, PolicyError> {
    const LIST: &str = "methods.only";
    said(!part.only.is_empty(), LIST, "at least one method")?;
    bounded(LIST, &part.only)?;
    let named = |name: &String| {
        let known = METHODS.iter().find(|method| method.as_str() == name);
        known.cloned().ok_or_else(|| PolicyError::Method(name.clone()))
    };
    let rule = part.only.iter().map(named).collect::<Result<_, _>>()?;
    Ok(Held { mode: part.mode, rule })
}

fn read_paths(part: &PathsPart) -> Result<Held<PathRule>, PolicyError> {
    let some = !(part.allow.is_empty() && part.deny.is_empty());
    said(some, "paths", "a pattern to allow or to deny")?;
    let allow = read_patterns("paths.allow", &part.allow)?;
    let deny = read_patterns("paths.deny", &part.deny)?;
    let rule = PathRule {
        allow: allow.iter().map(|pattern| tree([pattern])).collect(),
        deny: (!deny.is_empty()).then(|| tree(&deny)),
    };
    Ok(Held { mode: part.mode, rule })
}

fn read_patterns(list: &'static str, entries: &[String]) -> Result<Vec<Pattern>, PolicyError> {
    bounded(list, entries)?;
    let read = |entry: &String| {
        let pattern = Pattern::parse(entry).map_err(|source| PolicyError::Pattern {
            list,
            pattern: entry.clone(),
            source,
        })?;
        if is_reachable(entry) {
            Ok(pattern)
        } else {
            Err(PolicyError::Unreachable { list, pattern: entry.clone() })
        }
    };
    entries.iter().map(read).collect()
}

/// Whether canonical segments, of which format suffixes are cut off, can be under a pattern.
fn is_reachable(pattern: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && !b".%?#\\".contains(&b);
    let mut segments = pattern.split('/');
    segments.all(|segment| segment.strip_suffix(".:format").unwrap_or(segment).bytes().all(plain))
}

fn tree<'a>(patterns: impl IntoIterator<Item = &'a Pattern>) -> PatternTree<()> {
    let mut tree = PatternTree::new();
    for pattern in patterns {
        tree.insert(pattern, ());
    }
    tree
}

fn read_items(
    mode: Mode,
    list: &'static str,
    entries: &[String],
) -> Result<Held<Vec<Reference>>, PolicyError> {
    said(!entries.is_empty(), list, "at least one item")?;
    bounded(list, entries)?;
    let read = |entry: &String| {
        Reference::parse(entry).ok_or_else(|| PolicyError::Resource { list, path: entry.clone() })
    };
    let rule = entries.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Held { mode, rule })
}

fn read_cap(part: CapPart, keys: [&'static str; 2]) -> Result<Held<Window>, PolicyError> {
    let CapPart { mode, at_most, window_seconds } = part;
    let [most_key, window_key] = keys;
    within(most_key, at_most.into(), MAX_IN_WINDOW)?;
    within(window_key, window_seconds.into(), MAX_WINDOW_SECONDS)?;
    let window_ms = u64::from(window_seconds) * 1000;
    Ok(Held { mode, rule: Window { at_most, window_ms } })
}

fn read_limits(part: LimitsPart) -> Result<Held<Rates>, PolicyError> {
    let LimitsPart { mode, reads, writes } = part;
    said(reads.is_some() || writes.is_some(), "limits", "reads or writes")?;
    if let Some(rate) = reads {
        within("limits.reads.per_second", rate.per_second.into(), MAX_RATE)?;
        within("limits.reads.burst", rate.burst.into(), MAX_RATE)?;
    }
    if let Some(rate) = writes {
        within("limits.writes.per_second", rate.per_second.into(), MAX_RATE)?;
        within("limits.writes.burst", rate.burst.into(), MAX_RATE)?;
    }
    Ok(Held { mode, rule: Rates { reads, writes } })
}

fn read_monthly(part: MonthlyPart) -> Result<Held<Monthly>, PolicyError> {
    let MonthlyPart { mode, reads, writes } = part;
    said(reads.is_some() || writes.is_some(), "monthly", "reads or writes")?;
    for (key, most) in [("monthly.reads", reads), ("monthly.writes", writes)] {
        most.map_or(Ok(()), |most| within(key, most, MAX_MONTHLY))?;
    }
    Ok(Held { mode, rule: Monthly { reads, writes } })
}

fn said(something: bool, part: &'static str, want: &'static str) -> Result<(), PolicyError> {
    if something { Ok(()) } else { Err(PolicyError::Empty { part, want }) }
}

fn bounded(list: &'static str, entries: &[String]) -> Result<(), PolicyError> {
    if entries.len() > MAX_ENTRIES {
        return Err(PolicyError::TooMany { list, found: entries.len() });
    }
    for entry in entries {
        if entry.len() > MAX_PATH_BYTES {
            return Err(PolicyError::TooLong { list });
        }
        if entry.split('/').skip(1).count() > MAX_SEGMENTS {
            return Err(PolicyError::TooDeep { list, path: entry.clone() });
        }
    }
    Ok(())
}

fn within(key: &'static str, found: u64, most: u64) -> Result<(), PolicyError> {
    if (1..=most).contains(&found) { Ok(()) } else { Err(PolicyError::Number { key, found, most }) }
}

#[cfg(test)]
mod tests;
