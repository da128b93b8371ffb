//! Tokens as they are listed and described.

use super::{ListTokens, PATH};
use crate::{
    cli::{
        Desk,
        failure::Failure,
        output::{Column, joined, time},
        remote::{Call, escaped, path},
    },
    operations::tokens::{self, Token},
    tenants::store::Used,
    vocabulary::Closed as _,
};

const COLUMNS: [Column<Token>; 12] = [
    ("ID", |t| t.id.clone()),
    ("TENANT", |t| t.tenant.clone()),
    ("CREDENTIAL", |t| t.credential.clone()),
    ("STATE", |t| t.state.clone()),
    ("ORIGIN", |t| if t.adopted { "adopted" } else { "minted" }.to_owned()),
    ("ACCESS", |t| t.access.as_str().to_owned()),
    ("ALLOW", |t| joined(&t.allow)),
    ("DENY", |t| joined(&t.deny)),
    ("PERMIT", |t| joined(&t.permissions)),
    ("ADDRESSES", |t| joined(&t.addresses)),
    ("EXPIRES", |t| time(t.expires)),
    ("LABEL", |t| if t.label.is_empty() { "-".to_owned() } else { t.label.clone() }),
];

/// Shows one token.
pub(super) fn describe(id: &str, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let call = Call::get(path(&[PATH, id]));
    let described = desk.view(call, |view| tokens::describe(view, id))?;
    let (token, used) = (&described.token, &described.used);
    let mut lines: Vec<String> =
        COLUMNS.iter().map(|(name, cell)| format!("{name:<12}{}", cell(token))).collect();
    let policies = serde_json::to_string(&token.policies);
    lines.push(format!("{:<12}{}", "POLICIES", policies.unwrap_or_default()));
    lines.push(format!(
        "{:<12}{}",
        "LAST USED",
        time(used.as_ref().map(|used| used.last_used).filter(|at| *at > 0))
    ));
    if let Some(Used { month, reads, writes, .. }) = used {
        lines.push(format!("{:<12}{month}: {reads} reads, {writes} writes", "COUNTED"));
    }
    desk.output.one(&described, &lines.join("\n"))
}

/// Lists tokens.
pub(super) fn list(args: &ListTokens, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let tenant = args.tenant.as_deref();
    let query = tenant.map(|tenant| format!("tenant={}&", escaped(tenant)));
    let path = format!("{PATH}?{}", query.unwrap_or_default());
    let all = desk.list(&path, |view, page| tokens::list(view, tenant, page))?;
    desk.output.list(&all, &COLUMNS)
}
