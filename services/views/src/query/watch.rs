//! `Watch`: subjects that change, told to whoever may see them.
//!
//! Level-triggered: a message tells what a subject is at one cut of the views. What changed is read from the fold's journal when the
//! watcher is ready to take it, so that a slow one costs nothing and is told the newest state; one that has fallen behind the
//! journal begins anew.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::Arc;

use access::{Permit, RowLimit};
use prost::Message as _;
use record::{Kind, MentionId, Partition, Positions, Pseudonym};
use telemetry::Action as Counted;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use view_store::{KeyRange, Table};
use wire::query::watch_response::Message;
use wire::query::{ChangeKind, RecordVersion, Reset, SubjectChange, SubjectChanges, WatchRequest, WatchResponse};

use super::Core;
use super::account::{Asked, Failure, Told, Verdict};
use super::error::Error;
use super::session::{AsOf, Session};
use super::subject::{Reading, covers};
use super::told::{ends, hex};
use crate::fold::{Touch, after, generation, locate};

/// Subjects of one message.
const SUBJECTS_MAX: usize = 256;
/// Mentions that a page of a snapshot looks at.
const LOOKED_AT: usize = 4096;
/// Messages that wait for the watcher.
const WAITING_MAX: usize = 1;
/// Records of a subject that a message names: the newest.
const RECORDS_MAX: usize = 128;

const FOLD: &str = "fold";
const MODEL: &str = "model";

pub(super) type Responses = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

/// What the watcher asked for.
struct Question {
    asked: Asked,
    kind: Kind,
}

/// Where a watcher is.
enum At {
    /// It has everything up to this batch of the journal.
    Batch(Mark),
    /// It is being told what changed up to the session's cut; then it is at that batch.
    Telling { session: Arc<Session>, left: Vec<(MentionId, Touch)>, then: Mark },
    /// It is being told everything at the session's cut, behind this mention.
    Snapshot { session: Arc<Session>, behind: Option<MentionId>, then: Mark },
}

/// A batch of a journal. Other views that take over have a journal of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    number: u64,
    /// The session's [`Session::takeovers`].
    takeovers: u64,
}

/// What comes next.
enum Next {
    /// Nothing yet.
    Nothing(At),
    Reset(&'static str, At),
    Changes(Box<Told<SubjectChanges>>, At),
}

impl Core {
    /// Starts a watch. It ends when the caller goes away, may no longer watch, or the hub stops.
    pub(super) fn watch(self: &Arc<Self>, asked: Asked, request: WatchRequest) -> Responses {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let core = Arc::clone(self);
        let telling = async move {
            if let Err(error) = core.tell_watcher(asked, request, &sender).await {
                // Fails when the watcher has gone away.
                let _ = sender.send(Err(error.into())).await;
            }
        };
        tokio::spawn(tracing::Instrument::in_current_span(telling));
        Box::pin(ReceiverStream::new(receiver))
    }

