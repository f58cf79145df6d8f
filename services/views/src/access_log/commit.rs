//! The committer: one task that gathers the accesses that wait into one append.

use std::sync::Arc;

use bytes::Bytes;
use event_log::{Append, Appended, EventLog};
use record::access::{Access, AccessBatch};
use record::entry::SALT_BYTES;
use record::{Entry, EntryHeader, EntryKind, Partition, Position, Stream};
use telemetry::{QueryMetrics, told};
use tokio::sync::{mpsc, oneshot};

use super::index::AccessIndex;
use super::{AccessLogError, Basis, Clock};

/// Most accesses of one append.
const GROUP_MAX: usize = 512;

/// Most bytes of the accesses of one entry, about; the log takes entries of 4 MiB.
const LOT_BYTES_MAX: usize = 2 << 20;
/// Most bytes of the accesses of one append, about; the log takes 16 MiB at once.
const APPEND_BYTES_MAX: usize = 8 << 20;

pub(super) type Reply = oneshot::Sender<Result<Position, AccessLogError>>;

/// What the committer is told.
pub(super) enum Command {
    Record {
        basis: Arc<Basis>,
        access: Box<Access>,
        reply: Reply,
    },
    /// Finish what came before, then end.
    Stop,
}

pub(super) struct Committer {
    pub(super) log: EventLog,
    pub(super) index: Arc<AccessIndex>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<QueryMetrics>,
}

/// Accesses with one basis: one entry.
struct Lot {
    basis: Arc<Basis>,
    accesses: Vec<Access>,
    replies: Vec<Reply>,
    bytes: usize,
}

impl Committer {
    pub(super) async fn run(self, mut waiting: mpsc::Receiver<Command>) {
        let mut commands = Vec::with_capacity(GROUP_MAX);
        loop {
            if waiting.recv_many(&mut commands, GROUP_MAX).await == 0 {
                return;
            }
            let mut lots: Vec<Lot> = Vec::new();
            let mut stop = false;
            for command in commands.drain(..) {
                match command {
                    // What was sent behind it is answered by its closed channel.
                    Command::Record { .. } if stop => {}
                    Command::Record { basis, access, reply } => take(&mut lots, basis, *access, reply),
                    Command::Stop => stop = true,
                }
            }
            while !lots.is_empty() {
                let rest = lots.split_off(fitting(&lots));
                self.commit(lots).await;
                lots = rest;
            }
            if stop {
                return;
            }
        }
    }

    async fn commit(&self, mut lots: Vec<Lot>) {
        let result = self.append(&mut lots).await;
        if let Err(error) = &result {
            tracing::error!(error = %told(error), "accesses were not recorded; nothing is answered");
        }
        for (at, lot) in lots.into_iter().enumerate() {
            let told = result.as_ref().map(|places| places[at]).map_err(Clone::clone);
            for reply in lot.replies {
                // A caller that is gone needs no answer.
                let _ = reply.send(told.clone());
            }
        }
    }

    async fn append(&self, lots: &mut [Lot]) -> Result<Vec<Position>, AccessLogError> {
        let mut batches = Vec::with_capacity(lots.len());
        let mut appends = Vec::with_capacity(lots.len());
        for lot in lots {
            let batch = AccessBatch {
                positions: lot.basis.positions.clone(),
                control: lot.basis.control,
                fold_version: lot.basis.fold_version,
                model_epoch: lot.basis.model_epoch,
                policy: lot.basis.policy,
                accesses: std::mem::take(&mut lot.accesses),
            };
            appends.push(self.encode(&batch)?);
            batches.push(batch);
        }
        let appended = self.log.append(appends).await?;
        self.metrics.access_entries(batches.iter().map(|b| b.accesses.len() as u64).sum());
        let places = appended.iter().map(|a| a.position).collect();
        self.index(batches, appended).await?;
        Ok(places)
    }

