//! Policies as requests are judged by them.
//!
//! What depends on the request alone is judged here. What is counted has its terms here and its
//! counters with whoever holds them for the token, since policies are compiled anew when a document
//! changes and counters live on.

mod compile;

use http::Method;
use smallvec::SmallVec;

pub use compile::PolicyError;

use super::{
    Mode, PolicyName,
    act::{Act, Path, bare},
    cap::Window,
    document::Rate,
    reference::Reference,
    usage::Monthly,
};
use crate::api::{
    pattern::{MAX_SEGMENTS, PatternTree},
    routes::Rebuilt,
};

/// All policies of a token that are judged; none of them is off.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    methods: Option<Held<Vec<Method>>>,
    paths: Option<Held<PathRule>>,
    resources: Option<Held<Vec<Reference>>>,
    protected: Option<Held<Vec<Reference>>>,
    creates: Option<Held<Window>>,
    deletes: Option<Held<Window>>,
    limits: Option<Held<Rates>>,
    monthly: Option<Held<Monthly>>,
}

/// A rule, and what comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held<T> {
    /// To enforce, or in shadow.
    pub mode: Mode,
    /// What it says.
    pub rule: T,
}

/// Rates of requests; none is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Of reads.
    pub reads: Option<Rate>,
    /// Of writes.
    pub writes: Option<Rate>,
}

/// What policies say of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The first policy that refuses it.
    pub enforced: Option<PolicyName>,
    /// Those that would refuse it, were they enforced.
    pub shadowed: SmallVec<[PolicyName; 2]>,
}

/// Patterns of paths.
#[derive(Clone, Debug)]
struct PathRule {
    /// Each for itself: a tree finds the most specific pattern, which a path may fit worse than
    /// another one.
    allow: Vec<PatternTree<()>>,
    deny: Option<PatternTree<()>>,
}

impl Policies {
    /// Whether nothing is judged, and nothing counted.
    pub fn is_empty(&self) -> bool {
        let Self { methods, paths, resources, protected, creates, deletes, limits, monthly } = self;
        methods.is_none()
            && paths.is_none()
            && resources.is_none()
            && protected.is_none()
            && creates.is_none()
            && deletes.is_none()
            && limits.is_none()
            && monthly.is_none()
    }

    /// What they say of a request, as far as the request alone decides it.
    ///
    /// Allocates nothing where nothing is judged, or where fewer than three refuse in shadow and no
    /// other name has to be asked for.
    pub fn judge(&self, act: &Act<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        if self.is_empty() {
            return verdict;
        }
        let path = Path::of(act);
        verdict.hear(PolicyName::Methods, self.methods.as_ref(), |only| {
            permits_method(only, act.method)
        });
        verdict.hear(PolicyName::Paths, self.paths.as_ref(), |rule| rule.permits(act.segments));
        verdict.hear(PolicyName::Resources, self.resources.as_ref(), |only| {
            only.iter().any(|item| item.covers(&path))
        });
        verdict.hear(PolicyName::Protected, self.protected.as_ref(), |items| {
            match act.removes() {
                None => true,
                Some(Rebuilt::Named) => !items.iter().any(|item| item.may_concern(&path)),
                // It may be any of them.
                Some(Rebuilt::Unnamed) => false,
            }
        });
        verdict
    }

    /// How many items may be made.
    pub fn creates(&self) -> Option<Held<Window>> {
        self.creates
    }

    /// How many items may be removed.
    pub fn deletes(&self) -> Option<Held<Window>> {
        self.deletes
    }

    /// How many requests there may be in a second.
    pub fn limits(&self) -> Option<Held<Rates>> {
        self.limits
    }

    /// How many requests there may be in a month.
    pub fn monthly(&self) -> Option<Held<Monthly>> {
        self.monthly
    }
}

impl Verdict {
    /// Whether the request may go on.
    pub fn permits(&self) -> bool {
        self.enforced.is_none()
    }

    /// Asks one policy. One that is enforced need not be asked when another has refused; what is in
    /// shadow is counted, whatever the others say.
    fn hear<T>(
        &mut self,
        name: PolicyName,
        held: Option<&Held<T>>,
        permits: impl FnOnce(&T) -> bool,
    ) {
        let Some(Held { mode, rule }) = held else { return };
        let shadow = *mode == Mode::Shadow;
        if (shadow || self.enforced.is_none()) && !permits(rule) {
            if shadow {
                self.shadowed.push(name);
            } else {
                self.enforced = Some(name);
            }
        }
    }
}

impl PathRule {
    fn permits(&self, segments: &[&str]) -> bool {
        // No pattern finds a longer path, so none could deny it.
        segments.len() <= MAX_SEGMENTS && !self.denies(segments) && self.allows(segments)
    }

    /// Whatever stands at a parameter's place, and whatever format follows.
    fn denies(&self, segments: &[&str]) -> bool {
        self.deny.as_ref().is_some_and(|deny| {
            let cut: SmallVec<[&str; MAX_SEGMENTS]> = segments.iter().map(|s| bare(s)).collect();
            deny.find(&cut).is_some()
        })
    }

    /// What does not have the shape of a parameter may be another action: `/virtual_machines/:id`
    /// does not allow `/virtual_machines/new`.
    fn allows(&self, segments: &[&str]) -> bool {
        let fits = |pattern: &PatternTree<()>| pattern.find(segments).is_some_and(|f| !f.odd);
        self.allow.is_empty() || self.allow.iter().any(fits)
    }
}

fn permits_method(only: &[Method], method: &Method) -> bool {
    only.contains(method) || (*method == Method::HEAD && only.contains(&Method::GET))
}

#[cfg(test)]
mod tests;
