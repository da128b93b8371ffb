//! What a token's policies come to: refused, or counted and let through.
//!
//! No layer of its own: who authorizes knows the method that will really run, and who limits and caps
//! knows what is counted. All ask here, so that shadow means the same everywhere.

use http::Method;
use smallvec::SmallVec;

use crate::{
    api::routes::RouteTable,
    call::Aimed,
    limit::Limited,
    metrics::Metrics,
    policy::{
        Mode, PolicyName,
        act::{Act, OtherName},
        allowance::Exhausted,
        policies::Verdict,
    },
    rejection::Rejection,
    tenants::{record::LimitStatus, snapshot::Grant},
};

/// Notes and counts that a policy would have refused a request.
pub(super) fn shadowed(metrics: &Metrics, request: &Aimed, policy: PolicyName, mode: Mode) {
    request.record.policy.set(policy);
    metrics.limits.policy_refusals.of(policy, mode).inc();
}

/// The same, or an error where it is enforced.
fn hear(
    metrics: &Metrics,
    request: &Aimed,
    policy: PolicyName,
    mode: Mode,
    refusal: impl FnOnce() -> Rejection,
) -> Result<(), Rejection> {
    shadowed(metrics, request, policy, mode);
    match mode {
        Mode::Enforce => Err(refusal()),
        Mode::Shadow | Mode::Off => Ok(()),
    }
}

/// The same of what is counted.
pub(super) fn exhausted(
    metrics: &Metrics,
    request: &Aimed,
    grant: &Grant,
    counted: Result<(), Exhausted>,
) -> Result<(), Rejection> {
    let Err(Exhausted { policy, mode, limited }) = counted else { return Ok(()) };
    hear(metrics, request, policy, mode, || used_up(policy, limited, grant.limit_status))
}

fn used_up(policy: PolicyName, limited: Limited, status: LimitStatus) -> Rejection {
    Rejection::UsedUp { policy, limited, status }
}

/// What the policies say of a request by itself, for the method that will run.
pub fn judge(routes: &RouteTable, grant: &Grant, request: &Subject<'_>) -> Verdict {
    let segments: SmallVec<[&str; 8]> = request.target.segments().collect();
    let names = grant.credential.partition.upstream().names();
    let other_name = |segments: &[&str], at: usize| {
        let family = routes.family_at(segments, at);
        let other = family.and_then(|family| names.other(family, segments[at]));
        other.map_or(OtherName::Unknown, OtherName::Known)
    };
    grant.allowance.policies().judge(&Act {
        method: request.method,
        segments: &segments,
        rebuilds: routes.rebuilds(request.target).filter(|_| request.may_change),
        other_name: &other_name,
    })
}

/// What is judged.
pub struct Subject<'a> {
    /// The method that will run.
    pub method: &'a Method,
    /// What it is about.
    pub target: &'a crate::api::target::Target,
    /// Whether it may change something.
    pub may_change: bool,
}

/// Judges a request by its token's policies, and says which one counts what it makes or removes.
pub(super) fn enforce(
    routes: &RouteTable,
    metrics: &Metrics,
    grant: &Grant,
    request: &Aimed,
    method: &Method,
) -> Result<Option<PolicyName>, Rejection> {
    if grant.allowance.is_empty() {
        return Ok(None);
    }
    let may_change = request.effect.may_change();
    let subject = Subject { method, target: &request.target, may_change };
    let Verdict { enforced, shadowed } = judge(routes, grant, &subject);
    for policy in shadowed {
        hear(metrics, request, policy, Mode::Shadow, || Rejection::Policy(policy))?;
    }
    if let Some(policy) = enforced {
        hear(metrics, request, policy, Mode::Enforce, || Rejection::Policy(policy))?;
    }
    let policy = if *method == Method::DELETE {
        PolicyName::Deletes
    } else if routes.creates(method, &request.target) {
        PolicyName::Creates
    } else {
        return Ok(None);
    };
    Ok(grant.allowance.acts(policy).map(|_| policy))
}