    fn encode(&self, batch: &AccessBatch) -> Result<Append, AccessLogError> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(|_| AccessLogError::Random)?;
        let header = EntryHeader::of_hub(EntryKind::Access, (self.clock)());
        let bytes = Entry::encode_salted(&header, &salt, &batch.encode())?;
        let partition = self.partition(batch.accesses.first().map_or([0; 16], |a| a.id));
        Ok(Append { stream: Stream::Access, partition, bytes: Bytes::from(bytes) })
    }

    /// The partition of an entry: by a hash of the id of its first access.
    fn partition(&self, id: [u8; 16]) -> Partition {
        let hash = blake3::hash(&id);
        let head = u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes"));
        let partitions = u64::from(self.log.partitions().of(Stream::Access).max(1));
        Partition(u16::try_from(head % partitions).expect("less than the number of partitions"))
    }

    async fn index(&self, batches: Vec<AccessBatch>, appended: Vec<Appended>) -> Result<(), AccessLogError> {
        if self.log.kind() == "kafka" {
            // Other processes append too: a thread of its own indexes the stream in its order.
            return Ok(());
        }
        let index = Arc::clone(&self.index);
        let log = self.log.clone();
        let write = move || {
            let entries = batches.iter().zip(&appended);
            index.follow(&log, entries.map(|(batch, a)| (a.position, a.appended_at, a.locator, batch)))
        };
        tokio::task::spawn_blocking(write).await.unwrap_or_else(|error| {
            tracing::error!(%error, "indexing accesses ended in a panic");
            Err(AccessLogError::Stopped)
        })
    }
}

fn take(lots: &mut Vec<Lot>, basis: Arc<Basis>, access: Access, reply: Reply) {
    let bytes = weight(&access);
    let fits =
        |lot: &&mut Lot| lot.bytes + bytes <= LOT_BYTES_MAX && (Arc::ptr_eq(&lot.basis, &basis) || lot.basis == basis);
    match lots.iter_mut().find(fits) {
        Some(lot) => {
            lot.accesses.push(access);
            lot.replies.push(reply);
            lot.bytes += bytes;
        }
        None => lots.push(Lot { basis, accesses: vec![access], replies: vec![reply], bytes }),
    }
}

/// An upper bound of an encoded access, in bytes.
fn weight(access: &Access) -> usize {
    let texts = access.fields.iter().map(|f| f.len() + 5).sum::<usize>();
    256 + access.caller.len() + access.procedure.len() + access.case.len() + texts + 16 * access.records.len()
}

/// How many of the lots one append takes, at least one.
fn fitting(lots: &[Lot]) -> usize {
    let mut bytes = 0;
    let over = lots.iter().position(|lot| {
        bytes += lot.bytes;
        bytes > APPEND_BYTES_MAX
    });
    over.unwrap_or(lots.len()).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::access::{Action, Decision};
    use record::{Index, Positions, Pseudonym, Timestamp};

    fn take_all(accesses: usize, records: usize, bases: usize) -> Vec<Lot> {
        let mut lots = Vec::new();
        for n in 0..accesses {
            let access = Access {
                action: Action::Search,
                id: [0; 16],
                caller: "spiffe://hub.test/a".into(),
                procedure: "p".into(),
                case: "c".into(),
                records: vec![Pseudonym([7; 16]); records],
                fields: vec!["person.full_name".into()],
                at: Timestamp(1),
                known_at: None,
                valid_at: None,
                decision: Decision::NotFound,
            };
            let basis = Basis {
                positions: Positions::new(),
                control: Index((n % bases) as u64),
                fold_version: 1,
                model_epoch: 1,
                policy: [0; 32],
            };
            take(&mut lots, Arc::new(basis), access, oneshot::channel().0);
        }
        lots
    }

    #[test]
    fn accesses_of_one_basis_share_an_entry_and_others_do_not() {
        let lots = take_all(10, 1, 2);
        assert_eq!(lots.iter().map(|l| l.accesses.len()).collect::<Vec<_>>(), [5, 5]);
        assert_eq!(fitting(&lots), 2);
    }

    #[test]
    fn no_entry_and_no_append_grows_beyond_what_the_log_takes() {
        let lots = take_all(512, 8_192, 1);
        assert!(lots.len() > 30);
        for lot in &lots {
            let bytes: usize = lot.accesses.iter().map(weight).sum();
            assert!(bytes <= LOT_BYTES_MAX && bytes == lot.bytes);
        }
        let first = fitting(&lots);
        assert!(first >= 3 && lots[..first].iter().map(|l| l.bytes).sum::<usize>() <= APPEND_BYTES_MAX);
    }
}
