//! The configuration: every part's own section, composed, and read from one file.
//!
//! `config/tollgate.toml` is its documentation; a test proves that it says what the defaults are.
//! Every problem is reported at once, each with its line and its key.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
};

use self::agreement::Written;
use crate::{
    admin,
    api::routes::{OperatorRoute, RouteTable, class_named},
    auditor,
    auth::{failures, token::Environment},
    cache::entry,
    canary, explain, formats, gateway, idempotency,
    net::{
        server, tls,
        upstream::{self, Origin},
    },
    rotation, sampler,
    settings::{Problem, Problems, Section, Table},
    telemetry, tenants,
    transcode::mask::Fields,
    vocabulary::{Format, RouteClass},
    watch,
};

mod agreement;

/// Variables that override a key begin with this: `TOLLGATE__SERVER__LISTEN`.
const PREFIX: &str = "TOLLGATE";

/// Everything that an operator can set, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data listener.
    pub server: server::Config,
    /// Its certificate.
    pub tls: tls::Config,
    /// The request path.
    pub gateway: gateway::Config,
    /// The cache.
    pub cache: entry::Config,
    /// The watch over transactions.
    pub watch: watch::Config,
    /// The samples of hits.
    pub sampler: sampler::Config,
    /// The planted tenants.
    pub canary: canary::Config,
    /// The audit log.
    pub audit: auditor::Config,
    /// What is kept of idempotent requests.
    pub idempotency: idempotency::Config,
    /// The rotation of upstream keys.
    pub rotation: rotation::Config,
    /// What is learned of formats.
    pub formats: formats::Config,
    /// The store.
    pub tenants: tenants::Config,
    /// The word in new tokens.
    pub environment: Environment,
    /// The count of failed tokens.
    pub failed_tokens: failures::Config,
    /// The admin listener.
    pub admin: admin::Config,
    /// The process's own log.
    pub log: telemetry::LogConfig,
    /// The access log.
    pub access_log: telemetry::AccessConfig,
    /// The decisions that can be explained.
    pub explain: explain::Config,
    /// The upstreams by name.
    pub upstreams: BTreeMap<String, Upstream>,
    /// The operator's routes.
    pub routes: Vec<OperatorRoute>,
}

/// One upstream.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Its settings.
    pub config: upstream::Config,
    /// Where it is.
    pub origin: Origin,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}; name another with --config", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file says something wrong.
    #[error("{}", lines(path, problems))]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// All that is wrong.
        problems: Vec<Problem>,
    },
}

crate::section! {
    /// A route of the operator's, written `[[routes]]`.
    pub struct RouteConfig {
        /// The pattern of its path.
        pub pattern: String = String::new(),
        /// Which lifetime it has: `static`, `inventory`, `volatile` or `never`.
        pub class: String = "inventory".to_owned(),
        /// The families that it depends on.
        pub families: Vec<String> = Vec::new(),
        /// Ask for it as the client wrote it, without a format suffix.
        pub as_is: bool = false,
        /// Search its replies for the upstream's keys. Only for what can hold none, and is too
        /// large to be searched, this may be false.
        pub masked: bool = true,
        /// The one format that the upstream has of it, `json` or `xml`, if it has not both.
        pub only_format: Option<Format> = None,
        /// Each account sees its own of the families that are named here first: whoever reaches
        /// only its own changes nothing of them for the others.
        pub private: bool = false,
    }
}

const SECTIONS: [&str; 19] = [
    "server",
    "tls",
    "gateway",
    "cache",
    "watch",
    "sampler",
    "canary",
    "audit",
    "idempotency",
    "rotation",
    "formats",
    "tenants",
    "failed_tokens",
    "admin",
    "log",
    "access_log",
    "explain",
    "upstreams",
    "routes",
];

