//! The file `heads`: the last durable state of every tree.
//!
//! ```text
//! hub.heads/v1
//! <origin>
//! <size and base64 root of the super-log>
//! <the tick's text, four lines; absent when there was none>
//! <stream>/<partition> <size> <base64 root>       for every partition, in the order of slots
//! sha256 <of everything before, 64 hexadecimal digits>
//! ```

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ledger::tick::tree_name;
use ledger::{Checkpoint, EMPTY_ROOT, Hash, Head, Heads, Shape, Tick};
use record::{Partition, Stream};
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::files;

const FIRST_LINE: &str = "hub.heads/v1";

/// The state of a ledger at its last tick.
#[derive(Debug, Clone)]
pub struct State {
    /// The log's origin.
    pub origin: String,
    /// Leaves of the super-log: ticks so far.
    pub size: u64,
    /// The super-log's root.
    pub root: Hash,
    /// The last tick; `None` when there was none.
    pub tick: Option<Tick>,
    /// Every partition's head at that tick.
    pub heads: Heads,
}

impl State {
    /// A ledger without ticks.
    pub(crate) fn empty(origin: &str, shape: Shape) -> Self {
        Self {
            origin: origin.into(),
            size: 0,
            root: EMPTY_ROOT,
            tick: None,
            heads: heads_of(origin, shape, |_| (0, EMPTY_ROOT)),
        }
    }

    /// What is signed about the super-log.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::new(self.origin.clone(), self.size, self.root)
    }

    /// The head of one partition.
    pub fn head(&self, stream: Stream, partition: Partition) -> Option<Head> {
        self.heads.prove(stream, partition).map(|(head, _)| head)
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\n{}\n{} {}\n", self.origin, self.size, STANDARD.encode(self.root));
        text += &self.tick.map_or(String::new(), |tick| tick.to_text());
        for head in self.heads.heads() {
            let name = tree_name(head.stream, head.partition);
            text += &format!("{name} {} {}\n", head.size, STANDARD.encode(head.root));
        }
        let sum = sum(&text);
        text + &sum
    }

    /// Reads the file of the ledger in `dir`.
    pub(crate) fn read(dir: &Path, shape: Shape) -> Result<Self, Error> {
        let path = dir.join("heads");
        let text = String::from_utf8(files::read(&path)?).map_err(|_| Error::damaged(&path, "it is no text"))?;
        let state = Self::parse(&text, shape);
        state.ok_or_else(|| Error::damaged(&path, "it is not as it was written, or of another log"))
    }

    /// Parses the file's text for a log of that shape; `None` when it is not what [`State::to_text`] writes.
    pub fn parse(text: &str, shape: Shape) -> Option<Self> {
        let body = &text[..text.trim_end().rfind('\n')? + 1];
        let mut lines = body.split_terminator('\n').skip(1);
        let origin = lines.next()?.to_owned();
        let (size, root) = size_and_root(lines.next()?)?;
        // What cannot be read is damaged, whatever the reason.
        let tick = match size {
            0 => None,
            _ => Some(Tick::parse(&lines.by_ref().take(4).map(|l| format!("{l}\n")).collect::<String>()).ok()?),
        };
        let found = lines.map(|line| size_and_root(line.split_once(' ')?.1)).collect::<Option<Vec<_>>>()?;
        if found.len() as u64 != shape.slots() {
            return None;
        }
        let heads = heads_of(&origin, shape, |slot| found[slot]);
        let state = Self { origin, size, root, tick, heads };
        let same_heads = state.tick.is_none_or(|tick| state.heads.tick(tick.at) == tick);
        (same_heads && state.to_text() == text).then_some(state)
    }
}

fn heads_of(origin: &str, shape: Shape, head: impl Fn(usize) -> (u64, Hash)) -> Heads {
    let mut slot = 0;
    let Ok(heads) = Heads::collect(origin, shape, |_, _| {
        slot += 1;
        Ok::<_, std::convert::Infallible>(head(slot - 1))
    });
    heads
}

fn size_and_root(text: &str) -> Option<(u64, Hash)> {
    let (size, root) = text.split_once(' ')?;
    // What cannot be read is damaged, whatever the reason.
    Some((size.parse().ok()?, STANDARD.decode(root).ok()?.try_into().ok()?))
}

fn sum(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256 {hex}\n")
}
