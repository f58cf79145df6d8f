//! The scripted publisher.

use std::time::Duration;

use ingest::{BATCH_CHANGES_MAX, RESPONSE_BYTES_MAX};
use ledger::VerifierKey;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use wire::ingest::ingest_service_client::IngestServiceClient;
use wire::ingest::{
    Batch, BatchResult, Change, ChangeKey, ChangeState, GetChangeStatusRequest, GetKeysRequest, ListRejectedRequest,
    Operation, Outcome, Position, PublishBatchRequest, RejectedChange, outcome,
};
use wire::query::query_service_client::QueryServiceClient;
use wire::query::{CompareRequest, ComparedHead, GetHeadsRequest, compare_response::Message};

use super::samples::Samples;
use super::suite::{Fault, Seen, Suite, failed};
use crate::receipts;

const WHO: &str = "publisher";
/// Longest wait for the fold.
const FOLD_TRIES: u32 = 150;
const FOLD_WAIT: Duration = Duration::from_millis(200);
/// Pages of refused changes that are looked through.
const PAGES_MAX: usize = 50;

/// Who publishes, and what.
pub(super) struct Publisher {
    pub(super) client: IngestServiceClient<Channel>,
    query: QueryServiceClient<Channel>,
    pub(super) register: String,
    pub(super) samples: Vec<Change>,
    prefix: String,
    sequence: u64,
    /// Positions of the samples, once they are accepted.
    pub(super) accepted: Vec<Position>,
}

/// One letter per outcome: accepted, duplicate, conflict, rejected, unauthorised.
pub(super) fn letters(result: &BatchResult) -> String {
    let letter = |outcome: &Outcome| match &outcome.outcome {
        Some(outcome::Outcome::Accepted(_)) => 'a',
        Some(outcome::Outcome::Duplicate(_)) => 'd',
        Some(outcome::Outcome::Conflict(_)) => 'c',
        Some(outcome::Outcome::Rejected(_)) => 'r',
        Some(outcome::Outcome::Unauthorised(_)) => 'u',
        None => '?',
    };
    result.outcomes.iter().map(letter).collect()
}

pub(super) fn expect(result: &BatchResult, wanted: &str) -> Result<(), Fault> {
    let found = letters(result);
    if found == wanted {
        return Ok(());
    }
    let reasons: Vec<String> = result.outcomes.iter().filter_map(why).take(3).collect();
    failed(format!(
        "the outcomes are {found} instead of {wanted} (accepted, duplicate, conflict, rejected, unauthorised){}{}",
        if reasons.is_empty() { "" } else { ": " },
        reasons.join("; ")
    ))
}

fn why(outcome: &Outcome) -> Option<String> {
    match outcome.outcome.as_ref()? {
        outcome::Outcome::Rejected(rejected) => {
            rejected.violations.first().map(|v| format!("{}: {} ({})", v.field_path, v.message, v.rule_id))
        }
        outcome::Outcome::Unauthorised(refused) => Some(refused.message.clone()),
        _ => None,
    }
}

/// Fails unless a refused call says what the API promises: a code, a reason for programs, words for people.
pub(super) fn refused_with(status: &Status, codes: &[Code]) -> Seen {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
    if !codes.contains(&status.code()) {
        return failed(format!("the call ended with {:?}: {}", status.code(), status.message()));
    }
    if reason.is_empty() || status.message().is_empty() {
        return failed(format!("{:?} without a google.rpc.ErrorInfo and a message", status.code()));
    }
    Ok(format!("{:?}, {reason}", status.code()))
}

impl Publisher {
    pub(super) fn new(channel: Channel, register: &str, samples: &Samples, prefix: &str) -> Self {
        Self {
            client: IngestServiceClient::new(channel.clone())
                .max_decoding_message_size(RESPONSE_BYTES_MAX)
                .max_encoding_message_size(64 << 20),
            query: QueryServiceClient::new(channel),
            register: register.to_owned(),
            samples: samples.changes.clone(),
            prefix: prefix.to_owned(),
            sequence: 0,
            accepted: Vec::new(),
        }
    }

