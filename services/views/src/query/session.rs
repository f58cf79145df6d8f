//! One question's look at the views: one committed batch, the control state that belongs to it, and the times asked for.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contract::{Contract, Facts};
use event_log::{EventLog, Locator, Logged, ReadError};
use hashbrown::HashMap;
use linkage::{Component, FeatureRow, NodeId, NodeMeta, NodeNo};
use projection::head::{Head, HeadFinding, StoredVersion};
use projection::mention::{self, Reading, VersionBody, mention_id};
use projection::state::ControlState;
use projection::subject::Source;
use projection::units::Units;
use record::control::{Control, Order};
use record::entry::BodyError;
use record::{
    Entry, Envelope, Index, Kind, LogSecret, MentionId, Operation, Partition, Position, Positions, Pseudonym, Stream,
    Timestamp,
};
use view_store::{KeyRange, Table, Value, View};

use super::Core;
use super::error::Error;
use crate::decisions;
use crate::fold::{FoldError, MentionRow, decode_member, decode_node, decode_positions, position_of};
use crate::prepared::Side;

/// Most mentions of one subject that are looked at.
const MENTIONS_MAX: usize = 8192;
/// Records of a subject that are compared.
const RECORDS_MAX: usize = 512;
/// How long the control state may lag behind a batch that is visible already.
const CONTROL_LAG: Duration = Duration::from_millis(200);

/// Rows and bodies that a look keeps: one question about one subject reads some of them twice.
const KEPT_MAX: usize = 256;
const BODIES_KEPT_MAX: usize = 16;

/// Control entries that may stand between a cut's time and its append.
const CUT_LAG_ENTRIES: u64 = 16;

/// The times of a question.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AsOf {
    pub(super) known_at: Option<Timestamp>,
    pub(super) valid_at: Option<Timestamp>,
}

/// A question's look at the views. Its methods block on the disk.
pub(super) struct Session {
    pub(super) view: View,
    pub(super) control: Arc<ControlState>,
    pub(super) positions: Positions,
    /// How often other views have taken over.
    pub(super) takeovers: u64,
    /// The unit lists that were known at the time asked for.
    pub(super) units: Units,
    pub(super) now: Timestamp,
    valid_at: Timestamp,
    /// Ends of the partitions at the cut asked for; `None` for everything.
    known: Option<Positions>,
    log: EventLog,
    secret: Arc<LogSecret>,
    partitions: u16,
    records_max: usize,
    kept: Mutex<Kept>,
}

/// What a look has read already. The view does not change, so neither do they.
#[derive(Default)]
struct Kept {
    rows: HashMap<(Table, [u8; 16]), Option<Value>>,
    bodies: HashMap<(Pseudonym, Index), Option<Arc<Opened>>>,
}

/// An entry's body, readable.
struct Opened {
    position: Position,
    recorded_at: Timestamp,
    body: Vec<u8>,
}

/// A version of a record that mentions the subject, with its entry.
pub(super) struct Loaded {
    pub(super) source: Source,
    /// The subject's mentions in the record.
    mentions: Vec<MentionId>,
    contract: Arc<Contract>,
    opened: Arc<Opened>,
}

/// A subject and the records that speak of it.
pub(super) struct Subject {
    pub(super) id: MentionId,
    pub(super) kind: Kind,
    /// In the order of effective time, newest first; the record decides between equal ones.
    pub(super) loaded: Vec<Loaded>,
    pub(super) findings: Vec<(String, HeadFinding)>,
}

/// What a record's version says, with the subject's place in it.
pub(super) struct Spoken<'a> {
    pub(super) loaded: &'a Loaded,
    pub(super) facts: Facts<'a>,
    /// The mentions' ids, in the order of `facts.mentions`.
    pub(super) ids: Vec<MentionId>,
    /// Which of them are the subject.
    pub(super) own: Vec<usize>,
}

