//! How a reply goes out: whole, or as the fault and the gate of this request have it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use tokio::time::sleep;

use super::faults::{Fault, Hold};
use super::reply::Reply;
use super::wire::{Ending, Outgoing, Step};
use crate::vocabulary::Format;

/// Long enough for what was sent before a break to reach the client.
const BEFORE_BREAK: Duration = Duration::from_millis(20);

/// The reply of a fault that keeps the request from taking effect.
pub(crate) fn replaced(fault: &Fault, target: &str) -> Option<Reply> {
    match fault {
        Fault::Status { status, applied: false } => Some(Reply::of_web_server(*status)),
        Fault::ResetBeforeHead { applied: false }
        | Fault::CloseBeforeReply { applied: false }
        | Fault::Hang { applied: false } => Some(Reply::of_web_server(500)),
        Fault::OneSpace => Some(plain(target, Bytes::from_static(b" "))),
        Fault::LargeBody(bytes) => Some(plain(target, large_body(*bytes))),
        _ => None,
    }
}

/// The response; what the fault changes is changed here, and the gate stands in the body.
pub(crate) fn deliver(
    mut reply: Reply,
    fault: Option<&Fault>,
    gate: Option<Arc<Hold>>,
    ending: &Ending,
) -> Response<Outgoing> {
    match fault {
        Some(Fault::Status { status, applied: true }) => reply = Reply::of_web_server(*status),
        Some(Fault::NoStore) => reply.set(header::CACHE_CONTROL, "no-store"),
        Some(Fault::ContentType(value)) => reply.set(header::CONTENT_TYPE, value),
        Some(Fault::Header(name, value)) => {
            reply.set(header::HeaderName::from_static(name), value);
        }
        _ => {}
    }
    let body = match gate {
        Some(gate) => held_body(&reply.body, gate),
        None => body(reply.body, fault, ending),
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}

fn body(body: Bytes, fault: Option<&Fault>, ending: &Ending) -> Outgoing {
    let length = body.len();
    match fault {
        Some(Fault::ResetInBody) => {
            let ending = ending.clone();
            let pause = async move {
                sleep(BEFORE_BREAK).await;
                ending.set_reset();
            };
            broken(&body, Some(length), Step::Wait(Box::pin(pause)))
        }
        Some(Fault::TruncatedBody) => broken(&body, Some(length), wait(BEFORE_BREAK)),
        Some(Fault::TruncatedChunks) => broken(&body, None, wait(BEFORE_BREAK)),
        Some(Fault::SlowBody { piece, pause }) => {
            let pieces = body.chunks((*piece).max(1)).map(|p| body.slice_ref(p));
            let steps = pieces.flat_map(|p| [wait(*pause), Step::Piece(p)]);
            Outgoing::new(steps.collect::<Vec<_>>(), Some(length))
        }
        Some(Fault::Chunked) => Outgoing::new([Step::Piece(body)], None),
        _ => Outgoing::whole(body),
    }
}

/// Half of the body, a pause in which it reaches the client, and the end.
fn broken(body: &Bytes, length: Option<usize>, pause: Step) -> Outgoing {
    let half = body.slice(..body.len() / 2);
    Outgoing::new([Step::Piece(half), pause, Step::BreakOff], length)
}

fn held_body(body: &Bytes, gate: Arc<Hold>) -> Outgoing {
    let (length, middle) = (body.len(), body.len() / 2);
    let rest = body.slice(middle..);
    let wait = Step::Wait(Box::pin(async move { gate.pass().await }));
    Outgoing::new([Step::Piece(body.slice(..middle)), wait, Step::Piece(rest)], Some(length))
}

fn wait(pause: Duration) -> Step {
    Step::Wait(Box::pin(sleep(pause)))
}

/// A 200 in the format that the path asks for.
fn plain(target: &str, body: Bytes) -> Reply {
    let mut reply = Reply::of_web_server(StatusCode::OK.as_u16());
    let is_xml = target.split('?').next().is_some_and(|path| path.contains(".xml"));
    reply.set_type(Some(if is_xml { Format::Xml } else { Format::Json }));
    reply.body = body;
    reply
}

/// A JSON string of exactly so many bytes, if there is room for its quotes.
fn large_body(bytes: usize) -> Bytes {
    let mut text = vec![b'x'; bytes];
    if let [first, .., last] = text.as_mut_slice() {
        (*first, *last) = (b'"', b'"');
    }
    Bytes::from(text)
}
