//! The API of operators, asked over a real socket of a real process.

mod conditions;
mod contract;
mod declaration;
mod encrypted;
mod refusals;
mod resources;
mod roles;
mod trial;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use crate::{
    cli::{Place, Server, TOKEN},
    harness::Answer,
    panel::direct,
};

/// A server with an admin token, and a tenant with its credential.
pub struct House {
    place: Place,
    server: Server,
}

impl House {
    async fn new() -> Self {
        let place = Place::new().await;
        let server = place.serve();
        Self { place, server }
    }

    /// Of wrong tokens none is too many.
    async fn uncounted() -> Self {
        let uncounted = "[failed_tokens]\nfailed_tokens_per_minute = 0";
        let place = Place::configured(uncounted).await;
        let server = place.serve();
        Self { place, server }
    }

    /// Asks as the owner: `"GET /v1/tenants"`.
    async fn ask(&self, line: &str, body: &Value) -> Answer {
        self.ask_as(TOKEN, line, body, &[]).await
    }

    /// Reads as the owner.
    async fn get(&self, path: &str) -> Value {
        let answer = self.ask(&format!("GET {path}"), &Value::Null).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        value(&answer)
    }

    /// Asks as the owner, with headers.
    async fn ask_with(&self, line: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        self.ask_as(TOKEN, line, body, headers).await
    }

    /// Asks with a token; without a body if that is null.
    async fn ask_as(
        &self,
        token: &str,
        line: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let mut request = plain(line, token);
        if !body.is_null() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        direct(self.server.admin, request.body(Bytes::from(text)).expect("a request")).await
    }

    /// Adds the tenant, the credential and the token of somebody; the token's id.
    async fn furnish(&self, name: &str) -> String {
        for (path, body) in
            [("/v1/tenants", json!({"name": name})), ("/v1/credentials", credential(name))]
        {
            let answer = self.ask(&format!("POST {path}"), &body).await;
            assert_eq!(answer.status, 201, "{path}: {answer:?}");
        }
        let created =
            self.ask("POST /v1/tokens", &json!({"tenant": name, "credential": name})).await;
        assert_eq!(created.status, 201, "{created:?}");
        value(&created)["id"].as_str().expect("an id").to_owned()
    }

    /// An admin token with a role.
    async fn operator(&self, name: &str, role: &str) -> String {
        let created = self.ask("POST /v1/admin-tokens", &json!({"name": name, "role": role})).await;
        assert_eq!(created.status, 201, "{created:?}");
        value(&created)["token"].as_str().expect("a token").to_owned()
    }

    /// What the audit log says after the end.
    fn log(self) -> Vec<Value> {
        assert_eq!(self.server.terminate().code, Some(0));
        let out = self.place.installation.run(&["audit", "export"], "").good();
        out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

fn plain(line: &str, token: &str) -> http::request::Builder {
    let (method, path) = line.split_once(' ').expect("a method and a path");
    let request = Request::builder().method(method).uri(path);
    if token.is_empty() {
        request
    } else {
        request.header("authorization", format!("Bearer {token}"))
    }
}

fn credential(name: &str) -> Value {
    json!({
        "name": name, "upstream": "main", "kind": "password", "login": name,
        "secret": "a-secret-of-the-panel", "test": false,
    })
}

fn value(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|e| panic!("{e}: {answer:?}"))
}