impl Session {
    /// Opens the last committed batch.
    pub(super) fn open(core: &Core, as_of: AsOf, now: Timestamp) -> Result<Self, Error> {
        let handle = &core.handle;
        let (view, positions, control, takeovers) = {
            let _steady = handle.taking_over.read().unwrap_or_else(PoisonError::into_inner);
            let view = handle.reader.view()?;
            let positions = decode_positions(&view.committed().positions)?;
            let control = control_of(core, positions.get(Stream::Control, Partition(0)));
            (view, positions, control, handle.takeovers.load(Ordering::Acquire))
        };
        let end = positions.get(Stream::Control, Partition(0));
        let cut = match as_of.known_at {
            None => None,
            Some(at) => Some(cut_before(&handle.log, at, end)?),
        };
        let units = match &cut {
            None => control.units.clone(),
            Some((index, _)) => control.units.as_of(*index),
        };
        Ok(Self {
            view,
            control,
            positions,
            takeovers,
            units,
            now,
            valid_at: as_of.valid_at.unwrap_or(now),
            known: cut.map(|(_, ends)| ends),
            log: handle.log.clone(),
            secret: Arc::clone(&handle.secret),
            partitions: handle.log.partitions().change,
            records_max: core.options.records_max.max(1),
            kept: Mutex::default(),
        })
    }

    /// Looks at views that nobody serves from, as of their last cut.
    pub(super) fn of_side(side: Side, log: &EventLog, secret: &Arc<LogSecret>) -> Result<Self, Error> {
        let control = side.control;
        let now = control.cut.as_ref().map_or(Timestamp(i64::MAX), |(at, _)| *at);
        Ok(Self {
            positions: decode_positions(&side.view.committed().positions)?,
            view: side.view,
            units: control.units.clone(),
            control,
            takeovers: 0,
            now,
            valid_at: now,
            known: None,
            log: log.clone(),
            secret: Arc::clone(secret),
            partitions: log.partitions().change,
            records_max: RECORDS_MAX,
            kept: Mutex::default(),
        })
    }

    /// Another bound on the records of one subject.
    pub(super) fn with_records_max(mut self, records_max: usize) -> Self {
        self.records_max = records_max.min(self.records_max);
        self
    }

    /// Partitions of the change stream.
    pub(super) fn partitions(&self) -> u16 {
        self.partitions
    }

