//! `Prove`: from a question to a bundle.

use std::sync::Arc;
use std::time::Duration;

use ledger::{Receipt, TiledError, UpgradeError};
use projection::head::Head;
use proof::{ComposeError, Draft};
use prost::Message as _;
use record::access::{Access, AccessBatch, Action, Decision};
use record::entry::BodyError;
use record::{Entry, EntryHash, Index, Position, Positions, Pseudonym, RecordId, RegisterName, Stream};
use tile_store::Signed;
use view_store::Table;
use wire::audit::prove_request::What;
use wire::audit::{ProveRequest, ProvenAnswer, ProvenRecord};
use wire::query::SearchResponse;

use crate::error::Error;
use crate::ledger_part::tile_of;
use crate::service::{Inner, Purpose, on_a_thread};

/// Most entries that one bundle discloses.
const ENTRIES_MAX: usize = 4_096;
/// Most bytes of them.
const BYTES_MAX: usize = 32 << 20;
/// Longest checkpoint and receipt that are taken, in bytes.
const NOTE_BYTES_MAX: usize = 64 << 10;
/// Longest wait for a checkpoint that covers what is asked for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What goes into the bundle.
#[derive(Default)]
struct Plan {
    disclosed: Vec<(Position, Vec<u8>)>,
    /// Secrets of encrypted bodies among them.
    secrets: Vec<(Position, [u8; 32])>,
    bytes: usize,
    receipt: Option<Receipt>,
    answer: Option<Shown>,
    records: Vec<Pseudonym>,
}

/// An access to show.
struct Shown {
    position: Position,
    id: [u8; 16],
    opened: Option<([u8; 32], Vec<u8>)>,
}

/// Makes the bundle, and writes down that its entries are shown.
pub(crate) async fn prove(inner: &Arc<Inner>, caller: String, request: ProveRequest) -> Result<Vec<u8>, Error> {
    let what = request.what.ok_or_else(|| Error::field("what", "say what is to be proven"))?;
    if request.since.len() > NOTE_BYTES_MAX {
        return Err(Error::field("since", format!("a checkpoint has at most {NOTE_BYTES_MAX} bytes")));
    }
    let discloses = !matches!(what, What::Receipt(_));
    if request.reveal && !discloses {
        return Err(Error::field("reveal", "the bundle of a receipt discloses nothing: name the entry or the record"));
    }
    let mut asked = vec![asked(&what)];
    asked.extend(request.reveal.then(|| "bodies".to_owned()));
    let purpose = Purpose { caller, case: request.case_number, procedure: "audit.prove", asked };
    if discloses {
        inner.audited(&purpose).await?;
    }
    let _place = inner.places.clone().acquire_owned().await.map_err(|_| Error::Stopping)?;
    let plan = {
        let inner = Arc::clone(inner);
        on_a_thread(move || {
            let mut plan = plan(&inner, what)?;
            if request.reveal {
                plan.reveal(&inner)?;
            }
            Ok(plan)
        })
        .await?
    };
    let signed = covering(inner, &plan).await?;
    let records = plan.records.clone();
    let bundle = {
        let (inner, since) = (Arc::clone(inner), request.since);
        on_a_thread(move || compose(&inner, plan, &signed, &since)).await?
    };
    if discloses {
        inner.shown(&purpose, records, &bundle).await?;
    }
    Ok(bundle)
}

/// What was asked for, as the access entry says it: by position, since a record's id may be a person's.
fn asked(what: &What) -> String {
    match what {
        What::Record(record) => format!("record of {}", record.register),
        What::Position(position) => position.clone(),
        What::Answer(answer) => answer.position.clone(),
        What::Receipt(_) => String::new(),
    }
}

async fn covering(inner: &Inner, plan: &Plan) -> Result<Arc<Signed>, Error> {
    let mut wanted: Vec<Position> = plan.disclosed.iter().map(|(at, _)| *at).collect();
    wanted.extend(plan.receipt.as_ref().map(|receipt| receipt.position));
    let ledger = &inner.deps.ledger;
    if let Some(signed) = ledger.covering(&wanted, PATIENCE).await {
        return Ok(signed);
    }
    Err(match (ledger.unsigned(), wanted.into_iter().max_by_key(|at| at.index)) {
        (Error::NoCheckpoint, Some(newest)) => Error::NotCovered(newest),
        (why, _) => why,
    })
}

