//! Users, their keys, and what is done to them.

use super::super::app::{Call, Outcome};
use super::super::panel::{Account, Kind};
use super::super::rails::{Object, Value};
use super::super::records::UserSpec;
use super::super::reply::{Answer, Refusal};

pub(crate) fn profile(call: &mut Call<'_>) -> Outcome {
    call.show(Kind::User, call.reader.user)
}

pub(crate) fn index(call: &mut Call<'_>) -> Outcome {
    call.list(Kind::User, call.visible_ids(Kind::User))
}

pub(crate) fn show(call: &mut Call<'_>) -> Outcome {
    let id = call.user()?;
    call.show(Kind::User, id)
}

pub(crate) fn machines(call: &mut Call<'_>) -> Outcome {
    let id = call.user()?;
    call.list(Kind::Machine, call.panel.of_owner(Kind::Machine, id))
}

pub(crate) fn create(call: &mut Call<'_>) -> Outcome {
    let sent = call.params.under(Kind::User.model());
    let required = |name: &'static str| {
        let text = sent.text(name).filter(|text| !text.trim().is_empty());
        text.ok_or(Refusal::Invalid(name, "can't be blank"))
    };
    let spec = UserSpec {
        login: required("login")?,
        email: required("email")?,
        password: required("password")?,
        first_name: sent.text("first_name").unwrap_or_default(),
        last_name: sent.text("last_name").unwrap_or_default(),
        admin: sent.integers("role_ids").is_some_and(|roles| roles.contains(&1)),
        time_zone: None,
        zone_minutes: 0,
    };
    let taken = |name: &str| {
        let mut users = call.panel.all(Kind::User);
        users.any(|(_, u)| u.fields.str("login") == name || u.fields.str("email") == name)
    };
    for (field, name) in [("login", &spec.login), ("email", &spec.email)] {
        if taken(name) {
            return Err(Refusal::Invalid(field, "has already been taken"));
        }
    }
    let id = call.panel.add_user(spec);
    call.created(Kind::User, id, format!("/users/{id}"))
}

/// `updated_at` moves before the record is judged, and stays moved when it is refused.
pub(crate) fn update(call: &mut Call<'_>) -> Outcome {
    let id = call.user()?;
    call.panel.touch(Kind::User, id);
    call.refuse_blank(Kind::User, &["login", "email", "password"])?;
    call.assign(Kind::User, id, &["login", "email", "first_name", "last_name", "locale"], &[]);
    let sent = call.params.under(Kind::User.model());
    if let (Some(password), Some(account)) = (sent.text("password"), call.panel.account_mut(id)) {
        account.password = password;
    }
    if call.reader.admin
        && let Some(roles) = sent.integers("role_ids")
    {
        let is_admin = roles.contains(&1);
        let roles: Vec<Value> = roles.into_iter().map(Value::from).collect();
        set(call, id, "role_ids", roles.into());
        change_account(call, id, |account| account.admin = is_admin);
    }
    Ok(Answer::no_content())
}

pub(crate) fn destroy(call: &mut Call<'_>) -> Outcome {
    let id = call.user()?;
    if !call.panel.of_owner(Kind::Machine, id).is_empty() {
        return Err(Refusal::Invalid("base", "User has virtual machines"));
    }
    call.panel.remove(Kind::User, id);
    call.panel.remove_account(id);
    Ok(Answer::no_content())
}

/// A read with an effect: the user can no longer get in.
pub(crate) fn suspend(call: &mut Call<'_>) -> Outcome {
    let id = call.user()?;
    change_account(call, id, |account| account.suspended = true);
    set(call, id, "status", "suspended".into());
    call.show(Kind::User, id)
}

/// A read with an effect, the opposite one.
pub(crate) fn activate(call: &mut Call<'_>) -> Outcome {
    let id = call.user()?;
    change_account(call, id, |account| account.suspended = false);
    set(call, id, "status", "active".into());
    call.show(Kind::User, id)
}

