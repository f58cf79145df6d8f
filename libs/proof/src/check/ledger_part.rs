//! From the checkpoint to the heads of partitions.

use ledger::tick::parse_tree_name;
use ledger::{Checkpoint, Head, Tick, leaf_hash, verify_consistency, verify_inclusion};

use super::Checker;
use crate::report::{Grown, Problem};
use crate::section::{Hash32, hashes};

impl Checker<'_> {
    pub(super) fn tick(&mut self, checkpoint: &Checkpoint, index: u64, text: &str, path: &[Hash32]) {
        let found = self.proven_tick(checkpoint, index, text, path);
        self.ticks.insert(index, found);
    }

    fn proven_tick(&mut self, checkpoint: &Checkpoint, index: u64, text: &str, path: &[Hash32]) -> Option<Tick> {
        let leaf = leaf_hash(text.as_bytes());
        if let Err(error) = verify_inclusion(leaf, index, checkpoint.size, &checkpoint.root, &hashes(path)) {
            self.fail("path", error.into());
            return None;
        }
        match Tick::parse(text) {
            Ok(tick) => Some(tick),
            Err(error) => {
                self.fail("text", error.into());
                None
            }
        }
    }

    pub(super) fn head(&mut self, log: &str, index: u64, text: &str, path: &[Hash32]) {
        let head = match Head::parse(text, log) {
            Ok(head) => head,
            Err(error) => return self.fail("text", error.into()),
        };
        let found = self.proven_head(index, &head, text, path).then_some(head);
        if self.heads.insert((index, head.stream, head.partition), found).is_some() {
            self.fail("text", Problem::Order);
        }
    }

    fn proven_head(&mut self, index: u64, head: &Head, text: &str, path: &[Hash32]) -> bool {
        let tick = match self.ticks.get(&index) {
            Some(Some(tick)) => *tick,
            // The tick's own failure stands already.
            Some(None) => return false,
            None => {
                self.fail("tick", Problem::Missing(format!("tick {index}")));
                return false;
            }
        };
        let Some(slot) = tick.shape.slot(head.stream, head.partition) else {
            self.fail("text", Problem::NoSlot);
            return false;
        };
        let leaf = leaf_hash(text.as_bytes());
        let held = verify_inclusion(leaf, slot, tick.shape.slots(), &tick.heads, &hashes(path));
        held.map_err(|error| self.fail("path", error.into())).is_ok()
    }

    pub(super) fn growth(&mut self, partition: &str, (from, to): (u64, u64), proof: &[Hash32]) {
        let Some((stream, number)) = parse_tree_name(partition) else {
            return self.fail("partition", Problem::Form("<stream>/<partition>"));
        };
        let mut ends = [None; 2];
        for (end, (field, tick)) in ends.iter_mut().zip([("from", from), ("to", to)]) {
            match self.heads.get(&(tick, stream, number)) {
                Some(head) => *end = *head,
                None => return self.fail(field, Problem::Missing(format!("head of {partition} at tick {tick}"))),
            }
        }
        // A head that did not hold has its own failure.
        let [Some(older), Some(newer)] = ends else { return };
        match verify_consistency((older.size, &older.root), (newer.size, &newer.root), &hashes(proof)) {
            Ok(()) if from < to => self.grown.push(Grown { stream, partition: number, from, to }),
            Ok(()) => self.fail("from", Problem::Form("an earlier tick than 'to'")),
            Err(error) => self.fail("proof", error.into()),
        }
    }
}
