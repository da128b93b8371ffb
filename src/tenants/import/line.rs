//! One line of an import, read key by key so that no message repeats a secret.

use ipnet::IpNet;
use serde::Deserialize as _;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{LINE_MAX, LineProblem};
use crate::{
    auth::scopes::{Access, Permission, PermissionSet, ScopeNames},
    limit::{Quota, Quotas},
    objects::Objects,
    policy::{document::PolicyDocument, policies::Policies},
    tenants::{
        record::{
            LimitStatus, SecretKind, Standing, TenantSettings, TokenTerms, address_range, member,
        },
        secret::UpstreamSecret,
    },
};

pub(super) struct Line {
    pub(super) tenant: TenantPart,
    pub(super) credential: CredentialPart,
    pub(super) token: Option<TokenPart>,
}

pub(super) enum TenantPart {
    Named(String),
    Inline(String, TenantSettings),
}

pub(super) enum CredentialPart {
    Named(String),
    Inline { name: String, upstream: String, secret: UpstreamSecret, standing: Standing },
}

pub(super) struct TokenPart {
    pub(super) key: Zeroizing<String>,
    pub(super) terms: TokenTerms,
}

/// An object whose keys are taken one by one; what is left is unknown.
struct Object {
    name: &'static str,
    known: Vec<&'static str>,
    entries: Map<String, Value>,
}

type Read<T> = Result<T, LineProblem>;

impl Line {
    pub(super) fn parse(text: &[u8]) -> Read<Self> {
        if text.len() > LINE_MAX {
            return Err(LineProblem::TooLong);
        }
        let value = serde_json::from_slice(text)
            .map_err(|error| LineProblem::Syntax { column: error.column() })?;
        let Value::Object(entries) = value else {
            return Err(LineProblem::Syntax { column: 1 });
        };
        let mut line = Object::new("", entries);
        let tenant = match line.required("tenant", "a name or an object")? {
            Value::String(name) => TenantPart::Named(name),
            Value::Object(entries) => tenant(Object::new("tenant", entries))?,
            _ => return Err(line.expected("tenant", "a name or an object")),
        };
        let credential = match line.required("credential", "a name or an object")? {
            Value::String(name) => CredentialPart::Named(name),
            Value::Object(entries) => credential(Object::new("credential", entries))?,
            _ => return Err(line.expected("credential", "a name or an object")),
        };
        let token = match line.take("token") {
            None => None,
            Some(Value::String(key)) => {
                let terms = TokenTerms { permissions: adopted(), ..TokenTerms::default() };
                Some(TokenPart { key: key.into(), terms })
            }
            Some(Value::Object(entries)) => Some(token(Object::new("token", entries))?),
            Some(_) => return Err(line.expected("token", "a key or an object")),
        };
        line.finish()?;
        Ok(Self { tenant, credential, token })
    }
}

impl Object {
    fn new(name: &'static str, entries: Map<String, Value>) -> Self {
        Self { name, known: Vec::new(), entries }
    }

    /// Whether there is a value that will be taken.
    fn has(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|value| !value.is_null())
    }

    /// A value; `null` is none.
    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.entries.remove(key).filter(|value| !value.is_null())
    }

    fn required(&mut self, key: &'static str, expected: &'static str) -> Read<Value> {
        self.take(key).ok_or_else(|| self.expected(key, expected))
    }

    fn optional_text(&mut self, key: &'static str) -> Read<Option<String>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.expected(key, "a string")),
        }
    }

    fn text(&mut self, key: &'static str) -> Read<String> {
        self.optional_text(key)?.ok_or_else(|| self.expected(key, "a string"))
    }

    /// The text of one of a closed list.
    fn choice<T>(
        &mut self,
        key: &'static str,
        expected: &'static str,
        choose: impl FnOnce(&str) -> Option<T>,
    ) -> Read<Option<T>> {
        let Some(word) = self.optional_text(key)? else { return Ok(None) };
        choose(&word).map(Some).ok_or_else(|| self.expected(key, expected))
    }

    fn number<T: TryFrom<u64>>(
        &mut self,
        key: &'static str,
        expected: &'static str,
    ) -> Read<Option<T>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| T::try_from(number).ok());
        number.map(Some).ok_or_else(|| self.expected(key, expected))
    }

    fn texts(&mut self, key: &'static str) -> Read<Vec<String>> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let texts = match self.take(key) {
            None => Some(Vec::new()),
            Some(Value::Array(list)) => list.iter().map(text).collect(),
            Some(_) => None,
        };
        texts.ok_or_else(|| self.expected(key, "a list of strings"))
    }

    fn quota(&mut self, rate: &'static str, burst: &'static str) -> Read<Option<Quota>> {
        const WANT: &str = "a whole number from 1";
        let positive = |number: Option<u32>| number.filter(|number| *number > 0);
        let (per_second, at_once) = (self.number(rate, WANT)?, self.number(burst, WANT)?);
        match (per_second, at_once) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(self.expected(rate, "a rate, since there is a burst")),
            (Some(_), burst_too) => {
                let per_second = positive(per_second).ok_or_else(|| self.expected(rate, WANT))?;
                let at_once = burst_too.map_or(Some(per_second), |n| positive(Some(n)));
                let burst = at_once.ok_or_else(|| self.expected(burst, WANT))?;
                Ok(Some(Quota { per_second, burst }))
            }
        }
    }

    fn finish(self) -> Read<()> {
        match self.entries.keys().next() {
            None => Ok(()),
            Some(key) => {
                let key = self.full(&key.escape_debug().to_string());
                Err(LineProblem::Unknown { key, known: self.known.join(", ") })
            }
        }
    }

    fn expected(&self, key: &str, expected: &'static str) -> LineProblem {
        LineProblem::Expected { key: self.full(key), expected }
    }

    fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}

