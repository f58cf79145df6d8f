//! Views for another process: one that has them gives a copy of what one batch left, one that has none it can use takes it and folds on from
//! there.
//!
//! The giver's fold pauses for a checkpoint and goes on; rows are read from a snapshot. The taker trusts nothing but the log: every part has a
//! hash over all parts up to it, and before the copy serves all of its rows are read again and summed to the digest that it came with. Views of
//! another log, fold version or basis are refused. A copy that is broken off is no views; the next one begins anew.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use event_log::EventLog;
use projection::FOLD_VERSION;
use projection::basis::BasisName;
use record::{Digest, LtHash, Positions};
use tokio::sync::oneshot;
use view_store::{CopyError, CopyHeader, Expect, Incoming, OpenError, Opened, Outgoing, ViewStore};

use crate::fold::{FoldError, decode_positions};
use crate::generations::Generations;
use crate::prepared::{Command, PrepareError, entries, ordered_name};
use crate::rows;
use crate::runtime::{StartError, ViewsHandle, ViewsOptions, may_rebuild};

/// Bytes of a part, about.
const PART_BYTES: usize = 1 << 20;
/// A log with fewer entries is folded sooner than views of it are copied.
const SHORT_LOG_ENTRIES: u64 = 1_000;

/// A hash of a part.
pub type PartHash = [u8; 32];

/// What a copy is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// What the views are folded with, by name.
    pub basis: String,
    /// Log, fold version, positions and digest, as the store writes them.
    pub header: Vec<u8>,
}

/// A part of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The first one.
    About(About),
    /// Rows or blocks, or that these were all.
    Piece(Vec<u8>),
}

/// The hash of each part is over that of the part before, so that none can be left out, changed or moved.
#[derive(Default)]
struct Chain(PartHash);

impl Chain {
    fn next(&mut self, part: &Part) -> PartHash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        match part {
            Part::About(about) => {
                hasher.update(&(about.basis.len() as u64).to_le_bytes());
                hasher.update(about.basis.as_bytes());
                hasher.update(&about.header);
            }
            Part::Piece(bytes) => {
                hasher.update(bytes);
            }
        }
        self.0 = *hasher.finalize().as_bytes();
        self.0
    }
}

/// What the fold's thread gives.
pub(crate) struct Given {
    pub(crate) outgoing: Outgoing,
    pub(crate) basis: BasisName,
}

/// Why a copy of views is not given, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum GiveError {
    /// They are being folded again themselves.
    #[error("these views lack {0} entries of the log themselves")]
    Behind(u64),
    /// They are folded with something else than the other process wants.
    #[error("these views are folded with {0}, other ones are asked for")]
    OtherBasis(BasisName),
    /// What the store's files hold of erased records is removed, for which nobody may read them.
    #[error("erased records are removed from these views: ask again in a moment")]
    Purging,
    /// Other views serve now, or the store is opened again.
    #[error("other views have taken over: ask again")]
    Replaced,
    /// Whoever asked takes no more, or the hub stops.
    #[error("the copy is not taken any more")]
    NotTaken,
    /// The fold's thread does not give them.
    #[error("{0}")]
    Fold(#[from] PrepareError),
    /// The store cannot be read.
    #[error("{0}")]
    Store(#[from] view_store::Error),
}

/// Gives a copy of the views, part by part, to `send`, which says whether to go on. `aside` is a folder on the views' disk that does not exist; it
/// holds 16 bytes a node for as long as copying them takes. How many rows were given. Blocks.
///
/// # Errors
/// [`GiveError`].
pub fn give(
    handle: &ViewsHandle,
    aside: &Path,
    wanted: &str,
    mut send: impl FnMut(Part, PartHash) -> bool,
) -> Result<u64, GiveError> {
    // Before the copy is begun: from then on nothing that it reads may be purged.
    let _long = handle.purger.long_read();
    let takeovers = handle.takeovers.load(Ordering::Acquire);
    let (folded, end) = (entries(&handle.folded.borrow()), entries(&handle.log.ends()));
    if folded < end / 2 {
        return Err(GiveError::Behind(end - folded));
    }
    let Given { mut outgoing, basis } = handle.operator.copy(aside)?;
    if basis.to_string() != wanted {
        return Err(GiveError::OtherBasis(basis));
    }
    let mut chain = Chain::default();
    let mut next = Some(Part::About(About { basis: basis.to_string(), header: outgoing.header().encode() }));
    while let Some(part) = next {
        if handle.purger.is_wanted() {
            return Err(GiveError::Purging);
        }
        if handle.takeovers.load(Ordering::Acquire) != takeovers || handle.status.borrow().stopped.is_some() {
            return Err(GiveError::Replaced);
        }
        let hash = chain.next(&part);
        if !send(part, hash) {
            return Err(GiveError::NotTaken);
        }
        next = outgoing.next_piece(PART_BYTES)?.map(Part::Piece);
    }
    Ok(outgoing.rows())
}

impl crate::prepared::Operator {
    fn copy(&self, aside: &Path) -> Result<Given, PrepareError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Copy { aside: aside.to_owned(), reply }).map_err(|_| PrepareError::Stopped)?;
        answer.blocking_recv().map_err(|_| PrepareError::Stopped)?
    }
}

