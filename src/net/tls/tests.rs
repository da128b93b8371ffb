//! Certificates made for a test, and what a handshake over them shows.

use std::os::unix::fs::symlink;

use rcgen::{CertificateParams, KeyPair};

use super::*;

struct Pair {
    certificate: String,
    key: String,
}

fn pair(expires: i32) -> Pair {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(expires, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    Pair { certificate: certificate.pem(), key: key.serialize_pem() }
}

fn write(directory: &Path, pair: &Pair) {
    fs::write(directory.join("tls.crt"), &pair.certificate).expect("a writable directory");
    fs::write(directory.join("tls.key"), &pair.key).expect("a writable directory");
}

fn config(directory: &Path) -> Config {
    Config {
        certificate: directory.join("tls.crt"),
        key: directory.join("tls.key"),
        settle: Duration::from_millis(20),
        ..Config::default()
    }
}

fn leaf(tls: &Tls) -> Vec<u8> {
    tls.current.0.load().cert[0].to_vec()
}

fn from_pair(certificate: &Pair, key: &Pair) -> Result<Arc<Tls>, TlsError> {
    Tls::from_pem(
        certificate.certificate.as_bytes(),
        key.key.as_bytes(),
        &Config::default(),
        Arc::new(Metrics::new()),
    )
}

fn reloads(metrics: &Metrics, success: Success) -> u64 {
    metrics.reloads.tried.of(Reload::Certificate, success).get()
}

async fn until(mut condition: impl FnMut() -> bool) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(3);
    while !condition() {
        assert!(tokio::time::Instant::now() < patience, "it never happened");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn what_clients_would_refuse_is_refused() {
    let (good, other, old) = (pair(2100), pair(2100), pair(2020));
    assert!(from_pair(&good, &good).is_ok());
    assert!(matches!(from_pair(&good, &other), Err(TlsError::Mismatch(_))));
    assert!(matches!(from_pair(&old, &old), Err(TlsError::Expired)));
    let swapped = Pair { certificate: good.key.clone(), key: good.certificate.clone() };
    assert!(matches!(from_pair(&swapped, &good), Err(TlsError::NoCertificate)));
    assert!(matches!(from_pair(&good, &swapped), Err(TlsError::KeyPem(_))));
}

#[test]
fn a_missing_file_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let error = Tls::load(&config(directory.path()), Arc::new(Metrics::new()))
        .expect_err("there is no certificate");
    assert!(error.to_string().contains("tls.key"), "{error}");
}

#[test]
fn nothing_of_the_key_is_printed() {
    let pair = pair(2100);
    let tls = from_pair(&pair, &pair).expect("a good pair");
    assert_eq!(format!("{tls:?}"), "Tls { source: None, .. }");
}

#[test]
fn versions_are_read_from_the_configuration() {
    let version = |text: &str| Version::from_toml(&toml::Value::String(text.to_owned()));
    assert_eq!(version("1.2"), Ok(Version::Tls12));
    assert_eq!(version("1.3"), Ok(Version::Tls13));
    assert!(version("1.1").is_err());
}

#[test]
fn a_failed_reload_keeps_what_is_in_force() {
    let directory = tempfile::tempdir().expect("a directory");
    let metrics = Arc::new(Metrics::new());
    let first = pair(2100);
    write(directory.path(), &first);
    let tls = Tls::load(&config(directory.path()), metrics.clone()).expect("a good pair");
    assert_eq!(metrics.reloads.certificate_expiry.get(), 4_102_444_800.0);
    let before = leaf(&tls);

    let half = Pair { certificate: pair(2101).certificate, key: first.key };
    write(directory.path(), &half);
    assert!(matches!(tls.reload(), Err(TlsError::Mismatch(_))));
    assert_eq!((leaf(&tls), reloads(&metrics, Success::Failed)), (before.clone(), 1));
    assert_eq!(metrics.reloads.certificate_expiry.get(), 4_102_444_800.0);

    write(directory.path(), &pair(2101));
    tls.reload().expect("a good pair");
    assert_ne!(leaf(&tls), before);
    assert_eq!(reloads(&metrics, Success::Ok), 1);
    assert_eq!(metrics.reloads.certificate_expiry.get(), 4_133_980_800.0);
}

#[tokio::test]
async fn files_replaced_in_place_are_noticed() {
    let directory = tempfile::tempdir().expect("a directory");
    let metrics = Arc::new(Metrics::new());
    write(directory.path(), &pair(2100));
    let tls = Tls::load(&config(directory.path()), metrics.clone()).expect("a good pair");
    let shutdown = CancellationToken::new();
    let watch = tokio::spawn(tls.clone().watch(shutdown.clone()));
    tokio::time::sleep(Duration::from_millis(50)).await;
    write(directory.path(), &pair(2101));
    until(|| reloads(&metrics, Success::Ok) == 1).await;
    // Reading the files must not look like another change.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(reloads(&metrics, Success::Ok), 1);
    shutdown.cancel();
    watch.await.expect("no panic").expect("the watch ends with the process");
}

#[tokio::test]
async fn a_swapped_symbolic_link_is_noticed() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    for (version, expires) in [("..1", 2100), ("..2", 2101)] {
        fs::create_dir(at(version)).expect("a writable directory");
        write(&at(version), &pair(expires));
    }
    symlink("..1", at("..data")).expect("a link");
    symlink("..data/tls.crt", at("tls.crt")).expect("a link");
    symlink("..data/tls.key", at("tls.key")).expect("a link");
    let metrics = Arc::new(Metrics::new());
    let tls = Tls::load(&config(directory.path()), metrics.clone()).expect("a good pair");
    let before = leaf(&tls);
    let shutdown = CancellationToken::new();
    let _watch = tokio::spawn(tls.clone().watch(shutdown.clone()));
    tokio::time::sleep(Duration::from_millis(50)).await;
    symlink("..2", at("..new")).expect("a link");
    fs::rename(at("..new"), at("..data")).expect("a swap");
    until(|| reloads(&metrics, Success::Ok) == 1).await;
    assert_ne!(leaf(&tls), before);
    shutdown.cancel();
}

