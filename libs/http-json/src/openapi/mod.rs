//! The OpenAPI 3.1 description of an API, made from its descriptors: comments are descriptions, protovalidate's rules are constraints.

mod comments;
mod rules;
mod schema;

use serde_json::{Map, Value, json};

use crate::api::{Api, Method, Shape};
use crate::openapi::comments::Comments;
use crate::openapi::schema::Schemas;
use crate::problem::PROBLEM_JSON;

/// What descriptors do not say.
#[derive(Debug, Clone, Default)]
pub struct Info {
    /// What the API is called.
    pub title: String,
    /// Version of the program that serves it.
    pub version: String,
    /// What a reader should know first; CommonMark.
    pub description: String,
    /// Requests to show: (full name of the method, name of the example, request as JSON).
    pub examples: Vec<(String, String, Value)>,
}

/// The description of everything that `api` serves.
pub(crate) fn describe(api: &Api, info: &Info) -> Value {
    let mut paths = Map::new();
    let mut schemas = Schemas::default();
    let mut tags: Vec<Value> = Vec::new();
    for (path, method) in api.methods().filter(|(_, method)| method.shape != Shape::GrpcOnly) {
        let service = method.descriptor.parent_service();
        let comments = Comments::of(&service.parent_file());
        if !tags.iter().any(|tag| tag["name"] == service.full_name()) {
            tags.push(json!({ "name": service.full_name(), "description": comments.at(service.path()) }));
        }
        let mut operation = operation(method, &comments, &mut schemas);
        let examples = info.examples.iter().filter(|(name, ..)| name == method.descriptor.full_name());
        let examples: Map<String, Value> =
            examples.map(|(_, name, value)| (name.clone(), json!({ "value": value }))).collect();
        if !examples.is_empty() {
            operation["requestBody"]["content"]["application/json"]["examples"] = examples.into();
        }
        let mut item = json!({ "post": operation });
        if let Shape::Events(cursor) = &method.shape {
            item["get"] = listened(&item["post"], method, cursor.is_some(), &mut schemas);
        }
        paths.insert(path.to_owned(), item);
    }
    let mut components = schemas.into_components();
    components.insert("Problem".to_owned(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": info.title,
            "version": info.version,
            "description": info.description,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "certificate": [] }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": { "Problem": {
                "description": "It was not done, and why: problem details (RFC 9457).",
                "headers": { "Retry-After": {
                    "description": "Seconds after which to ask again; only where that helps.",
                    "schema": { "type": "integer", "minimum": 0 },
                } },
                "content": { PROBLEM_JSON: { "schema": { "$ref": "#/components/schemas/Problem" } } },
            } },
            "securitySchemes": { "certificate": {
                "type": "mutualTLS",
                "description": "A client certificate whose SPIFFE URI names the caller.",
            } },
        },
    })
}

fn operation(method: &Method, comments: &Comments, schemas: &mut Schemas) -> Value {
    let descriptor = &method.descriptor;
    let service = descriptor.parent_service();
    let text = comments.at(descriptor.path());
    let summary = text.split_once(". ").map_or(text.trim_end_matches('.'), |(first, _)| first);
    let mut operation = json!({
        "tags": [service.full_name()],
        "operationId": format!("{}_{}", service.name(), descriptor.name()),
        "summary": summary,
        "description": text,
        "requestBody": {
            "required": true,
            "content": { "application/json": { "schema": schemas.request(&descriptor.input()) } },
        },
    });
    operation["responses"] = match method.shape {
        Shape::Events(_) => events(method, schemas),
        Shape::Unary | Shape::GrpcOnly => answers(method, schemas),
    };
    if method.basis.is_some() {
        operation["parameters"] = json!([{
            "name": "If-None-Match",
            "in": "header",
            "description": "The ETag of an earlier answer: when the same would be said again, the answer is 304 and empty.",
            "schema": { "type": "string" },
        }]);
    }
    operation
}

fn answers(method: &Method, schemas: &mut Schemas) -> Value {
    let schema = schemas.answer(&method.descriptor.output());
    let mut responses = json!({
        "200": { "description": "Done.", "content": { "application/json": { "schema": schema } } },
        "default": { "$ref": "#/components/responses/Problem" },
    });
    if method.basis.is_some() {
        let tag = json!({ "ETag": {
            "description": "Equal when the same is said again; ages and times of asking do not count.",
            "schema": { "type": "string" },
        } });
        responses["304"] = json!({ "description": "What If-None-Match names would be said again.", "headers": tag });
        responses["200"]["headers"] = tag;
    }
    responses
}

fn events(method: &Method, schemas: &mut Schemas) -> Value {
    let data = schemas.answer(&method.descriptor.output());
    json!({
        "200": {
            "description": "Server-sent events. The data of each is one message; the last event is `end`, or `error` with problem details.",
            "content": { "text/event-stream": { "schema": { "type": "string", "x-event-data": data } } },
        },
        "default": { "$ref": "#/components/responses/Problem" },
    })
}

/// The same by `GET`, as `EventSource` asks.
fn listened(post: &Value, method: &Method, resumable: bool, schemas: &mut Schemas) -> Value {
    let mut get = post.clone();
    if let Some(members) = get.as_object_mut() {
        members.remove("requestBody");
    }
    get["operationId"] = format!("{}_listen", post["operationId"].as_str().unwrap_or_default()).into();
    let mut parameters = vec![json!({
        "name": "message",
        "in": "query",
        "description": "The request, as JSON.",
        "content": { "application/json": { "schema": schemas.request(&method.descriptor.input()) } },
    })];
    if resumable {
        parameters.push(json!({
            "name": "Last-Event-ID",
            "in": "header",
            "description": "The id of the last event that was seen: the stream goes on from there.",
            "schema": { "type": "string" },
        }));
    }
    get["parameters"] = parameters.into();
    get
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "Problem details (RFC 9457), with the facts of the gRPC status.",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": { "type": "string", "description": "Always about:blank: `reason` tells errors apart." },
            "title": { "type": "string", "description": "The status in words." },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string", "description": "What is wrong, and what to do." },
            "code": { "type": "string", "description": "The code of gRPC in lower case, such as permission_denied." },
            "reason": { "type": "string", "description": "A stable word for the cause, within its domain." },
            "domain": { "type": "string", "description": "Whose word the reason is." },
            "metadata": { "type": "object", "additionalProperties": { "type": "string" } },
            "violations": {
                "type": "array",
                "description": "The fields of the request that are wrong.",
                "items": {
                    "type": "object",
                    "required": ["field", "description"],
                    "properties": { "field": { "type": "string" }, "description": { "type": "string" } },
                },
            },
            "retryAfterMs": { "type": "integer", "minimum": 0, "description": "Asking again after this long may help." },
        },
    })
}
