//! Vectors of the specifications, byte for byte, and of this crate's own texts.

use ledger::tile::{Resource, Tile};
use ledger::tree::Tree;
use ledger::witness::AddCheckpoint;
use ledger::*;
use record::Timestamp;

fn hex<const N: usize>(text: &str) -> [u8; N] {
    assert_eq!(text.len(), 2 * N);
    std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
}

/// The leaves that implementations of RFC 6962 are tested with, since the first (certificate-transparency).
const LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];

/// The roots over the first n of them.
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn leaves(n: usize) -> Vec<Hash> {
    LEAVES[..n].iter().map(|l| leaf_hash(l)).collect()
}

fn tiled(n: usize) -> TiledTree<impl FnMut(Tile) -> Result<Vec<u8>, String>> {
    TiledTree::new(n as u64, move |tile: Tile| {
        assert_eq!((tile.level, tile.index), (0, 0));
        Ok(leaves(usize::from(tile.width)).concat())
    })
}

#[test]
fn roots_are_those_of_rfc_6962() {
    assert_eq!(EMPTY_ROOT, hex(ROOTS[0]));
    for (n, root) in ROOTS.iter().enumerate().skip(1) {
        assert_eq!(Tree::new(leaves(n)).root(), hex(root), "{n} leaves");
        assert_eq!(tiled(n).root().unwrap(), hex(root), "{n} leaves");
    }
}

/// RFC 6962 §2.1.3 shows which nodes make up the paths of a tree with 7 leaves.
#[test]
fn paths_are_those_of_the_example_in_rfc_6962() {
    let l = leaves(7);
    let [a, b, c, d, e, f, j] = l[..] else { panic!("seven leaves") };
    let (g, h, i) = (node_hash(&a, &b), node_hash(&c, &d), node_hash(&e, &f));
    let (k, l) = (node_hash(&g, &h), node_hash(&i, &j));
    let mut tree = tiled(7);
    assert_eq!(tree.inclusion(0, 7).unwrap(), [b, h, l]);
    assert_eq!(tree.inclusion(3, 7).unwrap(), [c, g, l]);
    assert_eq!(tree.inclusion(4, 7).unwrap(), [f, j, k]);
    assert_eq!(tree.inclusion(6, 7).unwrap(), [i, k]);
    assert_eq!(tree.consistency(3, 7).unwrap(), [c, d, g, l]);
    assert_eq!(tree.consistency(4, 7).unwrap(), [l]);
    assert_eq!(tree.consistency(6, 7).unwrap(), [i, j, k]);
}

#[test]
fn tile_paths_are_those_of_the_specification() {
    let tile = |level, index, width| Resource::Hashes(Tile { level, index, width });
    assert_eq!(tile(0, 1_234_067, 256).to_string(), "tile/0/x001/x234/067");
    assert_eq!(tile(2, 0, 1).to_string(), "tile/2/000.p/1");
    assert_eq!(Resource::Entries(Tile { level: 0, index: 273, width: 112 }).to_string(), "tile/entries/273.p/112");
    assert_eq!(Resource::parse("tile/0/x001/x234/067"), Some(tile(0, 1_234_067, 256)));
    assert_eq!(Resource::Checkpoint.to_string(), "checkpoint");
}

/// "A tree of size 70,000 will be represented by 273 full level 0 tiles, one partial level 0 tile of width 112, …"
#[test]
fn a_tree_of_70_000_has_the_tiles_that_the_specification_counts() {
    let partial = |size| Tile::partial(size).map(|t| (t.level, t.index, t.width)).collect::<Vec<_>>();
    assert_eq!(partial(70_000), [(0, 273, 112), (1, 1, 17), (2, 0, 1)]);
    assert_eq!(partial(256), [(1, 0, 1)]);
    assert_eq!(partial(0), []);
    assert!(Tile::in_tree(0, 272, 70_000).unwrap().is_full() && Tile::in_tree(1, 0, 70_000).unwrap().is_full());
    assert_eq!(Tile::in_tree(0, 274, 70_000), None);
}

/// The example of c2sp.org/signed-note.
#[test]
fn the_note_of_the_specification_opens() {
    let key = VerifierKey::parse("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k").unwrap();
    let note = "This is an example message.\n\n\u{2014} example.com/foo \
        Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    assert_eq!(key.open(note), Ok("This is an example message.\n"));
}

/// The example of c2sp.org/tlog-checkpoint and c2sp.org/tlog-cosignature, which does not tell the keys.
#[test]
fn the_checkpoint_of_the_specification_parses() {
    let note = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        \u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
    let note = Note::parse(note).unwrap();
    let checkpoint = Checkpoint::parse(note.text).unwrap();
    assert_eq!((checkpoint.origin.as_str(), checkpoint.size), ("example.com/behind-the-sofa", 20_852_163));
    assert_eq!(checkpoint.root, hex("0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"));
    assert_eq!(checkpoint.to_text(), note.text);
    assert_eq!((note.signatures[0].id, note.signatures[0].blob.len()), ([0x03, 0x3d, 0xe0, 0xae], 64));
    assert_eq!((note.signatures[1].id, note.signatures[1].blob.len()), ([0x8d, 0x66, 0xcf, 0x3f], 72));
    assert_eq!(u64::from_be_bytes(note.signatures[1].blob[..8].try_into().unwrap()), 1_679_315_147);
}

/// A public witness's key, as github.com/transparency-dev/formats tests it.
#[test]
fn a_witness_key_of_another_implementation_parses() {
    let text = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";
    assert_eq!(CosignerKey::parse(text).unwrap().to_string(), text);
    assert_eq!(VerifierKey::parse(text), Err(NoteError::Key), "a witness's key does not sign notes");
}

/// The example of c2sp.org/tlog-witness (its first signature only).
#[test]
fn the_request_of_the_specification_parses() {
    let body = "old 20852014\n\
        PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
        jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
        5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n\
        /6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\
        \n\
        example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
    let request = AddCheckpoint::parse(body).unwrap();
    assert_eq!((request.old_size, request.proof.len()), (20_852_014, 4));
    assert_eq!(request.encode(), body);
}

#[test]
fn the_hubs_own_texts_are_pinned() {
    let shape = Shape { change: 2, access: 1, rejected: 1 };
    let Ok(heads) =
        Heads::collect("hub.test/log", shape, |s, p| Ok::<_, std::convert::Infallible>((1, [s as u8 + p.0 as u8; 32])));
    let tick = heads.tick(Timestamp(1_763_791_978_000_000));
    let text = "hub.tick/v1\n1763791978000000\n2 1 1 1\nPe08lUXsD0F8nq0bcAyAjYTWeFA27is5/KEYO/tgiMQ=\n";
    assert_eq!(tick.to_text(), text);
    let (head, _) = heads.prove(record::Stream::Access, record::Partition(0)).unwrap();
    assert_eq!(
        head.checkpoint("hub.test/log").to_text(),
        "hub.test/log/access/0\n1\nAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n"
    );
    let log = SigningKey::new("hub.test/log", &[1; 32]).unwrap();
    let witness = CosigningKey::new("witness.test/a", &[2; 32]).unwrap();
    let checkpoint = Checkpoint::new("hub.test/log", 1, leaf_hash(text.as_bytes())).to_text();
    let note = log.sign(&checkpoint) + &witness.cosign(&checkpoint, 1_763_791_979);
    let hash = blake3::hash(note.as_bytes()).to_hex();
    assert_eq!(hash.as_str(), "eb7cb04032c29fd3ac8337b07104e6ba50c171d888b84b7d18a7d9ab5c58f25c");
}
