//! The ledger follows from the log alone: however it is read, and however often it is killed.

use ledger::{Checkpoint, Shape};
use proptest::prelude::*;
use record::control::{Control, Order};
use record::*;
use tile_store::{Error, Follower, TileStore};

const SHAPE: Shape = Shape { change: 2, access: 1, rejected: 1 };
const PLACES: [(Stream, u16); 4] =
    [(Stream::Change, 0), (Stream::Change, 1), (Stream::Access, 0), (Stream::Rejected, 0)];

fn control(order: Order) -> Vec<u8> {
    let header = EntryHeader::of_hub(EntryKind::Control, Timestamp(0));
    Entry::encode_salted(&header, &[0; 16], &Control::by_hub(order).encode()).unwrap()
}

/// A log in its physical order, with a cut wherever the plan says 4; some cuts are void.
fn log(plan: &[u8]) -> Vec<(Position, Vec<u8>)> {
    let (mut ends, mut out) = (Positions::new(), Vec::new());
    let mut put = |ends: &mut Positions, stream, partition, bytes: Vec<u8>| {
        let position = Position { stream, partition, index: ends.get(stream, partition) };
        ends.include(position);
        out.push((position, bytes));
    };
    for (n, what) in plan.iter().enumerate() {
        match PLACES.get(usize::from(*what)) {
            Some((stream, partition)) => put(&mut ends, *stream, Partition(*partition), n.to_le_bytes().to_vec()),
            None if *what == 5 => {
                let order = Order::Erasure { records: vec![Pseudonym([n as u8; 16])] };
                put(&mut ends, Stream::Control, Partition(0), control(order));
            }
            None => {
                // Every fifth cut has the time of an earlier one.
                let at = Timestamp(if n % 5 == 0 { n as i64 / 2 } else { n as i64 });
                let order = Order::Cut { at, ends: ends.clone() };
                put(&mut ends, Stream::Control, Partition(0), control(order));
            }
        }
    }
    out
}

fn follow(plan: &[u8], access_last: bool, kills: &[usize]) -> Checkpoint {
    let dir = tempfile::tempdir().unwrap();
    let mut follower = Follower::new(TileStore::create(dir.path(), "hub.test/log", SHAPE).unwrap());
    let mut log = log(plan);
    if access_last {
        // As a reader of the embedded log does: all of the other streams first.
        log.sort_by_key(|(position, _)| position.stream == Stream::Access);
    }
    for (n, (position, bytes)) in log.iter().enumerate() {
        follower.take(*position, bytes).unwrap();
        if n % 20 == 0 {
            follower.store_mut().commit().unwrap();
        }
        if kills.contains(&n) {
            follower = Follower::new(TileStore::open(dir.path(), SHAPE).unwrap());
            for (position, bytes) in &log[..=n] {
                follower.take(*position, bytes).unwrap();
            }
        }
    }
    follower.store().state().checkpoint()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn the_super_log_is_a_function_of_the_log(
        plan in prop::collection::vec(0_u8..6, 1..120),
        kills in prop::collection::vec(0_usize..120, 0..4),
    ) {
        let straight = follow(&plan, false, &[]);
        prop_assert_eq!(&follow(&plan, true, &[]), &straight);
        prop_assert_eq!(&follow(&plan, false, &kills), &straight);
        prop_assert_eq!(&follow(&plan, true, &kills), &straight);
        let cuts = plan.iter().filter(|what| **what == 4).count() as u64;
        prop_assert!(straight.size <= cuts && (straight.size > 0) == (cuts > 0), "a tick for each cut that is not void");
    }
}

#[test]
fn an_entry_that_was_left_out_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut follower = Follower::new(TileStore::create(dir.path(), "hub.test/log", SHAPE).unwrap());
    let at = |index| Position { stream: Stream::Change, partition: Partition(0), index: Index(index) };
    follower.take(at(0), b"a").unwrap();
    assert_eq!(follower.take(at(0), b"a").unwrap(), 0, "given again after a restart");
    assert!(matches!(follower.take(at(2), b"c"), Err(Error::Gap { found: 2, size: 1, .. })));
    follower.take(at(1), b"b").unwrap();
    let unknown = [&control(Order::Erasure { records: vec![Pseudonym([0; 16])] })[..4], &[0; 8]].concat();
    let place = Position { stream: Stream::Control, partition: Partition(0), index: Index(0) };
    assert!(matches!(follower.take(place, &unknown), Err(Error::Control { .. })));
}
