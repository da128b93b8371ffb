//! How the table is made: from the data of `routes.toml`, and from what the operator adds.

use http::Method;
use serde::Deserialize;

use super::{
    ItemKind, ItemPlace, Methods, Mint, OperatorRoute, Rebuilt, Route, RouteError, RouteId,
    RouteTable, Segments, Touches, class_named, name_segment, parse,
};
use crate::{
    api::{
        families::{FamilyNames, FamilySet, TooManyFamilies},
        pattern::PatternTree,
    },
    vocabulary::{Format, RouteClass},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    read: Vec<ReadData>,
    shared: Vec<String>,
    item: Vec<ItemData>,
    write: Vec<WriteData>,
    effect: Vec<PathsData>,
    make: Vec<PathsData>,
    rebuild: Vec<RebuildData>,
    secret: Vec<PathsData>,
    guard: Vec<GuardData>,
    mint: MintData,
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
struct RebuildData {
    #[serde(default)]
    unnamed: bool,
    paths: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteData {
    touches: Vec<String>,
    #[serde(default)]
    everyone: bool,
    paths: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemData {
    family: String,
    root: String,
    kind: String,
    parts: Vec<String>,
    refers: Vec<String>,
    collection: String,
    path: String,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MintData {
    add: Vec<String>,
    replace: Vec<String>,
}

/// What a route is besides its path and its families.
struct Kind {
    class: RouteClass,
    as_is: bool,
    masked: bool,
    only_format: Option<Format>,
}

impl RouteTable {
    /// The upstream's routes and the operator's.
    #[expect(clippy::missing_panics_doc, reason = "the data is part of the program and tested")]
    pub fn new(operator: &[OperatorRoute]) -> Result<Self, RouteError> {
        let data: Data = toml::from_str(include_str!("../routes.toml")).expect("tested data");
        let mut table = Self {
            families: FamilyNames::default(),
            routes: Vec::new(),
            reads: PatternTree::new(),
            writes: PatternTree::new(),
            effects: PatternTree::new(),
            makes: PatternTree::new(),
            rebuilds: PatternTree::new(),
            secrets: PatternTree::new(),
            items: PatternTree::new(),
            collections: PatternTree::new(),
            kinds: Vec::new(),
            shared: FamilySet::EMPTY,
            guards: PatternTree::new(),
            mints: PatternTree::new(),
            read_guards: Vec::new(),
            secret_places: Vec::new(),
        };
        // Before the reads, which are held against them.
        table.add_guards(&data.guard)?;
        table.add_secrets(&data.secret)?;
        table.add_items(&data.item)?;
        for read in &data.read {
            let class = class_named(&read.class).expect("tested data");
            for path in &read.paths {
                let kind = Kind { class, as_is: false, masked: true, only_format: None };
                table.add_read(path, &read.families, kind, &data.item)?;
            }
        }
        for route in operator {
            let OperatorRoute { class, as_is, masked, only_format, .. } = *route;
            let kind = Kind { class, as_is, masked, only_format };
            // Whatever it shows below an item, nobody has said that it shows nothing else.
            table.add_read(&route.pattern, &route.families, kind, &[])?;
        }
        table.add_writes(&data.write)?;
        table.add_shared(&data.shared)?;
        table.share_new_ones(&data, operator)?;
        table.add_touches_of_items(&data.item)?;
        for path in data.effect.iter().flat_map(|e| &e.paths) {
            table.effects.insert(&parse(path)?, ());
        }
        for path in data.make.iter().flat_map(|make| &make.paths) {
            table.makes.insert(&parse(path)?, ());
        }
        for (mint, paths) in [(Mint::Add, &data.mint.add), (Mint::Replace, &data.mint.replace)] {
            for path in paths {
                table.mints.insert(&parse(path)?, mint);
            }
        }
        for RebuildData { unnamed, paths } in &data.rebuild {
            let rebuilt = if *unnamed { Rebuilt::Unnamed } else { Rebuilt::Named };
            for path in paths {
                table.rebuilds.insert(&parse(path)?, rebuilt);
            }
        }
        Ok(table)
    }

    fn add_read(
        &mut self,
        path: &str,
        families: &[String],
        Kind { class, as_is, masked, only_format }: Kind,
        items: &[ItemData],
    ) -> Result<(), RouteError> {
        let pattern = parse(path)?;
        let mut set = FamilySet::EMPTY;
        for name in families {
            set = set.union(self.families.intern(name)?);
        }
        if set.is_empty() && class != RouteClass::Never {
            return Err(RouteError::NoFamily(path.to_owned()));
        }
        let may_show_secret = self.secret_places.iter().any(|place| pattern.overlaps(place));
        let id = RouteId(u16::try_from(self.routes.len()).map_err(|_| TooManyFamilies)?);
        self.routes.push(Route {
            template: path.replace(".:format", "").into(),
            class,
            families: set,
            as_is,
            only_format,
            masked,
            item: self.item_of(path, set, items),
            may_be_guarded: self.read_guards.iter().any(|guard| pattern.overlaps(guard)),
            may_show_secret,
            suffix_after: pattern.suffix_after(),
        });
        self.reads.insert(&pattern, id);
        Ok(())
    }

    /// The place of an item's name in the pattern of a read that shows nothing else of its family.
    fn item_of(&self, path: &str, families: FamilySet, items: &[ItemData]) -> Option<ItemPlace> {
        let below = |item: &ItemData| {
            let rest = path.strip_prefix(&*item.path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let at = items.iter().position(below)?;
        let family = self.kinds[at].family;
        let segment = name_segment(&items[at].path);
        families.contains(family).then_some(ItemPlace { family, segment })
    }

    fn add_items(&mut self, items: &[ItemData]) -> Result<(), RouteError> {
        for item in items {
            let family = self.families.intern(&item.family)?.iter().next().unwrap_or_default();
            let place = ItemPlace { family, segment: name_segment(&item.path) };
            self.items.insert(&parse(&format!("{}/**", item.path))?, place);
            self.collections.insert(&parse(&item.collection)?, family);
            self.kinds.push(ItemKind {
                family,
                root: item.root.as_str().into(),
                kind: item.kind.as_str().into(),
                parts: item.parts.iter().map(|part| part.as_str().into()).collect(),
                refers: item.refers.iter().map(|member| member.as_str().into()).collect(),
                touches: FamilySet::EMPTY,
            });
        }
        Ok(())
    }

    fn add_shared(&mut self, names: &[String]) -> Result<(), RouteError> {
        for name in names {
            self.shared = self.shared.union(self.families.intern(name)?);
        }
        Ok(())
    }

    /// Of a family that an operator has named nobody has said that each account sees its own.
    fn share_new_ones(
        &mut self,
        data: &Data,
        operator: &[OperatorRoute],
    ) -> Result<(), RouteError> {
        let reads = data.read.iter().flat_map(|read| &read.families);
        let built_in: Vec<_> = reads.chain(data.write.iter().flat_map(|w| &w.touches)).collect();
        let shared = operator.iter().filter(|route| !route.private);
        for name in shared.flat_map(|route| &route.families) {
            if !built_in.contains(&name) {
                self.shared = self.shared.union(self.families.intern(name)?);
            }
        }
        Ok(())
    }

    /// Runs after the writes, of which it takes those to one item.
    fn add_touches_of_items(&mut self, items: &[ItemData]) -> Result<(), RouteError> {
        for (at, item) in items.iter().enumerate() {
            let path = item.path.replace(":id", "1");
            let segments: Segments<'_> = path.split('/').skip(1).collect();
            let written = self.writes.find(&segments).map(|found| found.value.all);
            self.kinds[at].touches = written.unwrap_or_else(|| self.families.all());
        }
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

    fn add_secrets(&mut self, secrets: &[PathsData]) -> Result<(), RouteError> {
        for path in secrets.iter().flat_map(|secret| &secret.paths) {
            let pattern = parse(path)?;
            self.secrets.insert(&pattern, ());
            self.secret_places.push(pattern);
        }
        Ok(())
    }

    /// Runs after every family is named, so that `*` is all of them.
    fn add_writes(&mut self, writes: &[WriteData]) -> Result<(), RouteError> {
        for write in writes {
            let mut touches = Touches {
                scope: 0,
                all: FamilySet::EMPTY,
                everyone: write.everyone,
                narrow: None,
                removes: false,
            };
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
