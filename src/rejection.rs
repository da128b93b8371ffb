//! Every refusal of the gateway, what it leaves of a write, and its terms in HTTP.
//!
//! To add one: a variant here, its arms in `Rejection::settlement` and `Rejection::terms`, and the
//! layer that refuses; if it is the upstream's or a policy's, `is_the_upstreams` or `BY_POLICY` too.

mod response;

use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{ALLOW, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE},
};

use crate::{
    api::{format::Unacceptable, method::OverrideError, target::TargetError},
    auth::presented::PresentError,
    cache::touch::Settlement,
    call::NobodyCalls,
    idempotency::Refused,
    limit::Limited,
    tenants::{course::Note, record::LimitStatus},
    transcode::forced::Unconvertible,
    vocabulary::{Closed as _, Limiter, PolicyName, Unrest},
};

/// Why the gateway itself answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The target is ambiguous or malformed.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// `CONNECT`, `TRACE`.
    #[error("this method is not served")]
    MethodNotServed,
    /// `Upgrade`.
    #[error("protocol upgrades are not served")]
    Upgrade,
    /// A method override that cannot be judged.
    #[error(transparent)]
    Override(#[from] OverrideError),
    /// No credentials.
    #[error("credentials are needed: a token as the password, with any login")]
    NoCredentials,
    /// Credentials that cannot be judged.
    #[error(transparent)]
    Presented(#[from] PresentError),
    /// A token that is not good.
    #[error("the token is not valid")]
    Token(NobodyCalls),
    /// Too many tokens that are not good, from one address.
    #[error("too many invalid tokens from this address; wait before the next try")]
    FailedTokens(Limited),
    /// Over a quota.
    #[error("the limit of this tenant's {} is reached; wait before the next request", .limiter.as_str().replace('_', " "))]
    Limited {
        /// Which one.
        limiter: Limiter,
        /// For how long.
        limited: Limited,
        /// What the token's client understands.
        status: LimitStatus,
        /// The `RateLimit` and `RateLimit-Policy` headers.
        shown: (HeaderValue, HeaderValue),
    },
    /// A write with a token that may only read.
    #[error("this token may only read")]
    ReadOnly,
    /// A route outside the token's scopes.
    #[error("this token may not use this route")]
    OutOfScope,
    /// A route that mints, changes or shows credentials.
    #[error("this route handles credentials and is not served through the gateway")]
    Guarded,
    /// A route that exists to show a secret, or a page that may hold one, with a token that may not read
    /// those.
    #[error(
        "this shows a secret of a machine, or is a page or table that may hold some, and this token \
         may not read secrets"
    )]
    SecretsHidden,
    /// A policy of the token.
    #[error("this token may not do that, by its policy \"{}\"", .0.as_str())]
    Policy(PolicyName),
    /// A policy of the token of which nothing is left.
    #[error("nothing is left of what this token may, by its policy \"{}\"", policy.as_str())]
    UsedUp {
        /// Which one.
        policy: PolicyName,
        /// For how long.
        limited: Limited,
        /// What the token's client understands.
        status: LimitStatus,
    },
    /// A format that there is not.
    #[error(transparent)]
    Format(#[from] Unacceptable),
    /// A read that only the cache was to answer.
    #[error("this is not kept, and the request wants nothing else (only-if-cached)")]
    NotCached,
    /// The request's body is too large.
    #[error("the request body is larger than {0} bytes")]
    BodyTooLarge(u64),
    /// The request's body did not come in time.
    #[error("the request body did not arrive in time")]
    BodyTimedOut,
    /// The request's body broke off.
    #[error("the request body broke off")]
    BodyBroken,
    /// Too many requests at once.
    #[error("the gateway is busy; try again")]
    Overloaded,
    /// A read took longer than a client waits.
    #[error("the answer took too long")]
    DeadlineExceeded,
    /// The credential's upstream is not configured.
    #[error("the upstream of this token is not configured")]
    NoUpstream,
    /// No connection to the upstream became free in time.
    #[error("the upstream is busy; try again")]
    UpstreamSaturated,
    /// The upstream is down, and left alone for a while.
    #[error("the upstream is down; try again")]
    UpstreamDown(Limited),
    /// No connection to the upstream could be made.
    #[error("the upstream cannot be reached")]
    UpstreamUnreachable,
    /// The upstream did not answer in time.
    #[error("the upstream did not answer in time; a write may still have been applied")]
    UpstreamTimedOut,
    /// The connection to the upstream broke.
    #[error("the connection to the upstream broke; a write may still have been applied")]
    UpstreamBroken,
    /// The key behind the token is being replaced, and that takes too long.
    #[error("the key behind this token is being replaced; try again")]
    KeyHeld,
    /// A key was not asked for, because it could not have been kept.
    #[error("nothing was asked for: the new key could not be kept now; try again")]
    VaultAway,
    /// No key was made, or none that could be kept.
    #[error("no key was kept: {}", .0.meaning())]
    NoKey(Note),
    /// The upstream refused the gateway's own credential.
    #[error("the upstream refused the credential behind this token; tell the operator")]
    CredentialRefused,
    /// A reply that could not be masked is not shown.
    #[error("the upstream's answer could not be checked for secrets and is not shown")]
    Unmaskable,
    /// A reply that could not be converted is not shown.
    #[error("the upstream's answer could not be converted to the format that was asked for")]
    Unconvertible,
    /// A body that cannot be converted to the upstream's format.
    #[error(transparent)]
    Body(#[from] Unconvertible),
    /// What its `Idempotency-Key` stands for.
    #[error(transparent)]
    Idempotency(#[from] Refused),
    /// A bug of ours.
    #[error("internal error")]
    Panicked,
}

/// How a refusal is put in HTTP.
struct Terms {
    status: StatusCode,
    code: &'static str,
    header: Option<(HeaderName, HeaderValue)>,
}

/// The realm that clients of the upstream expect, byte for byte.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"OnApp API Authentication\"");

/// The header that tells the gateway's refusals from the upstream's.
pub const ERROR_CODE: HeaderName = HeaderName::from_static("tollgate-error");

/// What is left of a quota.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// What the quota is.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The codes that only a policy's refusal has.
pub const BY_POLICY: [&str; 2] = ["refused_by_policy", "used_up"];

/// What a client should wait when no limiter knows better, in seconds.
const SOON: HeaderValue = HeaderValue::from_static("1");

impl Rejection {
    /// The word for it in the `Tollgate-Error` header, logs and metrics.
    pub fn code(&self) -> &'static str {
        self.terms().code
    }

    /// Whether it is the upstream that could not answer: what is stale is shown instead, and not fetched
    /// again for a while.
    pub fn is_the_upstreams(&self) -> bool {
        matches!(
            self,
            Self::UpstreamSaturated
                | Self::UpstreamDown(_)
                | Self::UpstreamUnreachable
                | Self::UpstreamTimedOut
                | Self::UpstreamBroken
        )
    }

    /// How a write ended that was answered with this: whether the upstream may still apply it.
    pub fn settlement(&self) -> Settlement {
        match self {
            Self::NoKey(note) if note.says_nothing_made() => Settlement::Settled,
            // It may have been sent, or has been.
            Self::UpstreamTimedOut
            | Self::UpstreamBroken
            | Self::BodyTooLarge(_)
            | Self::BodyTimedOut
            | Self::BodyBroken
            | Self::DeadlineExceeded
            | Self::Unmaskable
            | Self::Unconvertible
            | Self::NoKey(_)
            | Self::Panicked
            // Either before it was sent, or a page that a GET with an effect was answered with.
            | Self::SecretsHidden => Settlement::Open(Unrest::Unknown),
            // It was refused before it was sent, or by the upstream itself.
            Self::Target(_)
            | Self::MethodNotServed
            | Self::Upgrade
            | Self::Override(_)
            | Self::NoCredentials
            | Self::Presented(_)
            | Self::Token(_)
            | Self::FailedTokens(_)
            | Self::Limited { .. }
            | Self::ReadOnly
            | Self::OutOfScope
            | Self::Policy(_)
            | Self::UsedUp { .. }
            | Self::Guarded
            | Self::Format(_)
            | Self::Body(_)
            | Self::NotCached
            | Self::Idempotency(_)
            | Self::Overloaded
            | Self::NoUpstream
            | Self::UpstreamSaturated
            | Self::UpstreamDown(_)
            | Self::UpstreamUnreachable
            | Self::KeyHeld
            | Self::VaultAway
            | Self::CredentialRefused => Settlement::Settled,
        }
    }

    #[expect(clippy::too_many_lines, reason = "a list of every refusal, one beside the other")]
    fn terms(&self) -> Terms {
        let plain = |status, code| Terms { status, code, header: None };
        let with = |status, code, name, value| Terms { status, code, header: Some((name, value)) };
        let stranger = |code| with(StatusCode::UNAUTHORIZED, code, WWW_AUTHENTICATE, CHALLENGE);
        let busy = |code| with(StatusCode::SERVICE_UNAVAILABLE, code, RETRY_AFTER, SOON);
        match self {
            Self::Target(_) => plain(StatusCode::BAD_REQUEST, "bad_target"),
            Self::MethodNotServed => {
                with(StatusCode::METHOD_NOT_ALLOWED, "method_not_served", ALLOW, SERVED)
            }
            Self::Upgrade => plain(StatusCode::BAD_REQUEST, "upgrade_refused"),
            Self::Override(_) => plain(StatusCode::BAD_REQUEST, "bad_method_override"),
            Self::NoCredentials => stranger("no_credentials"),
            Self::Presented(PresentError::Disagree) => {
                plain(StatusCode::BAD_REQUEST, "conflicting_credentials")
            }
            Self::Presented(PresentError::Undecodable) => stranger("bad_credentials"),
            Self::Token(_) => stranger("invalid_token"),
            Self::FailedTokens(limited) => with(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_failed_tokens",
                RETRY_AFTER,
                limited.header(),
            ),
            Self::Limited { limited, status, .. } => {
                with(limit_status(*status), "rate_limited", RETRY_AFTER, limited.header())
            }
            Self::Policy(_) => plain(StatusCode::FORBIDDEN, "refused_by_policy"),
            Self::UsedUp { limited, status, .. } => {
                with(limit_status(*status), "used_up", RETRY_AFTER, limited.header())
            }
            Self::ReadOnly => plain(StatusCode::FORBIDDEN, "read_only_token"),
            Self::OutOfScope => plain(StatusCode::FORBIDDEN, "out_of_scope"),
            Self::Guarded => plain(StatusCode::FORBIDDEN, "guarded_route"),
            Self::SecretsHidden => plain(StatusCode::FORBIDDEN, "secrets_hidden"),
            Self::Format(Unacceptable::NotAcceptable(_)) => {
                plain(StatusCode::NOT_ACCEPTABLE, "not_acceptable")
            }
            Self::Format(Unacceptable::Contradiction) => {
                plain(StatusCode::NOT_ACCEPTABLE, "contradicting_formats")
            }
            Self::Format(Unacceptable::UnsupportedMediaType) => {
                plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
            }
            Self::NotCached => plain(StatusCode::GATEWAY_TIMEOUT, "not_cached"),
            // What is left of the body is not worth reading.
            Self::BodyTooLarge(_) => {
                with(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", CONNECTION, CLOSE)
            }
            Self::BodyTimedOut => {
                with(StatusCode::REQUEST_TIMEOUT, "body_timed_out", CONNECTION, CLOSE)
            }
            Self::BodyBroken => plain(StatusCode::BAD_REQUEST, "body_broken"),
            Self::Overloaded => busy("overloaded"),
            Self::DeadlineExceeded => plain(StatusCode::GATEWAY_TIMEOUT, "deadline_exceeded"),
            Self::NoUpstream => plain(StatusCode::BAD_GATEWAY, "no_upstream"),
            Self::UpstreamSaturated => busy("upstream_saturated"),
            Self::UpstreamDown(limited) => with(
                StatusCode::SERVICE_UNAVAILABLE,
                "upstream_down",
                RETRY_AFTER,
                limited.header(),
            ),
            Self::UpstreamUnreachable => plain(StatusCode::BAD_GATEWAY, "upstream_unreachable"),
            Self::UpstreamTimedOut => plain(StatusCode::GATEWAY_TIMEOUT, "upstream_timed_out"),
            Self::UpstreamBroken => plain(StatusCode::BAD_GATEWAY, "upstream_broken"),
            Self::KeyHeld => busy("key_rotation"),
            Self::VaultAway => busy("vault_away"),
            Self::NoKey(_) => plain(StatusCode::CONFLICT, "no_key"),
            Self::CredentialRefused => plain(StatusCode::BAD_GATEWAY, "credential_refused"),
            Self::Unmaskable => plain(StatusCode::BAD_GATEWAY, "unmaskable"),
            Self::Unconvertible => plain(StatusCode::BAD_GATEWAY, "unconvertible"),
            Self::Body(_) => plain(StatusCode::BAD_REQUEST, "unconvertible_body"),
            Self::Idempotency(refused) => of_key(refused),
            Self::Panicked => plain(StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

/// The statuses of draft-ietf-httpapi-idempotency-key-header, and ours where it says nothing.
fn of_key(refused: &Refused) -> Terms {
    let soon = || Some((RETRY_AFTER, SOON));
    let (status, code, header) = match refused {
        Refused::Malformed => (StatusCode::BAD_REQUEST, "bad_idempotency_key", None),
        Refused::Mismatch => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", None),
        Refused::InFlight => (StatusCode::CONFLICT, "idempotency_in_flight", soon()),
        Refused::Unknown { .. } => (StatusCode::CONFLICT, "outcome_unknown", None),
        Refused::Unkept { .. } => (StatusCode::CONFLICT, "answer_not_kept", None),
        Refused::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too_many_idempotency_keys", None),
        Refused::Unavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, "idempotency_unavailable", soon())
        }
        // What is left of the body is not worth reading.
        Refused::BodyTooLarge(_) => {
            (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", Some((CONNECTION, CLOSE)))
        }
    };
    Terms { status, code, header }
}

const SERVED: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

const CLOSE: HeaderValue = HeaderValue::from_static("close");

fn limit_status(status: LimitStatus) -> StatusCode {
    match status {
        LimitStatus::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        LimitStatus::Forbidden => StatusCode::FORBIDDEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNKNOWN: Settlement = Settlement::Open(Unrest::Unknown);

    #[test]
    fn what_the_upstream_may_have_been_sent_stays_open() {
        for rejection in [
            Rejection::UpstreamTimedOut,
            Rejection::UpstreamBroken,
            Rejection::BodyTooLarge(1),
            Rejection::BodyTimedOut,
            Rejection::BodyBroken,
            Rejection::DeadlineExceeded,
            Rejection::Unmaskable,
            Rejection::Unconvertible,
            Rejection::SecretsHidden,
            Rejection::Panicked,
        ] {
            assert_eq!(rejection.settlement(), UNKNOWN, "{rejection:?}");
        }
    }

    #[test]
    fn what_a_policy_refuses_is_known_by_its_code() {
        let policy = PolicyName::Creates;
        let limited = Limited { retry_after: std::time::Duration::ZERO };
        let status = LimitStatus::TooManyRequests;
        for rejection in [Rejection::Policy(policy), Rejection::UsedUp { policy, limited, status }]
        {
            assert!(BY_POLICY.contains(&rejection.code()), "{rejection:?}");
        }
    }

    #[test]
    fn a_key_that_was_not_made_leaves_nothing_open() {
        for (note, settlement) in [
            (Note::MintRefused, Settlement::Settled),
            (Note::TooManyKept, Settlement::Settled),
            (Note::NotSeen, UNKNOWN),
            (Note::Ambiguous, UNKNOWN),
        ] {
            assert_eq!(Rejection::NoKey(note).settlement(), settlement, "{note:?}");
        }
    }
}
