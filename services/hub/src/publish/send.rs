//! Sending batches over a stream, a new one when it is lost, and matching answers to lines.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use ingest::RESPONSE_BYTES_MAX;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use wire::ingest::ingest_service_client::IngestServiceClient;
use wire::ingest::{Batch, BatchResult, Outcome, PublishRequest, Violation, outcome};

use super::line::LineError;
use super::read::Found;
use crate::error::{CommandError, Exit};
use crate::receipts;

/// Batches that are sent and not answered; the hub stops reading at its own bound, which is mostly lower.
const IN_FLIGHT: usize = 16;
/// Waits before a lost connection is tried again: as often as there are, counted from the last answer.
const RETRY_WAITS_MS: [u64; 8] = [200, 500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000];

/// Counts of outcomes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// In the log, new.
    pub accepted: u64,
    /// In the log before.
    pub duplicate: u64,
    /// Another statement under the same version is in the log.
    pub conflict: u64,
    /// Refused by the contract, and kept.
    pub rejected: u64,
    /// Not this caller's to write.
    pub unauthorised: u64,
    /// Lines that could not be read.
    pub broken: u64,
}

impl Tally {
    /// Changes that were answered.
    pub fn answered(&self) -> u64 {
        self.accepted + self.duplicate + self.conflict + self.rejected + self.unauthorised
    }

    /// Changes that the hub did not take.
    pub fn refused(&self) -> u64 {
        self.conflict + self.rejected + self.unauthorised
    }
}

/// What came of the input so far, for whoever shows it.
pub enum Sent {
    /// A batch was answered.
    Answered {
        /// So many changes.
        changes: u64,
        /// Every line up to this one was answered or is broken.
        reached: u64,
        /// One line of JSON per change that is not in the log now.
        refused: Vec<Json>,
        /// One line of JSON per receipt, where they are kept.
        receipts: Vec<Json>,
    },
    /// A line could not be read.
    Broken(LineError),
    /// The connection is lost; it is tried again after a while.
    Lost {
        /// Why.
        what: String,
        /// After how long.
        wait: Duration,
    },
}

/// A batch that is not answered.
struct Pending {
    batch: Batch,
    lines: Vec<u64>,
    reached: u64,
}

/// What is on its way: read, and not answered. At most [`IN_FLIGHT`] batches.
struct Sending<'a, S> {
    target: Target<'a>,
    found: mpsc::Receiver<Found>,
    pending: VecDeque<Pending>,
    /// Number of the last batch.
    sequence: u64,
    /// Set when the input has ended; with the reason when it cannot be read further.
    ended: Option<Result<(), String>>,
    tally: Tally,
    /// Tries in a row without an answer.
    tries: u32,
    sent: S,
}

/// What is published to.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The register.
    pub register: &'a str,
    /// Its epoch, when it is stated anew; 0 for the present one.
    pub epoch: u32,
    /// Whether receipts are kept.
    pub receipts: bool,
}

/// Publishes what `found` brings as changes of a register and tells `sent` in order.
///
/// A lost connection is tried again, at longer and longer intervals, about half a minute in all; what was not answered is
/// sent again, and the hub knows what it has.
///
/// # Errors
/// The hub did not answer or refused the stream; the input cannot be read further. What was told before is acknowledged.
pub async fn send(
    channel: Channel,
    target: Target<'_>,
    found: mpsc::Receiver<Found>,
    sent: impl FnMut(Sent) -> Result<(), CommandError>,
) -> Result<Tally, CommandError> {
    send_patiently(channel, target, found, sent, &RETRY_WAITS_MS).await
}

async fn send_patiently(
    channel: Channel,
    target: Target<'_>,
    found: mpsc::Receiver<Found>,
    sent: impl FnMut(Sent) -> Result<(), CommandError>,
    waits_ms: &[u64],
) -> Result<Tally, CommandError> {
    let mut sending = Sending {
        target,
        found,
        pending: VecDeque::new(),
        sequence: 0,
        ended: None,
        tally: Tally::default(),
        tries: 0,
        sent,
    };
    while let Err(error) = sending.stream(&channel).await {
        if error.exit != Exit::Unreachable {
            return Err(error);
        }
        let Some(wait) = waits_ms.get(sending.tries as usize).map(|ms| Duration::from_millis(*ms)) else {
            return Err(gave_up(&error, sending.tries));
        };
        sending.tries += 1;
        (sending.sent)(Sent::Lost { what: error.what, wait })?;
        tokio::time::sleep(wait).await;
    }
    match sending.ended {
        Some(Err(what)) => Err(CommandError::failed(
            what,
            "correct the input; what was acknowledged is in the log, and repeating is safe",
        )),
        Some(Ok(())) | None => Ok(sending.tally),
    }
}

