//! `ReproduceAnswer`: an answer of the past is made again, from the views as they were then.
//!
//! The access entry names what the answer was made from: positions, model, policy, times. Views are folded from the log up to
//! there, in a scratch store; what was known then, who was one subject then, and who might see what then, all come from it. The
//! entry does not hold the question, which may be personal data. It holds the records that were read, and those leave few
//! questions: each is answered by the code that answers them all, and the entry's keyed hash tells the one that gives the
//! very bytes.

mod attempts;
mod candidates;
mod policy;
mod procedure;
mod search;
mod subject;

use std::sync::Arc;
use std::time::{Duration, Instant};

use access::{Access as Policy, HubAction};
use projection::FOLD_VERSION;
use prost::Message as _;
use record::access::{Access, AccessBatch, Action, Decision};
use record::{Entry, MentionId, Position, Pseudonym, Stream};
use telemetry::Action as Counted;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use view_store::ViewStore;
use wire::query::{Obstacle, ReproduceAnswerRequest, ReproduceAnswerResponse, ReproducedAnswer};

use super::Core;
use super::account::{Asked, Told, Verdict};
use super::error::Error;
use super::past::unfolded;
use super::session::AsOf;
use super::told::wire_time;
use attempts::Made;

pub(super) type Responses = ReceiverStream<Result<ReproduceAnswerResponse, Status>>;
type Sender = mpsc::Sender<Result<ReproduceAnswerResponse, Status>>;

/// How it is counted.
pub(super) const COUNTED: Counted = Counted::ListAccesses;
/// Between two messages of progress.
const PROGRESS: Duration = Duration::from_millis(200);

/// What the log says of the answer.
struct Given {
    batch: AccessBatch,
    access: Access,
    salt: [u8; 16],
    hash: [u8; 32],
}

/// What an answer is made again from.
struct Then<'a> {
    /// The views of then.
    core: &'a Core,
    access: &'a Access,
    /// The access's records that are still there, in its order.
    records: Vec<Pseudonym>,
    policy: Arc<Policy>,
    /// Whether it is the policy that the answer was given under.
    policy_known: bool,
    as_of: AsOf,
}

