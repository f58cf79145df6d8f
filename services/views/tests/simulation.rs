//! A machine on which everything goes wrong, by a seed: log, fold and store through kills, power losses, disks that went back in time or
//! changed bytes, in schedules that follow from the seed alone. Time is a number that the schedule counts up; nothing waits for a clock.
//!
//! Whatever happens: each entry that was acknowledged is at its place, and the views end as those that a fold from scratch makes of the log.
//! 80 schedules, or as many as begin within `HUB_FAULTS_SECONDS`; their seeds are counted up from `HUB_FAULTS_SEED` (1 when absent), and a failure
//! names its own.

mod support;

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use event_log::{Embedded, EventLog, LogOptions, PartitionCounts, StreamSet, Tuning};
use projection::basis::Basis;
use record::control::{Control, Order, Verdict};
use record::{Entry, EntryHeader, EntryKind, MentionId, Partition, Position, Pseudonym, Stream, Timestamp};
use support::*;
use view_store::{Expect, Options, StoreKind, ViewStore};
use views::fold::Fold;

/// What a disk writes whole.
const SECTOR: usize = 512;
/// Schedules, when nobody says how long.
const SHORT: u64 = 80;
/// Steps of one schedule, until all that is left is appended and folded.
const STEPS: usize = 24;

/// What may happen to a machine.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Entries are appended and acknowledged.
    Append,
    /// A cut is written.
    Cut,
    /// Some of what the log holds is folded.
    Fold,
    /// The process is killed.
    Kill,
    /// The same, with the machine: the log's files end in a write that was not finished, and the store may be as it was earlier.
    PowerLoss,
    /// The process stops in order, and somebody takes a copy of the store.
    Stop,
    /// The same, and a byte of the store's files changes.
    Rot,
}

fn step(chance: &mut Chance) -> Step {
    match chance.below(100) {
        0..36 => Step::Append,
        36..42 => Step::Cut,
        42..78 => Step::Fold,
        78..86 => Step::Kill,
        86..93 => Step::PowerLoss,
        93..97 => Step::Stop,
        _ => Step::Rot,
    }
}

/// What befell all machines.
#[derive(Default)]
struct Met {
    schedules: AtomicU64,
    restarts: AtomicU64,
    torn: AtomicU64,
    gone_back: AtomicU64,
    rotten: AtomicU64,
    folded_anew: AtomicU64,
}

struct Machine<'m> {
    dir: tempfile::TempDir,
    kind: StoreKind,
    partitions: u16,
    chance: Chance,
    log: Option<EventLog>,
    fold: Option<Fold>,
    /// What each record says, in its order, and is not appended yet; entries of the control stream under no record.
    to_come: BTreeMap<Pseudonym, VecDeque<Bytes>>,
    acknowledged: Vec<(Position, Bytes)>,
    copies: usize,
    clock: i64,
    met: &'m Met,
}

impl<'m> Machine<'m> {
    async fn new(nation: &NationLog, seed: u64, met: &'m Met) -> Self {
        // Neighbouring seeds begin far apart.
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let kind = if chance.below(4) == 0 { StoreKind::Sled } else { StoreKind::Fjall };
        let partitions = 1 + chance.below(6) as u16;
        let dir = match Path::new("/dev/shm").is_dir() {
            true => tempfile::tempdir_in("/dev/shm"),
            false => tempfile::tempdir(),
        };
        let dir = dir.expect("a folder");
        let options = LogOptions {
            partitions: PartitionCounts { change: partitions, rejected: 1, access: 1 },
            tuning: Tuning { segment_bytes: 4 << 20, access_segment_bytes: 1 << 20, ..Tuning::default() },
        };
        let log = Embedded::create(&dir.path().join("log"), &options, LOG_ID).expect("an empty folder takes a log");
        let log = EventLog::Embedded(log);
        let begin = std::iter::once(opened(partitions)).chain(nation.prefix[1..].iter().cloned());
        append_to(&log, partitions, begin.collect()).await;
        let mut to_come: BTreeMap<Pseudonym, VecDeque<Bytes>> = BTreeMap::new();
        for change in &nation.changes {
            to_come.entry(change.record).or_default().push_back(change.bytes.clone());
        }
        let mentions: Vec<MentionId> = nation.changes.iter().flat_map(|c| c.truth.iter().map(|(m, _)| *m)).collect();
        let decisions = (0..chance.below(12)).map(|_| {
            let [a, b] = std::array::from_fn(|_| mentions[chance.below(mentions.len())]);
            let verdict = [Verdict::Must, Verdict::Cannot, Verdict::Unsure, Verdict::Undo][chance.below(4)];
            control(Order::Decision { a, b, verdict })
        });
        let orders: VecDeque<Bytes> = std::iter::once(nation.late_contract.clone()).chain(decisions).collect();
        to_come.insert(Pseudonym([0; 16]), orders);
        let (fold, clock) = (None, 1);
        let mut machine = Self {
            dir,
            kind,
            partitions,
            chance,
            log: Some(log),
            fold,
            to_come,
            acknowledged: Vec::new(),
            copies: 0,
            clock,
            met,
        };
        machine.open_fold();
        machine
    }