    /// Plays every case, then takes back what it has published.
    pub(super) async fn play(&mut self, suite: &mut Suite) {
        suite.play(WHO, "the hub tells the key that receipts are signed with", self.keys()).await;
        suite.play(WHO, "sound changes are accepted, and each receipt verifies", self.accepted()).await;
        suite.play(WHO, "a retry is answered by duplicates that point to the first", self.retried()).await;
        suite.play(WHO, "a change that stands twice in a batch is kept once", self.twice()).await;
        suite.play(WHO, "another statement under the same version is a conflict", self.conflict()).await;
        suite.play(WHO, "a lower version is taken as history", self.lower_version()).await;
        suite.play(WHO, "a bad change is refused with reasons and harms no neighbour", self.bad_neighbour()).await;
        suite.play(WHO, "what was refused is kept and listed", self.listed()).await;
        suite.play(WHO, "a malformed envelope is refused field by field", self.envelope()).await;
        suite.play(WHO, "a register that is not the caller's is refused", self.foreign()).await;
        suite.play(WHO, "a batch beyond the bounds is refused whole, with its field", self.too_large()).await;
        suite.play(WHO, "a stream answers each batch, in order", self.in_order()).await;
        suite.play(WHO, "a publisher that reads no answers is held back, then served", self.flow_control()).await;
        suite.play(WHO, "after a broken stream everything sent again is kept once", self.broken_off()).await;
        suite.play(WHO, "the fold says of each change that it is applied", self.applied()).await;
        suite.play(WHO, "the heads are those that were published", self.heads()).await;
        suite.play(WHO, "a comparison finds what is missing and what differs", self.compared()).await;
    }

    /// Takes back every record of the run.
    pub(super) async fn clean_up(&mut self, suite: &mut Suite) {
        suite.play(WHO, "what the run has published can be taken back", self.retracted()).await;
    }

    pub(super) fn batch(&mut self, changes: Vec<Change>) -> Batch {
        self.sequence += 1;
        Batch {
            sequence: self.sequence,
            register: self.register.clone(),
            published_at: Some(prost_types::Timestamp::from(std::time::SystemTime::now())),
            changes,
            register_epoch: 0,
        }
    }

    pub(super) async fn publish(&mut self, changes: Vec<Change>) -> Result<BatchResult, Fault> {
        let count = changes.len();
        let batch = self.batch(changes);
        let sequence = batch.sequence;
        let answer = self.client.publish_batch(PublishBatchRequest { batch: Some(batch) }).await?.into_inner();
        let result = answer.result.unwrap_or_default();
        if result.outcomes.len() != count || result.sequence != sequence {
            return failed(format!("{} outcomes for {count} changes, or another sequence", result.outcomes.len()));
        }
        Ok(result)
    }

    async fn verifiers(&mut self) -> Result<Vec<VerifierKey>, Fault> {
        let answer = self.client.get_keys(GetKeysRequest {}).await?.into_inner();
        let parsed: Result<Vec<VerifierKey>, _> =
            answer.keys.iter().map(|key| VerifierKey::parse(&key.verifier)).collect();
        match parsed {
            Ok(keys) if !keys.is_empty() => Ok(keys),
            Ok(_) => failed("no key is told"),
            Err(error) => failed(format!("a key is no verifier key: {error}")),
        }
    }

    async fn keys(&mut self) -> Seen {
        let keys = self.verifiers().await?;
        Ok(format!("{} keys, log {}", keys.len(), keys[0].name()))
    }