/// Why a copy is not taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The views, or the folder for them.
    #[error("{0}")]
    Copy(#[from] CopyError),
    /// They are folded with something else than the control stream wants.
    #[error("the copy is of views on {theirs}, the control stream wants {ours}")]
    OtherBasis {
        /// What the copy is folded with.
        theirs: String,
        /// What is wanted.
        ours: String,
    },
    /// A part came twice, or not in its turn.
    #[error("the copy is damaged: {0}")]
    Malformed(&'static str),
    /// A part is not the one that was given.
    #[error("part {0} of the copy does not have its hash")]
    Hash(u64),
    /// All parts came, and their rows are not what the digest says.
    #[error("the copy's rows have the digest {is} instead of {should}")]
    Digest {
        /// That of the rows.
        is: Digest,
        /// That which came with them.
        should: Digest,
    },
    /// The views that were written cannot be read.
    #[error("{0}")]
    Fold(#[from] FoldError),
    /// They cannot be opened.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// The hub stops.
    #[error("the hub stops")]
    Stopped,
    /// The plan of the folders cannot be written.
    #[error("the views' folder: {0}")]
    System(#[from] std::io::Error),
}

/// Takes views for a process that has none that it can use. Use it before the views are started.
pub struct Taker {
    options: ViewsOptions,
    expect: Expect,
    generations: Generations,
    wanted: BasisName,
    because: String,
    /// Whether the views that cannot be used are kept, for the program that can.
    keeps: bool,
}

impl Taker {
    /// Looks at the views of this process; `None` when they can be used, or when the log is so short that it is folded at once.
    ///
    /// # Errors
    /// [`StartError`]: the folder or the log cannot be read.
    pub fn look(options: ViewsOptions, log: &EventLog, log_id: [u8; 16]) -> Result<Option<Self>, StartError> {
        if entries(&log.ends()) < SHORT_LOG_ENTRIES {
            return Ok(None);
        }
        let expect = Expect { fold_version: FOLD_VERSION, log_id };
        let generations = Generations::open(&options.dir)?;
        let (because, keeps) = match ViewStore::open(&generations.serving(), options.store.clone(), expect) {
            Ok(Opened::Fresh(_)) => ("there are none".to_owned(), false),
            Ok(Opened::Resumed(store)) if decode_positions(&store.committed().positions)?.total() == 0 => {
                ("nothing is folded yet".to_owned(), false)
            }
            Ok(Opened::Resumed(_)) => return Ok(None),
            Err(error) if options.rebuild && may_rebuild(&error) => {
                (error.to_string(), matches!(error, OpenError::OtherFoldVersion { .. }))
            }
            // The start says what is wrong.
            Err(_) => return Ok(None),
        };
        Ok(Some(Self { options, expect, generations, wanted: ordered_name(log)?, because, keeps }))
    }

    /// Why views are wanted.
    pub fn because(&self) -> &str {
        &self.because
    }

    /// The log that they must be of.
    pub fn log_id(&self) -> [u8; 16] {
        self.expect.log_id
    }

    /// What they must be folded with.
    pub fn basis(&self) -> String {
        self.wanted.to_string()
    }

    /// Begins to take a copy; what an earlier one left is removed.
    ///
    /// # Errors
    /// [`TakeError`]: it is of other views, or there is no room for it.
    pub fn begin(&mut self) -> Result<Taking<'_>, TakeError> {
        let folder = self.generations.aside()?;
        Ok(Taking { taker: self, folder, chain: Chain::default(), parts: 0, bytes: 0, incoming: None })
    }

    /// Removes what copies that were broken off have left.
    ///
    /// # Errors
    /// The folder cannot be removed.
    pub fn discard(&mut self) -> Result<(), std::io::Error> {
        self.generations.aside().map(drop)
    }
}

/// A copy that is being taken.
pub struct Taking<'a> {
    taker: &'a mut Taker,
    folder: PathBuf,
    chain: Chain,
    parts: u64,
    bytes: u64,
    incoming: Option<(Incoming, CopyHeader)>,
}

/// What was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// What the views hold.
    pub positions: Positions,
    /// Their digest.
    pub digest: Digest,
    /// Rows of the tables.
    pub rows: u64,
    /// Bytes that came.
    pub bytes: u64,
}

