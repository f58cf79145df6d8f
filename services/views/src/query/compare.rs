//! `Compare`: what a register's database holds, against what the hub has of it.
//!
//! The register sends its records in the order of their ids, which it can do from an index and without memory, and by which a record
//! that stands twice is seen at once. They are put into the order of the views ([`Spool`]), and both are gone through side by side:
//! memory on both sides is bounded, whatever the size of the register.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use projection::head::{Head, StoredVersion, last_published};
use record::{Envelope, IdError, Operation, Pseudonym, RecordId, RegisterName};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use view_store::{KeyRange, Table};
use wire::query::compare_response::Message;
use wire::query::{
    CompareRequest, CompareResponse, ComparedHead, Comparison, DifferenceKind, HeadDifference, HeadDifferences,
};

use super::Core;
use super::account::{Asked, Told, Verdict};
use super::error::Error;
use super::session::{AsOf, Session};
use super::spool::{Merged, Spool, Spooled};
use super::standing::register_of;
use super::told::ends;
use crate::fold::FoldError;

/// Comparisons that run at the same time.
pub(super) const COMPARISONS_MAX: usize = 2;
/// Records of one message.
const HEADS_MAX: usize = 10_000;
/// Records of one comparison: some 20 GB in the scratch folder.
const COMPARED_MAX: u64 = 200_000_000;
const NAMED_DEFAULT: u64 = 10_000;
const NAMED_MAX: u64 = 1_000_000;
/// Differences of one message.
const TOLD_AT_ONCE: usize = 500;
/// Messages that wait, either way.
const WAITING_MAX: usize = 2;
/// Rows that are read at once.
const ROWS: usize = 4096;

pub(super) type Responses = Pin<Box<dyn Stream<Item = Result<CompareResponse, Status>> + Send>>;

/// One comparison.
struct Comparing {
    core: Arc<Core>,
    register: RegisterName,
    /// What the register sends; an empty list where it breaks off.
    heads: mpsc::Receiver<Vec<ComparedHead>>,
    told: mpsc::Sender<Result<CompareResponse, Status>>,
    differences: Vec<HeadDifference>,
    named_max: u64,
    named: u64,
    result: Comparison,
    _place: OwnedSemaphorePermit,
}

/// Why a comparison ended early.
enum Ended {
    Failed(Error),
    /// Nobody listens any more.
    Gone,
}

impl<E: Into<Error>> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Core {
    pub(super) async fn compare(
        self: &Arc<Self>,
        mut asked: Asked,
        mut requests: Streaming<CompareRequest>,
    ) -> Result<Responses, Status> {
        let first = requests.message().await?.unwrap_or_default();
        asked.case.clone_from(&first.case_number);
        let permitted = register_of(&first.register)
            .and_then(|register| self.permit_standing(&asked, &register).map(|insight| (register, insight)));
        let (register, insight) = match permitted {
            Ok(permitted) => permitted,
            Err(error) => {
                return Err(self.conclude::<()>(asked, Err(error.into())).await.map_or_else(Status::from, |_| {
                    // A refusal is concluded with its error.
                    Error::Internal.into()
                }));
            }
        };
        let place = Arc::clone(&self.comparing).try_acquire_owned().map_err(|_| Error::Busy)?;
        // Before anything leaves.
        let basis = Arc::new(self.basis_now());
        let told = Told {
            response: (),
            bytes: Vec::new(),
            verdict: Verdict::Answered,
            records: Vec::new(),
            fields: Vec::new(),
            basis,
        };
        self.conclude_standing(asked, Ok((insight, told))).await?;
        let (sender, heads) = mpsc::channel(WAITING_MAX);
        let (told, responses) = mpsc::channel(WAITING_MAX);
        let named_max = match u64::from(first.differences_max) {
            0 => NAMED_DEFAULT,
            max => max.min(NAMED_MAX),
        };
        let comparing = Comparing {
            core: Arc::clone(self),
            register,
            heads,
            told: told.clone(),
            differences: Vec::new(),
            named_max,
            named: 0,
            result: Comparison::default(),
            _place: place,
        };
        let span = tracing::Span::current();
        tokio::task::spawn_blocking(move || span.in_scope(|| comparing.run()));
        tokio::spawn(take(first.heads, requests, sender, told));
        Ok(Box::pin(ReceiverStream::new(responses)))
    }

