//! The reference configuration is the documentation; here it is held against the defaults.

use std::time::Duration;

use super::*;

const REFERENCE: &str = include_str!("../../config/tollgate.toml");

fn parse(text: &str) -> Result<Config, Vec<String>> {
    Config::parse(text, std::iter::empty())
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[test]
fn the_reference_says_what_the_defaults_are() {
    let config = parse(REFERENCE).expect("the reference is valid");
    assert_eq!(config.server, server::Config::default());
    assert_eq!(config.tls, tls::Config::default());
    assert_eq!(config.gateway, gateway::Config::default());
    assert_eq!(config.cache, entry::Config::default());
    assert_eq!(config.watch, watch::Config::default());
    assert_eq!(config.sampler, sampler::Config::default());
    assert_eq!(config.audit, auditor::Config::default());
    assert_eq!(config.idempotency, idempotency::Config::default());
    assert_eq!(config.rotation, rotation::Config::default());
    assert_eq!(config.formats, formats::Config::default());
    assert_eq!(config.tenants, tenants::Config::default());
    assert_eq!(config.failed_tokens, failures::Config::default());
    assert_eq!(config.admin, admin::Config::default());
    assert_eq!(config.log, telemetry::LogConfig::default());
    assert_eq!(config.access_log, telemetry::AccessConfig::default());
    assert_eq!(config.explain, explain::Config::default());
    let main = config.upstreams.get("main").expect("an upstream");
    let url = main.config.url.clone();
    assert_eq!(main.config, upstream::Config { url, ..upstream::Config::default() });
}

#[test]
fn the_reference_names_every_key() {
    let keys = [
        ("server", server::Config::KEYS),
        ("tls", tls::Config::KEYS),
        ("gateway", gateway::Config::KEYS),
        ("cache", entry::Config::KEYS),
        ("watch", watch::Config::KEYS),
        ("sampler", sampler::Config::KEYS),
        ("audit", auditor::Config::KEYS),
        ("idempotency", idempotency::Config::KEYS),
        ("rotation", rotation::Config::KEYS),
        ("formats", formats::Config::KEYS),
        ("tenants", tenants::Config::KEYS),
        ("failed_tokens", failures::Config::KEYS),
        ("admin", admin::Config::KEYS),
        ("log", telemetry::LogConfig::KEYS),
        ("access_log", telemetry::AccessConfig::KEYS),
        ("explain", explain::Config::KEYS),
        ("upstreams.main", upstream::Config::KEYS),
        ("routes", RouteConfig::KEYS),
    ];
    for (section, keys) in keys {
        let text = section_of(section);
        for key in keys {
            // A key without a default is shown commented out.
            let shown = [format!("\n{key} = "), format!("\n# {key} = ")];
            let named = shown.iter().any(|line| text.contains(line));
            assert!(named, "config/tollgate.toml does not name {section}.{key}");
        }
    }
}

#[test]
fn the_reference_lists_the_families_that_are_built_in() {
    let routes = RouteTable::new(&[]).expect("the table itself");
    let names = routes.families().to_string();
    let mut built_in: Vec<_> = names.split(", ").collect();
    built_in.sort_unstable();
    let text = section_of("routes").replace("\n# ", " ").replace(" and ", ", ");
    let (_, list) = text.split_once("Built in are ").expect("a list");
    let (list, _) = list.split_once(';').expect("its end");
    assert_eq!(list.split(", ").collect::<Vec<_>>(), built_in);
}

#[test]
fn what_the_reference_shows_commented_out_is_valid_too() {
    let uncomment = |line: &'static str| {
        let shown = line.strip_prefix("# ");
        let code = shown.filter(|s| s.starts_with("[[") || s.split(' ').nth(1) == Some("="));
        code.unwrap_or(line)
    };
    let text: Vec<_> = REFERENCE.lines().map(uncomment).collect();
    let config = parse(&text.join("\n")).expect("the reference is valid with all of its keys");
    assert!(config.gateway.public_url.is_some() && config.routes.len() == 1);
}

#[test]
fn the_example_of_the_readme_is_valid() {
    let example = include_str!("../../README.md").split("```").find_map(|s| s.strip_prefix("toml"));
    let config = parse(example.expect("an example")).expect("the example is valid");
    assert!(config.upstreams.contains_key("main") && config.tenants.master_key_file.is_some());
}

#[test]
fn every_problem_is_reported_at_once() {
    let problems = parse(
        "[server]\nlisten = 1\n[upstreams.a]\nurl = \"ftp://x\"\n[[routes]]\npattern = \"x\"\nclass = \"y\"\n[cach]\n",
    )
    .expect_err("all of it is wrong");
    let text = problems.join("\n");
    for expected in [
        "line 2: server.listen",
        "upstreams.a.url",
        "routes.class",
        "did you mean \"cache\"",
        "pattern \"x\"",
    ] {
        assert!(text.contains(expected), "{expected} is not in:\n{text}");
    }
}