fn plan(inner: &Inner, what: What) -> Result<Plan, Error> {
    match what {
        What::Record(record) => Plan::of_record(inner, &record),
        What::Position(position) => {
            let at = position_of("position", &position)?;
            let mut plan = Plan::default();
            plan.disclose(inner, at)?;
            plan.records.extend(record_of(&plan.disclosed[0].1)?);
            Ok(plan)
        }
        What::Answer(answer) => Plan::of_answer(inner, answer),
        What::Receipt(bytes) => Plan::of_receipt(inner, &bytes),
    }
}

fn position_of(field: &'static str, text: &str) -> Result<Position, Error> {
    text.parse().map_err(|error: record::PositionError| Error::field(field, error.to_string()))
}

fn record_of(entry: &[u8]) -> Result<Option<Pseudonym>, Error> {
    let header = Entry::decode(entry)?.header;
    Ok(Some(header.record).filter(|_| header.kind.stream() == Stream::Change))
}

impl Plan {
    fn disclose(&mut self, inner: &Inner, at: Position) -> Result<(), Error> {
        let entry = inner.deps.log.read_position(at)?;
        self.bytes += entry.bytes.len();
        if self.bytes > BYTES_MAX {
            return Err(Error::TooMuch(BYTES_MAX));
        }
        if self.disclosed.len() == ENTRIES_MAX {
            return Err(Error::TooMuch(ENTRIES_MAX));
        }
        self.disclosed.push((at, entry.bytes.to_vec()));
        Ok(())
    }

    /// Takes the secret of every encrypted body that is disclosed. An erased record's bodies have none any more.
    fn reveal(&mut self, inner: &Inner) -> Result<(), Error> {
        let keys = inner.deps.secret.keys();
        for (at, bytes) in &self.disclosed {
            match Entry::decode(bytes)?.body_secret(&keys) {
                Ok(secret) => self.secrets.extend(secret.map(|secret| (*at, secret))),
                Err(BodyError::Erased) => {}
                Err(error) => return Err(Error::internal("a body's secret cannot be made", &error)),
            }
        }
        Ok(())
    }

    fn of_record(inner: &Inner, record: &ProvenRecord) -> Result<Self, Error> {
        let pseudonym = pseudonym(inner, &record.register, &record.record_id)?;
        let mut plan = Self { records: vec![pseudonym], ..Self::default() };
        for (version, at) in versions(inner, pseudonym)? {
            if record.version == 0 || record.version == version {
                plan.disclose(inner, at)?;
            }
        }
        if plan.disclosed.is_empty() {
            let what = "the register has no such record or version in the views: look at its id with 'hub audit replay', or ask again when it is folded";
            return Err(Error::NotFound(what.into()));
        }
        Ok(plan)
    }

    fn of_answer(inner: &Inner, answer: ProvenAnswer) -> Result<Self, Error> {
        let at = position_of("answer.position", &answer.position)?;
        if at.stream != Stream::Access {
            return Err(Error::field("answer.position", "an access entry is in the stream 'access'"));
        }
        let mut plan = Self::default();
        plan.disclose(inner, at)?;
        let batch = {
            let entry = Entry::decode(&plan.disclosed[0].1)?;
            let body = entry.plain_body().map_err(|error| Error::internal("an access entry cannot be read", &error))?;
            AccessBatch::decode(body)?
        };
        let access = access_of(&batch, &answer.access_id)?;
        for record in &access.records {
            plan.records.push(*record);
            plan.entries_below(inner, *record, &batch.positions)?;
        }
        let opened = if answer.response.is_empty() { None } else { Some(open(inner, access, answer.response)?) };
        plan.answer = Some(Shown { position: at, id: access.id, opened });
        Ok(plan)
    }

