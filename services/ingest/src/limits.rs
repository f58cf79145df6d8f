//! Every bound of the door, in one place.

/// Most changes in a batch, inclusive.
pub const BATCH_CHANGES_MAX: usize = 10_000;
/// Largest batch as serialised protobuf, in bytes, inclusive.
pub const BATCH_BYTES_MAX: usize = 8 << 20;
/// Largest message that the service decodes, in bytes: a batch and what is around it, so that a batch that is somewhat too large is
/// answered by its limit and not by a broken stream.
pub const MESSAGE_BYTES_MAX: usize = BATCH_BYTES_MAX + (1 << 20);
/// Largest response, in bytes: a client sets its decoding limit to this, because a receipt with its path takes up to some 700 bytes.
pub const RESPONSE_BYTES_MAX: usize = 32 << 20;

/// Longest legal basis, in bytes, inclusive.
pub(crate) const LEGAL_BASIS_BYTES_MAX: usize = 1024;
/// Longest reason, in bytes, inclusive.
pub(crate) const REASON_BYTES_MAX: usize = 1024;
/// Most keys in one question for statuses, inclusive.
pub(crate) const STATUS_KEYS_MAX: usize = 1_000;
/// Most refused changes in one list, inclusive.
pub(crate) const LIST_MAX: usize = 1_000;
/// Refused changes in one list when the caller does not say.
pub(crate) const LIST_DEFAULT: usize = 100;
/// Bytes of refused changes in one list; a list ends early past it.
pub(crate) const LIST_BYTES_MAX: usize = 8 << 20;
/// Changes that are driven again as one batch.
pub(crate) const REDRIVE_CHUNK: usize = 500;
/// Received bytes that are driven again as one batch.
pub(crate) const REDRIVE_BYTES: usize = 4 << 20;
/// What [`Limits::payload_bytes_max`] may be at most: an entry of the log holds the record and what is around it.
pub(crate) const PAYLOAD_BYTES_CEILING: usize = 3 << 20;
/// Longest code of a commune, in bytes, inclusive.
pub(crate) const COMMUNE_BYTES_MAX: usize = 16;
/// Changes whose receipts share one signature, unless a single batch has more.
pub(crate) const GROUP_CHANGES_MAX: usize = 16_384;
/// Earliest time that a change may name, inclusive: 1800-01-01T00:00:00Z.
pub(crate) const TIME_MIN: i64 = -5_364_662_400_000_000;
/// Latest time that a change may name, exclusive: 2200-01-01T00:00:00Z.
pub(crate) const TIME_MAX: i64 = 7_258_118_400_000_000;

/// What the hub may spend on publishers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Batches of one stream that are not answered yet, 1 or more; further ones stay unread. Default 8.
    pub stream_batches_max: usize,
    /// Batches of all publishers that are not answered yet, 1 or more; one publisher has at most half of them. As many again as that
    /// half may wait, of calls of their own. Default 64, hence at most 768 MiB of received batches.
    pub batches_max: usize,
    /// Batches that are judged at the same time, 1 or more. Default: the machine's cores.
    pub judges: usize,
    /// Largest record, in bytes, inclusive. Default 1 MiB, at most 3 MiB.
    pub payload_bytes_max: usize,
    /// Identities that are in the log and not folded; the oldest is forgotten past it. About 120 bytes each. Default 1,000,000.
    pub unfolded_max: usize,
    /// Refused changes that are held as open, over all registers; later ones are in the log and are listed after a restart. About 80 bytes
    /// each. Default 1,000,000.
    pub open_refusals_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            stream_batches_max: 8,
            batches_max: 64,
            judges: cores,
            payload_bytes_max: 1 << 20,
            unfolded_max: 1_000_000,
            open_refusals_max: 1_000_000,
        }
    }
}
