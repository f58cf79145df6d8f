use std::fs::File;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::block::BLOCK_BYTES;
use crate::checkpoint::{IMAGES_FILE, carry, copy_to_places, write_images};

const TABLE: DenseTable = DenseTable::NodeState;
const CACHE_BYTES: u64 = 3 * BLOCK_BYTES as u64;

type Row = [u8; 16];

fn row(seed: u32) -> Row {
    let mut row = [0xa5; 16];
    row[..4].copy_from_slice(&seed.to_le_bytes());
    row
}

/// A dense file with what the store would keep of it: settled length, and rows to redo.
struct Subject {
    dir: tempfile::TempDir,
    file: Vec<DenseFile>,
    settled_len: u32,
    redo: Vec<(u32, Row)>,
    committed: Vec<Row>,
    now: Vec<Row>,
    /// A checkpoint on its way: its rows, and how many redo rows it covers.
    running: Option<(Carry, usize)>,
}

impl Subject {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = vec![DenseFile::open(dir.path(), TABLE, 0, CACHE_BYTES).expect("an empty directory")];
        Self { dir, file, settled_len: 0, redo: Vec::new(), committed: Vec::new(), now: Vec::new(), running: None }
    }

    fn put(&mut self, number: u32, row: Row) {
        self.file[0].put(number, &row).expect("an existing or the next row");
        if number as usize == self.now.len() { self.now.push(row) } else { self.now[number as usize] = row }
    }

    fn commit(&mut self) {
        let changed = self.file[0].changed().map(|(number, row)| (number, Row::try_from(row).expect("a row")));
        self.redo.extend(changed);
        self.file[0].keep_changes();
        self.committed.clone_from(&self.now);
    }

    fn undo(&mut self) {
        self.file[0].undo_changes();
        self.now.clone_from(&self.committed);
    }

    fn begin_checkpoint(&mut self) {
        self.commit();
        if self.running.is_none() {
            self.running = Some((self.file[0].freeze(), self.redo.len()));
        }
    }

    /// Writes the file; the store does not know of it yet.
    fn carry(&self) {
        if let Some((rows, _)) = &self.running {
            carry(self.dir.path(), std::slice::from_ref(rows)).expect("a sound disk");
        }
    }

    fn end_checkpoint(&mut self) {
        self.carry();
        if let Some((rows, covered)) = self.running.take() {
            self.file[0].settle();
            self.settled_len = rows.len;
            self.redo.drain(..covered);
        }
    }

    fn checkpoint(&mut self) {
        self.begin_checkpoint();
        self.end_checkpoint();
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(TABLE.file_name())
    }

    /// As after a crash: what was not committed is gone, what was not settled comes from the redo rows.
    fn reopen(&mut self) {
        self.running = None;
        let mut file = vec![DenseFile::open(self.dir.path(), TABLE, self.settled_len, CACHE_BYTES).expect("sound")];
        copy_to_places(self.dir.path(), &file).expect("a sound disk");
        for (number, row) in &self.redo {
            file[0].put(*number, row).expect("redo rows are in order");
        }
        file[0].keep_changes();
        self.file = file;
        self.now.clone_from(&self.committed);
    }

    fn check(&self) {
        assert_eq!(self.file[0].len() as usize, self.now.len());
        let mut found = Row::default();
        for (number, row) in (0..).zip(&self.now) {
            self.file[0].get(number, &mut found).expect("the row exists");
            assert_eq!(&found, row);
        }
        assert!(matches!(self.file[0].get(self.file[0].len(), &mut found), Err(Error::NoSuchRow { .. })));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append(u32),
    Change(u32, u32),
    Commit,
    Undo,
    BeginCheckpoint,
    Carry,
    EndCheckpoint,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..400u32).prop_map(Step::Append),
        4 => any::<(u32, u32)>().prop_map(|(number, seed)| Step::Change(number, seed)),
        2 => Just(Step::Commit),
        1 => Just(Step::Undo),
        2 => Just(Step::BeginCheckpoint),
        1 => Just(Step::Carry),
        1 => Just(Step::EndCheckpoint),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn file_equals_a_vector_of_rows_across_undo_checkpoint_and_reopening(steps in prop::collection::vec(step(), 1..40)) {
        let mut subject = Subject::new();
        for step in steps {
            let len = subject.now.len() as u32;
            match step {
                Step::Append(count) => (len..len + count).for_each(|number| subject.put(number, row(number))),
                Step::Change(number, seed) if len > 0 => subject.put(number % len, row(seed)),
                Step::Change(..) => {}
                Step::Commit => subject.commit(),
                Step::Undo => subject.undo(),
                Step::BeginCheckpoint => subject.begin_checkpoint(),
                Step::Carry => subject.carry(),
                Step::EndCheckpoint => subject.end_checkpoint(),
                Step::Reopen => subject.reopen(),
            }
            subject.check();
        }
    }
}

