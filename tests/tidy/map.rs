//! The map of the source: which part may import which, and which decides alone.

/// What a part may import of ours, besides itself and what is in [`WORDS`].
pub(super) const ROOMS: [(&str, &[&str]); 14] = [
    ("src/closed.rs", &[]),
    ("src/fields.rs", &[]),
    ("src/vocabulary", &[]),
    ("src/settings", &[]),
    ("src/clock.rs", &[]),
    ("src/metrics", &[]),
    ("src/api/", &[]),
    ("src/auth/", &[]),
    ("src/audit/", &[]),
    ("src/idempotency/", &["auth"]),
    ("src/transcode/", &[]),
    ("src/limit/", &["clock"]),
    ("src/policy/", &["api", "limit"]),
    ("src/cache/", &["api", "clock", "metrics"]),
];

/// What everything may import: the closed lists, the settings, their macros, and lines of headers.
pub(super) const WORDS: [&str; 5] = ["vocabulary", "settings", "closed", "section", "fields"];

/// What composes the rest, and the only ones that may import it.
pub(super) const ROOFS: [(&str, &[&str]); 10] = [
    ("layers", &["src/gateway.rs", "src/dry_run.rs", "src/serve"]),
    ("dry_run", &["src/admin/", "src/cli/explain.rs", "src/serve"]),
    ("watch", &["src/serve", "src/config.rs"]),
    ("sampler", &["src/layers/cache.rs", "src/gateway.rs", "src/serve", "src/config.rs"]),
    ("canary", &["src/serve", "src/config.rs"]),
    ("gateway", &["src/serve", "src/config.rs", "src/demo/"]),
    ("config", &["src/serve", "src/cli/", "src/demo/", "src/main.rs"]),
    ("serve", &["src/cli/", "src/demo/", "src/main.rs"]),
    ("demo", &["src/cli/", "src/main.rs"]),
    ("cli", &["src/main.rs", "src/demo/"]),
];

/// What decides: it does no I/O, holds no clock and spawns nothing.
pub(super) const PURE: [&str; 24] = [
    "src/api/",
    "src/auth/",
    "src/audit/",
    "src/idempotency/",
    "src/limit/",
    "src/policy/",
    "src/transcode/",
    "src/fields.rs",
    "src/cache/coherence.rs",
    "src/cache/dependence.rs",
    "src/cache/directives.rs",
    "src/cache/entry.rs",
    "src/cache/flight.rs",
    "src/cache/key.rs",
    "src/cache/lines.rs",
    "src/cache/names.rs",
    "src/cache/standing.rs",
    "src/cache/status.rs",
    "src/cache/validator.rs",
    "src/tenants/course.rs",
    "src/watch/candidates.rs",
    "src/watch/ledger.rs",
    "src/formats/course.rs",
    "src/sampler/quarantine.rs",
];
