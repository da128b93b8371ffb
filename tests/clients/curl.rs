//! curl, with nothing but `--cacert` and a password.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::{
    panel::House,
    program::{Ended, command, find, run},
};

/// curl before a demo; the pair goes in a file, not where every process can read it.
struct Curl {
    program: PathBuf,
    folder: TempDir,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_over_both_protocols_shares_one_entry() {
    let house = House::new().await;
    let curl = Curl::new(&house).await;
    let url = format!("{}/virtual_machines.json", house.card().url);
    let direct = house.direct("alice", "/virtual_machines.json").await;
    for (option, protocol, cache) in [
        ("--http1.1", "HTTP/1.1 200", "fwd=miss; stored"),
        ("--http2", "HTTP/2 200", "hit"),
        ("--http2-prior-knowledge", "HTTP/2 200", "hit"),
        ("--http1.1", "HTTP/1.1 200", "hit"),
        ("--no-alpn", "HTTP/1.1 200", "hit"),
    ] {
        let ended = curl.run(&[option, "--include", &url]).await.good();
        let (head, body) =
            ended.split_once("\r\n\r\n").or_else(|| ended.split_once("\n\n")).expect("a head");
        assert!(head.starts_with(protocol), "{option}: {head}");
        let status = head.lines().find(|l| l.to_ascii_lowercase().starts_with("cache-status:"));
        assert!(status.is_some_and(|s| s.trim_end().ends_with(cache)), "{option}: {head}");
        assert_eq!(body.trim_end(), direct.text().trim_end(), "{option}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_writes_and_uploads_and_is_told_what_is_wrong() {
    let house = House::new().await;
    let curl = Curl::new(&house).await;
    let machine = house.machines("alice")[0].id;
    let url = format!("{}/virtual_machines/{machine}.json", house.card().url);
    let code = "%{http_code} %header{location} %header{tollgate-error}";
    let json = "Content-Type: application/json";
    for protocol in ["--http1.1", "--http2"] {
        let put = [protocol, "-w", code, "-X", "PUT", "-H", json, "-d"];
        let label = r#"{"virtual_machine":{"label":"by-curl"}}"#;
        let done = curl.run(&[&put[..], &[label, &url]].concat()).await.good();
        assert_eq!(done.trim(), "204", "{protocol}");
        assert!(curl.run(&[protocol, &url]).await.good().contains("by-curl"));
        let blank = r#"{"virtual_machine":{"label":""}}"#;
        let refused = curl.run(&[&put[..], &[blank, &url]].concat()).await.good();
        assert!(refused.trim_end().ends_with("422"), "{protocol}: {refused}");
        let create = format!("{}/virtual_machines.json", house.card().url);
        let new = r#"{"virtual_machine":{"label":"by-curl","hostname":"by-curl"}}"#;
        let post = [protocol, "-w", code, "-H", json, "-d", new, &create];
        let begun = curl.run(&post).await.good();
        let location = format!("201 {}/virtual_machines/", house.card().url);
        assert!(begun.contains(&location), "{protocol}: {begun}");
        // A body that is announced first: curl waits for the 100.
        let long = format!(r#"{{"virtual_machine":{{"note":"{}"}}}}"#, "n".repeat(20_000));
        let expect = [&put[..5], &["-H", "Expect: 100-continue", "-H", json, "-d", "@-"], &[&url]];
        let sent = curl.run_with(&expect.concat(), &long).await.good();
        assert_eq!(sent.trim(), "204", "{protocol}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_trusts_the_authority_and_no_other() {
    let house = House::new().await;
    let curl = Curl::new(&house).await;
    let url = format!("{}/version.json", house.card().url);
    let plain = run(command(&curl.program, ["-q", "-sS", "--max-time", "20", &url]), "").await;
    assert_eq!(plain.code, Some(60), "{plain:?}");
    assert!(curl.run(&[&url]).await.good().contains("version"));
    let wrong = curl.run(&["-u", "alice:wrong", "-w", "%{http_code}", &url]).await.good();
    assert!(wrong.trim_end().ends_with("401"), "{wrong}");
}

impl Curl {
    async fn new(house: &House) -> Self {
        let program = find("curl", "curl");
        let version = run(command(&program, ["--version"]), "").await.good();
        assert!(version.contains("HTTP2"), "this curl speaks no HTTP/2; install Debian's curl");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), &house.card().ca).expect("written");
        let alice = house.tenant("alice");
        let pair = format!("user = \"{}:{}\"\n", alice.login, alice.token);
        std::fs::write(folder.path().join("curlrc"), pair).expect("written");
        Self { program, folder }
    }

    async fn run(&self, args: &[&str]) -> Ended {
        self.run_with(args, "").await
    }

    async fn run_with(&self, args: &[&str], input: &str) -> Ended {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let mut curl = command(&self.program, ["-q", "-sS", "--noproxy", "*", "--max-time", "20"]);
        curl.args(["-K", &path("curlrc"), "--cacert", &path("ca.pem")]).args(args);
        run(curl, input).await
    }
}