    /// The entries of a record that counted at the answer's basis.
    fn entries_below(&mut self, inner: &Inner, record: Pseudonym, basis: &Positions) -> Result<(), Error> {
        for (_, at) in versions(inner, record)? {
            if basis.covers(at) {
                self.disclose(inner, at)?;
            }
        }
        Ok(())
    }

    fn of_receipt(inner: &Inner, bytes: &[u8]) -> Result<Self, Error> {
        let wrong = |what: String| Error::field("receipt", what);
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(wrong(format!("a receipt has at most {NOTE_BYTES_MAX} bytes")));
        }
        let receipt = Receipt::decode(bytes).map_err(|error| wrong(error.to_string()))?;
        let ledger = &inner.deps.ledger;
        receipt.verify_by_any(&ledger.signers.verifiers(), &ledger.origin).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { receipt: Some(receipt), ..Self::default() })
    }
}

fn pseudonym(inner: &Inner, register: &str, record_id: &str) -> Result<Pseudonym, Error> {
    let register =
        RegisterName::try_from(register).map_err(|error| Error::field("record.register", error.to_string()))?;
    let id = RecordId::try_from(record_id).map_err(|error| Error::field("record.record_id", error.to_string()))?;
    Ok(inner.deps.secret.pseudonym(&register, &id))
}

/// The versions of a record that count, with their places.
fn versions(inner: &Inner, record: Pseudonym) -> Result<Vec<(u64, Position)>, Error> {
    let unread = |error: &dyn std::error::Error| Error::internal("a record's head cannot be read", error);
    let view = inner.deps.heads.view().map_err(|error| unread(&error))?;
    let Some(row) = view.get(Table::Head, &record.0).map_err(|error| unread(&error))? else { return Ok(Vec::new()) };
    let head = Head::decode(&row)?;
    let partition = record.partition(inner.deps.log.partitions().change);
    let at = |index: Index| Position { stream: Stream::Change, partition, index };
    Ok(head.versions.iter().map(|version| (version.row.version, at(version.index))).collect())
}

fn access_of<'a>(batch: &'a AccessBatch, id: &str) -> Result<&'a Access, Error> {
    match batch.accesses.as_slice() {
        [only] if id.is_empty() => Ok(only),
        _ if id.is_empty() => Err(Error::field(
            "answer.access_id",
            format!("the entry holds {} accesses: say which, by the id in the answer's basis", batch.accesses.len()),
        )),
        accesses => accesses
            .iter()
            .find(|access| Pseudonym(access.id).to_hex() == id)
            .ok_or_else(|| Error::NotFound(format!("the access entry holds no access {id}"))),
    }
}

/// The key of the answer and its bytes, when the response is the one whose hash is in the log.
fn open(inner: &Inner, access: &Access, response: Vec<u8>) -> Result<([u8; 32], Vec<u8>), Error> {
    let Decision::Answered { salt, answer } = &access.decision else { return Err(Error::NothingAnswered) };
    let key = inner.deps.secret.answer_key(salt);
    let is_it = |bytes: &[u8]| record::secret::answer_hash(&key, bytes) == *answer;
    if is_it(&response) {
        return Ok((key, response));
    }
    let bare = match access.action {
        // What is no such message is another answer, whatever is wrong with it.
        Action::Search => SearchResponse::decode(response.as_slice()).ok().map(|found| wire::search_bytes(&found)),
        action => without_field(&response, basis_field(action)),
    };
    bare.filter(|bare| is_it(bare)).map(|bare| (key, bare)).ok_or(Error::OtherAnswer)
}

/// The number of the field `basis` in the response of an action.
fn basis_field(action: Action) -> u64 {
    match action {
        Action::GetSubject | Action::Watch => 4,
        Action::CheckProcedure | Action::ListReviews => 5,
        Action::Search | Action::ListAccesses => 3,
        Action::ExplainLink => 9,
        // These have none.
        Action::Operate => 0,
    }
}