    fn log(&self) -> &EventLog {
        self.log.as_ref().expect("the machine runs")
    }

    fn views(&self) -> PathBuf {
        self.dir.path().join("views")
    }

    async fn append(&mut self, entries: Vec<Bytes>) {
        let batch: Vec<_> = entries.iter().map(|bytes| placed(bytes, self.partitions)).collect();
        let appended = self.log().append(batch).await.expect("the disk is sound");
        self.acknowledged.extend(appended.into_iter().map(|a| a.position).zip(entries));
    }

    /// The next entries of some records.
    fn some_to_come(&mut self, most: usize) -> Vec<Bytes> {
        let mut out = Vec::new();
        for _ in 0..most {
            let at = self.chance.below(self.to_come.len().max(1));
            let Some((record, queue)) = self.to_come.iter_mut().nth(at) else { break };
            out.extend(queue.pop_front());
            let (record, is_empty) = (*record, queue.is_empty());
            if is_empty {
                self.to_come.remove(&record);
            }
        }
        out
    }

    async fn cut(&mut self) {
        self.clock += 1 + self.chance.below(1_000) as i64;
        let ends = self.log().ends();
        let header = EntryHeader::of_hub(EntryKind::Control, Timestamp(self.clock));
        let body = Control::by_hub(Order::Cut { at: Timestamp(self.clock), ends }).encode();
        let entry = Entry::encode_salted(&header, &[3; 16], &body).expect("a cut fits");
        self.append(vec![entry.into()]).await;
    }

    fn fold(&mut self) {
        let (batch, batches) = (1 + self.chance.below(40), 1 + self.chance.below(6));
        self.fold_some(batch, batches);
    }

    /// Folds; a store that turns out to be damaged is folded anew, as the hub does.
    fn fold_some(&mut self, batch: usize, batches: usize) {
        let mut reader = {
            let fold = self.fold.as_ref().expect("the machine runs");
            self.log().reader(fold.positions(), StreamSet::ALL_BUT_ACCESS).expect("the log is read")
        };
        for _ in 0..batches {
            let read = reader.next_batch(batch, 8 << 20).expect("the log is sound");
            if read.entries.is_empty() {
                break;
            }
            if self.fold.as_mut().expect("the machine runs").fold(read.entries).is_err() {
                self.fold_anew();
                break;
            }
        }
    }

    fn fold_anew(&mut self) {
        self.met.folded_anew.fetch_add(1, Ordering::Relaxed);
        self.fold = None;
        ViewStore::discard(&self.views()).expect("it is a store");
        self.open_fold();
    }

    /// A store that cannot be trusted is discarded.
    fn open_fold(&mut self) {
        let options = Options { store: self.kind, cache_bytes: 16 << 20, ..Options::default() };
        let expect = Expect { fold_version: projection::FOLD_VERSION, log_id: LOG_ID };
        let opened = ViewStore::open(&self.views(), options.clone(), expect)
            .ok()
            .and_then(|store| Fold::resume(store.into_store(), self.log().clone(), secret(), Basis::default()).ok());
        self.fold = opened.or_else(|| {
            self.met.folded_anew.fetch_add(1, Ordering::Relaxed);
            ViewStore::discard(&self.views()).expect("it is a store");
            let store = ViewStore::open(&self.views(), options, expect).expect("the folder is empty").into_store();
            Some(Fold::resume(store, self.log().clone(), secret(), Basis::default()).expect("a new store"))
        });
    }

    /// Nothing is closed in order.
    fn die(&mut self) {
        self.fold = None;
        self.log = None;
    }

