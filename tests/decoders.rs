//! No bytes from outside make a decoder panic or take more memory than it declares: its examples and what was found before, each changed at
//! random. `HUB_FAULTS_SEED` and `HUB_FAULTS_SECONDS` make it long; cargo-fuzz finds its way by coverage with the same functions (`tests/fuzz`).

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use hub_tests::decoders::{DECODERS, Decoder};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Inputs of one decoder in the short form.
const INPUTS: u64 = 1_500;
/// Longest input that changes lead to.
const BYTES_MAX: usize = 1 << 20;

/// Counts what a thread has taken and not given back, and the most of it.
struct Counting;

thread_local! {
    static TAKEN: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

fn count(change: isize) {
    // What a thread frees that another has taken wraps around, and is left out: decoders start no threads.
    let taken = TAKEN.get().wrapping_add_signed(change);
    TAKEN.set(taken);
    if taken < usize::MAX / 2 && taken > MOST.get() {
        MOST.set(taken);
    }
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of this very call.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.cast_signed() - layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Numbers that decoders have trouble with.
const NUMBERS: [u64; 12] =
    [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 40, u64::MAX / 2, u64::MAX];

fn changed(examples: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let pick = |random: &mut StdRng| &examples[random.random_range(0..examples.len())];
    let mut bytes = pick(random).clone();
    for _ in 0..1 << random.random_range(0..5) {
        let at = random.random_range(0..=bytes.len());
        let end = random.random_range(at..=bytes.len().min(at + 64));
        match random.random_range(0..8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = random.random(),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let again = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, again));
            }
            5 => {
                let number = NUMBERS[random.random_range(0..NUMBERS.len())].to_le_bytes();
                let width = 1 << random.random_range(0..4);
                let to = bytes.len().min(at + width);
                drop(bytes.splice(at..to, number[..width].iter().copied()));
            }
            6 => {
                let other = pick(random);
                let from = random.random_range(0..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => {
                let fresh: Vec<u8> = (0..random.random_range(0..16)).map(|_| random.random()).collect();
                drop(bytes.splice(at..end, fresh));
            }
        }
        bytes.truncate(BYTES_MAX);
    }
    bytes
}

fn check(decoder: &Decoder, bytes: &[u8], seed: u64) {
    let before = TAKEN.get();
    MOST.set(before);
    let decoded = catch_unwind(AssertUnwindSafe(|| (decoder.decode)(bytes)));
    let taken = MOST.get().wrapping_sub(before);
    let most = (decoder.bytes_max)(bytes.len());
    if decoded.is_err() || taken > most {
        let found = std::env::temp_dir().join(format!("{}-{seed}", decoder.name));
        std::fs::write(&found, bytes).expect("a writable temporary directory");
        let what =
            if decoded.is_err() { "panics".to_owned() } else { format!("takes {taken} bytes, {most} are declared") };
        panic!(
            "{} {what}, at seed {seed}: {} goes to tests/fuzz/corpus/{}",
            decoder.name,
            found.display(),
            decoder.name
        );
    }
}

/// What was found before.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    files.map(|file| std::fs::read(file.expect("an entry").path()).expect("readable")).collect()
}

fn run(name: &str) {
    let decoder = DECODERS.iter().find(|decoder| decoder.name == name).expect("a decoder of that name");
    let number = |name| std::env::var(name).ok().map(|n| n.parse::<u64>().expect("a number"));
    let until = number("HUB_FAULTS_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let first = number("HUB_FAULTS_SEED").unwrap_or(1);
    let mut examples = (decoder.examples)();
    examples.extend(corpus(name));
    assert!(!examples.is_empty());
    // What a first call sets up for all others is not its input's.
    examples.iter().for_each(|bytes| (decoder.decode)(bytes));
    examples.iter().for_each(|bytes| check(decoder, bytes, 0));
    let mut seed = first;
    while until.map_or(seed < first + INPUTS, |until| Instant::now() < until) {
        check(decoder, &changed(&examples, &mut StdRng::seed_from_u64(seed)), seed);
        seed += 1;
    }
    println!("figure decoders.{name}.inputs {}", seed - first);
}

macro_rules! decoders {
    ($($name:ident $claim:ident),* $(,)?) => {$(
        #[test]
        fn $claim() {
            run(stringify!($name));
        }
    )*

        #[test]
        fn every_decoder_has_its_test_and_its_fuzzing_target() {
            let tested = [$(stringify!($name)),*];
            assert!(DECODERS.iter().map(|decoder| decoder.name).eq(tested));
            let targets = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/Cargo.toml")).expect("there");
            for name in tested {
                assert!(targets.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
                let target = format!("{}/fuzz/fuzz_targets/{name}.rs", env!("CARGO_MANIFEST_DIR"));
                let target = std::fs::read_to_string(target).expect("there");
                assert!(target.contains(&format!("hub_tests::decoders::{name}(data)")), "{name}");
            }
        }
    };
}

decoders! {
    segment no_segment_panics_or_overruns,
    entry no_entry_panics_or_overruns,
    descriptor_set no_descriptor_set_panics_or_overruns,
    change_body no_change_body_panics_or_overruns,
    ndjson no_json_line_panics_or_overruns,
    csv no_csv_panics_or_overruns,
    bundle no_bundle_panics_or_overruns,
    tile no_tile_panics_or_overruns,
    note no_note_panics_or_overruns,
    documents no_document_panics_or_overruns,
    unit_list no_unit_list_panics_or_overruns,
    model no_model_panics_or_overruns,
}
