//! The ledger's thread: reads the log, takes ticks, signs, makes durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use event_log::{EventLog, ReadError, Reader, StreamSet};
use ledger::tick::tree_name;
use ledger::tile::TILE_WIDTH;
use ledger::{Hash, Head, Shape, Signers, Tile, TreeOf, leaf_hash};
use record::{EntryHash, Index, Position, Stream, Timestamp};
use telemetry::LedgerMetrics;
use tile_store::{Follower, Signatures, Signed, TileStore};
use tokio::sync::watch;

use crate::ledger_part::{LedgerOptions, StatusSender, covered_by_stream, update};
use crate::witnesses::Asking;

/// Entries and bytes that are read at once.
const BATCH_ENTRIES: usize = 4_096;
const BATCH_BYTES: usize = 4 << 20;
/// Longest wait for entries, which is also the longest that a stop takes to be seen.
const WAIT: Duration = Duration::from_millis(200);
/// Between two reads while little comes: what publishers send together is taken together.
const PAUSE: Duration = Duration::from_millis(80);

/// How long it waits after the disk has said no.
const AGAIN: Duration = Duration::from_secs(2);
/// How long a ledger that is far behind goes on when the hub stops; the next start takes up the rest.
const STOP_MAX: Duration = Duration::from_secs(5);

/// Why the ledger stops.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    #[error("the ledger's files cannot be used")]
    Store(#[from] tile_store::Error),
    #[error("the log cannot be read")]
    Log(#[from] ReadError),
    #[error(
        "the log has {found} entries of {tree}, of which the ledger has {covered}: entries were taken away, or log and ledger are of different copies"
    )]
    Truncated { tree: String, covered: u64, found: u64 },
    #[error(
        "{0} is another entry than the one that the ledger has: the log was changed, or log and ledger are of different copies"
    )]
    Different(Position),
    #[error(
        "the log leads to another root at tick {0} than the checkpoint that was signed: the log was changed since; keep the ledger's folder as evidence"
    )]
    Forked(u64),
    #[error("the ledger is of log '{0}': set origin back, or move the ledger's folder away")]
    Origin(String),
}

impl FollowError {
    /// Whether the disk is at fault rather than what is kept on it.
    fn may_pass(&self) -> bool {
        matches!(self, Self::Store(tile_store::Error::Io { .. } | tile_store::Error::Poisoned))
    }
}

/// What the thread works with.
pub(crate) struct Follow {
    pub(crate) log: EventLog,
    pub(crate) signers: Arc<Signers>,
    pub(crate) shape: Shape,
    pub(crate) options: LedgerOptions,
    pub(crate) status: StatusSender,
    pub(crate) metrics: LedgerMetrics,
    pub(crate) asking: Option<Asking>,
    /// Whether witnesses are to be asked: not while another process that keeps the same ledger asks them.
    pub(crate) asks: watch::Receiver<bool>,
}

/// The thread's own state.
struct Run<'a> {
    follow: &'a mut Follow,
    follower: Follower,
    main: Reader,
    access: Reader,
    /// The checkpoint of an earlier run that has not been met again yet.
    before: Option<Signed>,
    cosigned_before: Option<Signed>,
    /// Ticks that were durable when the files were opened.
    opened: u64,
    signed: u64,
    signed_at: Option<Instant>,
    committed: u64,
    committed_at: Instant,
}

impl Follow {
    /// Follows until told to stop. When the disk said no it opens its files again, which brings them back to what was durable, as
    /// long as it takes; what was signed before is met again before anything new is signed.
    pub(crate) fn on_and_on(mut self, stop: &AtomicBool) -> Result<(), FollowError> {
        loop {
            let Err(error) = self.until(stop) else { return Ok(()) };
            let reason = telemetry::told(&error);
            update(&self.status, |status| status.stopped = Some(reason.clone()));
            if !error.may_pass() || stop.load(Ordering::Acquire) {
                return Err(error);
            }
            tracing::warn!(error = %reason, "the ledger waits: it opens its files again");
            let begun = Instant::now();
            while begun.elapsed() < AGAIN && !stop.load(Ordering::Acquire) {
                std::thread::sleep(WAIT);
            }
        }
    }

