//! The route table: which reads may be kept, what writes touch, which routes are guarded.
//!
//! The upstream's own routes are data (`routes.toml`); an operator's are added to them. What no
//! list names is judged by the safe rule: an unlisted read is never kept and counts as a write,
//! an unlisted write touches everything.

use http::Method;
use serde::Deserialize;
use smallvec::SmallVec;

use super::{
    families::{FamilyNames, FamilySet, MAX_FAMILIES, TooManyFamilies},
    pattern::{MAX_SEGMENTS, Pattern, PatternError, PatternTree},
    target::Target,
};
use crate::vocabulary::{Closed as _, RouteClass};

/// All routes that are known.
#[derive(Debug)]
pub struct RouteTable {
    families: FamilyNames,
    routes: Vec<Route>,
    reads: PatternTree<RouteId>,
    writes: PatternTree<Touches>,
    effects: PatternTree<()>,
    guards: PatternTree<Methods>,
    /// The patterns of the guards that are for reads, too.
    read_guards: Vec<Pattern>,
}

/// The place of a route in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteId(u16);

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
    /// A guard may be for a path of it: each request has to be asked about.
    may_be_guarded: bool,
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

/// What a write changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touches {
    /// What scopes judge the path by: its own families, and those and the class of the read that
    /// stands at the same path, however its ids are spelled.
    pub scope: u64,
    /// All families whose reads may change.
    pub all: FamilySet,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    read: Vec<ReadData>,
    write: Vec<WriteData>,
    effect: Vec<PathsData>,
    guard: Vec<GuardData>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadData {
    class: String,
    families: Vec<String>,
    paths: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteData {
    touches: Vec<String>,
    paths: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PathsData {
    paths: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GuardData {
    methods: Vec<String>,
    paths: Vec<String>,
}

/// What a route is besides its path and its families.
struct Kind {
    class: RouteClass,
    as_is: bool,
    masked: bool,
}

/// The methods that a guard is for; none is all.
#[derive(Clone, Debug)]
struct Methods(Vec<Method>);

type Segments<'a> = SmallVec<[&'a str; 8]>;

impl RouteTable {
    /// The upstream's routes and the operator's.
    #[expect(clippy::missing_panics_doc, reason = "the data is part of the program and tested")]
    pub fn new(operator: &[OperatorRoute]) -> Result<Self, RouteError> {
        let data: Data = toml::from_str(include_str!("routes.toml")).expect("tested data");
        let mut table = Self {
            families: FamilyNames::default(),
            routes: Vec::new(),
            reads: PatternTree::new(),
            writes: PatternTree::new(),
            effects: PatternTree::new(),
            guards: PatternTree::new(),
            read_guards: Vec::new(),
        };
        // Before the reads, which are held against them.
        table.add_guards(&data.guard)?;
        for read in &data.read {
            let class = class_named(&read.class).expect("tested data");
            for path in &read.paths {
                table.add_read(path, &read.families, Kind { class, as_is: false, masked: true })?;
            }
        }
        for route in operator {
            let OperatorRoute { class, as_is, masked, .. } = *route;
            table.add_read(&route.pattern, &route.families, Kind { class, as_is, masked })?;
        }
        table.add_writes(&data.write)?;
        for path in data.effect.iter().flat_map(|e| &e.paths) {
            table.effects.insert(&parse(path)?, ());
        }
        Ok(table)
    }

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

    /// Whether the read of a listed route is one that no token may use.
    pub fn is_guarded_read(&self, listed: Listed, method: &Method, target: &Target) -> bool {
        self.route(listed.id).may_be_guarded && self.is_guarded(method, target)
    }

    /// Whether the target is one that no token may use with this method.
    pub fn is_guarded(&self, method: &Method, target: &Target) -> bool {
        let found = self.guards.find(&bare_segments(target));
        found.is_some_and(|f| f.value.0.is_empty() || f.value.0.contains(method))
    }

    /// What a write to the target touches.
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
        Touches { scope: own | read.map_or(0, Route::scope_mask), all }
    }

    /// A route by its place.
    pub fn route(&self, id: RouteId) -> &Route {
        &self.routes[usize::from(id.0)]
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

    fn add_read(
        &mut self,
        path: &str,
        families: &[String],
        Kind { class, as_is, masked }: Kind,
    ) -> Result<(), RouteError> {
        let pattern = parse(path)?;
        let mut set = FamilySet::EMPTY;
        for name in families {
            set = set.union(self.families.intern(name)?);
        }
        if set.is_empty() && class != RouteClass::Never {
            return Err(RouteError::NoFamily(path.to_owned()));
        }
        let id = RouteId(u16::try_from(self.routes.len()).map_err(|_| TooManyFamilies)?);
        self.routes.push(Route {
            template: path.replace(".:format", "").into(),
            class,
            families: set,
            as_is,
            masked,
            may_be_guarded: self.read_guards.iter().any(|guard| pattern.overlaps(guard)),
            suffix_after: pattern.suffix_after(),
        });
        self.reads.insert(&pattern, id);
        Ok(())
    }

    fn add_guards(&mut self, guards: &[GuardData]) -> Result<(), RouteError> {
        for guard in guards {
            let methods: Vec<Method> =
                guard.methods.iter().filter_map(|method| method.parse().ok()).collect();
            for path in &guard.paths {
                let pattern = parse(path)?;
                self.guards.insert(&pattern, Methods(methods.clone()));
                if methods.is_empty() || methods.contains(&Method::GET) {
                    self.read_guards.push(pattern);
                }
            }
        }
        Ok(())
    }

    /// Runs after every family is named, so that `*` is all of them.
    fn add_writes(&mut self, writes: &[WriteData]) -> Result<(), RouteError> {
        for write in writes {
            let mut touches = Touches { scope: 0, all: FamilySet::EMPTY };
            for (i, name) in write.touches.iter().enumerate() {
                let set = match name.as_str() {
                    "*" => self.families.all(),
                    name => self.families.intern(name)?,
                };
                touches.all = touches.all.union(set);
                if i == 0 {
                    touches.scope = set.bits();
                }
            }
            for path in &write.paths {
                self.writes.insert(&parse(path)?, touches);
            }
        }
        Ok(())
    }
}

impl Route {
    /// What a scope judges the route by: its families and its class.
    pub fn scope_mask(&self) -> u64 {
        self.families.bits() | class_bit(self.class)
    }

    /// The place in the path behind which a suffix is put when the client sent none.
    pub fn suffix_place(&self, path: &str) -> usize {
        let Some(segment) = self.suffix_after else { return path.len() };
        let ends = path.match_indices('/').skip(1).map(|(at, _)| at);
        ends.chain([path.len()]).nth(segment).unwrap_or(path.len())
    }
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
mod tests {
    use http::{HeaderMap, Version, header::HOST};

    use super::*;

    fn target(text: &str) -> Target {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "a".parse().expect("a header value"));
        let uri = text.parse().expect("a target");
        Target::canonicalize(&uri, &headers, Version::HTTP_11, 1000).expect("a target")
    }

    fn table() -> RouteTable {
        RouteTable::new(&[]).expect("the table itself")
    }

    #[test]
    fn reads_are_found_with_and_without_their_suffix() {
        let table = table();
        let template = |t: &str| table.read(&target(t)).map(|l| &*table.route(l.id).template);
        assert_eq!(template("/virtual_machines.json"), Some("/virtual_machines"));
        assert_eq!(template("/virtual_machines/7.xml"), Some("/virtual_machines/:id"));
        let page = "/transactions/page/:page<number>";
        assert_eq!(template("/transactions.json/page/2"), Some(page));
        assert_eq!(template("/transactions/page/2"), Some(page));
        assert_eq!(template("/virtual_machines/7/console"), None);
        assert_eq!(template("/nothing"), None);
        assert!(table.read(&target("/virtual_machines/1abc.json")).expect("listed").odd);
    }

    #[test]
    fn a_guard_does_not_depend_on_the_suffix_or_the_id() {
        let table = table();
        for path in [
            "/users/1/make_new_api_key.json",
            "/users/1abc/make_new_api_key",
            "/users/1/make_new_api_key.html",
            "/users/1/make_new_api_key%2ejs",
            "/users/1/user_api_keys/generate.xml",
            "/users/1/suspend",
        ] {
            assert!(table.is_guarded(&Method::POST, &target(path)), "{path}");
        }
        assert!(table.is_guarded(&Method::PUT, &target("/users/1.json")));
        assert!(!table.is_guarded(&Method::GET, &target("/users/1.json")));
        assert!(!table.is_guarded(&Method::POST, &target("/virtual_machines.json")));
    }

    #[test]
    fn an_operators_route_opens_no_guard() {
        let route = OperatorRoute {
            pattern: "/users/:id/:what<word>".to_owned(),
            class: RouteClass::Volatile,
            families: vec!["users".to_owned()],
            as_is: true,
            masked: true,
        };
        let table = RouteTable::new(&[route]).expect("a table");
        let guarded = |path: &str| {
            let target = target(path);
            let listed = table.read(&target).expect("listed");
            table.is_guarded_read(listed, &Method::GET, &target)
        };
        assert!(guarded("/users/1/make_new_api_key") && guarded("/users/1/suspend.x"));
        assert!(!guarded("/users/1/anything") && !guarded("/users/1"));
        assert!(table.iter().filter(|route| route.may_be_guarded).count() == 1);
    }

    #[test]
    fn a_write_touches_what_it_changes() {
        let table = table();
        let names = table.families();
        let vms = names.find("vms").expect("a family");
        let dns = names.find("dns").expect("a family");
        let touched = table.touches(&target("/virtual_machines/1/startup.json"));
        assert_eq!(touched.scope, vms.bits());
        assert_eq!(touched.all.bits() & dns.bits(), 0);
        assert_ne!(touched.all.bits() & vms.bits(), 0);
        assert_eq!(table.touches(&target("/roles/1")).all, names.all());
        assert_eq!(table.touches(&target("/unheard/of")).all, names.all());
    }

    #[test]
    fn a_scope_does_not_depend_on_the_spelling_of_an_id_or_the_method() {
        let table = table();
        let inventory = table.scope_bit("inventory").expect("a class");
        let vms = table.scope_bit("vms").expect("a family");
        for path in ["/virtual_machines/1", "/virtual_machines/01.json", "/virtual_machines/1abc"] {
            assert_ne!(table.touches(&target(path)).scope & inventory, 0, "{path}");
        }
        assert_ne!(table.touches(&target("/users/01/vm_stats.json")).scope & vms, 0);
        let listed = table.read(&target("/settings/hypervisors/1/virtual_machines.json"));
        assert_ne!(table.route(listed.expect("listed").id).scope_mask() & vms, 0);
    }

    #[test]
    fn every_read_is_touched_by_a_write_to_its_own_path() {
        let table = table();
        for route in table.iter() {
            let path = route.template.replace("<number>", "").replace(":page", "1");
            let path: String = path
                .split('/')
                .map(|s| if s.starts_with(':') { "1" } else { s })
                .collect::<Vec<_>>()
                .join("/");
            let touched = table.touches(&target(&path)).all;
            let own = route.families.bits();
            assert_eq!(touched.bits() & own, own, "{}", route.template);
        }
    }

    #[test]
    fn an_operator_adds_routes_and_families() {
        let route = OperatorRoute {
            pattern: "/v1/:name<word>".to_owned(),
            class: RouteClass::Static,
            families: vec!["files".to_owned()],
            as_is: true,
            masked: true,
        };
        let table = RouteTable::new(std::slice::from_ref(&route)).expect("a table");
        let listed = table.read(&target("/v1/vms-1k")).expect("listed");
        assert!(table.route(listed.id).as_is && !listed.odd);
        let files = table.families().find("files").expect("a family");
        assert_eq!(table.touches(&target("/v1/vms-1k")).all, files);
        let lost = OperatorRoute { families: vec![], ..route };
        assert!(matches!(RouteTable::new(&[lost]), Err(RouteError::NoFamily(_))));
    }

    #[test]
    fn a_suffix_goes_where_the_route_has_it() {
        let table = table();
        let place = |t: &str| {
            let listed = table.read(&target(t)).expect("listed");
            table.route(listed.id).suffix_place(t)
        };
        assert_eq!(place("/virtual_machines"), "/virtual_machines".len());
        assert_eq!(place("/transactions/page/2"), "/transactions".len());
    }

    #[test]
    fn scopes_name_families_and_classes() {
        let table = table();
        let vms = table.scope_bit("vms").expect("a family");
        let volatile = table.scope_bit("volatile").expect("a class");
        assert_eq!(vms & volatile, 0);
        assert_eq!(table.scope_bit("nothing"), None);
    }
}