fn gave_up(error: &CommandError, tries: u32) -> CommandError {
    CommandError::unreachable(
        format!("{}; {tries} further tries failed", error.what),
        "start the hub and publish the same input again: repeating is safe, and --resume leaves out what was answered",
    )
}

impl<S: FnMut(Sent) -> Result<(), CommandError>> Sending<'_, S> {
    /// One stream: everything pending anew, then what is read, until all is answered.
    async fn stream(&mut self, channel: &Channel) -> Result<(), CommandError> {
        // No stream without something to send: who waits for input need not mind whether the hub is there.
        while self.pending.is_empty() && self.ended.is_none() {
            let found = self.found.recv().await;
            self.take(found)?;
        }
        let (requests, outgoing) = mpsc::channel::<PublishRequest>(2);
        let mut requests = Some(requests);
        let (mut answers, _reading) = answers_of(channel.clone(), outgoing);
        // How many of the pending batches are on this stream.
        let mut under_way = 0;
        let mut closed = false;
        loop {
            let all_sent = self.ended.is_some() && under_way == self.pending.len();
            if all_sent && self.pending.is_empty() {
                return Ok(());
            }
            if all_sent || closed {
                requests = None;
            }
            tokio::select! {
                answer = answers.recv() => {
                    let result = answer.ok_or_else(hung_up)??;
                    under_way = usize::checked_sub(under_way, 1).ok_or_else(unasked)?;
                    self.answered(&result)?;
                }
                place = reserve(requests.as_ref()), if under_way < self.pending.len() => {
                    match place {
                        Ok(place) => {
                            place.send(PublishRequest { batch: Some(self.pending[under_way].batch.clone()) });
                            under_way += 1;
                        }
                        // The stream is over, and its reader has the reason.
                        Err(_) => closed = true,
                    }
                }
                found = self.found.recv(), if self.ended.is_none() && self.pending.len() < IN_FLIGHT => {
                    self.take(found)?;
                }
            }
        }
    }

    fn take(&mut self, found: Option<Found>) -> Result<(), CommandError> {
        match found {
            Some(Found::Batch { changes, lines, reached }) => {
                self.sequence += 1;
                let published_at = Some(prost_types::Timestamp::from(SystemTime::now()));
                let (sequence, register) = (self.sequence, self.target.register.to_owned());
                let batch = Batch { sequence, register, published_at, changes, register_epoch: self.target.epoch };
                self.pending.push_back(Pending { batch, lines, reached });
            }
            Some(Found::Broken(line)) => {
                self.tally.broken += 1;
                (self.sent)(Sent::Broken(line))?;
            }
            Some(Found::End(_)) => self.ended = Some(Ok(())),
            Some(Found::Failed(what)) => self.ended = Some(Err(what)),
            None => self.ended = Some(Err("reading ended abnormally".to_owned())),
        }
        Ok(())
    }

    fn answered(&mut self, result: &BatchResult) -> Result<(), CommandError> {
        let batch = self.pending.pop_front().ok_or_else(unasked)?;
        if result.outcomes.len() != batch.lines.len() {
            return Err(unasked());
        }
        self.tries = 0;
        let refused = count(result, &batch, &mut self.tally);
        let receipts = if self.target.receipts { receipts(result, &batch.batch) } else { Vec::new() };
        (self.sent)(Sent::Answered { changes: batch.lines.len() as u64, reached: batch.reached, refused, receipts })
    }
}

/// A place in the stream; never, when it is closed on this side.
async fn reserve(
    requests: Option<&mpsc::Sender<PublishRequest>>,
) -> Result<mpsc::Permit<'_, PublishRequest>, mpsc::error::SendError<()>> {
    match requests {
        Some(requests) => requests.reserve().await,
        None => std::future::pending().await,
    }
}

