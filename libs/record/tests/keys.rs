//! The key tree and encrypted bodies: what is destroyed stays destroyed, and nothing else changes.

use std::collections::BTreeSet;

use proptest::prelude::*;
use record::entry::BodyError;
use record::keys::{LEVELS, NoKey, address};
use record::*;

const SALT: [u8; 16] = [9; 16];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn record(n: u64) -> Pseudonym {
    let mut out = [0xee; 16];
    out[..8].copy_from_slice(&n.to_be_bytes());
    Pseudonym(out)
}

fn secret(tree: &KeyTree, n: u64) -> Option<[u8; 32]> {
    tree.key(record(n)).ok().map(|key| *key.body_secret(record(n), &SALT))
}

fn header(record: Pseudonym) -> EntryHeader {
    EntryHeader {
        codec: BodyCodec::Aes256Gcm,
        register: Some(RegisterName::try_from("civil").unwrap()),
        record,
        version: 7,
        contract: ContractId([0x22; 16]),
        effective_at: Timestamp(1),
        ..EntryHeader::of_hub(EntryKind::Upsert, Timestamp(2))
    }
}

fn entry(tree: &KeyTree, record: Pseudonym, body: &[u8]) -> Vec<u8> {
    Entry::encode_encrypted(&header(record), &tree.key(record).unwrap(), &SALT, body).unwrap()
}