    fn start(&mut self) {
        self.met.restarts.fetch_add(1, Ordering::Relaxed);
        let log = Embedded::open(&self.dir.path().join("log")).expect("what was acknowledged is sound");
        self.log = Some(EventLog::Embedded(log));
        self.open_fold();
    }

    /// The power goes off while entries are appended that nobody was told of: of what was written, some sectors are on the disk.
    async fn tear(&mut self) {
        let newest = self.newest_segment();
        let before = fs::read(&newest).expect("readable");
        let most = 1 + self.chance.below(20);
        let entries = self.some_to_come(most);
        if entries.is_empty() {
            return self.die();
        }
        let batch: Vec<_> = entries.iter().map(|bytes| placed(bytes, self.partitions)).collect();
        self.log().append(batch).await.expect("the disk is sound");
        // Whoever sent them sends them again.
        for bytes in entries.into_iter().rev() {
            let header = Entry::decode(&bytes).expect("own entries decode").header;
            self.to_come.entry(header.record).or_default().push_front(bytes);
        }
        self.die();
        if self.newest_segment() != newest {
            return;
        }
        let mut after = fs::read(&newest).expect("readable");
        let differs = |at: &usize| before[*at] != after[*at];
        let (Some(from), Some(to)) = ((0..after.len()).find(differs), (0..after.len()).rev().find(differs)) else {
            return;
        };
        let lost = self.chance.below(4);
        for sector in from / SECTOR..=to / SECTOR {
            if self.chance.below(4) < lost {
                let sector = (sector * SECTOR).max(from)..((sector + 1) * SECTOR).min(to + 1);
                after[sector.clone()].copy_from_slice(&before[sector]);
            }
        }
        fs::write(&newest, after).expect("writable");
        self.met.torn.fetch_add(1, Ordering::Relaxed);
    }

    fn newest_segment(&self) -> PathBuf {
        let mut segments = Vec::new();
        files(&self.dir.path().join("log/main"), &mut segments);
        segments.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
        segments.into_iter().max().expect("a log has a segment")
    }

    fn copy(&mut self) {
        let to = self.dir.path().join(format!("copy-{}", self.copies));
        copy_folder(&self.views(), &to);
        self.copies += 1;
    }

    fn go_back(&mut self) {
        if self.copies == 0 {
            return;
        }
        let from = self.dir.path().join(format!("copy-{}", self.chance.below(self.copies)));
        fs::remove_dir_all(self.views()).expect("writable");
        copy_folder(&from, &self.views());
        self.met.gone_back.fetch_add(1, Ordering::Relaxed);
    }

    fn rot(&mut self) {
        let mut all = Vec::new();
        files(&self.views(), &mut all);
        all.retain(|path| fs::metadata(path).is_ok_and(|file| file.len() > 0));
        all.sort();
        if all.is_empty() {
            return;
        }
        let path = &all[self.chance.below(all.len())];
        let mut bytes = fs::read(path).expect("readable");
        let at = self.chance.below(bytes.len());
        bytes[at] ^= 1 << self.chance.below(8);
        fs::write(path, bytes).expect("writable");
        self.met.rotten.fetch_add(1, Ordering::Relaxed);
    }

    async fn close(&mut self) {
        let fold = self.fold.take().expect("the machine runs");
        // Damage that shows now shows at the start, too.
        let _ = fold.close();
        let log = self.log.take().expect("the machine runs");
        log.close().await;
    }

    async fn takes(&mut self, step: Step) {
        match step {
            Step::Append => {
                let most = 1 + self.chance.below(30);
                let entries = self.some_to_come(most);
                if !entries.is_empty() {
                    self.append(entries).await;
                }
            }
            Step::Cut => self.cut().await,
            Step::Fold => self.fold(),
            Step::Kill => {
                self.die();
                self.start();
            }
            Step::PowerLoss => {
                self.tear().await;
                if self.chance.below(2) == 0 {
                    self.go_back();
                }
                self.start();
            }
            Step::Stop => {
                self.close().await;
                self.copy();
                self.start();
            }
            Step::Rot => {
                self.close().await;
                self.rot();
                self.start();
            }
        }
    }

