//! The route table: which reads may be kept, what writes touch, which routes are guarded.
//!
//! The upstream's own routes are data (`routes.toml`); an operator's are added to them. What no
//! list names is judged by the safe rule: an unlisted read is never kept and counts as a write,
//! an unlisted write touches everything.

mod build;
mod mint;

pub use self::mint::Mint;

use http::Method;
use smallvec::SmallVec;

use super::{
    families::{FamilyNames, FamilySet, MAX_FAMILIES, TooManyFamilies},
    pattern::{MAX_SEGMENTS, Pattern, PatternError, PatternTree, Shape},
    target::Target,
};
use crate::vocabulary::{Closed as _, Format, Noted, RouteClass};

/// All routes that are known.
#[derive(Debug)]
pub struct RouteTable {
    families: FamilyNames,
    routes: Vec<Route>,
    reads: PatternTree<RouteId>,
    writes: PatternTree<Touches>,
    effects: PatternTree<()>,
    makes: PatternTree<()>,
    rebuilds: PatternTree<Rebuilt>,
    secrets: PatternTree<()>,
    items: PatternTree<ItemPlace>,
    collections: PatternTree<usize>,
    kinds: Vec<ItemKind>,
    shared: FamilySet,
    guards: PatternTree<Methods>,
    mints: PatternTree<Mint>,
    /// The patterns of the guards that are for reads, too.
    read_guards: Vec<Pattern>,
    /// The patterns of what exists to show a secret.
    secret_places: Vec<Pattern>,
}

/// The place of a route in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteId(u16);

impl Noted for RouteId {
    fn pack(self) -> u64 {
        u64::from(self.0) + 1
    }

    fn unpack(packed: u64) -> Option<Self> {
        u16::try_from(packed.checked_sub(1)?).ok().map(Self)
    }
}

/// A read that is listed.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its pattern, for logs and explanations.
    pub template: Box<str>,
    /// Which lifetime it has.
    pub class: RouteClass,
    /// What it depends on.
    pub families: FamilySet,
    /// It is asked for as the client wrote it, without a format suffix.
    pub as_is: bool,
    /// Its replies are searched for secrets.
    pub masked: bool,
    /// The one format that the upstream has of it.
    pub only_format: Option<Format>,
    /// A guard may be for a path of it: each request has to be asked about.
    may_be_guarded: bool,
    /// A path of it may be one that exists to show a secret: likewise.
    may_show_secret: bool,
    /// It shows one item, by what stands in its path.
    item: Option<ItemPlace>,
    suffix_after: Option<usize>,
}

/// What the table says of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which route it is.
    pub id: RouteId,
    /// An id has another shape than the route declares: never kept, counts as a write.
    pub odd: bool,
}

/// Which item a request writes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebuilt {
    /// What its path names.
    Named,
    /// One that its path does not name.
    Unnamed,
}

/// What a write changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touches {
    /// What scopes judge the path by: its own families, and those and the class of the read that
    /// stands at the same path, however its ids are spelled.
    pub scope: u64,
    /// All families whose reads may change.
    pub all: FamilySet,
    /// For every account, whatever the writer's own reach is.
    pub everyone: bool,
    /// Of one family only an item, or what lists show.
    pub narrow: Option<Narrow>,
    /// What is there is gone afterwards, and others may have referred to it.
    pub removes: bool,
}

/// What of a family a write changes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Narrow {
    /// The item that the path names, and what lists show.
    Item(ItemPlace),
    /// A new item, and what lists show.
    New(usize),
}

/// Where in a path the name of an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemPlace {
    /// The family that the item belongs to.
    pub family: usize,
    segment: usize,
}

/// Items that a family knows one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemKind {
    /// The family.
    pub family: usize,
    /// The name of its root in a body.
    pub root: Box<str>,
    /// Its type as transactions name it.
    pub kind: Box<str>,
    /// The types of what belongs to it, which a write to it changes.
    pub parts: Box<[Box<str>]>,
    /// The members by which one names another.
    pub refers: Box<[Box<str>]>,
    /// All that a write to one of them touches.
    pub touches: FamilySet,
}

/// A route that an operator added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorRoute {
    /// The pattern of its path.
    pub pattern: String,
    /// Which lifetime it has.
    pub class: RouteClass,
    /// What it depends on; a name that is new makes a new family.
    pub families: Vec<String>,
    /// It is asked for as the client wrote it.
    pub as_is: bool,
    /// Its replies are searched for secrets.
    pub masked: bool,
    /// The one format that the upstream has of it.
    pub only_format: Option<Format>,
    /// Each account sees its own of the families that no built-in route names.
    pub private: bool,
}

