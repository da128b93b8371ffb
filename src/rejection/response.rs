//! How a refusal is put to its caller: its terms, and its message in the caller's format.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};

use super::{ERROR_CODE, RATE_LIMIT, RATE_LIMIT_POLICY, Rejection, Terms};
use crate::{api::format::ErrorFormat, body::Body, idempotency::Refused, transcode::errors};

impl Rejection {
    /// The reply, in the caller's format.
    pub fn into_response(self, format: ErrorFormat) -> Response<Body> {
        let terms = self.terms();
        let (content_type, body) = self.body(format, &terms);
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(ERROR_CODE, HeaderValue::from_static(terms.code));
        if let Some((name, value)) = terms.header {
            headers.insert(name, value);
        }
        if let Self::Limited { shown: (state, policy), .. } = self {
            headers.insert(RATE_LIMIT, state);
            headers.insert(RATE_LIMIT_POLICY, policy);
        }
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = terms.status;
        *response.headers_mut() = headers;
        response
    }

    fn body(&self, format: ErrorFormat, terms: &Terms) -> (&'static str, Bytes) {
        let message = self.to_string();
        let transactions = self.transactions();
        match format {
            ErrorFormat::Upstream(format) => {
                (errors::content_type(format), errors::render(format, &[&message], transactions))
            }
            ErrorFormat::Problem(format) => {
                let title = terms.status.canonical_reason().unwrap_or("Refused");
                let Terms { status, code, .. } = *terms;
                errors::problem(format, status, code, title, &message, transactions)
            }
        }
    }

    /// The numbers of the transactions to look at.
    fn transactions(&self) -> &[u64] {
        if let Self::Idempotency(Refused::Unknown { transactions, .. }) = self {
            transactions
        } else {
            &[]
        }
    }
}
