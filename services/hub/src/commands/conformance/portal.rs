//! The scripted portal.

use std::time::Duration;

use tonic::Code;
use tonic::transport::Channel;
use wire::ingest::ingest_service_client::IngestServiceClient;
use wire::ingest::{Batch, Position, PublishBatchRequest, outcome};
use wire::query::get_subject_response::Result as Found;
use wire::query::query_service_client::QueryServiceClient;
use wire::query::subject_key::Key;
use wire::query::{
    CheckProcedureRequest, GetSubjectRequest, GetSubjectResponse, ListAccessesRequest, MinPosition, Purpose, SubjectKey,
};

use super::publisher::refused_with;
use super::suite::{Fault, Seen, Suite, failed};

const WHO: &str = "portal";
/// A personal id that nobody has: its province is not assigned.
const NOBODY: &str = "099000000000";

const CASES: [&str; 9] = [
    "a question without a purpose is refused",
    "a question without fields is refused",
    "a procedure that does not exist is refused",
    "a field that does not exist is refused, by its name",
    "nobody is a typed answer, not an error",
    "a portal may not publish",
    "a publisher may not ask for subjects",
    "an answer shows what was just published, each value with its source",
    "the answer is in the person's list of accesses",
];

/// Who asks, and for what.
pub(super) struct Portal {
    pub(super) client: QueryServiceClient<Channel>,
    pub(super) channel: Channel,
    /// The publisher's, which is no portal's.
    pub(super) publisher: Channel,
    pub(super) register: String,
    pub(super) procedure: String,
    pub(super) case_number: String,
    pub(super) personal_id: Option<String>,
    /// Where the samples stand.
    pub(super) published: Vec<Position>,
    /// The access of the answer.
    pub(super) access_id: String,
}

/// Notes every case as not played.
pub(super) fn skip(suite: &mut Suite, why: &str) {
    suite.skip(WHO, &CASES, why);
}

impl Portal {
    /// Plays every case.
    pub(super) async fn play(&mut self, suite: &mut Suite) {
        let [purpose, fields, procedure, field, nobody, publish, ask, answer, listed] = CASES;
        suite.play(WHO, purpose, self.without_purpose()).await;
        suite.play(WHO, fields, self.without_fields()).await;
        suite.play(WHO, procedure, self.unknown_procedure()).await;
        suite.play(WHO, field, self.unknown_field()).await;
        suite.play(WHO, nobody, self.nobody()).await;
        suite.play(WHO, publish, self.may_not_publish()).await;
        suite.play(WHO, ask, self.publisher_may_not_ask()).await;
        suite.play(WHO, answer, self.answered()).await;
        suite.play(WHO, listed, self.listed()).await;
    }

    fn purpose(&self) -> Option<Purpose> {
        Some(Purpose { procedure: self.procedure.clone(), case_number: self.case_number.clone() })
    }

    fn question(&self, personal_id: &str) -> GetSubjectRequest {
        GetSubjectRequest {
            kind: "person".to_owned(),
            key: Some(SubjectKey { key: Some(Key::PersonalId(personal_id.to_owned())) }),
            purpose: self.purpose(),
            fields: vec!["full_name".to_owned()],
            ..GetSubjectRequest::default()
        }
    }

    async fn refused(&mut self, question: GetSubjectRequest, codes: &[Code]) -> Seen {
        match self.client.get_subject(question).await {
            Ok(_) => failed("it was answered"),
            Err(status) => refused_with(&status, codes),
        }
    }

    async fn without_purpose(&mut self) -> Seen {
        let question = GetSubjectRequest { purpose: None, ..self.question(NOBODY) };
        self.refused(question, &[Code::InvalidArgument]).await
    }

    async fn without_fields(&mut self) -> Seen {
        let question = GetSubjectRequest { fields: Vec::new(), ..self.question(NOBODY) };
        self.refused(question, &[Code::InvalidArgument]).await
    }

    async fn unknown_procedure(&mut self) -> Seen {
        let purpose = Some(Purpose { procedure: "0.000000".to_owned(), case_number: self.case_number.clone() });
        let question = GetSubjectRequest { purpose, ..self.question(NOBODY) };
        self.refused(question, &[Code::InvalidArgument, Code::PermissionDenied, Code::NotFound]).await
    }

    async fn unknown_field(&mut self) -> Seen {
        let question = GetSubjectRequest { fields: vec!["no_such_field".to_owned()], ..self.question(NOBODY) };
        self.refused(question, &[Code::InvalidArgument, Code::PermissionDenied]).await
    }