impl Then<'_> {
    /// The permit of then. Another policy may refuse what was answered: then nothing comes out, and the answer says why.
    fn permitted<P>(&self, permit: Result<P, access::Refusal>) -> Result<Option<P>, Error> {
        match permit {
            Ok(permit) => Ok(Some(permit)),
            Err(_other_policy) if !self.policy_known => Ok(None),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The kind that the released attributes are of.
    fn kind(&self) -> &str {
        self.access.fields.first().and_then(|field| field.split_once('.')).map_or("", |(kind, _)| kind)
    }
}

impl Core {
    /// Starts making an answer again. What it shows is an access of its own, written down before it leaves.
    pub(super) async fn reproduce(
        self: &Arc<Self>,
        asked: Asked,
        request: ReproduceAnswerRequest,
    ) -> Result<Responses, Error> {
        let may = self.handle.access.load().permit_hub(&asked.caller, HubAction::Audit);
        if let Err(refusal) = may {
            return self.conclude::<Responses>(asked, Err(Error::from(refusal).into())).await.map(|(none, _)| none);
        }
        let place = Arc::clone(&self.reproducing).try_acquire_owned().map_err(|_| Error::Busy)?;
        let given = self.given(&request)?;
        let (sender, receiver) = mpsc::channel(16);
        let core = Arc::clone(self);
        tokio::spawn(async move {
            let (looking, progress) = (Arc::clone(&core), sender.clone());
            let made = tokio::task::spawn_blocking(move || looking.again(&given, &progress)).await;
            drop(place);
            let made = made.unwrap_or_else(|error| {
                tracing::error!(%error, "a question ended in a panic");
                Err(Error::Internal)
            });
            let last = match made {
                Ok(None) => return,
                Ok(Some(told)) => core.conclude(asked, Ok(told)).await.map(|(answer, basis)| ReproduceAnswerResponse {
                    entries: 0,
                    entries_total: 0,
                    answer: Some(ReproducedAnswer { basis: Some(basis), ..answer }),
                }),
                Err(error) => Err(error),
            };
            // Fails when the caller has gone away.
            let _ = sender.send(last.map_err(Status::from)).await;
        });
        Ok(ReceiverStream::new(receiver))
    }

    fn given(&self, request: &ReproduceAnswerRequest) -> Result<Given, Error> {
        let bad = |field: &str, why: &str| Error::field(field, "access_unknown", why);
        let position: Position = request
            .access_position
            .parse()
            .ok()
            .filter(|position: &Position| position.stream == Stream::Access)
            .ok_or_else(|| bad("access_position", "name an access entry, such as access/3/5"))?;
        let logged = self.handle.log.read_position(position)?;
        let batch = AccessBatch::decode(Entry::decode(&logged.bytes)?.plain_body()?)?;
        let wanted = |access: &&Access| {
            request.access_id.is_empty() || MentionId(access.id).to_hex() == request.access_id.to_lowercase()
        };
        let mut found = batch.accesses.iter().filter(wanted);
        let access = found.next().ok_or_else(|| bad("access_id", "the entry holds no access of this id"))?;
        if found.next().is_some() {
            return Err(bad("access_id", "the entry holds several accesses: name one by its id"));
        }
        let (salt, hash) = match (access.action, &access.decision) {
            (
                Action::GetSubject | Action::CheckProcedure | Action::Search,
                Decision::Answered { salt, answer: hash },
            ) => (*salt, *hash),
            _ => {
                let why = "only answers of GetSubject, CheckProcedure and Search are made again, and no refusals";
                return Err(bad("access_position", why));
            }
        };
        if batch.fold_version != FOLD_VERSION {
            return Err(bad("access_position", "the answer was made by another version of the fold: use that program"));
        }
        let access = access.clone();
        Ok(Given { batch, access, salt, hash })
    }

    /// Folds what was known then, and answers from it. `None` when the caller has gone away.
    fn again(&self, given: &Given, sender: &Sender) -> Result<Option<Told<ReproducedAnswer>>, Error> {
        let dir = self.options.scratch.as_ref().ok_or(Error::Internal)?.join("answer");
        let mut told_at = Instant::now();
        let wanted = |entries, entries_total| {
            if told_at.elapsed() >= PROGRESS {
                told_at = Instant::now();
                // A caller who does not read keeps the last messages; the result waits for it.
                let _ = sender.try_send(Ok(ReproduceAnswerResponse { entries, entries_total, answer: None }));
            }
            !sender.is_closed()
        };
        let batch = &given.batch;
        let folded = self.fold_up_to(&dir, &batch.positions, batch.control, Some(batch.model_epoch), wanted)?;
        let Some(fold) = folded else { return Ok(None) };
        let made =
            self.as_of_then(&self.over(&fold)?, given, &|| !sender.is_closed() && !*self.options.stopping.borrow());
        drop(fold);
        ViewStore::discard(&dir).map_err(|error| unfolded(&error))?;
        made
    }

    /// Answers from the views of then, and says what stands in the way. `None` when nobody waits for it any more.
    fn as_of_then(
        &self,
        core: &Core,
        given: &Given,
        wanted: &dyn Fn() -> bool,
    ) -> Result<Option<Told<ReproducedAnswer>>, Error> {
        let access = &given.access;
        let erased = Arc::clone(&self.handle.control.load().erased);
        let of_then = policy::of(core, given)?;
        let then = Then {
            core,
            access,
            records: access.records.iter().filter(|record| !erased.contains(record)).copied().collect(),
            policy_known: of_then.is_some(),
            policy: of_then.unwrap_or_else(|| core.handle.access.load_full()),
            as_of: AsOf { known_at: access.known_at, valid_at: access.valid_at },
        };
        let test = attempts::Test { secret: &core.handle.secret, salt: &given.salt, hash: &given.hash, wanted };
        let made = match access.action {
            // Of an answer whose every record is erased nothing is left to compare.
            _ if then.records.is_empty() && !access.records.is_empty() => None,
            Action::CheckProcedure => procedure::again(&then, test)?,
            Action::Search => search::again(&then, test)?,
            _ => subject::again(&then, test)?,
        };
        if !wanted() {
            return Ok(None);
        }
        let gone = access.records.iter().filter(|record| erased.contains(record)).copied().collect();
        Ok(Some(told(core, given, made, obstacles(gone, then.policy_known))))
    }
}

/// Why an answer may not come out as it was.
fn obstacles(erased: Vec<Pseudonym>, policy_known: bool) -> Vec<Obstacle> {
    let obstacle = |reason: &str, record: String, description: &str| Obstacle {
        reason: reason.to_owned(),
        record,
        description: description.to_owned(),
    };
    let mut out: Vec<_> = erased
        .into_iter()
        .map(|record| {
            obstacle("record_erased", record.to_hex(), "the record was erased since: nobody can read it any more")
        })
        .collect();
    if !policy_known {
        let why = "the log holds no policy with the hash that the entry names: another one was applied";
        out.push(obstacle("policy_unknown", String::new(), why));
    }
    if out.is_empty() {
        let why = "no question that these records lead to gives this answer: the bound on a subject's records \
                   may have been another one, or too many questions lead to them";
        out.push(obstacle("question_unknown", String::new(), why));
    }
    out
}

fn told(core: &Core, given: &Given, made: Option<Made>, obstacles: Vec<Obstacle>) -> Told<ReproducedAnswer> {
    let access = &given.access;
    let exact = made.as_ref().is_some_and(|made| made.exact);
    let mut response = ReproducedAnswer {
        exact,
        action: access.action.name().to_owned(),
        caller: access.caller.clone(),
        procedure: access.procedure.clone(),
        case_number: access.case.clone(),
        answered_at: Some(wire_time(access.at)),
        model_epoch: given.batch.model_epoch,
        obstacles: if exact { Vec::new() } else { obstacles },
        ..ReproducedAnswer::default()
    };
    let (verdict, records, fields, basis) = match made {
        Some(made) => {
            made.answer.put(&mut response);
            (Verdict::Answered, made.records, made.fields, made.basis)
        }
        None => (Verdict::NotFound, Vec::new(), Vec::new(), Arc::new(core.basis_now())),
    };
    // A search's texts have no order of their own.
    let found = response.found.take();
    let mut bytes = response.encode_to_vec();
    bytes.extend(found.iter().flat_map(wire::search_bytes));
    response.found = found;
    Told { response, bytes, verdict, records, fields, basis }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_does_not_come_out_names_what_stands_in_the_way() {
        let reasons = |erased: usize, known| {
            let told = obstacles((0..erased).map(|n| Pseudonym([n as u8; 16])).collect(), known);
            told.into_iter().map(|obstacle| (obstacle.reason, obstacle.record)).collect::<Vec<_>>()
        };
        let one = |reason: &str, record: &str| (reason.to_owned(), record.to_owned());
        assert_eq!(reasons(1, true), [one("record_erased", &"00".repeat(16))]);
        assert_eq!(reasons(0, false), [one("policy_unknown", "")]);
        assert_eq!(reasons(0, true), [one("question_unknown", "")]);
        assert_eq!(reasons(2, false).len(), 3);
    }
}
