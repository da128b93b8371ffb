//! `tollgate purge`: asks the running server no longer to believe what it keeps.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use clap::{ArgGroup, Args};
use http::{
    HeaderValue, Method, Request, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use super::{dispatch::admin_token, failure::Failure, output::Output, serve::runtime};
use crate::{
    admin::purge::{PATH, Refused},
    config::Config,
    purge::{Purged, Selectors},
};

/// What to purge: whose, what of it, or both. A family or a path alone is everybody's.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("whose").args(["all", "upstream", "tenant", "credential"])),
    group(
        ArgGroup::new("selected")
            .args(["all", "upstream", "tenant", "credential", "families", "path"])
            .required(true)
            .multiple(true)
    )
)]
pub struct PurgeArgs {
    /// All that is kept
    #[arg(long)]
    pub all: bool,
    /// What is kept of an upstream
    #[arg(long, value_name = "NAME")]
    pub upstream: Option<String>,
    /// What is kept for the credentials that a tenant's tokens stand for
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// What is kept for a credential, and for others of its account
    #[arg(long, value_name = "NAME")]
    pub credential: Option<String>,
    /// Of that these families alone
    #[arg(long = "family", value_name = "NAME", value_delimiter = ',')]
    pub families: Vec<String>,
    /// Of that a path alone, such as /virtual_machines/5.json
    #[arg(long, value_name = "PATH", conflicts_with = "families")]
    pub path: Option<String>,
    /// Mark it stale instead: it is fetched anew, and shown where that fails or until it is done, as
    /// cache.stale_if_error and cache.stale_while_revalidate allow
    #[arg(long)]
    pub soft: bool,
}

/// Why the server did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nothing listens there.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// The exchange failed.
    #[error("no answer")]
    Exchange(#[from] hyper::Error),
    /// The answer is too long, or broke off.
    #[error("no whole answer")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It took too long.
    #[error("no answer within {} seconds", PATIENCE.as_secs())]
    TimedOut,
    /// No Tollgate that can purge answers so.
    #[error("what listens there answered {0}, and not as a Tollgate would")]
    Foreign(StatusCode),
}

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Many times what an answer has.
const ANSWER_MAX: usize = 64 << 10;

/// Asks, and says what was done.
pub fn run(config: &Config, args: &PurgeArgs, output: &mut Output<'_>) -> Result<(), Failure> {
    let address = reachable(config.admin.listen);
    let authorization = admin_token(config)?.map(|token| token.authorization());
    let request = request(address, args, authorization);
    let unasked = |source| Failure::Unasked { address, source };
    let asked = runtime(1)?.block_on(async { timeout(PATIENCE, ask(address, request)).await });
    let (status, body) = asked.unwrap_or(Err(AskError::TimedOut)).map_err(unasked)?;
    let foreign = |_| unasked(AskError::Foreign(status));
    if status == StatusCode::OK {
        let purged: Purged = serde_json::from_slice(&body).map_err(foreign)?;
        let Purged { partitions, families, entries } = &purged;
        let done = match entries {
            None => "purged".to_owned(),
            Some(entries) => format!("{entries} entries marked stale"),
        };
        let text = format!("{done} for {partitions} credentials: {}", families.join(", "));
        return output.one(&purged, &text);
    }
    let why = serde_json::from_slice::<Refused>(&body).map_err(foreign)?.errors.join("; ");
    Err(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::NotPermitted { address, why },
        _ => Failure::NotPurged(why),
    })
}

/// Who listens on every address, listens on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn request(
    address: SocketAddr,
    args: &PurgeArgs,
    authorization: Option<HeaderValue>,
) -> Request<Full<Bytes>> {
    let body = serde_json::to_vec(&args.selectors()).expect("strings always serialize");
    let mut request = Request::new(Full::from(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(PATH);
    let host = HeaderValue::try_from(address.to_string()).expect("an address is ASCII");
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Without one the server says what is missing.
    if let Some(authorization) = authorization {
        headers.insert(AUTHORIZATION, authorization);
    }
    request
}

async fn ask(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), AskError> {
    let stream = TcpStream::connect(address).await.map_err(AskError::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(AskError::Body)?;
    Ok((head.status, body.to_bytes()))
}

impl PurgeArgs {
    fn selectors(&self) -> Selectors {
        let Self { all, upstream, tenant, credential, families, path, soft } = self;
        Selectors {
            all: *all,
            upstream: upstream.clone(),
            tenant: tenant.clone(),
            credential: credential.clone(),
            families: families.clone(),
            path: path.clone(),
            soft: *soft,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_is_reached_over_loopback() {
        for (listen, want) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:2", "[::1]:2"), ("10.0.0.1:3", "10.0.0.1:3")]
        {
            let listen = listen.parse().expect("an address");
            assert_eq!(reachable(listen).to_string(), want);
        }
    }
}