/// Why a route cannot be added.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The pattern does not parse.
    #[error("pattern \"{pattern}\": {source}")]
    Pattern {
        /// The pattern as it was written.
        pattern: String,
        /// What is wrong with it.
        source: PatternError,
    },
    /// A route depends on nothing, so no write could invalidate it.
    #[error("route \"{0}\" names no family; without one no write would invalidate it")]
    NoFamily(String),
    /// Too many names.
    #[error(transparent)]
    Families(#[from] TooManyFamilies),
}

/// The methods that a guard is for; none is all.
#[derive(Clone, Debug)]
struct Methods(Vec<Method>);

type Segments<'a> = SmallVec<[&'a str; 8]>;

impl RouteTable {
    /// The route of a read, if it is listed and has no effect.
    pub fn read(&self, target: &Target) -> Option<Listed> {
        let segments: Segments<'_> = target.segments().take(MAX_SEGMENTS + 1).collect();
        let found = self.reads.find(&segments)?;
        Some(Listed { id: *found.value, odd: found.odd })
    }

    /// Whether a GET of the target changes something upstream.
    pub fn has_effect(&self, target: &Target) -> bool {
        self.effects.find(&bare_segments(target)).is_some()
    }

    /// Which item is another one after a request to the target that may change something, if any is.
    pub fn rebuilds(&self, target: &Target) -> Option<Rebuilt> {
        self.rebuilds.find(&bare_segments(target)).map(|found| *found.value)
    }

    /// Whether a request makes a new item: where it is listed so, and a POST where a list can be read,
    /// or where nobody knows what it does.
    pub fn creates(&self, method: &Method, target: &Target) -> bool {
        let segments = bare_segments(target);
        if *method != Method::POST {
            return self.has_effect(target) && self.makes.find(&segments).is_some();
        }
        let is_item = || segments.last().is_some_and(|last| Shape::Id.fits(last));
        match self.reads.find(&segments) {
            Some(_) if !is_item() => true,
            None if self.writes.find(&segments).is_none() => true,
            Some(_) | None => self.makes.find(&segments).is_some(),
        }
    }

    /// The family of the item whose name stands at a place of a path, if its items are known one by
    /// one.
    pub fn family_at(&self, segments: &[&str], at: usize) -> Option<usize> {
        let found = self.items.find(segments).filter(|found| !found.odd)?;
        (found.value.segment == at).then_some(found.value.family)
    }

    /// Whether the read of a listed route is one that no token may use.
    pub fn is_guarded_read(&self, listed: Listed, method: &Method, target: &Target) -> bool {
        self.route(listed.id).may_be_guarded && self.is_guarded(method, target)
    }

    /// Whether the target is one that no token may use with this method.
    pub fn is_guarded(&self, method: &Method, target: &Target) -> bool {
        let found = self.guards.find(&bare_segments(target));
        found.is_some_and(|f| f.value.0.is_empty() || f.value.0.contains(method))
    }

    /// Whether the read of a listed route exists to show a secret.
    pub fn is_secret_read(&self, listed: Listed, target: &Target) -> bool {
        self.route(listed.id).may_show_secret && self.is_secret(target)
    }

    /// Whether a listed route, which must be an operator's, would keep what exists to show a secret.
    pub fn keeps_a_secret(&self, listed: Listed, target: &Target) -> bool {
        self.is_secret_read(listed, target) && self.route(listed.id).class != RouteClass::Never
    }

    /// Whether a request to the target exists to show a secret, whatever its method.
    pub fn is_secret(&self, target: &Target) -> bool {
        self.secrets.find(&bare_segments(target)).is_some()
    }

    /// What a write to the target touches, whatever it does there.
    pub fn touches(&self, target: &Target) -> Touches {
        let segments = bare_segments(target);
        let written = self.writes.find(&segments).map(|f| *f.value);
        let read = self.reads.find(&segments).map(|f| self.route(*f.value));
        let families = read.map(|route| route.families);
        let all = match (written, families) {
            (Some(written), read) => written.all.union(read.unwrap_or_default()),
            (None, Some(read)) => read,
            (None, None) => self.families.all(),
        };
        let own = written.map_or(0, |written| written.scope);
        // What is not listed may change anything for anybody.
        let everyone = written.map_or(families.is_none(), |written| written.everyone);
        let item = self.items.find(&segments).filter(|found| !found.odd && !everyone);
        let narrow = item.map(|found| Narrow::Item(*found.value));
        let scope = own | read.map_or(0, Route::scope_mask);
        Touches { scope, all, everyone, narrow, removes: false }
    }