    async fn tell_watcher(
        self: &Arc<Self>,
        asked: Asked,
        request: WatchRequest,
        sender: &mpsc::Sender<Result<WatchResponse, Status>>,
    ) -> Result<(), Error> {
        let mut folded = self.handle.folded.clone();
        let kind = match self.watched_kind(&asked, &request) {
            Ok(kind) => kind,
            Err(error) => return self.conclude::<()>(asked, Err(error.into())).await.map(drop),
        };
        let question = Arc::new(Question { asked, kind });
        let mut stopping = self.options.stopping.clone();
        let (mut at, mut reset) = self.begin(&request).await?;
        loop {
            if let Some(reason) = reset.take() {
                let message = Message::Reset(Reset { reason: reason.to_owned() });
                if sender.send(Ok(WatchResponse { message: Some(message) })).await.is_err() {
                    return Ok(());
                }
            }
            folded.borrow_and_update();
            let (core, asking) = (Arc::clone(self), Arc::clone(&question));
            let next = self.reads.run(move || Ok(core.next(&asking, at))).await?;
            match next {
                Ok(Next::Nothing(same)) => {
                    at = same;
                    tokio::select! {
                        changed = folded.changed() => if changed.is_err() { return Ok(()) },
                        () = sender.closed() => return Ok(()),
                        Ok(_) = stopping.wait_for(|stopping| *stopping) => return Err(Error::Stopping),
                    }
                }
                Ok(Next::Reset(reason, then)) => (at, reset) = (then, Some(reason)),
                Ok(Next::Changes(told, then)) => {
                    at = then;
                    let mut asked = question.asked.clone();
                    (asked.at, asked.begun) = (self.now(), std::time::Instant::now());
                    let (mut changes, basis) = self.conclude(asked, Ok(*told)).await?;
                    changes.basis = Some(basis);
                    let message = Some(Message::Changes(changes));
                    if sender.send(Ok(WatchResponse { message })).await.is_err() {
                        return Ok(());
                    }
                }
                Err(failure) => {
                    return self.conclude::<()>(question.asked.clone(), Err(failure)).await.map(drop);
                }
            }
        }
    }

    fn watched_kind(&self, asked: &Asked, request: &WatchRequest) -> Result<Kind, Error> {
        let kind = Kind::from_name(&request.kind)
            .ok_or_else(|| Error::field("kind", "kind_unknown", "the kinds are person and parcel"))?;
        self.permit_watch(asked, kind).map(|_| kind)
    }

    /// What lets the caller watch now.
    fn permit_watch(&self, asked: &Asked, kind: Kind) -> Result<Permit, Error> {
        let access = self.handle.access.load_full();
        let permit = access.permit_check(&asked.caller, &asked.procedure, &asked.case)?;
        let of_kind = permit.for_kind(kind.name());
        let none = || Error::field("kind", "kind_not_in_procedure", "the procedure has no role of this kind");
        Ok(of_kind.ok_or_else(none)?.permit().clone())
    }

    /// Where a watch begins, and whether the watcher must forget what it knows.
    async fn begin(self: &Arc<Self>, request: &WatchRequest) -> Result<(At, Option<&'static str>), Error> {
        let cursor = if request.cursor.is_empty() { None } else { Some(read_cursor(&request.cursor)?) };
        let (core, from_now) = (Arc::clone(self), request.from_now);
        self.reads
            .run(move || {
                let session = core.session()?;
                let generation = session_generation(&session);
                match cursor {
                    None if from_now => Ok((At::Batch(newest(&session)?), None)),
                    None => Ok((snapshot(session)?, Some("start"))),
                    Some((_, of)) if of != generation => Ok((snapshot(session)?, Some("cursor_of_another_model"))),
                    Some((positions, _)) => match locate(&session.view, &positions)? {
                        Some(number) => Ok((At::Batch(Mark { number, takeovers: session.takeovers }), None)),
                        None => Ok((snapshot(session)?, Some("cursor_forgotten"))),
                    },
                }
            })
            .await
    }

    fn session(&self) -> Result<Session, Error> {
        Session::open(self, AsOf::default(), self.now())
    }

    fn next(&self, question: &Question, at: At) -> Result<Next, Failure> {
        match at {
            At::Batch(mark) => {
                let session = self.session()?;
                if session.takeovers != mark.takeovers {
                    return Ok(Next::Reset("views_replaced", snapshot(session)?));
                }
                let Some(batches) = after(&session.view, mark.number)? else {
                    return Ok(Next::Reset("cursor_forgotten", snapshot(session)?));
                };
                let Some(number) = batches.last().map(|batch| batch.number) else {
                    return Ok(Next::Nothing(At::Batch(mark)));
                };
                let then = Mark { number, ..mark };
                let mut touched: BTreeMap<MentionId, Touch> = BTreeMap::new();
                for (subject, touch) in batches.into_iter().flat_map(|batch| batch.touched) {
                    let known = touched.entry(subject).or_default();
                    *known = known.with(touch);
                }
                touched.retain(|_, touch| touch.kind() == question.kind);
                // The last come first off the list.
                let left = touched.into_iter().rev().collect();
                self.tell(question, Arc::new(session), left, then)
            }
            At::Telling { session, left, then } => self.tell(question, session, left, then),
            At::Snapshot { session, behind, then } => self.page(question, session, behind, then),
        }
    }

