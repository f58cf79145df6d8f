//! Records: a change moves the head of its record, and brings its mentions to the version that linkage reads.

use event_log::{Locator, Logged};
use linkage::RecordMentions;
use projection::head::{Applied, Head, Linked, StoredVersion};
use projection::mention::{LookupKey, ReadVersion};
use projection::quality;
use record::entry::BodyError;
use record::{Entry, Envelope, MentionId, Operation, Position, Pseudonym};
use view_store::Table;

use super::count::Moved;
use super::prepare::{self, Body, Opened};
use super::{FoldError, Step};

const TRACES_MAX: usize = 64;

/// The upsert that is being folded, and what it says if that was read ahead.
pub(super) struct AtHand<'b> {
    body: Body<'b>,
    read: Option<Result<ReadVersion, Linked>>,
}

impl Step<'_, '_> {
    pub(super) fn head(&self, record: Pseudonym) -> Result<Option<Head>, FoldError> {
        Ok(self.txn.get(Table::Head, &record.0)?.map(|v| Head::decode(&v)).transpose()?)
    }

    pub(super) fn change(
        &mut self,
        entry: &Entry<'_>,
        logged: &Logged,
        body: &Opened,
        read: Option<Result<ReadVersion, Linked>>,
    ) -> Result<(), FoldError> {
        let (position, header) = (logged.position, &entry.header);
        self.folded.changes += 1;
        if !self.counts(entry, position)? {
            return Ok(());
        }
        let register = header.register.as_ref().ok_or(FoldError::Register { position })?;
        let Some(body) = body.bytes(entry, position)? else { return Ok(()) };
        let envelope = Envelope::decode(body).map_err(|source| FoldError::Entry { position, source })?;
        if let Some(trace) = envelope.trace
            && self.folded.traces.len() < TRACES_MAX
        {
            self.folded.traces.push(trace);
        }
        let before = self.head(header.record)?;
        let mut head = match &before {
            Some(head) => head.clone(),
            None => Head::new(register.clone()),
        };
        match head.apply(&prepare::change(header, &envelope, logged)) {
            Applied::Duplicate => self.totals.duplicates += 1,
            Applied::Conflict => self.totals.conflicts += 1,
            Applied::Full => {
                tracing::warn!(position = %position, "a record has too many versions; the entry is without effect");
                return Ok(());
            }
            Applied::New => {
                self.totals.records += u64::from(before.is_none());
                let version = *head.version(header.epoch, header.version).expect("it was just applied");
                let mut at_hand = AtHand { body: Body { header, envelope }, read };
                self.relink(&mut head, header.record, Some(&mut at_hand))?;
                let read = head.facts().is_some_and(|f| f.version == (header.epoch, header.version));
                if !read && version.row.operation == Operation::Upsert as u8 {
                    let read = self.read_at_hand(&head, header.record, &mut at_hand);
                    if let Ok(read) = read {
                        self.put_lookups(header.record, &read.lookups);
                    }
                }
            }
        }
        self.put_head(header.record, before.as_ref(), &head);
        Ok(())
    }

    /// Whether a change is of an epoch that these views show, and of a record that is not erased.
    pub(super) fn counts(&self, entry: &Entry<'_>, position: Position) -> Result<bool, FoldError> {
        if self.control.model.is_none() {
            return Err(FoldError::NoModel { position });
        }
        let header = &entry.header;
        let register = header.register.as_ref().ok_or(FoldError::Register { position })?;
        let shown = self.control.counts(register, header.epoch, position.partition, position.index);
        Ok(shown && !self.control.erased.contains(&header.record))
    }

    /// Writes a head, and moves the digest and the counters from what it was to what it is.
    pub(super) fn put_head(&mut self, record: Pseudonym, before: Option<&Head>, head: &Head) {
        if let Some(before) = before {
            before.rows(record, |row| self.digest.remove(&row));
            self.count_head(before, -1);
        }
        head.rows(record, |row| self.digest.add(&row));
        self.count_head(head, 1);
        self.txn.put(Table::Head, &record.0, &head.encode());
    }

    pub(super) fn count_head(&mut self, head: &Head, sign: i64) {
        if let Some((cell, counts)) = quality::of_head(head) {
            let no = self.counters.number(&cell);
            self.counters.add(no, &counts, sign);
        }
    }