    /// Appends and folds the rest, then compares; the digest.
    async fn end(mut self) -> String {
        while !self.to_come.is_empty() {
            let entries = self.some_to_come(64);
            self.append(entries).await;
        }
        self.fold_some(4096, usize::MAX);
        let found = self.digest_of_rows();
        let digest = match found {
            Some(digest) => digest,
            // The look through the rows found what is wrong, as it is there to do; what is folded then must be right.
            None => {
                self.fold_anew();
                self.fold_some(4096, usize::MAX);
                self.digest_of_rows().expect("a new store is sound")
            }
        };
        for (position, bytes) in &self.acknowledged {
            let logged = self.log().read_position(*position).expect("what was acknowledged is there");
            assert_eq!(logged.bytes, *bytes, "{position}");
        }
        let scratch = self.dir.path().join("scratch");
        let mut replayed = open_fold(&scratch, StoreKind::Fjall, self.log());
        match self.acknowledged.len() % 2 {
            0 => fold_all_in_bulk(&mut replayed, self.log()),
            _ => fold_all(&mut replayed, self.log()),
        }
        let live = self.fold.as_ref().expect("the machine runs");
        assert_eq!(live.positions(), replayed.positions());
        assert_eq!(subjects(live), subjects(&replayed));
        assert_eq!(counters(live), counters(&replayed));
        assert_eq!(live.totals(), replayed.totals());
        assert_eq!(digest, replayed.digest().digest().to_string());
        digest
    }

    /// The digest of the live views, if their rows are what it is the sum of.
    fn digest_of_rows(&self) -> Option<String> {
        let fold = self.fold.as_ref().expect("the machine runs");
        let digest = fold.digest().digest().to_string();
        let view = fold.reader().view().ok()?;
        let read = views::rows::sums(&view, |_| true).ok()??;
        (read.digest().to_string() == digest).then_some(digest)
    }
}

fn placed(bytes: &Bytes, partitions: u16) -> event_log::Append {
    let header = Entry::decode(bytes).expect("own entries decode").header;
    let stream = header.kind.stream();
    let partition = if stream == Stream::Change { header.record.partition(partitions) } else { Partition(0) };
    event_log::Append { stream, partition, bytes: bytes.clone() }
}

fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files(&path, out) } else { out.push(path) }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("writable");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_folder(&path, &to);
        } else {
            fs::copy(&path, &to).expect("writable");
        }
    }
}

fn run(nation: &NationLog, seed: u64, met: &Met) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut machine = Machine::new(nation, seed, met).await;
        for _ in 0..STEPS {
            let step = step(&mut machine.chance);
            machine.takes(step).await;
        }
        machine.end().await
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|given| given.parse().expect("a number"))
}

#[test]
fn whatever_happens_to_a_machine_its_views_end_as_a_replay_of_its_log() {
    let first = number("HUB_FAULTS_SEED").unwrap_or(1);
    let (nation, met, next) = (nation_log(10, 5), Met::default(), AtomicU64::new(first));
    let begun = Instant::now();
    let until = number("HUB_FAULTS_SECONDS").map(|seconds| begun + Duration::from_secs(seconds));
    let more = |seed| until.map_or(seed < first + SHORT, |until| Instant::now() < until);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !more(seed) {
                        break;
                    }
                    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&nation, seed, &met)));
                    assert!(outcome.is_ok(), "HUB_FAULTS_SEED={seed} repeats it first");
                    met.schedules.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let told = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let per_minute = told(&met.schedules) * 60_000 / u64::try_from(begun.elapsed().as_millis()).expect("short").max(1);
    for (name, value) in [
        ("schedules", told(&met.schedules)),
        ("per_minute", per_minute),
        ("restarts", told(&met.restarts)),
        ("torn_writes", told(&met.torn)),
        ("stores_gone_back", told(&met.gone_back)),
        ("changed_bytes", told(&met.rotten)),
        ("folded_anew", told(&met.folded_anew)),
    ] {
        println!("figure simulation.{name} {value}");
    }
    let all = [&met.restarts, &met.torn, &met.gone_back, &met.rotten, &met.folded_anew];
    assert!(until.is_some() || all.iter().all(|counter| told(counter) > 0), "each of it befell some machine");
}

/// A seed is a schedule: the same one again has the same end.
#[test]
fn a_seed_repeats_its_schedule() {
    let (nation, met) = (nation_log(10, 5), Met::default());
    for seed in [3, 4] {
        assert_eq!(run(&nation, seed, &met), run(&nation, seed, &met));
    }
}