/// Ends its task when it is dropped.
struct Reading(tokio::task::JoinHandle<()>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The answers of one stream, read by a task of their own: the hub answers the call itself with its first batch result only.
fn answers_of(
    channel: Channel,
    outgoing: mpsc::Receiver<PublishRequest>,
) -> (mpsc::Receiver<Result<BatchResult, CommandError>>, Reading) {
    let (sender, answers) = mpsc::channel(IN_FLIGHT);
    let task = tokio::spawn(async move {
        let read = async {
            let mut client = IngestServiceClient::new(channel).max_decoding_message_size(RESPONSE_BYTES_MAX);
            let mut answers = client.publish(ReceiverStream::new(outgoing)).await?.into_inner();
            while let Some(answer) = answers.message().await? {
                if sender.send(Ok(answer.result.unwrap_or_default())).await.is_err() {
                    break;
                }
            }
            Ok::<_, tonic::Status>(())
        };
        if let Err(status) = read.await {
            // Fails when nobody waits for answers any more.
            let _ = sender.send(Err(status.into())).await;
        }
    });
    (answers, Reading(task))
}

fn hung_up() -> CommandError {
    CommandError::unreachable(
        "the hub ended the stream before it had answered everything",
        "try again; repeating is safe",
    )
}

fn unasked() -> CommandError {
    CommandError::failed("the hub answered what was not asked", "use a program of the hub's version")
}

fn count(result: &BatchResult, batch: &Pending, tally: &mut Tally) -> Vec<Json> {
    let mut refused = Vec::new();
    for ((answer, line), change) in result.outcomes.iter().zip(&batch.lines).zip(&batch.batch.changes) {
        match &answer.outcome {
            Some(outcome::Outcome::Accepted(_)) => tally.accepted += 1,
            Some(outcome::Outcome::Duplicate(_)) => tally.duplicate += 1,
            Some(outcome::Outcome::Conflict(_)) => tally.conflict += 1,
            Some(outcome::Outcome::Rejected(_)) => tally.rejected += 1,
            Some(outcome::Outcome::Unauthorised(_)) | None => tally.unauthorised += 1,
        }
        refused.extend(told(answer, *line, &change.record_id));
    }
    refused
}

fn receipts(result: &BatchResult, batch: &Batch) -> Vec<Json> {
    let of = |(answer, change): (&Outcome, &wire::ingest::Change)| match &answer.outcome {
        Some(outcome::Outcome::Accepted(accepted)) => {
            let receipt = accepted.receipt.as_ref()?;
            Some(receipts::line(&batch.register, &change.record_id, change.version, receipt, &result.signed_root))
        }
        _ => None,
    };
    result.outcomes.iter().zip(&batch.changes).filter_map(of).collect()
}

fn told(answer: &Outcome, line: u64, record_id: &str) -> Option<Json> {
    let violation = |violation: &Violation| json!({ "field": violation.field_path, "rule": violation.rule_id, "group": violation.group, "message": violation.message });
    let told = |outcome: &str, violations: Vec<Json>, message: &str| {
        Some(
            json!({ "line": line, "record_id": record_id, "outcome": outcome, "violations": violations, "message": message }),
        )
    };
    match answer.outcome.as_ref()? {
        outcome::Outcome::Accepted(_) | outcome::Outcome::Duplicate(_) => None,
        outcome::Outcome::Conflict(_) => {
            told("conflict", Vec::new(), "another statement with this version is in the log: publish a higher version")
        }
        outcome::Outcome::Rejected(rejected) => {
            told("rejected", rejected.violations.iter().map(violation).collect(), "")
        }
        outcome::Outcome::Unauthorised(reason) => told("unauthorised", Vec::new(), &reason.message),
    }
}

#[cfg(test)]
mod tests {
    use tonic::transport::Endpoint;
    use wire::ingest::Change;

    use super::*;

    #[tokio::test]
    async fn a_hub_that_stays_away_is_given_up_after_the_last_try() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let uri = format!("http://{}", free.expect("a free port"));
        let channel = Endpoint::from_shared(uri).expect("a URI").connect_lazy();
        let (input, found) = mpsc::channel(4);
        let batch = Found::Batch { changes: vec![Change::default()], lines: vec![1], reached: 1 };
        input.send(batch).await.expect("it is read");
        input.send(Found::End(1)).await.expect("it is read");
        let mut lost = 0;
        let count = |sent| {
            lost += u32::from(matches!(sent, Sent::Lost { .. }));
            Ok(())
        };
        let error =
            send_patiently(channel, Target { register: "civil", epoch: 0, receipts: false }, found, count, &[1, 2, 3])
                .await
                .expect_err("nobody listens");
        assert_eq!((error.exit, lost), (Exit::Unreachable, 3));
        assert!(error.what.ends_with("3 further tries failed") && error.what_to_do.contains("--resume"), "{error:?}");
    }
}