    /// Follows until told to stop, then takes what the log holds, signs it and makes it durable.
    fn until(&mut self, stop: &AtomicBool) -> Result<(), FollowError> {
        let mut run = self.open()?;
        let failed = run.follow.status.borrow().stopped.is_some();
        if failed {
            update(&run.follow.status, |status| status.stopped = None);
            tracing::info!("the ledger follows the log again");
        }
        let mut stopped_at = None;
        loop {
            // Looked at before reading: what was appended before the stop is read.
            let stopping = stop.load(Ordering::Acquire);
            let read = run.read()?;
            let late = stopping && stopped_at.get_or_insert_with(Instant::now).elapsed() > STOP_MAX;
            let last = stopping && (read == 0 || late);
            run.cosigned()?;
            run.sign(last)?;
            run.commit(last)?;
            match read {
                _ if last => return Ok(()),
                BATCH_ENTRIES.. => {}
                _ if stopping => {}
                // What it waits for is not in the log: there is no use in asking again at once.
                0 if run.follower.is_full() => std::thread::sleep(WAIT),
                0 => {
                    run.main.wait(WAIT);
                }
                _ => std::thread::sleep(PAUSE),
            }
        }
    }

    fn open(&mut self) -> Result<Run<'_>, FollowError> {
        let dir = &self.options.dir;
        let store = match TileStore::exists(dir) {
            true => TileStore::open(dir, self.shape)?,
            false => TileStore::create(dir, &self.options.origin, self.shape)?,
        };
        if store.state().origin != self.options.origin {
            return Err(FollowError::Origin(store.state().origin.clone()));
        }
        self.compare_ends(&store)?;
        let (before, cosigned_before) = (
            TileStore::signed(dir, self.shape, Signatures::Log)?,
            TileStore::signed(dir, self.shape, Signatures::Witnesses)?,
        );
        let ends = store.ends();
        let (main, access) = (
            self.log.reader(&ends, StreamSet::ALL_BUT_ACCESS)?,
            self.log.reader(&ends, StreamSet::empty().with(Stream::Access))?,
        );
        let committed = store.state().size;
        Ok(Run {
            follow: self,
            follower: Follower::new(store),
            main,
            access,
            before,
            cosigned_before,
            opened: committed,
            signed: 0,
            signed_at: None,
            committed,
            committed_at: Instant::now(),
        })
    }

    /// The log must hold what the ledger covers, and the newest entry of each partition must be the one that was covered.
    fn compare_ends(&self, store: &TileStore) -> Result<(), FollowError> {
        let (ends, first) = (self.log.ends(), self.log.first());
        for head in store.state().heads.heads().iter().filter(|head| head.size > 0) {
            let (stream, partition) = (head.stream, head.partition);
            let found = ends.get(stream, partition).0;
            if found < head.size {
                return Err(FollowError::Truncated { tree: tree_name(stream, partition), covered: head.size, found });
            }
            let newest = Position { stream, partition, index: Index(head.size - 1) };
            if newest.index < first.get(stream, partition) {
                continue;
            }
            let entry = self.log.read_position(newest)?;
            if self.leaf(head)? != leaf_hash(&EntryHash::of(&entry.bytes).0) {
                return Err(FollowError::Different(newest));
            }
        }
        Ok(())
    }

    /// The last leaf under a head.
    fn leaf(&self, head: &Head) -> Result<Hash, FollowError> {
        let tile = Tile::last(0, head.size).expect("the tree is not empty");
        let bytes = TileStore::tile(&self.options.dir, TreeOf::Partition(head.stream, head.partition), tile)?;
        let hashes = tile.hashes(&bytes).map_err(|_| tile_store::Error::Damaged {
            path: self.options.dir.join(tree_name(head.stream, head.partition)).join(tile.to_string()),
            what: "the tile has another length than its name says",
        })?;
        Ok(hashes[((head.size - 1) % u64::from(TILE_WIDTH)) as usize])
    }
}