const UPSTREAM: &str = "[upstreams.a]\nurl = \"https://a.example\"\n";

/// The one problem of a configuration with an upstream.
fn problem_of(text: &str) -> String {
    let problems = parse(&format!("{UPSTREAM}{text}")).expect_err(text);
    let [problem] = &problems[..] else { panic!("{text}: {problems:?}") };
    problem.clone()
}

#[test]
fn an_answer_is_kept_for_longer_than_a_command_asks_for_it() {
    let parsed = |text: &str| parse(&format!("{UPSTREAM}[admin]\n{text}")).expect(text).admin;
    let seconds = Duration::from_secs;
    for (text, window) in [
        ("", seconds(600)),
        ("replay_window = \"106s\"", seconds(106)),
        ("exchange_timeout = \"300s\"", seconds(975)),
        ("exchange_timeout = \"300s\"\nreplay_window = \"916s\"", seconds(916)),
    ] {
        assert_eq!(parsed(text).replay_window, window, "{text}");
    }
    for (text, is, longer) in [
        ("replay_window = \"0s\"", "is 0s", "105s"),
        ("replay_window = \"105s\"", "is 105s", "105s"),
        ("exchange_timeout = \"300s\"\nreplay_window = \"10m\"", "is 600s", "915s"),
        // Who asks from elsewhere does not know how short it is.
        (
            "operation_timeout = \"4s\"\nexchange_timeout = \"5s\"\nreplay_window = \"50s\"",
            "is 50s",
            "105s",
        ),
    ] {
        let problem = problem_of(&format!("[admin]\n{text}"));
        for said in ["line ", "admin.replay_window: ", is, "admin.exchange_timeout", longer] {
            assert!(problem.contains(said), "{said}: {problem}");
        }
    }
}

#[test]
fn what_rotations_wait_for_follows_the_slowest_reply() {
    let parsed = |text: &str| parse(&format!("{UPSTREAM}{text}")).expect(text).rotation;
    let millis = Duration::from_millis;
    let slow = "reply_timeout = \"2m\"\n";
    let lazy = "[tenants]\npoll_interval = \"10s\"\n";
    for (text, [settle, drain, notice]) in [
        ("", [90_000, 75_000, 1_000]),
        (slow, [145_000, 125_250, 1_000]),
        (lazy, [90_000, 80_000, 10_750]),
        (
            "[upstreams.b]\nurl = \"https://b.example\"\nreply_timeout = \"80s\"\n",
            [105_000, 85_250, 1_000],
        ),
        (
            "reply_timeout = \"1s\"\n[rotation]\nsettle = \"2s\"\ndrain = \"3s\"\n",
            [2_000, 3_000, 1_000],
        ),
    ] {
        let rotation = parsed(text);
        let found = [rotation.settle, rotation.drain, rotation.notice];
        assert_eq!(found, [settle, drain, notice].map(millis), "{text}");
    }
    for (text, says) in [
        (
            format!("{slow}[rotation]\nsettle = \"30s\"\n"),
            "line 5: rotation.settle: is 30s, and must be longer than upstreams.a.reply_timeout: 120s",
        ),
        (
            "[rotation]\ndrain = \"65250ms\"\n".to_owned(),
            "line 4: rotation.drain: is 65250ms, and must be longer than upstreams.a.reply_timeout \
             and tenants.poll_interval together: 65250ms",
        ),
        (
            format!("{lazy}[rotation]\nnotice = \"1s\"\n"),
            "line 6: rotation.notice: is 1s, and must be longer than tenants.poll_interval: 10s",
        ),
        ("[rotation]\nsettle = 1\n".to_owned(), "rotation.settle: expected a duration"),
    ] {
        let problem = problem_of(&text);
        assert!(problem.contains(says), "{problem}");
    }
}

#[test]
fn an_upstream_is_needed() {
    let problems = parse("").expect_err("there is none");
    assert!(problems[0].contains("[upstreams.NAME]"), "{problems:?}");
}

/// The lines of a section, up to the next.
fn section_of(name: &str) -> &'static str {
    let heads = [format!("\n[{name}]\n"), format!("\n# [[{name}]]\n")];
    let start = heads.iter().find_map(|head| REFERENCE.find(head).map(|at| at + head.len() - 1));
    let text = &REFERENCE[start.expect("config/tollgate.toml lacks a section")..];
    text.find("\n[").map_or(text, |end| &text[..end])
}