    fn comparing_dir(&self) -> PathBuf {
        self.options.scratch.clone().unwrap_or_else(std::env::temp_dir)
    }
}

/// Hands on what the register sends, as fast as it is taken.
async fn take(
    first: Vec<ComparedHead>,
    mut requests: Streaming<CompareRequest>,
    heads: mpsc::Sender<Vec<ComparedHead>>,
    told: mpsc::Sender<Result<CompareResponse, Status>>,
) {
    let mut next = first;
    loop {
        if next.len() > HEADS_MAX {
            let error = Error::field("heads", "field_invalid", format!("at most {HEADS_MAX} records in one message"));
            // Each fails when nobody listens any more.
            let _ = told.send(Err(error.into())).await;
            let _ = heads.send(Vec::new()).await;
            return;
        }
        // Fails when the comparison has ended, and has told why.
        if !next.is_empty() && heads.send(next).await.is_err() {
            return;
        }
        next = match requests.message().await {
            Ok(Some(request)) => request.heads,
            Ok(None) => break,
            // The stream broke: what came so far is not the register.
            Err(_broken) => {
                let _ = heads.send(Vec::new()).await;
                return;
            }
        };
    }
}

impl Comparing {
    fn run(mut self) {
        let ended = self.compare();
        let last = match ended {
            Ok(()) => Ok(CompareResponse { message: Some(Message::Comparison(std::mem::take(&mut self.result))) }),
            Err(Ended::Failed(error)) => {
                error.log();
                Err(error.into())
            }
            Err(Ended::Gone) => return,
        };
        // Fails when nobody listens any more.
        let _ = self.told.blocking_send(last);
    }

    fn compare(&mut self) -> Result<(), Ended> {
        let theirs = self.take_all()?;
        // What is read for long cannot be compacted away; an erasure that waits goes first.
        let purger = self.core.handle.purger.clone();
        let _long = purger.long_read();
        let session = Session::open(&self.core, AsOf::default(), self.core.now())?;
        self.result.positions = ends(&session.positions);
        self.side_by_side(&session, theirs, || purger.is_wanted())?;
        self.tell()
    }

    /// Everything that the register sends, in the order of the views.
    fn take_all(&mut self) -> Result<Merged, Ended> {
        let unwritable = |error: std::io::Error| Error::Scratch(Arc::new(error));
        let mut spool = Spool::new(&self.core.comparing_dir()).map_err(unwritable)?;
        let mut last = String::new();
        while let Some(heads) = self.heads.blocking_recv() {
            if heads.is_empty() {
                return Err(Ended::Gone);
            }
            for head in heads {
                self.result.compared += 1;
                if self.result.compared > COMPARED_MAX {
                    let description = format!("at most {COMPARED_MAX} records are compared at once");
                    return Err(Error::field("heads", "field_invalid", description).into());
                }
                let spooled = self.spooled(head, &last)?;
                last.clone_from(&spooled.id);
                spool.push(spooled).map_err(unwritable)?;
            }
        }
        Ok(spool.merge().map_err(unwritable)?)
    }

    fn spooled(&self, head: ComparedHead, last: &str) -> Result<Spooled, Error> {
        let number = self.result.compared;
        let wrong = |code, what: String| Error::field("heads", code, format!("record {number} of the stream: {what}"));
        let id = RecordId::try_from(head.record_id.as_str())
            .map_err(|error: IdError| wrong("field_invalid", error.to_string()))?;
        if number > 1 && head.record_id.as_str() <= last {
            let what = "does not come after the one before it: send ids in the ascending order of their UTF-8 bytes, each once";
            return Err(wrong("heads_not_sorted", what.to_owned()));
        }
        let hash = match head.hash.len() {
            0 => None,
            32 => Some(<[u8; 32]>::try_from(&head.hash[..]).expect("32 bytes")),
            other => return Err(wrong("field_invalid", format!("a hash has 32 bytes or none, not {other}"))),
        };
        let record = self.core.handle.secret.pseudonym(&self.register, &id);
        Ok(Spooled { record, version: head.version, hash, id: head.record_id })
    }