impl Run<'_> {
    /// Reads on, once of each sequence. Returns how many entries came of the one that gave more.
    fn read(&mut self) -> Result<usize, FollowError> {
        // A full follower waits for accesses that its cuts cover: these come first then.
        let main = if self.follower.is_full() { 0 } else { take(&mut self.main, &mut self.follower)? };
        let access = take(&mut self.access, &mut self.follower)?;
        Ok(main.max(access))
    }

    /// Keeps what witnesses have cosigned meanwhile.
    fn cosigned(&mut self) -> Result<(), FollowError> {
        let Some(cosigned) = self.follow.asking.as_mut().and_then(Asking::answered) else { return Ok(()) };
        self.follower.store().write_cosigned(&cosigned)?;
        update(&self.follow.status, |status| status.cosigned = Some(Arc::new(cosigned)));
        Ok(())
    }

    /// Signs the last tick, when there is a new one and the last checkpoint is old enough.
    fn sign(&mut self, stopping: bool) -> Result<(), FollowError> {
        self.meet_earlier()?;
        let size = self.follower.store().state().size;
        self.tell_behind();
        let too_early = self.signed_at.is_some_and(|at| at.elapsed() < self.follow.options.checkpoint_interval);
        let asking = self.follow.asking.as_ref().is_some_and(Asking::is_asking);
        if size == self.signed || self.before.is_some() || (!stopping && (too_early || asking)) {
            return Ok(());
        }
        let signed = self.follower.store_mut().publish(&self.follow.signers.present())?.signed;
        (self.signed, self.signed_at) = (size, Some(Instant::now()));
        let at = now();
        self.follow.metrics.signed(seconds(at), size, covered_by_stream(&signed));
        let asks = !stopping && *self.follow.asks.borrow();
        if let Some(asking) = self.follow.asking.as_mut().filter(|_| asks) {
            asking.ask(signed.clone());
        }
        update(&self.follow.status, |status| {
            status.signed = Some(Arc::new(signed));
            status.signed_at = Some(at);
        });
        Ok(())
    }

    /// A checkpoint that an earlier run signed is met again on the way, with the same root: reading the log again makes the
    /// same ticks. Nothing is signed before. What was written after the last commit went when the files were opened, so that an
    /// earlier checkpoint is published anew, and one that was cosigned is shown only if its tiles were durable.
    fn meet_earlier(&mut self) -> Result<(), FollowError> {
        let size = self.follower.store().state().size;
        let met = |earlier: &mut Option<Signed>| earlier.take_if(|signed| signed.state.size <= size);
        if let Some(cosigned) = met(&mut self.cosigned_before) {
            self.same_root(&cosigned)?;
            if cosigned.state.size <= self.opened {
                update(&self.follow.status, |status| status.cosigned = Some(Arc::new(cosigned)));
            }
        }
        if let Some(before) = met(&mut self.before) {
            self.same_root(&before)?;
        }
        Ok(())
    }

    fn same_root(&self, earlier: &Signed) -> Result<(), FollowError> {
        let size = earlier.state.size;
        match size == 0 || self.follower.store().root_at(size)? == earlier.state.root {
            true => Ok(()),
            false => Err(FollowError::Forked(size)),
        }
    }

    fn tell_behind(&self) {
        let covered = match &self.follow.status.borrow().signed {
            Some(signed) => covered_by_stream(signed).iter().sum(),
            None => 0,
        };
        self.follow.metrics.behind(self.follow.log.ends().total().saturating_sub(covered));
    }

    fn commit(&mut self, stopping: bool) -> Result<(), FollowError> {
        let size = self.follower.store().state().size;
        let due = stopping || self.committed_at.elapsed() >= self.follow.options.commit_interval;
        // What is durable must not be behind a checkpoint that was signed: an earlier one is met first.
        if size == self.committed || !due || self.before.is_some() {
            return Ok(());
        }
        self.follower.store_mut().commit()?;
        (self.committed, self.committed_at) = (size, Instant::now());
        Ok(())
    }
}

fn take(reader: &mut Reader, follower: &mut Follower) -> Result<usize, FollowError> {
    let batch = match reader.next_batch(BATCH_ENTRIES, BATCH_BYTES) {
        // Brokers that do not answer come back; the log tells of them meanwhile.
        Err(ReadError::Unanswered { .. }) => return Ok(0),
        batch => batch?,
    };
    for entry in &batch.entries {
        follower.take(entry.position, &entry.bytes)?;
    }
    // A batch that was cut for its bytes has more behind it.
    let bytes: usize = batch.entries.iter().map(|entry| entry.bytes.len()).sum();
    Ok(if bytes >= BATCH_BYTES / 2 { BATCH_ENTRIES } else { batch.entries.len() })
}

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.0).unwrap_or(0) / 1_000_000
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 is told as 1970.
    Timestamp(since.map_or(0, |after| i64::try_from(after.as_micros()).unwrap_or(i64::MAX)))
}
