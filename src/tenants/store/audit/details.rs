//! What of a thing was changed, or given to it: names of ours, and words of closed lists. No value that an
//! operator typed is among them, so no secret that was typed in its place.

use crate::{
    auth::{role::Role, scopes::PermissionSet},
    tenants::record::{Standing, TenantSettings, TokenTerms},
    vocabulary::Closed as _,
};

/// That the policies of a token were changed.
pub(in crate::tenants::store) const POLICIES: &str = "policies";

/// What is given to a token that is made.
pub(in crate::tenants::store) fn of_permissions(permissions: PermissionSet) -> String {
    let words: Vec<&str> = permissions.words().collect();
    if words.is_empty() { String::new() } else { format!("permissions: {}", words.join(" ")) }
}

/// What is given to the token of an operator.
pub(in crate::tenants::store) fn of_role(role: Role) -> String {
    format!("role: {}", role.as_str())
}

/// What of a tenant is another one than before.
pub(in crate::tenants::store) fn of_settings(old: &TenantSettings, new: &TenantSettings) -> String {
    let (was, is) = (&old.quotas, &new.quotas);
    names(&[
        ("default_format", old.default_format != new.default_format),
        ("reads", was.reads != is.reads),
        ("writes", was.writes != is.writes),
        ("upstream_reads", was.upstream_reads != is.upstream_reads),
        ("limit_status", old.limit_status != new.limit_status),
    ])
}

/// What of a credential is declared otherwise than before.
pub(in crate::tenants::store) fn of_standing(old: &Standing, new: &Standing) -> String {
    names(&[("reach", old.reach != new.reach), ("account", old.account != new.account)])
}

/// What of a token is another one than before; of its permissions also which it has now.
pub(in crate::tenants::store) fn of_terms(
    old: &TokenTerms,
    new: &TokenTerms,
    other_credential: bool,
) -> String {
    let (was, is) = (&old.scopes, &new.scopes);
    let changed = names(&[
        ("label", old.label != new.label),
        ("credential", other_credential),
        ("access", was.access != is.access),
        ("allow", was.allow != is.allow),
        ("deny", was.deny != is.deny),
        ("addresses", old.addresses != new.addresses),
        ("not_before", old.not_before != new.not_before),
        ("expires", old.expires != new.expires),
        ("limit_status", old.limit_status != new.limit_status),
        (POLICIES, old.policies != new.policies),
    ]);
    let permissions = if old.permissions == new.permissions {
        String::new()
    } else {
        to_permissions(new.permissions)
    };
    let both = [changed, permissions];
    both.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// Which permissions a token has now.
pub(in crate::tenants::store) fn to_permissions(permissions: PermissionSet) -> String {
    let given = of_permissions(permissions);
    if given.is_empty() { "permissions: none".to_owned() } else { given }
}

fn names(changed: &[(&str, bool)]) -> String {
    let names = changed.iter().filter(|(_, changed)| *changed).map(|(name, _)| *name);
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::scopes::Permission;

    #[test]
    fn what_was_changed_is_named_and_no_value_told() {
        let old = TokenTerms::default();
        assert_eq!(of_terms(&old, &old, false), "");
        let label = "tg_live_secret".to_owned();
        let permissions = [Permission::ReadSecrets].into_iter().collect();
        let new = TokenTerms { label, expires: Some(5), permissions, ..old.clone() };
        assert_eq!(
            of_terms(&old, &new, true),
            "label, credential, expires, permissions: secrets:read"
        );
        assert_eq!(
            of_terms(&new, &TokenTerms { permissions: old.permissions, ..new.clone() }, false),
            "permissions: none"
        );
    }
}