/// Addresses near each other, far apart, and at the ends: what a puncture could get wrong.
fn addresses() -> impl Strategy<Value = BTreeSet<u64>> {
    let near = (any::<u8>(), 0_u32..16).prop_map(|(n, level)| u64::from(n) << (4 * level));
    let one = prop_oneof![near, any::<u64>(), Just(0), Just(u64::MAX)];
    proptest::collection::btree_set(one, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_destroyed_key_is_never_derived_again_and_every_other_stays(all in addresses(), pick in any::<u64>()) {
        let whole = KeyTree::new([3; 32]);
        let (gone, left): (Vec<u64>, Vec<u64>) = all.iter().partition(|a| (a.rotate_left(7) ^ pick) % 3 != 0);
        let mut tree = whole.clone();
        for (at, n) in gone.iter().enumerate() {
            prop_assert!(tree.destroy(record(*n)));
            prop_assert!(!tree.destroy(record(*n)), "once is for ever");
            prop_assert!(tree.seeds() <= 1 + (at + 1) * 15 * usize::from(LEVELS));
        }
        let kept = tree.encode();
        let read = KeyTree::decode(&kept).unwrap();
        for tree in [&tree, &read] {
            for n in &gone {
                prop_assert_eq!(tree.key(record(*n)).err(), Some(NoKey::Destroyed));
                prop_assert!(tree.is_destroyed(record(*n)));
            }
            for n in left.iter().chain(&[pick]).filter(|n| !gone.contains(n)) {
                prop_assert_eq!(secret(tree, *n), secret(&whole, *n));
                prop_assert!(!tree.is_destroyed(record(*n)));
            }
        }
        prop_assert_eq!(&read.encode()[..], &kept[..]);
    }

    #[test]
    fn the_order_of_destruction_leaves_the_same_keys(all in addresses()) {
        let destroy = |order: &mut dyn Iterator<Item = &u64>| {
            let mut tree = KeyTree::new([4; 32]);
            order.for_each(|n| { tree.destroy(record(*n)); });
            tree.encode()
        };
        prop_assert_eq!(&destroy(&mut all.iter())[..], &destroy(&mut all.iter().rev())[..]);
    }

    #[test]
    fn no_seed_that_is_kept_lies_above_a_destroyed_key(n in any::<u64>()) {
        let mut tree = KeyTree::new([5; 32]);
        tree.destroy(record(n));
        prop_assert_eq!(tree.seeds(), 15 * usize::from(LEVELS));
        // Count, then per seed: depth, first address, secret.
        let kept = tree.encode();
        for seed in kept[2..].chunks(41) {
            let (depth, first) = (seed[0], u64::from_le_bytes(seed[1..9].try_into().unwrap()));
            let mask = u64::MAX.checked_shr(4 * u32::from(depth)).unwrap_or(0);
            prop_assert!(n & !mask != first, "a seed of depth {} covers it", depth);
        }
    }

    #[test]
    fn any_changed_bit_of_an_encrypted_entry_is_noticed(bit in 0_usize..8 * 200, body in proptest::collection::vec(any::<u8>(), 0..64)) {
        let tree = KeyTree::new([1; 32]);
        let bytes = entry(&tree, record(5), &body);
        prop_assert_eq!(Entry::decode(&bytes).unwrap().body(&tree).unwrap().into_owned(), body.clone());
        let mut changed = bytes.clone();
        let at = (bit / 8) % bytes.len();
        changed[at] ^= 1 << (bit % 8);
        // The hash of the body is the one part that the encryption does not cover: it is checked by itself. An entry that calls
        // itself plain gives bytes that are not the body: what it called itself is in its hash, the leaf of the ledger.
        let noticed = match Entry::decode(&changed) {
            Err(_) => true,
            Ok(found) => match found.body(&tree) {
                Err(_) => true,
                Ok(read) => !found.verify_body(&changed) || (found.header.codec == BodyCodec::SaltedPlain && *read != *body),
            },
        };
        prop_assert!(noticed, "byte {}", at);
    }
}

#[test]
fn keys_and_bodies_are_pinned() {
    let mut tree = KeyTree::new([1; 32]);
    assert_eq!(
        hex(&secret(&tree, 0x0123_4567_89ab_cdef).unwrap()),
        "b14943ac1e1107f1911096bc2c9d742ad41187fd55f13960d8c5f87f8141a670"
    );
    assert_eq!(hex(&secret(&tree, u64::MAX).unwrap()[..8]), "5f96b5df6ea9e8a2");
    let bytes = entry(&tree, record(0x0123_4567_89ab_cdef), b"body");
    assert_eq!(
        hex(&bytes),
        "01000101000000000700000000000000010000000000000002000000000000000123456789abcdefeeeeeeeeeeeeeeee2222222222222222222222222222222217ce37e3c62af48ee8ed878e74efdcf96caee8981ef63dbf6f19ce57cde46eda05636976696c4400000009090909090909090909090909090909d17992c8da3ef9a7173b26acbbe4d55e10fba286326966e76950fa11d12eafb91bc834402d2faaedcef37a477da3f553e8b86230"
    );
    let read = Entry::decode(&bytes).unwrap();
    assert_eq!(
        (read.header.clone(), read.body(&tree).unwrap().as_ref()),
        (header(record(0x0123_4567_89ab_cdef)), b"body".as_slice())
    );
    assert!(read.verify_body(&bytes));
    tree.destroy(record(0x0123_4567_89ab_cdef));
    assert_eq!(hex(&blake3::hash(&tree.encode()).as_bytes()[..16]), "35b6f591178fb6f65fcd8256d43866ba");
    assert_eq!(hex(&secret(&tree, u64::MAX).unwrap()[..8]), "5f96b5df6ea9e8a2");
}

#[test]
fn an_erased_body_says_so_and_a_foreign_key_opens_nothing() {
    let mut tree = KeyTree::new([1; 32]);
    let bytes = entry(&tree, record(5), b"body");
    let read = Entry::decode(&bytes).unwrap();
    assert_eq!(read.plain_body(), Err(BodyError::Encrypted));
    assert_eq!(read.body(&KeyTree::absent()), Err(BodyError::Encrypted));
    assert_eq!(read.body(&KeyTree::new([2; 32])), Err(BodyError::OtherKey));
    tree.destroy(record(5));
    assert_eq!(read.body(&tree), Err(BodyError::Erased));
}

#[test]
fn a_shown_secret_opens_its_own_body_alone() {
    let tree = KeyTree::new([1; 32]);
    let bytes = entry(&tree, record(5), b"one");
    let other = Entry::encode_encrypted(&header(record(5)), &tree.key(record(5)).unwrap(), &[8; 16], b"two").unwrap();
    let secret = Entry::decode(&bytes).unwrap().body_secret(&tree).unwrap().unwrap();
    assert_eq!(Entry::decode(&bytes).unwrap().body_by(&secret).as_deref(), Ok(b"one".as_slice()));
    assert_eq!(Entry::decode(&other).unwrap().body_by(&secret), Err(BodyError::OtherKey));
}

#[test]
fn entries_of_before_are_read_without_a_key() {
    let plain = EntryHeader { codec: BodyCodec::SaltedPlain, ..header(record(5)) };
    let bytes = Entry::encode_salted(&plain, &SALT, b"body").unwrap();
    let entry = Entry::decode(&bytes).unwrap();
    assert_eq!(entry.body(&KeyTree::absent()).unwrap().as_ref(), b"body");
    assert_eq!(entry.body_by(&[0; 32]), Err(BodyError::Plain));
}

#[test]
fn seeds_that_overlap_are_refused() {
    let tree = KeyTree::new([1; 32]).encode();
    let mut twice = vec![2];
    twice.extend_from_slice(&tree[1..]);
    twice.extend_from_slice(&tree[1..]);
    assert!(KeyTree::decode(&twice).is_err());
    let mut beside = tree.to_vec();
    beside[2] = 1;
    assert!(KeyTree::decode(&beside).is_err(), "no seed of the root's depth begins there");
}

#[test]
fn an_address_is_the_head_of_a_pseudonym() {
    assert_eq!(address(record(77)), 77);
    assert_ne!(secret(&KeyTree::new([1; 32]), 1), secret(&KeyTree::new([1; 32]), 2));
}