/// A serialised message without one of its fields; every other byte stays. `None` when it is no message.
fn without_field(mut message: &[u8], field: u64) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(message.len());
    while !message.is_empty() {
        let begin = message;
        let key = varint(&mut message)?;
        match key & 7 {
            0 => {
                varint(&mut message)?;
            }
            1 => message = message.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
        if key >> 3 != field {
            out.extend_from_slice(&begin[..begin.len() - message.len()]);
        }
    }
    Some(out)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn compose(inner: &Inner, plan: Plan, signed: &Signed, since: &str) -> Result<Vec<u8>, Error> {
    let ledger = &inner.deps.ledger;
    let tick = signed.state.tick.ok_or(Error::NoCheckpoint)?;
    let tile = tile_of(&ledger.dir);
    let mut draft = Draft::new(&signed.note, tick, signed.state.heads.clone(), tile).map_err(refused)?;
    if !since.is_empty() {
        ledger.own_policy().verify_log(since).map_err(|error| Error::field("since", error.to_string()))?;
        draft.since(since).map_err(refused)?;
    }
    for (at, bytes) in plan.disclosed {
        draft.entry(at, bytes);
    }
    for (at, secret) in plan.secrets {
        draft.body(at, secret);
    }
    if let Some(receipt) = &plan.receipt {
        contradiction(inner, receipt, signed)?;
        draft.withheld(receipt.position, receipt.entry);
        draft.receipt(receipt);
    }
    if let Some(Shown { position, id, opened }) = plan.answer {
        draft.answer(position, id, opened);
    }
    draft.finish().map_err(refused)
}

/// A receipt whose entry is another in the ledger proves that the hub broke its word: that is said, not hidden in a bundle that
/// does not hold.
fn contradiction(inner: &Inner, receipt: &Receipt, signed: &Signed) -> Result<(), Error> {
    let at = receipt.position;
    let head = signed.state.head(at.stream, at.partition).ok_or(Error::NotCovered(at))?;
    let mut tile = tile_of(&inner.deps.ledger.dir);
    let of = ledger::TreeOf::Partition(at.stream, at.partition);
    let mut tree = ledger::TiledTree::new(head.size, |wanted| tile(of, wanted));
    match receipt.upgrade(&mut tree) {
        Ok(_) => Ok(()),
        Err(UpgradeError::NotYet { position, .. }) => Err(Error::NotCovered(position)),
        Err(UpgradeError::Contradicted { position }) => Err(Error::Contradicted(position)),
        Err(UpgradeError::Tiles(error)) => Err(refused(ComposeError::Tiles(error))),
    }
}

fn refused(error: ComposeError<tile_store::Error>) -> Error {
    match error {
        ComposeError::Empty => Error::NoCheckpoint,
        ComposeError::OtherLog => Error::field("since", "the checkpoint is of another log"),
        ComposeError::Tiles(TiledError::Beyond { wanted, size }) => Error::field(
            "since",
            format!(
                "the checkpoint has {wanted} ticks, and the log has {size}: one of them is not of this log's history"
            ),
        ),
        ComposeError::Checkpoint(_)
        | ComposeError::NoState(_)
        | ComposeError::NoPartition(_)
        | ComposeError::Tiles(_) => Error::internal("a bundle cannot be made", &error),
    }
}

/// The hash that the ledger has of an entry.
pub(crate) fn hash_of(entry: &[u8]) -> String {
    EntryHash::of(entry).0.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_taken_out_and_every_other_byte_stays() {
        // Fields 1 (bytes), 2 (varint), 4 (bytes), 5 (fixed32), 6 (fixed64).
        let message = b"\x0a\x02hi\x10\x96\x01\x22\x03abc\x2d\x01\x02\x03\x04\x31\x01\x02\x03\x04\x05\x06\x07\x08";
        let bare = without_field(message, 4).expect("a message");
        assert_eq!(bare, b"\x0a\x02hi\x10\x96\x01\x2d\x01\x02\x03\x04\x31\x01\x02\x03\x04\x05\x06\x07\x08");
        assert_eq!(without_field(message, 9).as_deref(), Some(message.as_slice()));
        assert_eq!(without_field(&message[..message.len() - 1], 4), None);
    }
}