    /// The unit lists that linkage normalises with.
    pub(super) fn linkage_units(&self) -> Units {
        self.control.model.as_ref().map_or_else(Units::default, |m| m.units.clone())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Whatever panicked meanwhile has put in whole rows or none.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A row of a table whose keys have at most 16 bytes, all the same number.
    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Value>, Error> {
        let mut name = [0; 16];
        name[..key.len()].copy_from_slice(key);
        let kept = self.kept().rows.get(&(table, name)).cloned();
        if let Some(row) = kept {
            return Ok(row);
        }
        let row = self.view.get(table, key)?;
        let mut kept = self.kept();
        if kept.rows.len() < KEPT_MAX {
            kept.rows.insert((table, name), row.clone());
        }
        Ok(row)
    }

    pub(super) fn head(&self, record: Pseudonym) -> Result<Option<Head>, Error> {
        let row = self.row(Table::Head, &record.0)?;
        Ok(row.map(|v| Head::decode(&v)).transpose()?)
    }

    /// Where a live mention is.
    pub(super) fn mention(&self, mention: MentionId) -> Result<Option<MentionRow>, Error> {
        let row = self.row(Table::Mention, &mention.0)?;
        Ok(row.map(|v| MentionRow::decode(&v)).transpose()?)
    }

    pub(super) fn meta(&self, node: NodeNo) -> Result<NodeMeta, Error> {
        let row = self.row(Table::NodeMeta, &node.0.to_be_bytes())?.ok_or(FoldError::Row("node"))?;
        Ok(decode_node(&row)?)
    }

    /// A live node by its canonical id.
    pub(super) fn node_by_id(&self, id: &NodeId) -> Result<NodeMeta, Error> {
        let row = self.view.get(Table::NodeById, &id.0)?.ok_or(FoldError::Row("node by id"))?;
        let no = u32::from_be_bytes(row.as_ref().try_into().map_err(|_| FoldError::Row("node by id"))?);
        self.meta(NodeNo(no))
    }

    /// The subject that holds a mention now; `None` when no live record has the mention.
    pub(super) fn subject_of(&self, mention: MentionId) -> Result<Option<MentionId>, Error> {
        let Some(row) = self.mention(mention)? else { return Ok(None) };
        Ok(Some(self.meta(row.placement.node)?.subject))
    }

    /// The kind of a live mention.
    pub(super) fn kind_of(&self, mention: MentionId) -> Result<Option<Kind>, Error> {
        Ok(decisions::kind_of(&self.view, mention)?)
    }

    /// What linkage reads of a live mention, and the version that it stands in; `None` when the version cannot be read.
    pub(super) fn features(&self, mention: MentionId) -> Result<Option<(FeatureRow, Source)>, Error> {
        let Some(row) = self.mention(mention)? else { return Ok(None) };
        let head = self.head(row.record)?.ok_or(FoldError::Row("head"))?;
        let linked = head.facts().and_then(|f| head.version(f.version.0, f.version.1)).copied();
        let (Some(version), Some(model)) = (linked, &self.control.model) else { return Ok(None) };
        let Some(loaded) = self.load(row.record, &version, &head, vec![mention])? else { return Ok(None) };
        let envelope = Envelope::decode(&loaded.opened.body)?;
        let reading = Reading {
            contract: &loaded.contract,
            kinds: contract::kinds(),
            model: &model.model,
            units: &model.units,
            secret: &self.secret,
        };
        let body = VersionBody {
            register: &head.register,
            record: row.record,
            version: (version.row.epoch, version.row.version),
            record_type: envelope.record_type,
            agency: &envelope.agency,
            recorded_at: loaded.opened.recorded_at,
            payload: envelope.payload,
        };
        // What the fold has linked it has read; a version that it could not read has no live mention.
        let Ok(read) = mention::read(&reading, &body) else { return Ok(None) };
        let found = read.inputs.iter().find(|input| input.id == mention).map(|input| input.row);
        Ok(found.map(|features| (features, loaded.source)))
    }

    /// The component of a node; `None` for one without edges.
    pub(super) fn component(&self, node: NodeNo) -> Result<Option<Component>, Error> {
        let Some(component) = self.meta(node)?.component else { return Ok(None) };
        let row = self.view.get(Table::Component, &component.0.to_be_bytes())?.ok_or(FoldError::Row("component"))?;
        Ok(Some(Component::decode(&row)?))
    }

    /// The nodes of a subject's cluster.
    fn nodes(&self, subject: MentionId) -> Result<Vec<NodeNo>, Error> {
        let Some(row) = self.mention(subject)? else { return Ok(Vec::new()) };
        let node = row.placement.node;
        let Some(component) = self.component(node)? else { return Ok(vec![node]) };
        let at = component.place(node).ok_or(FoldError::Row("component"))?;
        Ok(component.cluster_of(at).map(|i| component.nodes[i].no).collect())
    }

    /// The records that mention a subject, each with its mentions.
    pub(super) fn records(&self, subject: MentionId) -> Result<BTreeMap<Pseudonym, Vec<MentionId>>, Error> {
        let mut records: BTreeMap<Pseudonym, Vec<MentionId>> = BTreeMap::new();
        let mut left = MENTIONS_MAX;
        for node in self.nodes(subject)? {
            if left == 0 {
                break;
            }
            if let Some(sole) = self.meta(node)?.sole() {
                let row = self.mention(sole)?.ok_or(FoldError::Row("mention"))?;
                records.entry(row.record).or_default().push(sole);
                left -= 1;
                continue;
            }
            let rows = self.view.range(Table::NodeMember, KeyRange::Prefix(&node.0.to_be_bytes()), left)?;
            left -= rows.len();
            for (key, value) in rows {
                let (member, record) = decode_member(&key, &value)?;
                records.entry(record).or_default().push(member.mention);
            }
        }
        Ok(records)
    }

    /// Whether the log held the version at the cut asked for.
    pub(super) fn knew(&self, record: Pseudonym, version: &StoredVersion) -> bool {
        let position = position_of(record, version.index, self.partitions);
        self.known.as_ref().is_none_or(|known| known.covers(position))
    }

    /// Everything that the views know of a subject at the times asked for: the newest records, at most `records_max`.
    pub(super) fn subject(&self, id: MentionId, kind: Kind) -> Result<Subject, Error> {
        let mut in_force = Vec::new();
        for (record, mentions) in self.records(id)? {
            let head = self.head(record)?.ok_or(FoldError::Row("head"))?;
            let version = head.in_force(self.valid_at, |v| self.knew(record, v)).copied();
            if let Some(version) = version.filter(|v| v.row.operation == Operation::Upsert as u8) {
                in_force.push((record, version, head, mentions));
            }
        }
        in_force.sort_by_key(|(record, v, ..)| (std::cmp::Reverse(v.row.effective_at), *record));
        in_force.truncate(self.records_max);
        let mut subject = Subject { id, kind, loaded: Vec::with_capacity(in_force.len()), findings: Vec::new() };
        for (record, version, head, mentions) in in_force {
            if let Some(loaded) = self.load(record, &version, &head, mentions)? {
                let found = head.facts().into_iter().flat_map(|f| &f.findings);
                subject.findings.extend(found.map(|f| (head.register.as_str().to_owned(), f.clone())));
                subject.loaded.push(loaded);
            }
        }
        Ok(subject)
    }

    /// A version with what it says; `None` when its contract is not known or its key was destroyed a moment ago, hence nothing
    /// of it can be read.
    fn load(
        &self,
        record: Pseudonym,
        version: &StoredVersion,
        head: &Head,
        mentions: Vec<MentionId>,
    ) -> Result<Option<Loaded>, Error> {
        let Some(contract) = self.control.by_id(version.row.contract) else { return Ok(None) };
        let Some(opened) = self.opened(record, version)? else { return Ok(None) };
        let envelope = Envelope::decode(&opened.body)?;
        if contract.record_type(envelope.record_type).is_err() {
            return Ok(None);
        }
        let source = Source {
            register: head.register.clone(),
            record,
            version: version.row.version,
            position: opened.position,
            record_type: envelope.record_type.to_owned(),
            agency: envelope.agency.as_str().to_owned(),
            effective_at: version.row.effective_at,
            published_at: version.published_at,
        };
        Ok(Some(Loaded { source, mentions, contract: Arc::clone(contract), opened }))
    }

    /// The body of a version's entry; `None` when the record's key was destroyed.
    fn opened(&self, record: Pseudonym, version: &StoredVersion) -> Result<Option<Arc<Opened>>, Error> {
        let name = (record, version.index);
        let kept = self.kept().bodies.get(&name).cloned();
        if let Some(opened) = kept {
            return Ok(opened);
        }
        let logged = self.entry(record, version)?;
        let opened = self
            .open_body(&logged)?
            .map(|(recorded_at, body)| Arc::new(Opened { position: logged.position, recorded_at, body }));
        let mut kept = self.kept();
        if kept.bodies.len() < BODIES_KEPT_MAX {
            kept.bodies.insert(name, opened.clone());
        }
        Ok(opened)
    }

    /// The entry of a version: by its locator, or by its position when the locator is of another copy of the log.
    pub(super) fn entry(&self, record: Pseudonym, version: &StoredVersion) -> Result<Logged, Error> {
        let position = position_of(record, version.index, self.partitions);
        match self.log.read(Locator(version.locator)) {
            Ok(logged) if logged.position == position => Ok(logged),
            Ok(_) | Err(ReadError::NotFound { .. }) => Ok(self.log.read_position(position)?),
            Err(e) => Err(e.into()),
        }
    }

    /// When the hub took an entry, and its body; `None` when the record's key was destroyed.
    pub(super) fn open_body(&self, logged: &Logged) -> Result<Option<(Timestamp, Vec<u8>)>, Error> {
        let entry = Entry::decode(&logged.bytes)?;
        match entry.body(&self.secret.keys()) {
            Ok(body) => Ok(Some((entry.header.recorded_at, body.into_owned()))),
            Err(BodyError::Erased) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What a loaded version says of its subject. `None` when it is no record of its contract.
    pub(super) fn speak<'a>(&self, loaded: &'a Loaded) -> Result<Option<Spoken<'a>>, Error> {
        let envelope = Envelope::decode(&loaded.opened.body)?;
        let Ok(facts) = loaded.contract.facts(envelope.record_type, envelope.payload) else { return Ok(None) };
        let ids: Vec<_> = facts.mentions.iter().map(|m| mention_id(&self.secret, loaded.source.record, m)).collect();
        // An element of a list that another version identifies otherwise may be somebody else, so ids alone decide.
        let own = (0..ids.len()).filter(|at| loaded.mentions.contains(&ids[*at])).collect();
        Ok(Some(Spoken { loaded, facts, ids, own }))
    }

    /// Every version of a record that was known, the one that linkage reads first, then newest first; at most `max`.
    pub(super) fn versions(&self, record: Pseudonym, head: &Head, max: usize) -> Vec<StoredVersion> {
        let linked = head.facts().map(|f| f.version);
        let upsert = |v: &&StoredVersion| v.row.operation == Operation::Upsert as u8 && self.knew(record, v);
        let mut out: Vec<StoredVersion> = head.versions.iter().rev().filter(upsert).copied().collect();
        out.sort_by_key(|v| Some((v.row.epoch, v.row.version)) != linked);
        out.truncate(max);
        out
    }

    /// Calls `with` on what a version says, and on its mentions' ids.
    pub(super) fn with_facts<T>(
        &self,
        record: Pseudonym,
        version: &StoredVersion,
        with: impl FnOnce(&Facts<'_>, &[MentionId]) -> T,
    ) -> Result<Option<T>, Error> {
        let Some(contract) = self.control.by_id(version.row.contract) else { return Ok(None) };
        let Some(opened) = self.opened(record, version)? else { return Ok(None) };
        let envelope = Envelope::decode(&opened.body)?;
        let Ok(facts) = contract.facts(envelope.record_type, envelope.payload) else { return Ok(None) };
        let ids: Vec<_> = facts.mentions.iter().map(|m| mention_id(&self.secret, record, m)).collect();
        Ok(Some(with(&facts, &ids)))
    }
}

/// The control state up to `end`, which a batch becomes visible a moment before.
fn control_of(core: &Core, end: Index) -> Arc<ControlState> {
    let begun = std::time::Instant::now();
    loop {
        let control = core.handle.control.load_full();
        if control.end >= end || begun.elapsed() > CONTROL_LAG {
            return control;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// The last cut not later than `at` among the control entries before `end`: its index and its ends. Nothing was known before
/// the first.
pub(super) fn cut_before(log: &EventLog, at: Timestamp, end: Index) -> Result<(Index, Positions), Error> {
    let after = log.find_time(Stream::Control, Partition(0), Timestamp(at.0.saturating_add(1)))?;
    // A cut is appended a little after the time that it names. Between two cuts, a moment apart, stand few other entries.
    for index in (0..after.0.saturating_add(CUT_LAG_ENTRIES).min(end.0)).rev() {
        let position = Position { stream: Stream::Control, partition: Partition(0), index: Index(index) };
        let logged = log.read_position(position)?;
        let entry = Entry::decode(&logged.bytes)?;
        let control = Control::decode(entry.plain_body()?)?;
        if let Order::Cut { at: cut_at, ends } = control.order
            && cut_at <= at
        {
            // The views are folded from everything but accesses, and so is what was known.
            return Ok((Index(index), ends.iter().filter(|(stream, ..)| *stream != Stream::Access).collect()));
        }
    }
    Ok((Index(0), Positions::new()))
}