    /// The next of what changed up to the session's cut.
    fn tell(
        &self,
        question: &Question,
        session: Arc<Session>,
        mut left: Vec<(MentionId, Touch)>,
        then: Mark,
    ) -> Result<Next, Failure> {
        let permit = self.permit_watch(&question.asked, question.kind)?;
        let mut page = Page::new(&session, &permit, question.kind);
        while let Some((subject, touch)) = left.pop() {
            page.add(subject, touch)?;
            if page.changes.len() == SUBJECTS_MAX {
                break;
            }
        }
        let done = left.is_empty();
        if page.changes.is_empty() {
            return Ok(Next::Nothing(At::Batch(then)));
        }
        let told = Box::new(self.told(page, done, false));
        let at = if done { At::Batch(then) } else { At::Telling { session, left, then } };
        Ok(Next::Changes(told, at))
    }

    /// The next page of a snapshot.
    fn page(
        &self,
        question: &Question,
        session: Arc<Session>,
        mut behind: Option<MentionId>,
        then: Mark,
    ) -> Result<Next, Failure> {
        let permit = self.permit_watch(&question.asked, question.kind)?;
        let mut page = Page::new(&session, &permit, question.kind);
        let from = behind.map(following);
        let range = from.as_ref().map_or(KeyRange::All, |from| KeyRange::From(from));
        let rows = session.view.range(Table::Mention, range, LOOKED_AT)?;
        let mut done = rows.len() < LOOKED_AT;
        for (key, _) in rows {
            if page.changes.len() == SUBJECTS_MAX {
                done = false;
                break;
            }
            let mention = MentionId(key.as_ref().try_into().map_err(|_| crate::fold::FoldError::Row("mention"))?);
            behind = Some(mention);
            if session.subject_of(mention)? == Some(mention) && session.kind_of(mention)? == Some(question.kind) {
                page.add(mention, Touch::default())?;
            }
        }
        let told = Box::new(self.told(page, done, true));
        let at = if done { At::Batch(then) } else { At::Snapshot { session, behind, then } };
        Ok(Next::Changes(told, at))
    }

    fn told(&self, page: Page<'_>, done: bool, snapshot: bool) -> Told<SubjectChanges> {
        let basis = Arc::new(self.basis(page.session.positions.clone(), *page.permit.policy_hash().as_bytes()));
        let cursor = if done { write_cursor(page.session) } else { HashMap::new() };
        let response = SubjectChanges { changes: page.changes, cursor, snapshot, basis: None };
        let bytes = response.encode_to_vec();
        Told { response, bytes, verdict: Verdict::Answered, records: page.records, fields: Vec::new(), basis }
    }
}

/// One message under way.
struct Page<'s> {
    session: &'s Session,
    permit: &'s Permit,
    kind: Kind,
    changes: Vec<SubjectChange>,
    records: Vec<Pseudonym>,
}

impl<'s> Page<'s> {
    fn new(session: &'s Session, permit: &'s Permit, kind: Kind) -> Self {
        Self { session, permit, kind, changes: Vec::new(), records: Vec::new() }
    }

