//! The configuration of a world.

use std::net::SocketAddr;

use tempfile::TempDir;
use tollgate::config::Config;

/// What every world has, and on top of it what the scenario wants otherwise. Nobody looks at
/// transactions, and no hit is sampled: an origin is asked what its steps declare.
pub(super) fn configuration(folder: &TempDir, origin: SocketAddr, overrides: &str) -> Config {
    let path = |name| folder.path().join(name).display().to_string();
    let base = format!(
        r#"
        upstreams.main.url = "http://{origin}"
        tls = {{ certificate = "{}", key = "{}", settle = "20ms" }}
        tenants = {{ store = "{}", poll_interval = "20ms" }}
        access_log = {{ path = "{}", flush_interval = "10ms" }}
        server.linger_timeout = "100ms"
        cache.unsettled_lifetime = "0s"
        watch.enabled = false
        sampler.share = 0
        formats.learn = false
        "#,
        path("tls.crt"),
        path("tls.key"),
        path("tollgate.db"),
        path("access.log"),
    );
    let mut document: toml::Table = base.parse().expect("the base is TOML");
    merge(&mut document, overrides.parse().expect("the overrides are TOML"));
    Config::parse(&document.to_string(), std::iter::empty()).expect("a valid configuration")
}

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(into)), toml::Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}