impl TakeError {
    /// Whether another copy by the same process would not be taken either.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::OtherBasis { .. } => true,
            Self::Copy(error) => {
                matches!(error, CopyError::Format { .. } | CopyError::ForeignLog | CopyError::OtherFoldVersion { .. })
            }
            Self::Malformed(_)
            | Self::Hash(_)
            | Self::Digest { .. }
            | Self::Fold(_)
            | Self::Open(_)
            | Self::Stopped
            | Self::System(_) => false,
        }
    }
}

impl Taking<'_> {
    /// Bytes that came so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Rows that came so far.
    pub fn rows(&self) -> u64 {
        self.incoming.as_ref().map_or(0, |(incoming, _)| incoming.rows())
    }

    /// Takes the next part. Blocks on the disk.
    ///
    /// # Errors
    /// [`TakeError`]: nothing of the copy can be used then.
    pub fn take(&mut self, part: Part, hash: &[u8]) -> Result<(), TakeError> {
        if self.chain.next(&part) != hash {
            return Err(TakeError::Hash(self.parts));
        }
        self.parts += 1;
        match (part, &mut self.incoming) {
            (Part::About(about), None) => self.about(&about),
            (Part::Piece(piece), Some((incoming, _))) => {
                self.bytes += piece.len() as u64;
                Ok(incoming.take(&piece)?)
            }
            (Part::About(_), Some(_)) => Err(TakeError::Malformed("it begins twice")),
            (Part::Piece(_), None) => Err(TakeError::Malformed("it does not say what it is of")),
        }
    }

    fn about(&mut self, about: &About) -> Result<(), TakeError> {
        let ours = self.taker.wanted.to_string();
        if about.basis != ours {
            return Err(TakeError::OtherBasis { theirs: about.basis.clone(), ours });
        }
        let header = CopyHeader::decode(&about.header)?;
        let incoming = Incoming::begin(&self.folder, &self.taker.options.store, self.taker.expect, header.clone())?;
        self.incoming = Some((incoming, header));
        Ok(())
    }

    /// Makes the copy the views that serve, once all of its rows were read and summed. Blocks for as long as that takes; `go_on` is called with the
    /// rows so far, now and then, and ends it by returning `false`.
    ///
    /// # Errors
    /// [`TakeError`]: it is not whole, or not what it says; the views are as they were.
    pub fn finish(self, go_on: impl FnMut(u64) -> bool) -> Result<Taken, TakeError> {
        let Self { taker, folder, bytes, incoming, .. } = self;
        let (incoming, header) = incoming.ok_or(TakeError::Malformed("it is empty"))?;
        let rows = incoming.rows();
        incoming.finish()?;
        let store = ViewStore::open(&folder, taker.options.store.clone(), taker.expect)?.into_store();
        let view = store.reader().view().map_err(FoldError::from)?;
        let sums = rows::sums(&view, go_on)?.ok_or(TakeError::Stopped)?;
        let should = match header.committed.digest.as_slice() {
            [] => LtHash::default(),
            sum => LtHash::from_bytes(sum).map_err(FoldError::from)?,
        };
        let (is, digest) = (sums.digest(), should.digest());
        if is != digest {
            return Err(TakeError::Digest { is, should: digest });
        }
        drop((view, store));
        taker.generations.install(taker.keeps)?;
        Ok(Taken { positions: decode_positions(&header.committed.positions)?, digest, rows, bytes })
    }
}