    async fn accepted(&mut self) -> Seen {
        let changes = self.samples.clone();
        let result = self.publish(changes.clone()).await?;
        expect(&result, &"a".repeat(changes.len()))?;
        let keys = self.verifiers().await?;
        for (outcome, change) in result.outcomes.iter().zip(&changes) {
            let Some(outcome::Outcome::Accepted(accepted)) = &outcome.outcome else { continue };
            let Some(receipt) = &accepted.receipt else { return failed("an accepted change has no receipt") };
            let line = receipts::line(&self.register, &change.record_id, change.version, receipt, &result.signed_root);
            let kept = receipts::read(line.to_string().as_bytes()).map_err(|e| Fault::Failed(e.to_string()))?;
            let receipt = &kept[0].receipt;
            let origin = keys[0].name();
            receipt.verify_by_any(&keys, origin).map_err(|error| Fault::Failed(format!("a receipt: {error}")))?;
            self.accepted.extend(accepted.receipt.as_ref().and_then(|receipt| receipt.position.clone()));
        }
        Ok(format!("{} accepted", changes.len()))
    }

    async fn retried(&mut self) -> Seen {
        let changes = self.samples.clone();
        let result = self.publish(changes.clone()).await?;
        expect(&result, &"d".repeat(changes.len()))?;
        let of = |outcome: &Outcome| match &outcome.outcome {
            Some(outcome::Outcome::Duplicate(duplicate)) => duplicate.of.clone(),
            _ => None,
        };
        let found: Vec<Position> = result.outcomes.iter().filter_map(of).collect();
        if found != self.accepted {
            return failed("the duplicates do not point to where the changes were accepted");
        }
        Ok(format!("{} duplicates", changes.len()))
    }

    /// A change of its own record that no case has published.
    pub(super) fn fresh(&self, name: &str) -> Change {
        Change { record_id: format!("{}-{name}", self.prefix), ..self.samples[0].clone() }
    }

    async fn twice(&mut self) -> Seen {
        let change = self.fresh("twice");
        let result = self.publish(vec![change.clone(), change]).await?;
        expect(&result, "ad")?;
        Ok("one accepted, one duplicate".to_owned())
    }

    async fn conflict(&mut self) -> Seen {
        let mut other = self.samples[0].clone();
        other.reason = "another statement".to_owned();
        let neighbour = self.samples[1].clone();
        let result = self.publish(vec![other, neighbour]).await?;
        expect(&result, "cd")?;
        match &result.outcomes[0].outcome {
            Some(outcome::Outcome::Conflict(conflict)) if conflict.with.as_ref() == self.accepted.first() => {
                Ok("a conflict with the first entry".to_owned())
            }
            _ => failed("the conflict does not say with which entry"),
        }
    }

    async fn lower_version(&mut self) -> Seen {
        let lower = Change { version: 9, ..self.samples[0].clone() };
        expect(&self.publish(vec![lower]).await?, "a")?;
        Ok("version 9 after version 10".to_owned())
    }

    async fn bad_neighbour(&mut self) -> Seen {
        let bad = Change { payload: vec![0xff, 0xff, 0xff].into(), ..self.fresh("bad") };
        let good = self.fresh("beside-bad");
        let result = self.publish(vec![bad, good]).await?;
        expect(&result, "ra")?;
        let Some(outcome::Outcome::Rejected(rejected)) = &result.outcomes[0].outcome else {
            return failed("the refusal is gone");
        };
        let told = |v: &wire::ingest::Violation| !v.rule_id.is_empty() && !v.group.is_empty() && !v.message.is_empty();
        if rejected.violations.is_empty() || !rejected.violations.iter().all(told) || rejected.position.is_none() {
            return failed("a refusal needs its place, and of each violation rule, group and what to do");
        }
        Ok(format!("refused by {}", rejected.violations[0].rule_id))
    }

