//! Commands that the running server carries out, and the same ones without it.

use serde_json::Value;
use tollgate::demo::simulator::{Fault, User};

use super::{
    Installation,
    purge::{Place, TOKEN},
};

/// What an operator does in a week, each line with its standard input; `ID` is the token's.
const WEEK: [(&str, &str); 24] = [
    ("tenant add acme --reads 10/20 --limit-status 403", ""),
    ("tenant set acme --reads unlimited --writes 5 --default-format xml", ""),
    ("tenant list", ""),
    ("credential add acme --upstream main --login acme --no-test --secret-stdin", "a-password\n"),
    ("credential set acme --reach own --account acme", ""),
    ("credential rotate acme --email a@example.com --no-test --secret-stdin", "a-key\n"),
    ("credential list", ""),
    ("credential rotations", ""),
    ("credential pending", ""),
    ("vault status", ""),
    ("token create --tenant acme --credential acme --read-only --label x --address 192.0.2.1", ""),
    ("token set ID --method GET --monthly-reads 10", ""),
    ("token rotate ID --overlap 1h", ""),
    ("token describe ID", ""),
    ("token revoke ID", ""),
    ("token revoke ID", ""),
    ("token list", ""),
    ("token list --tenant nobody", ""),
    ("import -", r#"{"tenant":{"name":"b"},"credential":"acme"}"#),
    ("apply --yes -", "[tenants.b]\nreads = \"1/2\"\n[tenants.c]\n"),
    ("export", ""),
    ("admin-token create bob --role viewer", ""),
    ("admin-token revoke bob", ""),
    ("admin-token list", ""),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_print_the_same_with_and_without_the_server() {
    let place = Place::new().await;
    let server = place.serve();
    let without = Installation::new().await;
    let mut id = [String::new(), String::new()];
    for (line, input) in WEEK {
        let lines = id.clone().map(|id| format!("{line} --json").replace("ID", &id));
        let [online, offline] = lines.each_ref().map(|line| line.split(' ').collect::<Vec<_>>());
        let online = place.run_with(&online, input).good();
        let offline = without.run(&offline, input).good();
        let [online, offline] = [online, offline].map(|out| {
            serde_json::from_str::<Value>(&out).unwrap_or_else(|e| panic!("{line}: {e}: {out}"))
        });
        if line.starts_with("token create") {
            id = [&online, &offline].map(|out| out["id"].as_str().expect("an id").to_owned());
        }
        assert_eq!(plain(online), plain(offline), "{line}");
    }
    for line in ["audit verify", "tenant list", "token list", "admin-token list"] {
        let args: Vec<&str> = line.split(' ').collect();
        assert_ne!(place.run(&args).good(), "", "{line}");
    }
    let verified = place.run(&["audit", "verify", "--json"]).good();
    let exported = place.run(&["audit", "export"]).good();
    let log: Vec<Value> =
        exported.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let verified: Value = serde_json::from_str(&verified).expect("JSON");
    assert_eq!(verified["last"], log.len());
    assert!(log.iter().all(|line| line["event"]["actor"]["kind"] == "admin-token"), "{log:?}");
    assert_eq!(server.terminate().code, Some(0));
    assert_eq!(place.installation.run(&["audit", "export"], "").good(), exported);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_refused_alike() {
    let place = Place::new().await;
    let server = place.serve();
    place.run(&["tenant", "add", "acme"]).good();
    for (line, input, said) in [
        ("tenant add acme", "", "there is already a tenant \"acme\""),
        ("tenant remove nobody", "", "there is no tenant \"nobody\""),
        ("tenant set ../x --reads 1", "", "there is no tenant \"../x\""),
        ("token revoke nothing", "", "there is no token \"nothing\""),
        ("import -", "{}\n", "line 1: \"tenant\": expected a name or an object"),
        ("credential add a --upstream main --login a:b --secret-stdin", "x", "colon"),
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        for ended in [place.run_with(&args, input), place.installation.run(&args, input)] {
            assert_eq!((ended.code, &*ended.out), (Some(65), ""), "{line}: {ended:?}");
            assert!(ended.err.contains(said), "{line}: {ended:?}");
        }
    }
    let viewer = place.run(&["admin-token", "create", "eve", "--role", "viewer"]).good();
    place.run_as(viewer.trim(), &["tenant", "list"]).good();
    let refused = place.run_as(viewer.trim(), &["tenant", "add", "b"]);
    assert_eq!((refused.code, &*refused.out), (Some(77), ""), "{refused:?}");
    assert!(refused.err.contains("of the role operator"), "{refused:?}");
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_panel_does_not_say_is_told_alike() {
    let place = Place::new().await;
    let server = place.serve();
    let User { email, .. } = place.installation.panel.user("alice").expect("a user");
    let declared = format!(
        "[credentials.alice]\nupstream = \"main\"\nemail = \"{email}\"\nsecret_file = \"key\"\n"
    );
    place.installation.write("declared.toml", &declared);
    place.installation.write("key", "a-key\n");
    let [file, key] = ["declared.toml", "key"].map(|name| place.installation.path(name));
    let add = "credential add alice --upstream main --email";
    let add = format!("{add} {email} --secret-file {}", key.display());
    let apply = format!("apply --yes {}", file.display());
    let away = Fault::Status { status: 503, applied: false };
    for (fault, says) in [(Some(away), true), (None, false)] {
        for line in [&add, &apply] {
            let args: Vec<&str> = line.split(' ').collect();
            for online in [true, false] {
                if let Some(fault) = &fault {
                    place.installation.panel.fault("GET /profile", 1, fault.clone());
                }
                let refused =
                    if online { place.run(&args) } else { place.installation.run(&args, "") };
                assert_eq!(refused.code, Some(69), "{line}, online: {online}: {refused:?}");
                assert_eq!(refused.err.contains("--no-test"), says, "{refused:?}");
                assert!(!refused.err.contains("\"test\""), "{refused:?}");
                assert!(refused.err.contains("stored"), "{refused:?}");
            }
        }
    }
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_for_the_server_is_told_with_the_ways_out() {
    let place = Place::new().await;
    let file = place.installation.path("tollgate.toml");
    let text = std::fs::read_to_string(&file).expect("a file");
    let little = text.replacen("[admin]", "[admin]\nmax_import = \"1KiB\"", 1);
    place.installation.write("tollgate.toml", &little);
    let server = place.serve();
    let tenants: String = (0..20_000).map(|n| format!("[tenants.t{n}]\n")).collect();
    let lines: String =
        (0..20_000).map(|n| format!("{{\"tenant\":{{\"name\":\"t{n}\"}}}}\n")).collect();
    for (line, input) in [("apply --yes -", &tenants), ("import -", &lines)] {
        let refused = place.run_with(&line.split(' ').collect::<Vec<_>>(), input);
        assert_eq!(refused.code, Some(65), "{line}: {refused:?}");
        for said in ["admin.max_import", "--offline"] {
            assert!(refused.err.contains(said), "{line}: {said}: {refused:?}");
        }
    }
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_server_answers_the_way_without_it_is_named() {
    let place = Place::new().await;
    assert_eq!(place.serve().terminate().code, Some(0));
    let away = place.run(&["credential", "rotate-key", "alice"]);
    assert_eq!((away.code, away.err.contains("--offline")), (Some(69), true), "{away:?}");
    for line in [
        "tenant list",
        "credential list",
        "token list",
        "audit verify",
        "admin-token list",
        "apply -",
        "export",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let refused = place.run(&args);
        assert_eq!((refused.code, &*refused.out), (Some(69), ""), "{line}: {refused:?}");
        assert!(refused.err.contains("--offline"), "{line}: {refused:?}");
        place.run(&[&["--offline"], &args[..]].concat()).good();
    }
    let away = place.run(&["purge", "--all"]);
    assert!(!away.err.contains("--offline"), "nothing is purged without a server: {away:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_elsewhere_is_named_with_its_authority() {
    let place = Place::encrypted().await;
    let server = place.serve();
    let url = format!("https://localhost:{}", server.admin.port());
    let authority = place.installation.path("tls.crt").display().to_string();
    let run = |more: &[&str]| {
        let args = ["tenant", "list", "--config", "/nowhere/tollgate.toml", "--server", &url];
        let mut command = crate::program::tollgate([&args, more].concat());
        command.env("TOLLGATE_ADMIN_TOKEN", TOKEN);
        crate::program::Program::start(command, "").end_within(crate::program::PATIENCE)
    };
    assert_eq!(run(&["--json", "--ca", &authority]).good(), "[]\n");
    // Nobody on the way is told the token.
    for clear in ["http://192.0.2.1:9145", "http://localhost.example.com"] {
        let args = ["tenant", "list", "--server", clear];
        let refused = place.run(&args);
        assert_eq!(refused.code, Some(64), "{refused:?}");
        assert!(refused.err.contains("in clear"), "{refused:?}");
    }
    let untrusted = run(&[]);
    assert_eq!(untrusted.code, Some(69), "{untrusted:?}");
    assert!(untrusted.err.contains("certificate"), "{untrusted:?}");
    let both = run(&["--offline"]);
    assert_eq!(both.code, Some(64), "{both:?}");
}

/// Without what differs by chance.
fn plain(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Object(fields) => {
            let by_chance = [
                "id",
                "token",
                "created",
                "master_key",
                "expires",
                "revoked",
                "key_id",
                "replaces",
                "replaced_until",
                "replaced_by",
            ];
            let plain = |(name, value): (String, Value)| {
                let chance = by_chance.contains(&&*name);
                let value = if chance { (!value.is_null()).into() } else { plain(value) };
                (name, value)
            };
            Value::Object(fields.into_iter().map(plain).collect())
        }
        other => other,
    }
}