    /// Adds what a subject is at the cut. One that lies outside the watcher's rows is left out; that an id is used no more says
    /// nothing of anybody, and is told to all.
    fn add(&mut self, id: MentionId, touch: Touch) -> Result<(), Failure> {
        let mut kinds = kinds(touch);
        let (mut moved_to, mut records) = (String::new(), Vec::new());
        match self.session.subject_of(id)? {
            Some(now) if now == id => {
                let subject = self.session.subject(id, self.kind)?;
                if *self.permit.rows() != RowLimit::None {
                    let reading = Reading::new(self.session, &subject)?;
                    if !covers(self.permit.rows(), self.session, &reading) {
                        return Ok(());
                    }
                }
                for loaded in subject.loaded.iter().take(RECORDS_MAX) {
                    self.records.push(loaded.source.record);
                    records.push(RecordVersion {
                        register: loaded.source.register.as_str().to_owned(),
                        record: loaded.source.record.to_hex(),
                        version: loaded.source.version,
                    });
                }
            }
            Some(now) => {
                moved_to = now.to_hex();
                kinds.push(ChangeKind::Retired.into());
            }
            None => kinds.push(ChangeKind::Retired.into()),
        }
        let mut change = SubjectChange { event_id: String::new(), subject: id.to_hex(), kinds, moved_to, records };
        change.event_id = event_id(&change, self.session);
        self.changes.push(change);
        Ok(())
    }
}

fn kinds(touch: Touch) -> Vec<i32> {
    let all = [
        (Touch::CHANGED, ChangeKind::Changed),
        (Touch::LINKED, ChangeKind::Linked),
        (Touch::UNLINKED, ChangeKind::Unlinked),
        (Touch::MERGED, ChangeKind::Merged),
        (Touch::SPLIT, ChangeKind::Split),
    ];
    all.into_iter().filter(|(flag, _)| touch.has(*flag)).map(|(_, kind)| kind.into()).collect()
}

/// A hash of what a subject is at a cut. Of the control stream only what decides counts: cuts come by the clock.
fn event_id(change: &SubjectChange, session: &Session) -> String {
    let mut cut = record::Writer::new();
    session.positions.of(record::Stream::Change).encode(&mut cut);
    cut.u64(session.control.decided.0);
    let state = SubjectChange { kinds: Vec::new(), ..change.clone() };
    let hash = blake3::Hasher::new().update(&cut.finish()).update(&state.encode_to_vec()).finalize();
    hex(&hash.as_bytes()[..16])
}

fn snapshot(session: Session) -> Result<At, Error> {
    let then = newest(&session)?;
    Ok(At::Snapshot { session: Arc::new(session), behind: None, then })
}

/// The newest batch of the journal that the session sees.
fn newest(session: &Session) -> Result<Mark, Error> {
    let number = locate(&session.view, &session.positions)?.unwrap_or(0);
    Ok(Mark { number, takeovers: session.takeovers })
}

fn following(mention: MentionId) -> [u8; 17] {
    let mut key = [0; 17];
    key[..16].copy_from_slice(&mention.0);
    key
}

fn session_generation(session: &Session) -> (u32, u32) {
    generation(session.control.serving().number())
}

fn write_cursor(session: &Session) -> HashMap<String, u64> {
    let (fold, model) = session_generation(session);
    let mut cursor = ends(&session.positions);
    cursor.extend([(FOLD.to_owned(), u64::from(fold)), (MODEL.to_owned(), u64::from(model))]);
    cursor
}

/// Positions and generation of a cursor.
fn read_cursor(cursor: &HashMap<String, u64>) -> Result<(Positions, (u32, u32)), Error> {
    let bad = || Error::field("cursor", "cursor_malformed", "send the cursor of a message as it came");
    let number = |key: &str| cursor.get(key).and_then(|n| u32::try_from(*n).ok()).ok_or_else(bad);
    let generation = (number(FOLD)?, number(MODEL)?);
    let mut positions = Positions::new();
    for (key, end) in cursor.iter().filter(|(key, _)| *key != FOLD && *key != MODEL) {
        let (stream, partition) = key.split_once('/').ok_or_else(bad)?;
        let stream = record::Stream::ALL.into_iter().find(|known| known.name() == stream).ok_or_else(bad)?;
        let partition = partition.parse().map(Partition).map_err(|_| bad())?;
        positions.set(stream, partition, record::Index(*end));
    }
    Ok((positions, generation))
}

/// How a watch is counted.
pub(super) const COUNTED: Counted = Counted::Watch;
