//! Tenants, credentials and tokens as one declaration: planned, applied and exported as a whole.
//!
//! A declaration names files and variables that hold secrets, and no server reads those of whoever
//! declares: what stands in them is sent beside the declaration, by the names that it has for them.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::{Means, OperationError, plain::Plain};
use crate::{
    auth::{keyring::random, token::Token},
    settings::{Problems, Room, Table, to_json},
    tenants::{
        declared::{
            Change, Declaration, Exported, Known, Name, Plan, SecretPlace, Step, carry_out,
        },
        record::Records,
        store::{Edit, View},
    },
    vocabulary::Closed as _,
};

pub mod schema;

/// A declaration that is to be planned or applied.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// What is to be there.
    #[schema(value_type = schema::Declaration)]
    pub declaration: Map<String, Value>,
    /// The secrets that it names.
    #[serde(default, skip_serializing_if = "NamedSecrets::is_empty")]
    #[schema(required = false)]
    pub secrets: NamedSecrets,
    /// Whether what is not declared is removed, and such tokens are revoked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prune: bool,
    /// Whether upstreams are asked first whether they take what is stored for them; they are if this is
    /// left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<bool>,
}

/// Secrets by the names that a declaration has for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedSecrets {
    /// What stands in each `secret_file`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    pub files: BTreeMap<String, Plain>,
    /// What stands in each `secret_variable`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    pub variables: BTreeMap<String, Plain>,
}

/// What there is to do, and what is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeclarationPlan {
    /// Whether it was done.
    pub applied: bool,
    /// The steps, in an order in which they can be done.
    pub steps: Vec<PlannedStep>,
    /// What is as declared.
    pub kept: Vec<PlannedRecord>,
    /// What is not declared, and left alone.
    pub unmanaged: Vec<PlannedRecord>,
    /// How many tokens are made whose secrets nobody has yet.
    pub to_mint: usize,
}

/// What is done to one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedStep {
    /// `create`, `change` or `remove`; a token that is removed is revoked.
    pub act: String,
    /// `tenant`, `credential` or `token`.
    pub kind: String,
    /// The name; of a token its tenant's and its label, or its public id if it has no label.
    pub name: String,
    /// The public id of a token that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub id: Option<String>,
    /// What changes; of what is made, all that is not left at its default.
    pub changes: Vec<PlannedChange>,
}

/// What one key says before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedChange {
    /// The key.
    pub key: String,
    /// What is stored; `null` where the key says nothing.
    pub old: Value,
    /// What is declared, likewise.
    pub new: Value,
}

/// By what a record is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedRecord {
    /// `tenant`, `credential` or `token`.
    pub kind: String,
    /// The name; of a token its tenant's and its label, or its public id if it has no label.
    pub name: String,
    /// The public id of a token that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub id: Option<String>,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppliedDeclaration {
    /// All of it.
    pub plan: DeclarationPlan,
    /// The tokens that were made, in the order of the steps: their secrets are shown this once.
    pub tokens: Vec<MintedToken>,
}

/// A new token: the secret is shown this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MintedToken {
    /// The public id.
    pub id: String,
    /// The name: its tenant's and its label.
    pub name: String,
    /// The token itself.
    pub token: String,
}

impl ApplyRequest {
    /// Reads the declaration, and finds in it what is wrong whatever the store has. `largest` is how many
    /// bytes a body may have.
    pub fn read(self, largest: usize) -> (Declaration, Problems) {
        let Self { declaration, secrets, .. } = self;
        let mut problems = Problems::default();
        let root = Table::from_json(declaration, "/declaration", &room(largest), &mut problems);
        let declaration = Declaration::read(root, &mut |place| secrets.find(place), &mut problems);
        (declaration, problems)
    }
}

/// As many values as people write into a body: their keys alone have more bytes.
fn room(largest: usize) -> Room {
    const BYTES: usize = 8;
    let values = largest / BYTES;
    let beyond = format!(
        "the declaration has more than {values} values, one for every {BYTES} bytes that \
         admin.max_import in the configuration allows; `tollgate --offline apply` reads more"
    );
    Room { values, beyond }
}

impl NamedSecrets {
    /// Keeps what stands in a place.
    pub fn keep(&mut self, place: &SecretPlace, secret: Zeroizing<String>) {
        let (map, name) = match place {
            SecretPlace::File(path) => (&mut self.files, path.display().to_string()),
            SecretPlace::Variable(name) => (&mut self.variables, name.clone()),
        };
        map.insert(name, Plain::new(secret));
    }

    fn find(&self, place: &SecretPlace) -> Result<Zeroizing<String>, String> {
        let found = match place {
            SecretPlace::File(path) => path.to_str().and_then(|name| self.files.get(name)),
            SecretPlace::Variable(name) => self.variables.get(name),
        };
        let found = found.map(|secret| Zeroizing::new(secret.expose().to_owned()));
        found.ok_or_else(|| "what this names is not among the secrets".to_owned())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.variables.is_empty()
    }
}