impl Config {
    /// Reads a file and the environment.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, std::env::vars())
            .map_err(|problems| ConfigError::Wrong { path: path.to_owned(), problems })
    }

    /// Reads a document and variables that override it.
    pub fn parse(
        text: &str,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        let mut root = Table::parse(text, &mut problems);
        if !problems.is_empty() {
            return Err(problems.iter().cloned().collect());
        }
        root.override_from(PREFIX, variables);
        let tenants: tenants::Config = root.take_section("tenants", &mut problems);
        let word = &tenants.token_environment;
        let environment = Environment::parse(word)
            .map_err(|e| problems.add(None, "tenants.token_environment", &e.to_string()))
            .ok();
        let (admin, admin_written) = Written::take(&mut root, "admin", &mut problems);
        let (rotation, rotation_written) = Written::take(&mut root, "rotation", &mut problems);
        let mut config = Self {
            environment: environment.unwrap_or_default(),
            server: root.take_section("server", &mut problems),
            tls: root.take_section("tls", &mut problems),
            gateway: root.take_section("gateway", &mut problems),
            cache: root.take_section("cache", &mut problems),
            watch: root.take_section("watch", &mut problems),
            sampler: root.take_section("sampler", &mut problems),
            canary: root.take_section("canary", &mut problems),
            audit: root.take_section("audit", &mut problems),
            idempotency: root.take_section("idempotency", &mut problems),
            rotation,
            formats: root.take_section("formats", &mut problems),
            failed_tokens: root.take_section("failed_tokens", &mut problems),
            admin,
            log: root.take_section("log", &mut problems),
            access_log: root.take_section("access_log", &mut problems),
            explain: root.take_section("explain", &mut problems),
            upstreams: upstreams(&mut root, &mut problems),
            routes: routes(&mut root, &mut problems),
            tenants,
        };
        root.finish(&SECTIONS, &mut problems);
        config.agree_on_answers(&admin_written, &mut problems);
        config.agree_on_rotations(&rotation_written, &mut problems);
        config.validate(&mut problems);
        if problems.is_empty() { Ok(config) } else { Err(problems.iter().cloned().collect()) }
    }

    /// What no single key can say.
    fn validate(&self, problems: &mut Problems) {
        self.admin.validate(problems);
        self.tenants.validate(problems);
        self.log.validate(problems);
        self.access_log.validate(problems);
        self.explain.validate(problems);
        self.watch.validate(problems);
        self.sampler.validate(problems);
        self.canary.validate(problems);
        self.formats.validate(problems);
        self.idempotency.validate(problems);
        self.rotation.validate(problems);
        if let Err(error) = RouteTable::new(&self.routes) {
            problems.add(None, "routes", &error.to_string());
        }
        let url = self.gateway.public_url.as_deref();
        if url.is_some_and(|u| !u.starts_with("https://") || u.ends_with('/')) {
            let message = "expected https://HOST[:PORT] without a slash at the end";
            problems.add(None, "gateway.public_url", message);
        }
        if !self.gateway.health_path.starts_with('/') {
            problems.add(None, "gateway.health_path", "expected a path that begins with \"/\"");
        }
        if let Some(odd) = self.gateway.secret_fields.iter().find(|name| !Fields::is_name(name)) {
            let message = format!("expected the names of fields, found {odd:?}");
            problems.add(None, "gateway.secret_fields", &message);
        }
        if !(1..=100).contains(&self.cache.max_partition_percent) {
            problems.add(None, "cache.max_partition_percent", "must be from 1 to 100");
        }
        let quarter = self.cache.capacity.0 / 4;
        if self.cache.max_entry.0 > quarter {
            let message = "one entry may be at most a quarter of cache.capacity";
            problems.add(None, "cache.max_entry", message);
        }
    }
}

impl Config {
    /// The upstreams that have one format alone.
    pub fn natives(&self) -> HashMap<String, Format> {
        let only = |(name, upstream): (&String, &Upstream)| {
            Some((name.clone(), upstream.config.only_format?))
        };
        self.upstreams.iter().filter_map(only).collect()
    }
}

fn upstreams(root: &mut Table, problems: &mut Problems) -> BTreeMap<String, Upstream> {
    let mut found = BTreeMap::new();
    let Some(mut table) = root.take_table("upstreams", problems) else {
        problems.add(None, "upstreams", "at least one is needed: [upstreams.NAME] with its url");
        return found;
    };
    for name in table.names() {
        let Some(section) = table.take_table(&name, problems) else { continue };
        let written = section.clone();
        let config = upstream::Config::read(section, problems);
        match config.validate() {
            Ok(at) => {
                found.insert(name, Upstream { config, origin: at });
            }
            Err(wrong) => {
                for invalid in wrong {
                    let key = format!("upstreams.{name}.{}", invalid.key());
                    problems.add(
                        Some(written.origin(Some(invalid.key()))),
                        &key,
                        &invalid.to_string(),
                    );
                }
            }
        }
    }
    found
}

fn routes(root: &mut Table, problems: &mut Problems) -> Vec<OperatorRoute> {
    let tables = root.take_tables("routes", problems);
    let read = |table: Table| {
        let origin = table.origin(None);
        let route = RouteConfig::read(table, problems);
        let class = class_named(&route.class).unwrap_or_else(|| {
            let message = format!(
                "unknown class \"{}\"; known are static, inventory, volatile and never",
                route.class
            );
            problems.add(Some(origin), "routes.class", &message);
            RouteClass::Never
        });
        OperatorRoute {
            pattern: route.pattern,
            class,
            families: route.families,
            as_is: route.as_is,
            masked: route.masked,
            only_format: route.only_format,
            private: route.private,
        }
    };
    tables.into_iter().map(read).collect()
}

fn lines(path: &Path, problems: &[Problem]) -> String {
    let lines = problems.iter().map(|p| format!("{}: {p}", path.display()));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