    /// Brings the record's mentions to the version that linkage reads, when that is another one than before.
    pub(super) fn relink(
        &mut self,
        head: &mut Head,
        record: Pseudonym,
        at_hand: Option<&mut AtHand<'_>>,
    ) -> Result<(), FoldError> {
        let wanted = head.linkage_version().copied();
        let same = match (&head.linked, &wanted) {
            (Linked::Out, None) => true,
            (Linked::In(facts), Some(v)) => facts.version == (v.row.epoch, v.row.version),
            (Linked::Unreadable { version }, Some(v)) => *version == (v.row.epoch, v.row.version),
            (Linked::Waiting { .. }, _)
            | (Linked::Out, Some(_))
            | (Linked::In(_) | Linked::Unreadable { .. }, None) => false,
        };
        if same {
            return self.touch_subjects(head, record);
        }
        let read = match &wanted {
            None => Err(Linked::Out),
            Some(v) => self.read(head, record, v, at_hand)?,
        };
        self.leave_waiting(head, record);
        let old = std::mem::take(&mut head.linked);
        let new = match read {
            Ok(ReadVersion { facts, inputs, distinct, lookups }) => {
                head.linked = Linked::In(Box::new(facts));
                self.put_lookups(record, &lookups);
                Some((inputs, distinct))
            }
            Err(linked) => {
                head.linked = linked;
                None
            }
        };
        if let Linked::Waiting { contract } = &head.linked {
            self.txn.put(Table::Waiting, &[contract.0, record.0].concat(), &[]);
            self.totals.waiting += 1;
        }
        let old = match &old {
            Linked::In(facts) => Some(facts.as_ref()),
            Linked::Out | Linked::Waiting { .. } | Linked::Unreadable { .. } => None,
        };
        let inputs = new.as_ref().map(|(mentions, distinct)| RecordMentions { mentions, distinct });
        let moved = Moved { register: &head.register, old, new: head.facts() };
        self.link(record, &moved, inputs.as_ref())
    }

    fn leave_waiting(&mut self, head: &Head, record: Pseudonym) {
        if let Linked::Waiting { contract } = &head.linked {
            self.txn.delete(Table::Waiting, &[contract.0, record.0].concat());
            self.totals.waiting -= 1;
        }
    }

    /// Reads a version by its contract: from the entry at hand, else from the log.
    fn read(
        &self,
        head: &Head,
        record: Pseudonym,
        version: &StoredVersion,
        at_hand: Option<&mut AtHand<'_>>,
    ) -> Result<Result<ReadVersion, Linked>, FoldError> {
        if let Some(at_hand) = at_hand
            && (at_hand.body.header.epoch, at_hand.body.header.version) == (version.row.epoch, version.row.version)
        {
            return Ok(self.read_at_hand(head, record, at_hand));
        }
        // Of a record whose key is destroyed nothing can be read; its erasure is on its way.
        Ok(self.with_body(version, |body| self.read_body(head, record, body))?.unwrap_or(Err(Linked::Out)))
    }

    fn read_at_hand(&self, head: &Head, record: Pseudonym, at_hand: &mut AtHand<'_>) -> Result<ReadVersion, Linked> {
        at_hand.read.take().unwrap_or_else(|| self.read_body(head, record, &at_hand.body))
    }

    /// `None` when the record's key was destroyed.
    pub(super) fn with_body<T>(
        &self,
        version: &StoredVersion,
        use_body: impl FnOnce(&Body<'_>) -> T,
    ) -> Result<Option<T>, FoldError> {
        let logged = self.log.read(Locator(version.locator))?;
        let position = logged.position;
        let entry = Entry::decode(&logged.bytes).map_err(|source| FoldError::Entry { position, source })?;
        let bytes = match entry.body(&self.secret.keys()) {
            Ok(bytes) => bytes,
            Err(BodyError::Erased) => return Ok(None),
            Err(source) => return Err(FoldError::Body { position, source }),
        };
        let envelope = Envelope::decode(&bytes).map_err(|source| FoldError::Entry { position, source })?;
        Ok(Some(use_body(&Body { header: &entry.header, envelope })))
    }

    pub(super) fn read_body(&self, head: &Head, record: Pseudonym, body: &Body<'_>) -> Result<ReadVersion, Linked> {
        prepare::read_body(self.control, self.secret, &head.register, record, body)
    }

    /// Makes a version findable that linkage does not read: a retired id still finds its person.
    pub(super) fn index_lookups(
        &mut self,
        head: &Head,
        record: Pseudonym,
        version: &StoredVersion,
    ) -> Result<(), FoldError> {
        if version.row.operation != Operation::Upsert as u8 {
            return Ok(());
        }
        if let Some(Ok(read)) = self.with_body(version, |body| self.read_body(head, record, body))? {
            self.put_lookups(record, &read.lookups);
        }
        Ok(())
    }

    fn put_lookups(&mut self, record: Pseudonym, lookups: &[(LookupKey, MentionId)]) {
        for (key, mention) in lookups {
            self.txn.put(Table::Lookup, &[key.0.as_slice(), &mention.0].concat(), &record.0);
        }
    }
}
