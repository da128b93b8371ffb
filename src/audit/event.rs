//! What is recorded: who did what, what came of it, from where, and in which request.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::word;
use crate::{closed, vocabulary::Closed};

closed! {
    /// What somebody is who does something.
    pub enum ActorKind {
        /// Whoever uses the command line; the name is the user's of the operating system.
        Operator => "operator",
        /// Whoever presents an admin token.
        AdminToken => "admin-token",
        /// Whoever presents a token, or what is none; the name is the public id, if it is known.
        Token => "token",
        /// The server, of its own accord.
        Server => "server",
    }
}

closed! {
    /// What was done, or tried.
    pub enum Action {
        /// A tenant was added.
        TenantAdd => "tenant.add",
        /// What is decided for a tenant was changed.
        TenantSet => "tenant.set",
        /// A tenant was removed.
        TenantRemove => "tenant.remove",
        /// A credential was added.
        CredentialAdd => "credential.add",
        /// A credential was given another secret.
        CredentialRotate => "credential.rotate",
        /// What is declared of a credential was changed.
        CredentialSet => "credential.set",
        /// A credential was removed.
        CredentialRemove => "credential.remove",
        /// A rotation of a credential's key was begun.
        KeyRotate => "key.rotate",
        /// It has ended with a new key.
        KeyRotated => "key.rotated",
        /// It has ended without one.
        KeyRotationUndone => "key.rotation-undone",
        /// It has ended with neither key.
        KeyLost => "key.lost",
        /// A key that a client asked for was kept from it, and kept.
        KeyCatch => "key.catch",
        /// Such a key was given to a credential.
        KeyClaim => "key.claim",
        /// A key that was kept for an owner was forgotten.
        KeyForget => "key.forget",
        /// A token was created.
        TokenCreate => "token.create",
        /// A token was created in the place of another.
        TokenRotate => "token.rotate",
        /// The terms of a token, or its credential, were changed.
        TokenSet => "token.set",
        /// A token was revoked.
        TokenRevoke => "token.revoke",
        /// A new data key was made, for credentials to be sealed with.
        VaultRotate => "vault.rotate",
        /// The data keys were wrapped with another master key.
        VaultRewrap => "vault.rewrap",
        /// A token of an operator was created.
        AdminTokenCreate => "admin-token.create",
        /// A token of an operator was revoked.
        AdminTokenRevoke => "admin-token.revoke",
        /// What was kept is no longer believed.
        Purge => "purge",
        /// Maps of formats were handed in.
        FormatsImport => "formats.import",
        /// The log was accepted as it was, and begins anew.
        AuditAccept => "audit.accept",
        /// A client's request.
        Request => "request",
        /// A request to the admin listener.
        AdminRequest => "admin.request",
    }
}

closed! {
    /// What came of it.
    pub enum Decision {
        /// It was done.
        Done => "done",
        /// A guarded request was let through.
        Allowed => "allowed",
        /// It was not permitted.
        Refused => "refused",
        /// It would have been refused, by a rule that is only tried.
        Shadowed => "shadowed",
        /// It was permitted, and did not succeed.
        Failed => "failed",
    }
}

/// A text of at most [`TEXT_MAX`] characters in one line.
///
/// A longer one is cut when it is made or read. A control character, or one that breaks a line or
/// turns its direction, is replaced by U+FFFD: a stranger may have chosen it, and an operator looks
/// at it in a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct Text(String);

/// Who does something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// What they are.
    #[serde(with = "word")]
    pub kind: ActorKind,
    /// Their name or public id, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Text>,
}

/// Who does something, and where they are heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// Who.
    pub actor: Actor,
    /// The address that they ask from, if they ask over a network.
    pub from: Option<IpAddr>,
    /// The id of their request, if it has one.
    pub request_id: Option<Text>,
}

/// What is recorded of one action or request.
///
/// There is no field that a secret could stand in: every one is a word of ours, a name or public id
/// of what the store has, or an address, and paths, queries, headers and bodies have no place. What
/// the type cannot see is where a text is from. So whoever makes an event calls an object what the
/// store calls it, and not what somebody typed, who may have pasted a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Who.
    pub actor: Actor,
    /// What was done, or tried.
    #[serde(with = "word")]
    pub action: Action,
    /// What came of it.
    #[serde(with = "word")]
    pub decision: Decision,
    /// The name or public id of what it was done to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Text>,
    /// Why it came to that: the code of a refusal, or a sentence of ours. Of a change, the names of what
    /// was changed and the words that were given, and never a value that somebody typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    /// The address that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// The id of the request, which its answer has in `X-Request-Id`; the access log has it, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Text>,
    /// The method of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Text>,
    /// The template of its route, never its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Text>,
}

/// The most characters of a text.
pub const TEXT_MAX: usize = 256;

