//! The hub's API as JSON over HTTP: what its descriptors do not say, and the layer that serves it.

use std::time::Duration;

use http_json::openapi::Info;
use http_json::{Api, JsonLayer, Options, Resumable, Validators};
use record::secret::LogSecret;
use serde_json::{Value, json};

use crate::config::{Config, Http};

/// Largest message of an answer; the largest that a handler makes are a contract's descriptors and a replay's entries.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// A watch on which nothing happens says so.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Salt of the key of validators: no answer's salt, because those are random.
const VALIDATOR_SALT: &[u8; 16] = b"etags of answers";

const DESCRIPTION: &str = "\
The same calls as over gRPC, with the same certificates, permits, limits, access entries and errors: JSON is the canonical JSON of the \
`.proto` files. Names of fields are lowerCamelCase; whole numbers of 64 bits are text; unknown fields are refused by name. Every method is \
a POST, also those that only read, because what names a person belongs in no URL. Methods that answer a stream send server-sent events. \
Clients of the Connect protocol (unary, JSON) may use the same paths.";

/// The layer that serves the API as JSON.
///
/// # Panics
/// Never: the descriptors are compiled in, and a test reads them.
pub(crate) fn layer(config: &Config, secret: &LogSecret) -> JsonLayer {
    JsonLayer::new(api(&config.http, secret.answer_key(VALIDATOR_SALT)))
}

/// The OpenAPI description, as it is served.
pub(crate) fn described() -> Vec<u8> {
    api(&Http::default(), [0; 32]).description().to_vec()
}

fn api(config: &Http, validator_key: [u8; 32]) -> Api {
    let validators = Validators {
        key: validator_key,
        basis: "hub.query.v1.Basis",
        volatile: vec!["hub.query.v1.Provenance.age"],
        told: vec![("hub-access-id", "access_id"), ("hub-access-position", "access_position")],
    };
    let watch = Resumable { method: "hub.query.v1.QueryService.Watch", told: &["changes", "cursor"], asked: "cursor" };
    let options = Options {
        body_bytes_max: config.body_bytes_max as usize,
        body_timeout: Duration::from_millis(config.body_timeout_ms),
        answer_bytes_max: ANSWER_BYTES_MAX,
        requests_max: config.requests_max as usize,
        heartbeat: HEARTBEAT,
        domain: "hub",
        validators: Some(validators),
        resumable: vec![watch],
    };
    let info = Info {
        title: "National Data-Sharing Hub".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        description: DESCRIPTION.to_owned(),
        examples: examples(),
    };
    Api::new(wire::DESCRIPTORS, options, &info).expect("the descriptors are compiled in, and a test reads them")
}

/// Requests to show, with persons of the unassigned prefix 099.
fn examples() -> Vec<(String, String, Value)> {
    let purpose = |case: &str| json!({ "procedure": "1.000894", "caseNumber": case });
    let person = json!({ "personalId": "099215123456" });
    let all = [
        (
            "hub.query.v1.QueryService.GetSubject",
            "by personal id",
            json!({ "kind": "person", "key": person, "purpose": purpose("HS-1"), "fields": ["full_name", "birth_date"] }),
        ),
        (
            "hub.query.v1.QueryService.CheckProcedure",
            "birth registration",
            json!({
                "purpose": { "procedure": "1.001193", "caseNumber": "HS-2" },
                "roles": { "mother": { "personalId": "099190000025" }, "father": { "oldId": "123456789" } },
            }),
        ),
        (
            "hub.query.v1.QueryService.Search",
            "by name and date of birth",
            json!({
                "kind": "person",
                "purpose": purpose("HS-3"),
                "nameBirth": { "fullName": "Nguyễn Văn An", "birthDate": "2015-03-02" },
            }),
        ),
        (
            "hub.query.v1.QueryService.ListAccesses",
            "the last ten",
            json!({ "kind": "person", "key": person, "purpose": { "caseNumber": "A-7" }, "limit": 10 }),
        ),
        (
            "hub.query.v1.QueryService.Watch",
            "persons from now on",
            json!({ "kind": "person", "purpose": purpose("W-1"), "fromNow": true }),
        ),
        ("hub.query.v1.QueryService.GetQuality", "by commune", json!({ "register": "civil", "by": "commune" })),
        (
            "hub.ingest.v1.IngestService.PublishBatch",
            "a retraction",
            json!({ "batch": {
                "sequence": "1",
                "register": "civil",
                "publishedAt": "2026-03-01T00:00:00Z",
                "changes": [{
                    "recordId": "KS-9/2015",
                    "version": "2",
                    "operation": "OPERATION_RETRACT",
                    "recordType": "birth",
                    "effectiveAt": "2026-03-01T00:00:00Z",
                    "registeredAt": "2026-03-01T00:00:00Z",
                    "reason": "entered twice",
                }],
            } }),
        ),
        (
            "hub.ingest.v1.IngestService.GetChangeStatus",
            "of one change",
            json!({ "keys": [{ "register": "civil", "recordId": "KS-1/2015", "version": "1" }] }),
        ),
    ];
    all.into_iter().map(|(method, name, value)| (method.to_owned(), name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use prost_reflect::{DescriptorPool, DynamicMessage};

    use super::*;

    #[test]
    fn every_example_is_a_request_of_its_method() {
        let pool = DescriptorPool::decode(wire::DESCRIPTORS).expect("descriptors");
        for (name, _, value) in examples() {
            let (service, method) = name.rsplit_once('.').expect("a full name");
            let service = pool.get_service_by_name(service).unwrap_or_else(|| panic!("{service}"));
            let method = service.methods().find(|known| known.name() == method).unwrap_or_else(|| panic!("{name}"));
            DynamicMessage::deserialize(method.input(), value).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }

    #[test]
    fn the_description_has_every_method_that_takes_one_message_and_every_reference_leads_somewhere() {
        let description: Value = serde_json::from_slice(&described()).expect("JSON");
        let pool = DescriptorPool::decode(wire::DESCRIPTORS).expect("descriptors");
        for service in pool.services() {
            for method in service.methods() {
                let path = format!("/{}/{}", service.full_name(), method.name());
                let operation = &description["paths"][&path]["post"];
                assert_eq!(operation.is_object(), !method.is_client_streaming(), "{path}");
                let told = operation["description"].as_str().is_some_and(|text| !text.is_empty());
                assert!(method.is_client_streaming() || told, "{path} has a comment");
            }
        }
        let text = description.to_string();
        let references: Vec<_> = text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(references.len() > 100);
        for reference in references {
            assert!(description.pointer(reference).is_some(), "{reference}");
        }
    }
}
