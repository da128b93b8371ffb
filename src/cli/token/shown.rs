//! Tokens as they are listed and described.

use super::{ListTokens, PATH};
use crate::{
    cli::{
        Desk,
        failure::Failure,
        output::{Column, joined, time},
        remote::{Call, escaped, path},
    },
    operations::tokens::{self, RotatedToken, Token},
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

/// What is shown of one token besides.
const MORE: [Column<Token>; 5] = [
    ("LIMITED", |t| {
        t.limit_status.map_or_else(|| "-".to_owned(), |status| status.code().to_string())
    }),
    ("NOT BEFORE", |t| time(t.not_before)),
    ("CREATED", |t| time(Some(t.created))),
    ("REVOKED", |t| time(t.revoked)),
    ("REPLACED BY", |t| t.replaced_by.clone().unwrap_or_else(|| "-".to_owned())),
];

/// Shows one token.
pub(super) fn describe(id: &str, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let call = Call::get(path(&[PATH, id]));
    let described = desk.view(call, |view| tokens::describe(view, id))?;
    let (token, used) = (&described.token, &described.used);
    let rows = COLUMNS.iter().chain(&MORE).map(|(name, cell)| (*name, cell(token)));
    let mut rows: Vec<(&str, String)> = rows.collect();
    rows.push(("REPLACES", described.replaces.clone().unwrap_or_else(|| "-".to_owned())));
    rows.push(("POLICIES", serde_json::to_string(&token.policies).unwrap_or_default()));
    let last_used = used.as_ref().map(|used| used.last_used).filter(|at| *at > 0);
    rows.push(("LAST USED", time(last_used)));
    if let Some(Used { month, reads, writes, .. }) = used {
        rows.push(("COUNTED", format!("{month}: {reads} reads, {writes} writes")));
    }
    let lines = rows.iter().map(|(name, cell)| format!("{name:<13}{cell}"));
    desk.output.one(&described, &lines.collect::<Vec<_>>().join("\n"))
}

/// Until when the two tokens of a rotation are good.
pub(super) fn rotation_shown(rotated: &RotatedToken) -> String {
    let until = |end: Option<i64>| match end {
        Some(end) => format!("good until {}", time(Some(end))),
        None => "good without an end".to_owned(),
    };
    let RotatedToken { id, expires, replaces, replaced_until, .. } = rotated;
    format!("token {id} is {}; {replaces} is {}", until(*expires), until(*replaced_until))
}

/// Lists tokens.
pub(super) fn list(args: &ListTokens, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let tenant = args.tenant.as_deref();
    let query = tenant.map(|tenant| format!("tenant={}&", escaped(tenant)));
    let path = format!("{PATH}?{}", query.unwrap_or_default());
    let all = desk.list(&path, |view, page| tokens::list(view, tenant, page))?;
    desk.output.list(&all, &COLUMNS)
}