/// One payment, made when the user was.
pub(crate) fn payments(call: &mut Call<'_>) -> Outcome {
    let id = call.user()?;
    let user = call.visible(Kind::User, id)?;
    let made = user.fields.integer("created_at");
    let payment = Object::from([
        ("amount", Value::decimal("109.50")),
        ("created_at", Value::Time(made)),
        ("id", id.into()),
        ("invoice_number", format!("{id:05}").into()),
        ("payed_at", Value::Date(made)),
        ("updated_at", Value::Time(made)),
        ("user_id", id.into()),
    ]);
    Ok(Answer::ok("payments", Value::List(vec![Value::Model("payment", payment)])))
}

/// Answers the whole user, with the new key in it; the old one is worth nothing any more.
pub(crate) fn make_new_api_key(call: &mut Call<'_>) -> Outcome {
    let id = call.user()?;
    let key = call.panel.secrets.hex(40);
    change_account(call, id, |account| account.api_key = key);
    call.panel.touch(Kind::User, id);
    call.show(Kind::User, id)
}

pub(crate) fn api_keys(call: &mut Call<'_>) -> Outcome {
    let id = call.user()?;
    call.list(Kind::ApiKey, call.panel.of_owner(Kind::ApiKey, id))
}

pub(crate) fn generate_api_key(call: &mut Call<'_>) -> Outcome {
    /// As many as the panel allows a user.
    const MOST: usize = 100;
    let id = call.user()?;
    if call.panel.of_owner(Kind::ApiKey, id).len() >= MOST {
        return Err(Refusal::Invalid("base", "The limit of keys is reached"));
    }
    let key = call.panel.add_api_key(id);
    let record = call.panel.get(Kind::ApiKey, key).ok_or(Refusal::NotFound)?;
    let raw = Object::from([("api_key", record.fields.str("api_key").into())]);
    Ok(Answer::scheduled("hash", raw.into()))
}

pub(crate) fn destroy_api_key(call: &mut Call<'_>) -> Outcome {
    let (user, id) = (call.user()?, call.id(1));
    if call.visible(Kind::ApiKey, id)?.owner != Some(user) {
        return Err(Refusal::NotFound);
    }
    call.panel.remove(Kind::ApiKey, id);
    Ok(Answer::no_content())
}

pub(crate) fn ssh_keys(call: &mut Call<'_>) -> Outcome {
    let id = call.user()?;
    call.list(Kind::SshKey, call.panel.of_owner(Kind::SshKey, id))
}

pub(crate) fn ssh_key(call: &mut Call<'_>) -> Outcome {
    let (user, id) = (call.user()?, call.id(1));
    if call.visible(Kind::SshKey, id)?.owner != Some(user) {
        return Err(Refusal::NotFound);
    }
    call.show(Kind::SshKey, id)
}

pub(crate) fn create_ssh_key(call: &mut Call<'_>) -> Outcome {
    let user = call.user()?;
    let key = call.params.under(Kind::SshKey.model()).text("key");
    let key = key.filter(|key| !key.trim().is_empty());
    let key = key.ok_or(Refusal::Invalid("key", "can't be blank"))?;
    let id = call.panel.add_ssh_key(user, &key);
    call.created(Kind::SshKey, id, format!("/settings/ssh_keys/{id}"))
}

pub(crate) fn destroy_ssh_key(call: &mut Call<'_>) -> Outcome {
    let id = call.id(0);
    call.visible(Kind::SshKey, id)?;
    call.panel.remove(Kind::SshKey, id);
    Ok(Answer::no_content())
}

fn change_account(call: &mut Call<'_>, id: u64, change: impl FnOnce(&mut Account)) {
    if let Some(account) = call.panel.account_mut(id) {
        change(account);
    }
}

fn set(call: &mut Call<'_>, id: u64, name: &'static str, value: Value) {
    if let Some(user) = call.panel.get_mut(Kind::User, id) {
        user.fields.set(name, value);
    }
    call.panel.touch(Kind::User, id);
}
