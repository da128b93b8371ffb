//! The body of a reply: from memory, or streamed from the upstream and masked on its way.

use std::{
    any::Any,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use smallvec::SmallVec;

use crate::{
    net::{
        server::ClientBody,
        upstream::{ReplyBody, ReplyBodyError},
    },
    transcode::mask::{MaskError, Masker},
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
    /// What was read before it was known to be too large, and the rest.
    Chained(Bytes, Box<Source>),
}

struct Masked {
    inner: UpstreamBody,
    masker: Option<Masker>,
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
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Memory(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Upstream(body) => body.size_hint(),
            // A mask has another length than what it covers.
            Self::Masked(_) => SizeHint::default(),
            Self::Chained(first, rest) => {
                let exact = rest.size_hint().exact().map(|n| n + first.len() as u64);
                exact.map_or_else(SizeHint::default, SizeHint::with_exact)
            }
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

/// One piece of memory of exactly its length: what is kept must not hold on to read buffers.
fn joined(pieces: &[Bytes]) -> Bytes {
    pieces.concat().into()
}