    async fn listed(&mut self) -> Seen {
        let wanted = format!("{}-bad", self.prefix);
        let mut page_token = String::new();
        for _ in 0..PAGES_MAX {
            let request = ListRejectedRequest { register: self.register.clone(), limit: 1_000, page_token };
            let answer = self.client.list_rejected(request).await?.into_inner();
            let is_it =
                |refused: &&RejectedChange| refused.change.as_ref().is_some_and(|change| change.record_id == wanted);
            if let Some(found) = answer.changes.iter().find(is_it) {
                return match found.violations.is_empty() {
                    true => failed("it is listed without its reasons"),
                    false => Ok("listed with its reasons".to_owned()),
                };
            }
            page_token = answer.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        failed("it is not in the list of refused changes")
    }

    async fn envelope(&mut self) -> Seen {
        let faults = [
            ("record_id", Change { record_id: String::new(), ..self.fresh("x") }),
            ("version", Change { version: 0, ..self.fresh("no-version") }),
            ("operation", Change { operation: Operation::Unspecified.into(), ..self.fresh("no-operation") }),
            ("effective_at", Change { effective_at: None, ..self.fresh("no-time") }),
        ];
        let result = self.publish(faults.iter().map(|(_, change)| change.clone()).collect()).await?;
        expect(&result, "rrrr")?;
        for (outcome, (field, _)) in result.outcomes.iter().zip(&faults) {
            let Some(outcome::Outcome::Rejected(rejected)) = &outcome.outcome else { continue };
            if !rejected.violations.iter().any(|violation| violation.field_path == *field) {
                return failed(format!("the refusal of a bad {field} does not name it"));
            }
        }
        Ok("4 fields named".to_owned())
    }

    async fn foreign(&mut self) -> Seen {
        let mut batch = self.batch(vec![self.samples[0].clone()]);
        batch.register = "conformance-of-nobody".to_owned();
        match self.client.publish_batch(PublishBatchRequest { batch: Some(batch) }).await {
            Err(status) => refused_with(&status, &[Code::PermissionDenied, Code::InvalidArgument, Code::NotFound]),
            Ok(answer) => {
                expect(&answer.into_inner().result.unwrap_or_default(), "u")?;
                Ok("unauthorised".to_owned())
            }
        }
    }

    async fn too_large(&mut self) -> Seen {
        let empty = Change::default();
        let batch = self.batch(vec![empty; BATCH_CHANGES_MAX + 1]);
        match self.client.publish_batch(PublishBatchRequest { batch: Some(batch) }).await {
            Ok(_) => failed(format!("{} changes were taken", BATCH_CHANGES_MAX + 1)),
            Err(status) => {
                let fields = status.get_error_details().bad_request().map_or(0, |bad| bad.field_violations.len());
                if fields == 0 {
                    return failed("the refusal names no field (google.rpc.BadRequest)");
                }
                refused_with(&status, &[Code::InvalidArgument])
            }
        }
    }

    pub(super) async fn until_folded(&mut self, changes: &[Change]) -> Result<Vec<wire::ingest::ChangeStatus>, Fault> {
        let key = |change: &Change| ChangeKey {
            register: self.register.clone(),
            record_id: change.record_id.clone(),
            version: change.version,
        };
        let keys: Vec<ChangeKey> = changes.iter().map(key).collect();
        for _ in 0..FOLD_TRIES {
            let request = GetChangeStatusRequest { keys: keys.clone() };
            let statuses = self.client.get_change_status(request).await?.into_inner().statuses;
            if statuses.iter().all(|status| status.state() != ChangeState::NotYetFolded) {
                return Ok(statuses);
            }
            tokio::time::sleep(FOLD_WAIT).await;
        }
        failed("the changes are not folded within half a minute")
    }

    async fn applied(&mut self) -> Seen {
        let changes = self.samples.clone();
        let statuses = self.until_folded(&changes).await?;
        let other = statuses.iter().find(|status| status.state() != ChangeState::Applied);
        match other {
            Some(status) => failed(format!("a change is {:?}", status.state())),
            None => Ok(format!("{} applied", statuses.len())),
        }
    }

    async fn heads(&mut self) -> Seen {
        let request = GetHeadsRequest {
            register: self.register.clone(),
            record_ids: self.samples.iter().map(|change| change.record_id.clone()).collect(),
            case_number: String::new(),
        };
        let heads = self.query.get_heads(request).await?.into_inner().heads;
        let same = heads.len() == self.samples.len()
            && heads.iter().zip(&self.samples).all(|(head, change)| head.version == change.version);
        if same {
            Ok(format!("{} heads", heads.len()))
        } else {
            failed("a head has another version than was published")
        }
    }

    async fn compared(&mut self) -> Seen {
        let mut heads: Vec<ComparedHead> = self
            .samples
            .iter()
            .map(|change| ComparedHead {
                record_id: change.record_id.clone(),
                version: change.version,
                hash: Vec::new(),
            })
            .collect();
        heads.sort_by(|a, b| a.record_id.cmp(&b.record_id));
        heads[0].version += 1;
        let last = heads.last().map(|head| format!("{}-missing", head.record_id)).unwrap_or_default();
        heads.push(ComparedHead { record_id: last.clone(), version: 1, hash: Vec::new() });
        let changed = heads[0].record_id.clone();
        let sent = heads.len() as u64;
        let request =
            CompareRequest { register: self.register.clone(), differences_max: 0, heads, ..Default::default() };
        let mut answers = self.query.compare(tokio_stream::iter([request])).await?.into_inner();
        let (mut named, mut result) = (Vec::new(), None);
        while let Some(answer) = answers.message().await? {
            match answer.message {
                Some(Message::Differences(found)) => named.extend(found.differences),
                Some(Message::Comparison(found)) => result = Some(found),
                None => {}
            }
        }
        let Some(result) = result else { return failed("the stream ended without a result") };
        let names = |id: &str| named.iter().any(|difference| difference.record_id == id);
        let right = result.compared == sent && result.missing == 1 && result.different == 1 && result.equal == sent - 2;
        // Of a large register more is extra than is named.
        if !right || (result.unnamed == 0 && !(names(&last) && names(&changed))) {
            return failed(format!(
                "{} equal, {} missing, {} different of {sent}, where one is missing and one differs",
                result.equal, result.missing, result.different
            ));
        }
        Ok(format!("1 missing, 1 different, {} extra", result.extra))
    }

    async fn retracted(&mut self) -> Seen {
        let mut ids: Vec<String> = self.samples.iter().map(|change| change.record_id.clone()).collect();
        ids.extend(["twice", "beside-bad"].map(|name| format!("{}-{name}", self.prefix)));
        ids.extend(
            (0..8)
                .flat_map(|n| (0..3).map(move |at| format!("stream-{n}-{at}")))
                .map(|name| format!("{}-{name}", self.prefix)),
        );
        ids.extend((0..50).map(|n| format!("{}-broken-{n:02}", self.prefix)));
        let retract = |record_id: String| Change {
            record_id,
            version: 11,
            operation: Operation::Retract.into(),
            payload: Vec::new().into(),
            ..self.samples[0].clone()
        };
        // From the time on at which each holds, so that none stays in force before.
        let earliest =
            self.samples.iter().filter_map(|change| change.effective_at).min_by_key(|at| (at.seconds, at.nanos));
        let changes: Vec<Change> = ids
            .into_iter()
            .map(|id| {
                let own = self.samples.iter().find(|change| change.record_id == id).unwrap_or(&self.samples[0]);
                Change {
                    effective_at: own.effective_at.or(earliest),
                    record_type: own.record_type.clone(),
                    agency: own.agency.clone(),
                    ..retract(id)
                }
            })
            .collect();
        let count = changes.len();
        let result = self.publish(changes).await?;
        if letters(&result).chars().any(|letter| !matches!(letter, 'a' | 'd')) {
            return failed(format!("the outcomes are {}", letters(&result)));
        }
        Ok(format!("{count} records retracted"))
    }
}