#[tokio::test]
async fn other_files_of_the_directory_reload_nothing_and_delay_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &pair(2100));
    let metrics = Arc::new(Metrics::new());
    let tls = Tls::load(&config(folder.path()), Arc::clone(&metrics)).expect("a certificate");
    let shutdown = CancellationToken::new();
    let watch = tokio::spawn(Arc::clone(&tls).watch(shutdown.clone()));
    let log = folder.path().join("access.log");
    let noise = |n: u32| fs::write(&log, n.to_string()).expect("written");
    for n in 0..20 {
        noise(n);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(reloads(&metrics, Success::Ok), 0);

    let before = leaf(&tls);
    write(folder.path(), &pair(2101));
    let mut n = 100;
    until(|| {
        n += 1;
        noise(n);
        leaf(&tls) != before
    })
    .await;
    assert_eq!(reloads(&metrics, Success::Ok), 1);
    shutdown.cancel();
    watch.await.expect("no panic").expect("a watch");
}

#[tokio::test]
async fn the_shutdown_does_not_wait_for_quiet_files() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &pair(2100));
    let config = Config { settle: Duration::from_secs(3600), ..config(folder.path()) };
    let tls = Tls::load(&config, Arc::new(Metrics::new())).expect("a certificate");
    let shutdown = CancellationToken::new();
    let watch = tokio::spawn(Arc::clone(&tls).watch(shutdown.clone()));
    write(folder.path(), &pair(2101));
    tokio::time::sleep(Duration::from_millis(50)).await;
    shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(3), watch).await;
    ended.expect("an end").expect("no panic").expect("a watch");
}
