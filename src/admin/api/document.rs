//! The OpenAPI document: what the handlers say of themselves, and what holds for all of them.
//!
//! A handler names what is its own. What follows from that is added here, so that it is said once: a
//! 412 means that `If-Match` is heeded, a 304 that there is a tag, a 201 that a create can be repeated;
//! what there is may stand against a write; and whoever reads a body or a name may refuse it.

use std::collections::BTreeMap;

use utoipa::{
    PartialSchema as _, ToSchema as _,
    openapi::{
        ContentBuilder, HeaderBuilder, InfoBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Required,
        Response, ResponseBuilder, Type,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use crate::{
    admin::problem::{Kind, Problem},
    transcode::errors::PROBLEM_JSON,
};

/// What an operation answers, by status.
type Answers = BTreeMap<String, RefOr<Response>>;

const SCHEME: &str = "adminToken";

/// What an import is of.
const LINES: &str = "application/x-ndjson";

const DESCRIPTION: &str = "\
What operators do to a Tollgate: tenants, credentials, tokens, purges and explanations. Every request \
carries an admin token as `Authorization: Bearer`. A viewer's sees what is not secret; an operator's also \
purges, explains, and changes tenants and tokens; an owner's also changes credentials and admin tokens. What \
needs a new master key, `tollgate vault rewrap`, is not done here: no master key goes over the network. A \
list is given in parts: `next` of one is `cursor` of the following. What is refused is problem details \
(RFC 9457), except what comes before any operation is looked at: a head of more than 16 KiB or 64 fields is \
answered 431, and one that is no HTTP 400, both with no body and no `X-Request-Id`.";

/// The status of a head that is too large, which no handler answers.
const HEAD_TOO_LARGE: &str = "431";

/// Adds what holds for every operation.
pub(super) fn finished(mut document: OpenApi) -> OpenApi {
    document.info = InfoBuilder::new()
        .title("Tollgate admin API")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .build();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(SCHEME, SecurityScheme::Http(bearer));
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    let nothing: [&str; 0] = [];
    document.security = Some(vec![SecurityRequirement::new(SCHEME, nothing)]);
    for PathItem { get, put, post, delete, patch, .. } in document.paths.paths.values_mut() {
        get.iter_mut().for_each(|read| complete(read, &[]));
        let writes = [put, post, delete, patch].into_iter().flatten();
        // Nothing is written where the audit log is not trusted.
        writes.for_each(|write| complete(write, &[Kind::Conflict]));
    }
    document
}

fn complete(operation: &mut Operation, more: &[Kind]) {
    let mut kinds = vec![
        Kind::BadRequest,
        Kind::Unauthorized,
        Kind::Forbidden,
        Kind::TooMany,
        Kind::Unavailable,
    ];
    kinds.extend(more);
    if operation.request_body.is_some() {
        kinds.extend([Kind::TooLarge, Kind::MediaType, Kind::Invalid]);
    }
    // No lines at all are an import of nothing.
    if let Some(RefOr::T(body)) = &mut operation.request_body
        && body.content.contains_key(LINES)
    {
        body.required = Some(Required::False);
    }
    let parameters = operation.parameters.get_or_insert_default();
    if parameters.iter().any(is_of_the_path) {
        kinds.push(Kind::NotFound);
    }
    let responses = &mut operation.responses.responses;
    let mut header = |name, description| {
        parameters.push(RefOr::T(optional_header(name, description)));
    };
    if responses.contains_key("412") {
        header("If-Match", "Do it only if its ETag is among these");
    }
    if responses.contains_key("304") {
        header("If-None-Match", "Answer 304 if its ETag is among these");
        put_header(responses, "200", "ETag", "The strong tag of what is shown");
    }
    if responses.contains_key("201") {
        header(
            "Idempotency-Key",
            "A text of your choice, up to 255 characters: a create that is repeated with it is done \
             once, and answered as the first time for some minutes",
        );
        put_header(responses, "201", "Location", "Where it is");
    }
    for kind in kinds {
        let status = kind.status().as_u16().to_string();
        let described = || ResponseBuilder::new().description(kind.title()).build().into();
        responses.entry(status).or_insert_with(described);
    }
    let statuses: Vec<String> = responses.keys().cloned().collect();
    for status in statuses {
        let name = "The id of the request, which the audit log has, too";
        put_header(responses, &status, "X-Request-Id", name);
    }
    describe_refusals(responses);
}

/// Says what a refusal is, and which have no body at all.
fn describe_refusals(responses: &mut Answers) {
    for (status, response) in responses.iter_mut() {
        if let RefOr::T(response) = response
            && status.as_str() >= "400"
        {
            let problem = Ref::from_schema_name(Problem::name());
            let content = ContentBuilder::new().schema(Some(problem)).build();
            response.content.insert(PROBLEM_JSON.to_owned(), RefOr::T(content));
        }
    }
    let unread = "The head is larger than is read; this comes before any operation is looked at";
    let unread = ResponseBuilder::new().description(unread).build();
    responses.insert(HEAD_TOO_LARGE.to_owned(), unread.into());
}

fn is_of_the_path(parameter: &RefOr<Parameter>) -> bool {
    matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Path)
}

fn optional_header(name: &str, description: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

fn put_header(responses: &mut Answers, status: &str, name: &str, description: &str) {
    if let Some(RefOr::T(response)) = responses.get_mut(status) {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let header = HeaderBuilder::new().schema(Some(text)).description(Some(description)).build();
        response.headers.insert(name.to_owned(), RefOr::T(header));
    }
}
