//! The origin's side of the wire: requests in, replies out, faults on purpose.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    super::reply::{Act, Content, Reply},
    Seen, Ticket, lock,
};

/// How the end of a request's body is found.
#[derive(Clone, Copy)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
}

impl Framing {
    pub(super) fn of(seen: &Seen) -> Self {
        if seen.header("transfer-encoding").is_some_and(|v| v == "chunked") {
            return Self::Chunked;
        }
        Self::Length(seen.header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0))
    }
}

/// Whether the connection goes on; none when the other side has gone.
pub(super) async fn act(
    stream: &mut TcpStream,
    reply: Reply,
    ticket: &Ticket,
    is_head: bool,
) -> Option<bool> {
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    if reply.gated {
        ticket.released.notified().await;
    }
    for bytes in &reply.informational {
        stream.write_all(bytes).await.ok()?;
    }
    match reply.act {
        Act::Raw(bytes) => stream.write_all(&bytes).await.ok()?,
        Act::Reset => {
            socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO)).ok()?;
            return Some(false);
        }
        Act::Close => return Some(false),
        Act::Never => {
            let mut byte = [0];
            // Until the other side gives up.
            let _ = stream.read(&mut byte).await;
            return Some(false);
        }
        Act::Answer { status, headers, body } => {
            stream.write_all(&head(status, &headers, &body, reply.close)).await.ok()?;
            if !is_head {
                let whole = write_body(stream, body, ticket).await?;
                return Some(whole && !reply.close);
            }
        }
    }
    Some(!reply.close)
}

fn head(status: u16, headers: &[(String, String)], body: &Content, close: bool) -> Vec<u8> {
    let reason = http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason());
    let mut text = format!("HTTP/1.1 {status} {}\r\n", reason.unwrap_or("Odd"));
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    match body {
        Content::Whole(_) if status == 204 || status == 304 => {}
        Content::Whole(bytes) => text.push_str(&format!("Content-Length: {}\r\n", bytes.len())),
        Content::Cut { announced, .. } => {
            text.push_str(&format!("Content-Length: {announced}\r\n"));
        }
        Content::Chunks(_) | Content::Fed => text.push_str("Transfer-Encoding: chunked\r\n"),
    }
    if close {
        text.push_str("Connection: close\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// Whether all that was announced was sent.
async fn write_body(stream: &mut TcpStream, body: Content, ticket: &Ticket) -> Option<bool> {
    match body {
        Content::Whole(bytes) => stream.write_all(&bytes).await.ok()?,
        Content::Cut { sent, .. } => {
            stream.write_all(&sent).await.ok()?;
            return Some(false);
        }
        Content::Chunks(chunks) => {
            for chunk in chunks {
                write_chunk(stream, &chunk).await?;
            }
            stream.write_all(b"0\r\n\r\n").await.ok()?;
        }
        Content::Fed => {
            let mut fed = lock(&ticket.fed).take()?;
            while let Some(chunk) = fed.recv().await {
                write_chunk(stream, &chunk).await?;
            }
            stream.write_all(b"0\r\n\r\n").await.ok()?;
        }
    }
    Some(true)
}

async fn write_chunk(stream: &mut TcpStream, chunk: &[u8]) -> Option<()> {
    stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await.ok()?;
    stream.write_all(chunk).await.ok()?;
    stream.write_all(b"\r\n").await.ok()
}

pub(super) async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    let end = loop {
        if let Some(at) = find(buffer, b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head: Vec<u8> = buffer.drain(..end + 4).collect();
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.trim_end().split("\r\n");
    let mut parts = lines.next()?.split(' ');
    let headers = lines.filter_map(|line| line.split_once(": "));
    Some(Seen {
        method: parts.next()?.to_owned(),
        target: parts.next()?.to_owned(),
        headers: headers.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        ..Seen::default()
    })
}

pub(super) async fn read_body(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    framing: Framing,
    ticket: &Ticket,
) -> Option<()> {
    match framing {
        Framing::Length(length) => take(stream, buffer, length, ticket).await,
        Framing::Chunked => loop {
            let size = read_line(stream, buffer).await?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            take(stream, buffer, size, ticket).await?;
            read_line(stream, buffer).await?;
            if size == 0 {
                return Some(());
            }
        },
    }
}

async fn read_line(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(at) = find(buffer, b"\r\n") {
            let line: Vec<u8> = buffer.drain(..at + 2).collect();
            return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

async fn take(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    mut length: usize,
    ticket: &Ticket,
) -> Option<()> {
    while length > 0 {
        if buffer.is_empty() && stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
        let piece: Vec<u8> = buffer.drain(..length.min(buffer.len())).collect();
        length -= piece.len();
        ticket.seen.send_modify(|stage| {
            if let Some(seen) = &mut stage.seen {
                seen.body.extend(&piece);
            }
        });
    }
    Some(())
}

fn find(buffer: &[u8], what: &[u8]) -> Option<usize> {
    buffer.windows(what.len()).position(|w| w == what)
}