/// Rows over several blocks, settled, then every third one changed and committed.
fn changed_everywhere() -> Subject {
    let mut subject = Subject::new();
    (0..2000).for_each(|number| subject.put(number, row(number)));
    subject.checkpoint();
    (0..2000).step_by(3).for_each(|number| subject.put(number, row(number + 1_000_000)));
    subject.commit();
    subject
}

#[test]
fn block_torn_while_it_is_overwritten_is_repaired_from_its_image() {
    let mut subject = changed_everywhere();
    let before = std::fs::read(subject.path()).expect("the file");
    let images = images_of(&mut subject);
    // The power fails: half of the new block 1 is on disk, nothing of block 3, and no word of it in the store.
    let mut torn = std::fs::read(subject.path()).expect("the file");
    assert_ne!(torn, before);
    torn[BLOCK_BYTES + 2048..2 * BLOCK_BYTES].copy_from_slice(&before[BLOCK_BYTES + 2048..2 * BLOCK_BYTES]);
    torn[3 * BLOCK_BYTES..4 * BLOCK_BYTES].copy_from_slice(&before[3 * BLOCK_BYTES..4 * BLOCK_BYTES]);
    std::fs::write(subject.path(), &torn).expect("writable");
    std::fs::write(subject.dir.path().join(IMAGES_FILE), images).expect("writable");
    subject.reopen();
    subject.check();
    subject.checkpoint();
    subject.reopen();
    subject.check();
}

#[test]
fn incomplete_images_are_ignored_wherever_they_end() {
    let mut subject = changed_everywhere();
    let before = std::fs::read(subject.path()).expect("the file");
    let images = images_of(&mut subject);
    for len in [0, 1, 19, 4000, images.len() / 2, images.len() - 4105, images.len() - 20, images.len() - 1] {
        std::fs::write(subject.path(), &before).expect("writable");
        std::fs::write(subject.dir.path().join(IMAGES_FILE), &images[..len]).expect("writable");
        subject.reopen();
        assert_eq!(std::fs::read(subject.path()).expect("the file"), before);
        subject.check();
    }
    let mut flipped = images.clone();
    flipped[5000] ^= 1;
    std::fs::write(subject.dir.path().join(IMAGES_FILE), &flipped).expect("writable");
    subject.reopen();
    assert_eq!(std::fs::read(subject.path()).expect("the file"), before);
}

/// Carries the overlay into the file and returns the side file as it was before it was emptied.
fn images_of(subject: &mut Subject) -> Vec<u8> {
    let path = subject.dir.path().join(IMAGES_FILE);
    let rows = [subject.file[0].freeze()];
    write_images(&path, &rows).expect("writable");
    let bytes = std::fs::read(&path).expect("the side file");
    carry(subject.dir.path(), &rows).expect("a sound disk");
    assert_eq!(std::fs::metadata(&path).expect("the side file").len(), 0);
    bytes
}

#[test]
fn any_flipped_bit_of_a_used_block_is_noticed() {
    let mut subject = Subject::new();
    (0..600).for_each(|number| subject.put(number, row(number)));
    subject.checkpoint();
    let sound = std::fs::read(subject.path()).expect("the file");
    for bit in (0..3 * BLOCK_BYTES * 8).step_by(4099) {
        let mut flipped = sound.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(subject.path(), &flipped).expect("writable");
        let file = DenseFile::open(subject.dir.path(), TABLE, 600, CACHE_BYTES).expect("it is long enough");
        let first = (bit / 8 / BLOCK_BYTES * 255) as u32;
        let read = file.get(first.min(599), &mut Row::default());
        assert!(matches!(read, Err(Error::DamagedBlock { .. })), "bit {bit}");
    }
}

#[test]
fn row_past_the_next_one_is_refused() {
    let mut subject = Subject::new();
    subject.put(0, row(0));
    assert!(matches!(subject.file[0].put(2, &row(2)), Err(Error::NoSuchRow { number: 2, len: 1, .. })));
}

#[test]
fn file_shorter_than_its_checkpoint_is_damaged() {
    let mut subject = Subject::new();
    (0..600).for_each(|number| subject.put(number, row(number)));
    subject.checkpoint();
    File::options().write(true).open(subject.path()).and_then(|file| file.set_len(4096)).expect("writable");
    let opened = DenseFile::open(subject.dir.path(), TABLE, 600, CACHE_BYTES).err();
    assert!(matches!(opened, Some(Error::DamagedFile { .. })));
}