fn tenant(mut object: Object) -> Read<TenantPart> {
    let name = object.text("name")?;
    let default_format = object.choice("default_format", "\"json\" or \"xml\"", member)?;
    let quotas = Quotas {
        reads: object.quota("reads_per_second", "reads_burst")?,
        writes: object.quota("writes_per_second", "writes_burst")?,
        upstream_reads: object.quota("upstream_reads_per_second", "upstream_reads_burst")?,
    };
    let limit_status = limit_status(&mut object)?.unwrap_or_default();
    object.finish()?;
    let usual = TenantSettings::default();
    let default_format = default_format.unwrap_or(usual.default_format);
    Ok(TenantPart::Inline(name, TenantSettings { default_format, quotas, limit_status }))
}

fn credential(mut object: Object) -> Read<CredentialPart> {
    let (name, upstream) = (object.text("name")?, object.text("upstream")?);
    let (login, password) = (object.optional_text("login")?, object.optional_text("password")?);
    let (email, key) = (object.optional_text("email")?, object.optional_text("key")?);
    let [password, key] = [password, key].map(|secret| secret.map(Zeroizing::new));
    let standing = Standing {
        reach: object.choice("reach", "\"own\" or \"all\"", member)?,
        account: object.optional_text("account")?,
    };
    object.finish()?;
    let secret = match (login, password, email, key) {
        (Some(login), Some(password), None, None) => {
            UpstreamSecret::new(SecretKind::Password, &login, &password)?
        }
        (None, None, Some(email), Some(key)) => UpstreamSecret::new(SecretKind::Key, &email, &key)?,
        _ => {
            let expected = "login and password, or email and key";
            return Err(LineProblem::Expected { key: "credential".to_owned(), expected });
        }
    };
    Ok(CredentialPart::Inline { name, upstream, secret, standing })
}

fn token(mut object: Object) -> Read<TokenPart> {
    const TIME: &str = "a Unix time in seconds";
    let key = object.text("key")?.into();
    let access = object.choice("access", "\"read-only\" or \"read-write\"", Access::from_word)?;
    let (allow, deny) = (object.texts("allow")?, object.texts("deny")?);
    let ranges = object.texts("addresses")?;
    let addresses: Option<Vec<IpNet>> = ranges.iter().map(|text| address_range(text)).collect();
    let addresses =
        addresses.ok_or_else(|| object.expected("addresses", "addresses or ranges in CIDR"))?;
    let terms = TokenTerms {
        label: object.optional_text("label")?.unwrap_or_default(),
        policies: policies(&mut object)?,
        scopes: ScopeNames { access: access.unwrap_or(Access::ReadWrite), allow, deny },
        addresses,
        not_before: object.number("not_before", TIME)?,
        expires: object.number("expires", TIME)?,
        limit_status: limit_status(&mut object)?,
        permissions: permissions(&mut object)?,
    };
    object.finish()?;
    Ok(TokenPart { key, terms })
}

fn policies(object: &mut Object) -> Read<PolicyDocument> {
    const EXPECTED: &str = "policies, as tollgate token create --policies takes them";
    let Some(value) = object.take("policies") else { return Ok(PolicyDocument::default()) };
    let document = PolicyDocument::deserialize(Objects(value)).ok();
    let good = document.filter(|document| Policies::compile(document).is_ok());
    good.ok_or_else(|| object.expected("policies", EXPECTED))
}

fn permissions(object: &mut Object) -> Read<PermissionSet> {
    const EXPECTED: &str = "a list of \"cache:refresh\", \"explain\" and \"secrets:read\"";
    let said = object.has("permissions");
    let words = object.texts("permissions")?;
    if !said {
        return Ok(adopted());
    }
    let given: Option<PermissionSet> = words.iter().map(|word| member(word)).collect();
    given.ok_or_else(|| object.expected("permissions", EXPECTED))
}

/// What a key has of which nothing is said. Its client exists, and reads the password of a machine
/// that it makes: it changes a host name and a password, and nothing else.
fn adopted() -> PermissionSet {
    PermissionSet::from_iter([Permission::ReadSecrets])
}

fn limit_status(object: &mut Object) -> Read<Option<LimitStatus>> {
    let Some(code) = object.number("limit_status", "429 or 403")? else { return Ok(None) };
    let status = LimitStatus::from_code(code);
    status.map(Some).ok_or_else(|| object.expected("limit_status", "429 or 403"))
}