    fn side_by_side(
        &mut self,
        session: &Session,
        mut merged: Merged,
        interrupted: impl Fn() -> bool,
    ) -> Result<(), Ended> {
        let unreadable = |error: std::io::Error| Error::Scratch(Arc::new(error));
        let mut theirs = merged.next().map_err(unreadable)?;
        let mut from = Vec::new();
        loop {
            if interrupted() {
                return Err(Error::Interrupted.into());
            }
            let range = if from.is_empty() { KeyRange::All } else { KeyRange::From(&from) };
            let rows = session.view.range(Table::Head, range, ROWS)?;
            for (key, row) in &rows {
                let Some(versions) = Head::decode_versions(row, &self.register)? else { continue };
                let record = Pseudonym(key.as_ref().try_into().map_err(|_| FoldError::Row("head"))?);
                while let Some(missing) = theirs.take_if(|theirs| theirs.record < record) {
                    self.missing(session, missing)?;
                    theirs = merged.next().map_err(unreadable)?;
                }
                let Some(ours) = last_published(&versions) else { continue };
                match theirs.take_if(|theirs| theirs.record == record) {
                    Some(found) => {
                        self.both(found, ours)?;
                        theirs = merged.next().map_err(unreadable)?;
                    }
                    None if ours.row.operation == Operation::Upsert as u8 => self.extra(session, record, ours)?,
                    // The register has taken it back, and so says the hub.
                    None => {}
                }
            }
            match rows.last() {
                Some((key, _)) if rows.len() == ROWS => from = [key.as_ref(), &[0]].concat(),
                _ => break,
            }
        }
        while let Some(missing) = theirs {
            self.missing(session, missing)?;
            theirs = merged.next().map_err(unreadable)?;
        }
        Ok(())
    }

    fn missing(&mut self, session: &Session, theirs: Spooled) -> Result<(), Ended> {
        let erased = session.control.erased.contains(&theirs.record);
        let (kind, count) = match erased {
            true => (DifferenceKind::Erased, &mut self.result.erased),
            false => (DifferenceKind::Missing, &mut self.result.missing),
        };
        *count += 1;
        self.name(|| {
            let (record_id, version) = (theirs.id, theirs.version);
            Ok(HeadDifference { kind: kind.into(), record_id, version, ..HeadDifference::default() })
        })
    }

    fn both(&mut self, theirs: Spooled, ours: &StoredVersion) -> Result<(), Ended> {
        let retracted = ours.row.operation == Operation::Retract as u8;
        let same_version = theirs.version == ours.row.version;
        let other_statement = same_version && theirs.hash.is_some_and(|hash| hash != ours.row.statement);
        if same_version && !other_statement && !retracted {
            self.result.equal += 1;
            return Ok(());
        }
        self.result.different += 1;
        let hub_version = ours.row.version;
        self.name(|| {
            let (kind, record_id) = (DifferenceKind::Different.into(), theirs.id);
            Ok(HeadDifference { kind, record_id, version: theirs.version, hub_version, retracted, other_statement })
        })
    }

    fn extra(&mut self, session: &Session, record: Pseudonym, ours: &StoredVersion) -> Result<(), Ended> {
        self.result.extra += 1;
        let hub_version = ours.row.version;
        self.name(|| {
            let record_id = session.record_id(record, ours)?.unwrap_or_default();
            Ok(HeadDifference {
                kind: DifferenceKind::Extra.into(),
                record_id,
                hub_version,
                ..HeadDifference::default()
            })
        })
    }

    /// Names a difference, as long as there is room, or counts it.
    fn name(&mut self, difference: impl FnOnce() -> Result<HeadDifference, Error>) -> Result<(), Ended> {
        if self.named == self.named_max {
            self.result.unnamed += 1;
            return Ok(());
        }
        self.named += 1;
        self.differences.push(difference()?);
        if self.differences.len() < TOLD_AT_ONCE { Ok(()) } else { self.tell() }
    }

    fn tell(&mut self) -> Result<(), Ended> {
        let differences = std::mem::take(&mut self.differences);
        if differences.is_empty() {
            return Ok(());
        }
        let message = Some(Message::Differences(HeadDifferences { differences }));
        self.told.blocking_send(Ok(CompareResponse { message })).map_err(|_| Ended::Gone)
    }
}

impl Session {
    /// The id that a record has in its register, from its entry; `None` when it was erased a moment ago.
    pub(super) fn record_id(&self, record: Pseudonym, version: &StoredVersion) -> Result<Option<String>, Error> {
        let logged = self.entry(record, version)?;
        let Some((_, body)) = self.open_body(&logged)? else { return Ok(None) };
        Ok(Some(Envelope::decode(&body)?.record_id.as_str().to_owned()))
    }
}