/// What there is to do so that the store is as declared; `problems` are those that were found before.
pub fn plan(
    view: &View<'_>,
    means: &Means<'_>,
    (declaration, mut problems): (Declaration, Problems),
    prune: bool,
) -> Result<Plan, OperationError> {
    let records = view.records()?;
    // Somebody may have written down what they had before.
    let rotated = view.every_rotation()?.into_iter().filter(|r| r.now_generation > r.generation);
    let rotated = rotated.map(|rotation| rotation.name).collect();
    let known = known(&records, &rotated, means, view.now());
    let plan = Plan::make(declaration, &known, prune, &mut problems);
    if problems.is_empty() {
        Ok(plan)
    } else {
        Err(OperationError::Undeclarable(problems.iter().cloned().collect()))
    }
}

/// Does all of a plan.
pub fn apply(
    edit: &Edit<'_>,
    means: &Means<'_>,
    plan: &Plan,
) -> Result<AppliedDeclaration, OperationError> {
    let minted = mint(means, plan)?;
    carry_out(plan, edit, &means.vault, &minted)?;
    let tokens = MintedToken::all(plan, &minted);
    Ok(AppliedDeclaration { plan: DeclarationPlan::of(plan, true), tokens })
}

/// As many tokens as a plan makes.
pub fn mint(means: &Means<'_>, plan: &Plan) -> Result<Vec<Token>, OperationError> {
    let mint = |_| Ok(Token::mint(means.environment, &*random()?));
    (0..plan.to_mint()).map(mint).collect()
}

/// What the store has, as a declaration.
pub fn export<T>(
    view: &View<'_>,
    means: &Means<'_>,
    written: impl FnOnce(&Exported<'_>) -> T,
) -> Result<T, OperationError> {
    let records = view.records()?;
    Ok(written(&Exported::of(&known(&records, &HashSet::new(), means, view.now()))))
}

fn known<'a>(
    records: &'a Records,
    rotated: &'a HashSet<String>,
    means: &Means<'a>,
    now: i64,
) -> Known<'a> {
    Known { records, rotated, vault: means.vault, scope: means.scope, now }
}

impl DeclarationPlan {
    /// As it is shown.
    pub fn of(plan: &Plan, applied: bool) -> Self {
        Self {
            applied,
            steps: plan.steps.iter().map(PlannedStep::of).collect(),
            kept: plan.kept.iter().map(PlannedRecord::of).collect(),
            unmanaged: plan.unmanaged.iter().map(PlannedRecord::of).collect(),
            to_mint: plan.to_mint(),
        }
    }
}

impl PlannedStep {
    fn of(step: &Step) -> Self {
        let PlannedRecord { kind, name, id } = PlannedRecord::of(&step.name);
        let act = step.act().as_str().to_owned();
        let changes = step.changes.iter().map(PlannedChange::of).collect();
        Self { act, kind, name, id, changes }
    }
}

impl PlannedChange {
    fn of(Change { key, old, new }: &Change) -> Self {
        let [old, new] = [old, new].map(|value| value.as_ref().map_or(Value::Null, to_json));
        Self { key: (*key).to_owned(), old, new }
    }
}

impl PlannedRecord {
    fn of(Name { noun, name, id }: &Name) -> Self {
        Self { kind: noun.as_str().to_owned(), name: name.clone(), id: id.clone() }
    }
}

impl MintedToken {
    /// The tokens that a plan makes, by the names that it has for them.
    pub fn all(plan: &Plan, minted: &[Token]) -> Vec<Self> {
        let steps = plan.steps.iter().filter(|step| step.mints());
        let minted = steps.zip(minted).map(|(step, token)| Self {
            id: token.id().to_owned(),
            name: step.name.name.clone(),
            token: token.expose().to_owned(),
        });
        minted.collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(declaration: &Value) -> ApplyRequest {
        serde_json::from_value(json!({"declaration": declaration})).expect("a request")
    }

    #[test]
    fn a_body_has_room_for_a_hundred_thousand_tokens_with_policies() {
        let token = |n: usize| {
            json!({
                "tenant": "acme", "credential": "acme", "label": format!("t{n}"),
                "policies": {
                    "methods": {"only": ["GET"]},
                    "creates": {"at_most": 5, "window_seconds": 60},
                    "limits": {"reads": {"per_second": 5, "burst": 10}},
                    "monthly": {"reads": 10},
                },
            })
        };
        let tokens: Vec<Value> = (0..100_000).map(token).collect();
        let request = request(&json!({"tokens": tokens}));
        let largest = serde_json::to_vec(&request).expect("JSON").len();
        let mut problems = Problems::default();
        let mut root = Table::from_json(request.declaration, "", &room(largest), &mut problems);
        assert_eq!(root.take_tables("tokens", &mut problems).len(), 100_000);
        assert!(problems.is_empty(), "{problems:?}");
    }

    #[test]
    fn what_has_more_values_is_told_the_ways_out() {
        let request = request(&json!({"tenants": {"a": {"reads": "5/9"}, "b": {}}}));
        let problems = |largest| request.clone().read(largest).1;
        assert!(problems(32).is_empty(), "{:?}", problems(32));
        let refused = problems(31);
        let said: Vec<String> = refused.iter().map(ToString::to_string).collect();
        let [problem] = &said[..] else { panic!("{said:?}") };
        for part in ["/declaration: ", "more than 3 values", "admin.max_import", "--offline"] {
            assert!(problem.contains(part), "{problem}");
        }
    }
}
