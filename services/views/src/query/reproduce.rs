//! `ReproduceAnswer`: an answer of the past is made again, from the views as they were then.
//!
//! The access entry names what the answer was made from: positions, model, policy. Views are folded from the log up to there, in a
//! scratch store; what was known then, who was one subject then, and who might see what then, all come from it. The same code
//! answers, and the entry's salted hash tells whether it said the same, byte by byte.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use access::{HubAction, Query as Question, Request};
use contract::{AttrValue, kinds};
use projection::FOLD_VERSION;
use record::access::{Access, AccessBatch, Action, Decision};
use record::{Entry, Kind, MentionId, Position, Stream};
use telemetry::Action as Counted;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use view_store::ViewStore;
use wire::query::{GetSubjectResponse, ReproduceAnswerRequest, ReproduceAnswerResponse, ReproducedAnswer};

use super::Core;
use super::account::{Asked, Told, Verdict};
use super::error::Error;
use super::key::Key;
use super::past::unfolded;
use super::session::{AsOf, Session};
use super::subject::{Reading, kind_of, tell};
use super::told::wire_time;

pub(super) type Responses = ReceiverStream<Result<ReproduceAnswerResponse, Status>>;

/// How it is counted.
pub(super) const COUNTED: Counted = Counted::ListAccesses;
/// Between two messages of progress.
const PROGRESS: Duration = Duration::from_millis(200);
/// Keys that are tried: the answer may have been asked for by any number that its records bear.
const KEYS_MAX: usize = 256;
/// Attributes that are keys.
const KEYS: [&str; 4] = ["person.personal_id", "person.old_id", "person.insurance_no", "parcel.parcel_id"];

/// What the log says of the answer.
struct Given {
    batch: AccessBatch,
    access: Access,
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
        if access.action != Action::GetSubject || !matches!(access.decision, Decision::Answered { .. }) {
            return Err(bad("access_position", "only answers of GetSubject are made again"));
        }
        if batch.fold_version != FOLD_VERSION {
            return Err(bad("access_position", "the answer was made by another version of the fold: use that program"));
        }
        let access = access.clone();
        Ok(Given { batch, access })
    }

    /// Folds what was known then, and answers from it. `None` when the caller has gone away.
    fn again(
        &self,
        given: &Given,
        sender: &mpsc::Sender<Result<ReproduceAnswerResponse, Status>>,
    ) -> Result<Option<Told<ReproducedAnswer>>, Error> {
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
        let made = match &folded {
            Some(fold) => Some(self.over(fold)?.tell_again(given)?),
            None => None,
        };
        drop(folded);
        ViewStore::discard(&dir).map_err(|error| unfolded(&error))?;
        Ok(made)
    }

    /// Answers as then, for each key that may have been asked by, until one gives the very bytes.
    fn tell_again(&self, given: &Given) -> Result<Told<ReproducedAnswer>, Error> {
        let access = &given.access;
        let Decision::Answered { salt, answer } = &access.decision else { return Err(Error::Internal) };
        let fields: Vec<&str> = access.fields.iter().map(String::as_str).collect();
        let kind = fields.first().and_then(|field| field.split_once('.')).map_or("", |(kind, _)| kind);
        let policy = self.handle.access.load_full();
        let permit = policy.permit(&Request {
            query: Question::GetSubject,
            caller: &access.caller,
            procedure: &access.procedure,
            case: &access.case,
            kind,
            fields: &fields,
        })?;
        let of = kind_of(&permit)?;
        let as_of = AsOf { known_at: access.known_at, valid_at: access.valid_at };
        let mut first: Option<Told<GetSubjectResponse>> = None;
        for key in self.keys(of, access, as_of)? {
            let Ok(made) = tell((self, self), &permit, of, &key, as_of, access.at) else { continue };
            if made.verdict != Verdict::Answered || made.records != access.records {
                continue;
            }
            if self.handle.secret.answer_hash(salt, &made.bytes) == *answer {
                return Ok(self.made(given, made, true));
            }
            first.get_or_insert(made);
        }
        first.map(|made| self.made(given, made, false)).ok_or(Error::NotReproduced)
    }

    fn made(&self, given: &Given, told: Told<GetSubjectResponse>, exact: bool) -> Told<ReproducedAnswer> {
        let access = &given.access;
        let response = ReproducedAnswer {
            answer: Some(told.response),
            exact,
            caller: access.caller.clone(),
            procedure: access.procedure.clone(),
            case_number: access.case.clone(),
            answered_at: Some(wire_time(access.at)),
            model_epoch: given.batch.model_epoch,
            basis: None,
        };
        let bytes = prost::Message::encode_to_vec(&response);
        Told {
            response,
            bytes,
            verdict: Verdict::Answered,
            records: told.records,
            fields: told.fields,
            basis: told.basis,
        }
    }

    /// What the answer may have been asked by: ids and numbers that its records bear.
    fn keys(&self, kind: Kind, access: &Access, as_of: AsOf) -> Result<Vec<Key>, Error> {
        let session = Session::open(self, as_of, access.at)?;
        let mut subjects = BTreeSet::new();
        for record in &access.records {
            let head = session.head(*record)?;
            let mentions = head.as_ref().and_then(|head| head.facts()).into_iter().flat_map(|facts| &facts.mentions);
            for mention in mentions.filter(|mention| mention.kind == kind) {
                subjects.extend(session.subject_of(mention.id)?);
            }
        }
        let (mut ids, mut numbers) = (BTreeSet::new(), BTreeSet::new());
        for id in subjects {
            let subject = session.subject(id, kind)?;
            let reading = Reading::new(&session, &subject)?;
            if reading.records() != access.records {
                continue;
            }
            ids.insert(id);
            for spoken in &reading.spoken {
                for at in &spoken.own {
                    ids.insert(spoken.ids[*at]);
                    for (attribute, value) in &spoken.facts.mentions[*at].asserts {
                        let name = kinds().attribute(*attribute).map_or("", |known| known.full_name.as_str());
                        if let (true, AttrValue::Text(text)) = (KEYS.contains(&name), value) {
                            numbers.insert((name, text.to_string()));
                        }
                    }
                }
            }
        }
        let number = |(name, text): (&str, String)| match name {
            "person.personal_id" => Key::PersonalId(text),
            "person.old_id" => Key::OldId(text),
            "person.insurance_no" => Key::InsuranceNo(text),
            _ => Key::ParcelId(text),
        };
        Ok(ids.into_iter().map(Key::Subject).chain(numbers.into_iter().map(number)).take(KEYS_MAX).collect())
    }
}
