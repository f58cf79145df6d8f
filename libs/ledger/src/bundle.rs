//! Entry bundles (<https://c2sp.org/tlog-tiles>): a tile's entries, each after its length as a big-endian u16.

/// Largest entry that a bundle can hold, in bytes.
pub const ENTRY_BYTES_MAX: usize = u16::MAX as usize;

/// A bundle ends inside an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the entry bundle ends inside its entry {entry}: it is torn or another file")]
pub struct Torn {
    /// The entry's number within the bundle.
    pub entry: usize,
}

/// Appends an entry to a bundle.
///
/// # Panics
/// When the entry is longer than [`ENTRY_BYTES_MAX`].
pub fn push(bundle: &mut Vec<u8>, entry: &[u8]) {
    let length = u16::try_from(entry.len()).expect("the caller keeps entries within ENTRY_BYTES_MAX");
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
}

/// The entries of a bundle.
///
/// # Errors
/// [`Torn`].
pub fn entries(bundle: &[u8]) -> Result<Vec<&[u8]>, Torn> {
    let mut out = Vec::new();
    let mut rest = bundle;
    while !rest.is_empty() {
        let torn = Torn { entry: out.len() };
        let (length, after) = rest.split_first_chunk::<2>().ok_or(torn)?;
        let (entry, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(torn)?;
        out.push(entry);
        rest = after;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_reads_back_and_a_cut_one_is_torn() {
        let mut bundle = Vec::new();
        [&b"a"[..], b"", b"bcd"].iter().for_each(|e| push(&mut bundle, e));
        assert_eq!(bundle, b"\x00\x01a\x00\x00\x00\x03bcd");
        assert_eq!(entries(&bundle), Ok(vec![&b"a"[..], b"", b"bcd"]));
        assert_eq!(entries(&bundle[..bundle.len() - 1]), Err(Torn { entry: 2 }));
        assert_eq!(entries(&bundle[..4]), Err(Torn { entry: 1 }));
    }
}