    /// The same, for what this method does there.
    pub fn touches_by(&self, method: &Method, target: &Target) -> Touches {
        let touches = Touches { removes: *method == Method::DELETE, ..self.touches(target) };
        if *method != Method::POST || touches.everyone {
            return touches;
        }
        let family = self.collections.find(&bare_segments(target)).map(|found| *found.value);
        Touches { narrow: touches.narrow.or(family.map(Narrow::New)), ..touches }
    }

    /// The items that are known one by one.
    pub fn item_kinds(&self) -> &[ItemKind] {
        &self.kinds
    }

    /// The families whose items are known one by one.
    pub fn precise(&self) -> FamilySet {
        let each = self.kinds.iter().map(|kind| FamilySet::one(kind.family));
        each.fold(FamilySet::EMPTY, FamilySet::union)
    }

    /// The families that every account sees the same of.
    pub fn shared(&self) -> FamilySet {
        self.shared
    }

    /// A route by its place.
    pub fn route(&self, id: RouteId) -> &Route {
        &self.routes[usize::from(id.0)]
    }

    /// The read with this pattern, as explanations show it.
    pub fn by_template(&self, template: &str) -> Option<RouteId> {
        let at = self.routes.iter().position(|route| *route.template == *template)?;
        u16::try_from(at).ok().map(RouteId)
    }

    /// The bit that a scope uses for a family or a route class, if the name is one.
    pub fn scope_bit(&self, name: &str) -> Option<u64> {
        let class = class_named(name).map(class_bit);
        class.or_else(|| self.families.find(name).map(FamilySet::bits))
    }

    /// The families that there are.
    pub fn families(&self) -> &FamilyNames {
        &self.families
    }

    /// Every listed route, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }
}

impl Route {
    /// What a scope judges the route by: its families and its class.
    pub fn scope_mask(&self) -> u64 {
        self.families.bits() | class_bit(self.class)
    }

    /// The item that a read of the route shows, and its family; none when it shows more of them.
    pub fn item<'a>(&self, target: &'a Target) -> Option<(usize, &'a str)> {
        self.item.and_then(|place| place.name(target).map(|name| (place.family, name)))
    }

    /// The place in the path behind which a suffix is put when the client sent none.
    pub fn suffix_place(&self, path: &str) -> usize {
        let Some(segment) = self.suffix_after else { return path.len() };
        let ends = path.match_indices('/').skip(1).map(|(at, _)| at);
        ends.chain([path.len()]).nth(segment).unwrap_or(path.len())
    }
}

impl ItemKind {
    /// Whether a write to an item changes what is of this type.
    pub fn covers(&self, kind: &str) -> bool {
        *self.kind == *kind || self.parts.iter().any(|part| **part == *kind)
    }
}

impl ItemPlace {
    /// The item's name in a path.
    pub fn name(self, target: &Target) -> Option<&str> {
        target.segments().nth(self.segment)
    }
}

/// Which segment of a pattern its first parameter is.
fn name_segment(path: &str) -> usize {
    path.split('/').skip(1).position(|segment| segment.starts_with(':')).unwrap_or_default()
}

/// The class of a name.
pub fn class_named(name: &str) -> Option<RouteClass> {
    RouteClass::ALL.iter().copied().find(|c| c.as_str() == name)
}

fn class_bit(class: RouteClass) -> u64 {
    1 << (MAX_FAMILIES + class.index())
}

fn parse(path: &str) -> Result<Pattern, RouteError> {
    Pattern::parse(path).map_err(|source| RouteError::Pattern { pattern: path.to_owned(), source })
}

/// Segments without anything that Rails could take for a format: `make_new_api_key.html` runs the
/// same action as `make_new_api_key`, so a guard must not depend on the suffix being one we know.
fn bare_segments(target: &Target) -> Segments<'_> {
    let cut = |segment: &'_ str| {
        let dot = segment.find('.').into_iter().chain(segment.find("%2E")).min();
        dot.unwrap_or(segment.len())
    };
    target.segments().take(MAX_SEGMENTS + 1).map(|s| &s[..cut(s)]).collect()
}

#[cfg(test)]
mod tests;