impl Text {
    /// Cuts and replaces what is too much.
    pub fn new(text: &str) -> Self {
        let shown = |c| if is_unprintable(c) { char::REPLACEMENT_CHARACTER } else { c };
        Self(text.chars().take(TEXT_MAX).map(shown).collect())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl Actor {
    /// Somebody who has a name or a public id.
    pub fn named(kind: ActorKind, name: &str) -> Self {
        Self { kind, name: Some(Text::new(name)) }
    }

    /// Somebody who has none, or whose it is not known.
    pub fn unnamed(kind: ActorKind) -> Self {
        Self { kind, name: None }
    }
}

impl From<Actor> for Author {
    /// Somebody who asks over no network.
    fn from(actor: Actor) -> Self {
        Self { actor, from: None, request_id: None }
    }
}

impl fmt::Display for Actor {
    /// The word for its kind, and the name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        self.name.as_ref().map_or(Ok(()), |name| write!(f, " {}", name.0))
    }
}

impl Event {
    /// An event of which nothing else is known; what is known is set in the fields.
    pub fn new(actor: Actor, action: Action, decision: Decision) -> Self {
        Self {
            actor,
            action,
            decision,
            object: None,
            reason: None,
            from: None,
            request_id: None,
            method: None,
            route: None,
        }
    }

    /// An event of which is known who did it, from where and in which request.
    pub fn by(author: Author, action: Action, decision: Decision) -> Self {
        let Author { actor, from, request_id } = author;
        Self { from, request_id, ..Self::new(actor, action, decision) }
    }

    /// As JSON in one line: its fields in the order of their declaration, absent ones left out.
    /// Equal events have equal texts.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts, words and an address are JSON")
    }

    /// Reads what was kept. Fields that are not known are passed over; a word that is not in its
    /// list is an error.
    pub fn from_json(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }
}

/// Controls, and what Unicode has for the end of a line and the direction of what follows.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn full() -> Event {
        Event {
            object: Some("acme \"é\"".into()),
            reason: Some("guarded_route".into()),
            from: Some("2001:db8::1".parse().expect("an address")),
            request_id: Some("0123456789abcdef".into()),
            method: Some("POST".into()),
            route: Some("/users/:id/make_new_api_key".into()),
            ..Event::new(
                Actor::named(ActorKind::Token, "LygHa16AHYF"),
                Action::Request,
                Decision::Refused,
            )
        }
    }

    #[test]
    fn the_json_of_an_event_is_fixed() {
        let expected = concat!(
            r#"{"actor":{"kind":"token","name":"LygHa16AHYF"},"#,
            r#""action":"request","decision":"refused","object":"acme \"é\"","#,
            r#""reason":"guarded_route","from":"2001:db8::1","request_id":"0123456789abcdef","#,
            r#""method":"POST","route":"/users/:id/make_new_api_key"}"#,
        );
        assert_eq!(full().to_json(), expected);
        assert_eq!(Event::from_json(expected).expect("an event"), full());
    }

    #[test]
    fn what_is_absent_is_left_out() {
        let event = Event::new(Actor::unnamed(ActorKind::Server), Action::Purge, Decision::Done);
        let expected = r#"{"actor":{"kind":"server"},"action":"purge","decision":"done"}"#;
        assert_eq!(event.to_json(), expected);
        assert_eq!(Event::from_json(expected).expect("an event"), event);
    }

    #[test]
    fn a_word_that_is_not_in_its_list_is_no_event() {
        let json = r#"{"actor":{"kind":"server"},"action":"purge","decision":"done"}"#;
        for word in ["server", "purge", "done"] {
            let error = Event::from_json(&json.replace(word, "else")).expect_err(word);
            assert!(error.to_string().contains("\"else\" is not in the list"), "{error}");
        }
        let more = json.replace("\"done\"", "\"done\",\"later\":1");
        assert!(Event::from_json(&more).is_ok(), "a field of a later version");
    }

    #[test]
    fn no_two_members_of_a_list_have_one_word() {
        fn check<L: Closed>() {
            let words: HashSet<_> = L::ALL.iter().map(|member| member.as_str()).collect();
            assert_eq!(words.len(), L::ALL.len(), "{words:?}");
        }
        check::<ActorKind>();
        check::<Action>();
        check::<Decision>();
    }

    #[test]
    fn a_text_is_cut_and_has_one_line() {
        let text = Text::new("a\nb\u{1b}[2J\u{202e}c\u{2028}");
        assert_eq!(text.as_str(), "a\u{fffd}b\u{fffd}[2J\u{fffd}c\u{fffd}");
        assert_eq!(Text::new(&"é".repeat(TEXT_MAX + 1)).as_str(), "é".repeat(TEXT_MAX));
        let long = format!("{:?}", "x".repeat(TEXT_MAX + 1));
        let read: Text = serde_json::from_str(&long).expect("a text");
        assert_eq!(read.as_str().len(), TEXT_MAX, "what is read is bounded, too");
    }

    #[test]
    fn an_actor_is_shown_with_its_name() {
        assert_eq!(Actor::named(ActorKind::Operator, "root").to_string(), "operator root");
        assert_eq!(Actor::unnamed(ActorKind::AdminToken).to_string(), "admin-token");
    }

    proptest! {
        #[test]
        fn any_event_is_read_as_it_was_made(object in ".{0,300}", reason in any::<String>()) {
            let (object, reason) = (Some(object.into()), Some(reason.into()));
            let event = Event { object, reason, ..full() };
            let json = event.to_json();
            prop_assert!(!json.contains(char::is_control));
            prop_assert_eq!(Event::from_json(&json).expect("an event"), event);
        }
    }
}
