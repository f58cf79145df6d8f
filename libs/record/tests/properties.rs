//! Codecs are total on outside bytes, and the digest is a sum.

use proptest::prelude::*;
use record::access::AccessBatch;
use record::control::Control;
use record::envelope::{Refusal, RefusalClosed};
use record::*;

proptest! {
    #[test]
    fn decoding_random_bytes_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400), version in 0_u8..3) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = version;
        }
        let _ = Entry::decode(&bytes);
        let _ = Envelope::decode(&bytes);
        let _ = Refusal::decode(&bytes);
        let _ = RefusalClosed::decode(&bytes);
        let _ = AccessBatch::decode(&bytes);
        let _ = Control::decode(&bytes);
        let _ = Positions::decode(&mut Reader::new(&bytes));
    }

    #[test]
    fn integers_have_one_encoding(v in any::<u64>(), junk in any::<[u8; 3]>()) {
        let mut w = Writer::new();
        w.varint(v).raw(&junk);
        let bytes = w.finish();
        let mut r = Reader::new(&bytes);
        prop_assert_eq!(r.varint(), Ok(v));
        prop_assert_eq!(r.rest(), &junk);
        prop_assert!(Reader::new(&[0x80, 0x00]).varint().is_err());
    }

    #[test]
    fn every_truncation_of_an_entry_is_refused(body in prop::collection::vec(any::<u8>(), 0..64), cut in any::<prop::sample::Index>()) {
        let header = EntryHeader::of_hub(EntryKind::Control, Timestamp(1));
        let bytes = Entry::encode_salted(&header, &[0; 16], &body).unwrap();
        let cut = cut.index(bytes.len());
        prop_assert!(Entry::decode(&bytes[..cut]).is_err());
    }

    #[test]
    fn digest_does_not_depend_on_order_and_removal_undoes_addition(
        rows in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..12),
        seed in any::<u64>(),
    ) {
        let mut forward = LtHash::default();
        rows.iter().for_each(|r| forward.add(r));
        let mut shuffled = rows.clone();
        shuffled.sort_by_key(|r| blake3::hash(&[r.as_slice(), &seed.to_le_bytes()].concat()).as_bytes().to_owned());
        let mut backward = LtHash::default();
        shuffled.iter().for_each(|r| backward.add(r));
        prop_assert_eq!(&forward, &backward);
        rows.iter().for_each(|r| backward.remove(r));
        prop_assert_eq!(backward, LtHash::default());
    }

    #[test]
    fn a_position_reads_back_from_its_text_and_from_no_other(stream in 0_u8..4, partition: u16, index: u64) {
        let position = Position {
            stream: Stream::from_u8(stream).unwrap(),
            partition: Partition(partition),
            index: Index(index),
        };
        prop_assert_eq!(position.to_string().parse(), Ok(position));
        for bad in [format!("{position}/"), format!("{position} "), position.to_string().replace('/', "/0")] {
            prop_assert_eq!(bad.parse::<Position>(), Err(PositionError));
        }
    }

    #[test]
    fn position_vectors_round_trip(ends in prop::collection::vec((0_u8..4, any::<u16>(), 1_u64..u64::MAX), 0..20)) {
        let all: Positions =
            ends.into_iter().map(|(s, p, i)| (Stream::from_u8(s).unwrap(), Partition(p), Index(i))).collect();
        let mut w = Writer::new();
        all.encode(&mut w);
        let bytes = w.finish();
        prop_assert_eq!(Positions::decode(&mut Reader::new(&bytes)), Ok(all));
    }
}