    async fn nobody(&mut self) -> Seen {
        match self.client.get_subject(self.question(NOBODY)).await?.into_inner().result {
            Some(Found::NotFound(_)) => Ok("not found".to_owned()),
            Some(_) => failed("somebody bears a number that nobody has"),
            None => failed("the answer is empty"),
        }
    }

    async fn may_not_publish(&mut self) -> Seen {
        let batch = Batch {
            sequence: 1,
            register: self.register.clone(),
            published_at: None,
            changes: vec![wire::ingest::Change { record_id: "x".to_owned(), version: 1, ..Default::default() }],
            register_epoch: 0,
        };
        let request = PublishBatchRequest { batch: Some(batch) };
        match IngestServiceClient::new(self.channel.clone()).publish_batch(request).await {
            Err(status) => refused_with(&status, &[Code::PermissionDenied]),
            Ok(answer) => {
                let outcomes = answer.into_inner().result.unwrap_or_default().outcomes;
                match outcomes.first().and_then(|outcome| outcome.outcome.as_ref()) {
                    Some(outcome::Outcome::Unauthorised(_)) => Ok("unauthorised".to_owned()),
                    _ => failed("its change was judged"),
                }
            }
        }
    }

    async fn publisher_may_not_ask(&mut self) -> Seen {
        match QueryServiceClient::new(self.publisher.clone()).get_subject(self.question(NOBODY)).await {
            Ok(_) => failed("it was answered"),
            Err(status) => refused_with(&status, &[Code::PermissionDenied]),
        }
    }

    async fn answered(&mut self) -> Seen {
        let Some(personal_id) = self.personal_id.clone() else {
            return Err(Fault::Skipped("the records that were published hold no personal id".to_owned()));
        };
        let min_positions = self.published.iter().map(|at| MinPosition { partition: at.partition, index: at.index });
        let question = GetSubjectRequest { min_positions: min_positions.collect(), ..self.question(&personal_id) };
        let mut request = tonic::Request::new(question);
        request.set_timeout(Duration::from_secs(30));
        let answer: GetSubjectResponse = self.client.get_subject(request).await?.into_inner();
        let basis = answer.basis.unwrap_or_default();
        if basis.access_id.is_empty() || basis.access_position.is_empty() {
            return failed("the answer names no access entry");
        }
        self.access_id = basis.access_id;
        match answer.result {
            Some(Found::Subject(subject)) => {
                let sourced = |attribute: &wire::query::Attribute| {
                    let source = attribute.value.as_ref().and_then(|value| value.source.as_ref());
                    source.is_some_and(|source| !source.register.is_empty() && !source.position.is_empty())
                };
                if subject.attributes.is_empty() || !subject.attributes.iter().all(sourced) {
                    return failed("a value has no source");
                }
                if subject.attributes.iter().any(|attribute| attribute.name != "full_name") {
                    return failed("more was answered than was asked for");
                }
                Ok(format!("from {} records", subject.records))
            }
            Some(Found::Ambiguous(several)) => Ok(format!("{} subjects bear the number", several.subjects.len())),
            Some(Found::NotFound(_)) => failed("what was accepted is not found, though its position was waited for"),
            None => failed("the answer is empty"),
        }
    }

    async fn listed(&mut self) -> Seen {
        let Some(personal_id) = self.personal_id.clone().filter(|_| !self.access_id.is_empty()) else {
            return Err(Fault::Skipped("there was no answer about a person".to_owned()));
        };
        let request = ListAccessesRequest {
            kind: "person".to_owned(),
            key: self.question(&personal_id).key,
            purpose: self.purpose(),
            limit: 1_000,
            page_token: String::new(),
        };
        match self.client.list_accesses(request).await {
            Err(status) if status.code() == Code::PermissionDenied => {
                Err(Fault::Skipped("this portal may not list a person's accesses".to_owned()))
            }
            Err(status) if status.code() == Code::InvalidArgument => {
                Err(Fault::Skipped("several subjects bear the number".to_owned()))
            }
            Err(status) => Err(status.into()),
            Ok(answer) => {
                let accesses = answer.into_inner().accesses;
                if accesses.iter().any(|access| access.access_id == self.access_id) {
                    return Ok(format!("{} accesses", accesses.len()));
                }
                failed("the list does not have it")
            }
        }
    }

    /// Whether the hub can be asked at all: for a first word before the cases.
    pub(super) async fn reachable(&mut self) -> Result<(), tonic::Status> {
        let request = CheckProcedureRequest { purpose: self.purpose(), ..CheckProcedureRequest::default() };
        match self.client.check_procedure(request).await {
            Err(status) if status.code() == Code::Unavailable => Err(status),
            // Whatever it says, it says something.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}
