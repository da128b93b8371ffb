//! The admin listener over TLS, and that nothing of it is to be had elsewhere.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{House, plain};
use crate::{
    cli::{Place, TOKEN},
    harness::{Client, Speaks, within},
    panel::basic,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_speaks_tls_and_nothing_else_when_it_has_a_certificate() {
    let place = Place::encrypted().await;
    let server = place.serve();
    let trusted = [place.installation.certificate()];
    // Whoever offers HTTP/2, as curl does, is answered in HTTP/1.1.
    for speaks in [Speaks::Http1, Speaks::NoAlpn] {
        let connected = Client::connect(server.admin, &trusted, speaks);
        let mut client = within("a connection", connected).await.expect("a handshake");
        let request = plain("GET /v1/tenants", TOKEN).body(bytes::Bytes::new());
        let answer = client.send(request.expect("a request")).await.expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let two = Client::connect(server.admin, &trusted, Speaks::Http2);
    assert!(within("a connection", two).await.is_err(), "HTTP/2 was agreed on");
    let untrusted = Client::connect(server.admin, &[], Speaks::Http1);
    assert!(within("a connection", untrusted).await.is_err(), "anybody is trusted");
    let mut plainly = TcpStream::connect(server.admin).await.expect("it listens");
    plainly.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it reads");
    let mut said = Vec::new();
    drop(within("the end", plainly.read_to_end(&mut said)).await);
    assert!(!said.starts_with(b"HTTP/"), "it speaks plain HTTP");
    let purged = place.run(&["purge", "--all"]).good();
    assert!(purged.starts_with("purged for 0 credentials"), "{purged}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_trusts_the_certificate_of_the_configuration_alone() {
    let mut place = Place::encrypted().await;
    let server = place.serve();
    place.installation.swap_certificate();
    let refused = place.run(&["purge", "--all"]);
    assert_eq!(refused.code, Some(69), "{refused:?}");
    assert!(refused.err.contains("certificate"), "{refused:?}");
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_route_of_it_answers_on_the_data_listener() {
    let house = House::new().await;
    let document = house.get("/v1/openapi.json").await;
    let paths = document["paths"].as_object().expect("paths").clone();
    let others = ["/metrics", "/livez", "/readyz", "/v1/openapi.json", "/v1/problems"];
    let others = others.map(|path| (path.to_owned(), "get".to_owned()));
    let documented = paths.iter().flat_map(|(path, item)| {
        let methods: Vec<String> = item.as_object().expect("operations").keys().cloned().collect();
        methods.into_iter().map(|method| (path.clone(), method))
    });
    let tenant = house.place.installation.tenant("alice");
    house.server.answers(&tenant, 200, "").await;
    let mut asked = 0;
    for (path, method) in documented.chain(others) {
        let path = path.replace("{name}", "alice").replace("{id}", "alice");
        for (token, may_be) in [(TOKEN, &[401, 429][..]), (&*tenant, &[404][..])] {
            let request = http::Request::builder()
                .method(&*method.to_uppercase())
                .uri(&path)
                .header("authorization", basic("any", token))
                .header("content-type", "application/json")
                .body(bytes::Bytes::from_static(b"{}"));
            let mut client = house.server.connect().await.expect("a connection");
            let sent = client.send(request.expect("a request"));
            let answer = within(&path, sent).await.expect("an answer");
            assert!(may_be.contains(&answer.status), "{method} {path}: {answer:?}");
            assert!(!answer.text().contains("/v1/problems"), "{method} {path}: {answer:?}");
            asked += 1;
        }
    }
    assert!(asked > 60, "{asked}");
    assert_eq!(house.ask("GET /v1/tenants", &Value::Null).await.status, 200);
}
