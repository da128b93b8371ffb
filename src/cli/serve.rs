//! `tollgate serve`: the process, its signals and its end.

use std::{io, sync::Arc};

use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{
    dispatch::{admin_token, keyring},
    failure::Failure,
};
use crate::{
    config::Config,
    error_chain::error_chain,
    metrics::Metrics,
    net::{
        file_limit, server,
        tls::{self, Tls},
    },
    serve::{Listeners, Process},
    telemetry::init_logging,
    tenants::master_key,
};

/// Serves until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<(), Failure> {
    init_logging(&config.log)?;
    let keyring = keyring(config)?;
    let admin_token = admin_token(&config.admin)?;
    match file_limit::raise() {
        Ok(limit) => tracing::debug!(?limit, "open files"),
        Err(error) => tracing::warn!(%error, "the limit on open files could not be raised"),
    }
    runtime(config.server.threads)?.block_on(async {
        let metrics = Arc::new(Metrics::new());
        let tls = Tls::load(&config.tls, Arc::clone(&metrics))?;
        let process = Process::new(config.clone(), keyring, tls, metrics)?;
        let process = process.with_admin_token(admin_token).with_admin_tls(admin_tls(config)?);
        let process = Arc::new(process);
        let listeners = listen(config).await?;
        let bound = |listener: &TcpListener| {
            let failed = |source| Failure::System { what: "the address of a listener", source };
            listener.local_addr().map_err(failed)
        };
        let (data, admin) = (bound(&listeners.data)?, bound(&listeners.admin)?);
        let shutdown = CancellationToken::new();
        // Before anybody is told that it serves: a SIGTERM that comes at once has to drain, too.
        follow_signals(Arc::clone(&process), shutdown.clone())?;
        tracing::info!(%data, %admin, "serving");
        process.run(listeners, shutdown).await;
        tracing::info!("ended");
        Ok(())
    })
}

/// The certificate of the admin listener, if it has one. It has its own metrics, because those of a
/// server tell of the certificate that clients see.
fn admin_tls(config: &Config) -> Result<Option<Arc<Tls>>, Failure> {
    let (Some(certificate), Some(key)) = (&config.admin.certificate, &config.admin.key) else {
        return Ok(None);
    };
    let files =
        tls::Config { certificate: certificate.clone(), key: key.clone(), ..config.tls.clone() };
    Ok(Some(Tls::load(&files, Arc::new(Metrics::new()))?))
}

/// A runtime of so many threads; 0 is one for each core.
pub fn runtime(threads: usize) -> Result<Runtime, Failure> {
    let mut builder = match threads {
        // Without the other threads nothing is handed from one to another.
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    let failed = |source| Failure::System { what: "a runtime", source };
    builder.enable_all().build().map_err(failed)
}

async fn listen(config: &Config) -> Result<Listeners, Failure> {
    let failed = |address, key| move |source| Failure::Listen { address, key, source };
    let (data, admin) = (config.server.listen, config.admin.listen);
    Ok(Listeners {
        data: server::listen(&config.server).map_err(failed(data, "server.listen"))?,
        admin: TcpListener::bind(admin).await.map_err(failed(admin, "admin.listen"))?,
    })
}

/// SIGTERM and SIGINT end the process; SIGHUP reads certificate, master key and tenants anew and
/// reopens the access log.
pub fn follow_signals(process: Arc<Process>, shutdown: CancellationToken) -> Result<(), Failure> {
    let catch = |kind| {
        let failed = |source: io::Error| Failure::System { what: "a signal handler", source };
        signal(kind).map_err(failed)
    };
    let mut terminate = catch(SignalKind::terminate())?;
    let mut interrupt = catch(SignalKind::interrupt())?;
    let mut hangup = catch(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => {
                    let process = Arc::clone(&process);
                    drop(tokio::task::spawn_blocking(move || reload(&process)).await);
                }
            }
        }
        tracing::info!("draining");
        shutdown.cancel();
    });
    Ok(())
}

fn reload(process: &Process) {
    process.reopen_logs();
    for tls in process.certificates() {
        if let Err(error) = tls.reload() {
            tracing::error!(%error, "certificate not reloaded; what was in force stays");
        }
    }
    let variable = std::env::var(master_key::VARIABLE).ok().map(Zeroizing::new);
    let variable = variable.as_ref().map(|text| text.as_str());
    if let Err(error) = process.reload_master_key(variable) {
        let reason = error_chain(&error);
        tracing::error!(reason, "master key not reloaded; what was in force stays");
    }
    if let Err(error) = process.directory().reload() {
        tracing::error!(%error, "tenants not reloaded; what was in force stays");
    }
}
