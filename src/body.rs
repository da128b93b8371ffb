//! The body of a reply: from memory, or streamed from the upstream and masked and scanned on its way.

use std::{
    any::Any,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use prometheus::IntCounter;
use smallvec::SmallVec;

use crate::{
    net::{
        server::ClientBody,
        upstream::{ReplyBody, ReplyBodyError},
    },
    transcode::{
        disclosure::Scanner,
        mask::{MaskError, Masker},
    },
};

/// The upstream's reply, as it comes.
pub type UpstreamBody = ReplyBody<ClientBody>;

/// What a reply carries.
#[derive(Default)]
pub struct Body {
    source: Source,
    /// Let go of when the body has ended or is dropped.
    held: Option<Box<dyn Any + Send>>,
    permit: Option<crate::limit::in_flight::Permit>,
}

/// Why a body breaks off. The client sees a reply that did not end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The upstream's reply broke off.
    #[error(transparent)]
    Upstream(#[from] ReplyBodyError),
    /// It could not be masked, so it is not shown.
    #[error(transparent)]
    Mask(#[from] MaskError),
}

/// What reading a body up to a bound gives.
pub enum Read {
    /// All of it.
    Whole(Bytes),
    /// It is longer: the same body, with what was read in front of the rest.
    Longer(Body),
}

#[derive(Default)]
enum Source {
    #[default]
    Empty,
    Memory(Bytes),
    /// Apart, so that a reply from memory, which is the common one, is small to hand on.
    Upstream(Box<UpstreamBody>),
    Masked(Box<Masked>),
    Scanned(Box<Scanned>),
    /// What was read before it was known to be too large, and the rest.
    Chained(Bytes, Box<Source>),
}

struct Masked {
    inner: UpstreamBody,
    masker: Option<Masker>,
}

/// The last look at a body.
struct Scanned {
    inner: Source,
    /// None once the body has ended.
    scanner: Option<Scanner>,
    found: IntCounter,
}

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Self::default()
    }

    /// A body that streams from the upstream.
    pub fn upstream(inner: UpstreamBody, masker: Option<Masker>) -> Self {
        let source = match masker {
            Some(masker) => Source::Masked(Box::new(Masked { inner, masker: Some(masker) })),
            None => Source::Upstream(Box::new(inner)),
        };
        Self { source, ..Self::default() }
    }

    /// The same, but whatever secret is left in it is starred; `found` counts them.
    #[must_use]
    pub fn scanned(self, scanner: Scanner, found: IntCounter) -> Self {
        let Self { source, held, permit } = self;
        let source = match source {
            Source::Empty => Source::Empty,
            inner => Source::Scanned(Box::new(Scanned { inner, scanner: Some(scanner), found })),
        };
        Self { source, held, permit }
    }

    /// Reads it, if it is not longer than so many bytes.
    pub async fn read_up_to(mut self, most: usize) -> Result<Read, BodyError> {
        if self.size_hint().lower() > most as u64 {
            return Ok(Read::Longer(self));
        }
        if let Source::Memory(bytes) = self.source {
            return Ok(Read::Whole(bytes));
        }
        let mut pieces: SmallVec<[Bytes; 4]> = SmallVec::new();
        let mut length = 0;
        while let Some(frame) = self.frame().await.transpose()? {
            let Ok(data) = frame.into_data() else { continue };
            length += data.len();
            pieces.push(data);
            if length > most {
                self.source = Source::Chained(joined(&pieces), Box::new(self.source));
                return Ok(Read::Longer(self));
            }
        }
        Ok(Read::Whole(joined(&pieces)))
    }

    /// Keeps something until the body has ended.
    pub fn holding(mut self, held: impl Any + Send) -> Self {
        self.held = Some(Box::new(held));
        self
    }

    /// Keeps a permit until the body has ended.
    pub fn with_permit(mut self, permit: crate::limit::in_flight::Permit) -> Self {
        self.permit = Some(permit);
        self
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        let source = if bytes.is_empty() { Source::Empty } else { Source::Memory(bytes) };
        Self { source, ..Self::default() }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = ready!(this.source.poll(cx));
        if matches!(polled, None | Some(Err(_))) {
            this.held = None;
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}

impl Source {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Memory(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Upstream(body) => Pin::new(&mut **body).poll_frame(cx).map_err(BodyError::from),
            Self::Masked(masked) => masked.poll(cx),
            Self::Scanned(scanned) => scanned.poll(cx),
            Self::Chained(first, rest) => {
                let first = std::mem::take(first);
                let rest = std::mem::take(&mut **rest);
                *self = rest;
                Poll::Ready(Some(Ok(Frame::data(first))))
            }
        }
    }

    fn is_end(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Memory(_) | Self::Masked(_) | Self::Chained(..) => false,
            Self::Upstream(body) => body.is_end_stream(),
            Self::Scanned(scanned) => scanned.held() == 0 && scanned.inner.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Memory(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Upstream(body) => body.size_hint(),
            // A mask has another length than what it covers.
            Self::Masked(_) => SizeHint::default(),
            // A star for each byte.
            Self::Scanned(scanned) => plus(&scanned.inner.size_hint(), scanned.held()),
            Self::Chained(first, rest) => plus(&rest.size_hint(), first.len()),
        }
    }
}

impl Masked {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let Some(masker) = &mut self.masker else { return Poll::Ready(None) };
            let mut out = Vec::new();
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)?) {
                Some(frame) => {
                    let Ok(data) = frame.into_data() else { continue };
                    masker.push(&data, &mut out)?;
                }
                None => {
                    if let Some(masker) = self.masker.take() {
                        masker.finish(&mut out)?;
                    }
                }
            }
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(out.into()))));
            }
        }
    }
}

impl Scanned {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        while let Some(scanner) = &mut self.scanner {
            let out = match ready!(self.inner.poll(cx)?) {
                Some(frame) => {
                    let Ok(data) = frame.into_data() else { continue };
                    let before = scanner.found();
                    let out = scanner.push(data);
                    self.found.inc_by((scanner.found() - before) as u64);
                    out
                }
                None => {
                    let rest = scanner.finish();
                    self.scanner = None;
                    rest
                }
            };
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(out))));
            }
        }
        Poll::Ready(None)
    }

    fn held(&self) -> usize {
        self.scanner.as_ref().map_or(0, Scanner::held)
    }
}

/// A body that is so much longer, if its length is known.
fn plus(hint: &SizeHint, more: usize) -> SizeHint {
    let exact = hint.exact().map(|length| length + more as u64);
    exact.map_or_else(SizeHint::default, SizeHint::with_exact)
}

/// One piece of memory of exactly its length: what is kept must not hold on to read buffers.
fn joined(pieces: &[Bytes]) -> Bytes {
    pieces.concat().into()
}
