//! The witness protocol (<https://c2sp.org/tlog-witness>), `add-checkpoint`: what is sent, and what a witness decides.
//!
//! A witness keeps the size and root of the last checkpoint that it cosigned, per log. [`AddCheckpoint::judge`] decides from
//! that alone; keeping the new one durably before the cosignature leaves, and one request at a time, is the caller's.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::checkpoint::Checkpoint;
use crate::note::{Note, NoteError, VerifierKey};
use crate::proof::verify_consistency;
use crate::tree::{EMPTY_ROOT, Hash};

/// Most hashes of a consistency proof.
pub const PROOF_HASHES_MAX: usize = 63;

/// A request to cosign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the checkpoint that the witness cosigned last, as the log believes; 0 for none.
    pub old_size: u64,
    /// Consistency proof from there.
    pub proof: Vec<Hash>,
    /// The signed checkpoint.
    pub note: String,
}

/// Why a witness does not cosign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a request of the protocol, or a checkpoint that is smaller than its old size.
    #[error("not an add-checkpoint request")]
    BadRequest,
    /// No trusted key has signed, or a trusted key's signature is not valid.
    #[error("the checkpoint is not signed by a key that this witness trusts")]
    Forbidden,
    /// The log is not one of the witness's.
    #[error("this witness does not know the log")]
    UnknownLog,
    /// The witness has cosigned another size last.
    #[error("the last checkpoint that was cosigned has size {size}: send a proof from there")]
    Conflict {
        /// That size.
        size: u64,
    },
    /// The proof does not verify: the log was forked, or the proof is wrong.
    #[error("the checkpoint is not consistent with the last one that was cosigned")]
    Inconsistent,
}

impl Refused {
    /// The HTTP status that the protocol gives it.
    pub fn http_status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Forbidden => 403,
            Self::UnknownLog => 404,
            Self::Conflict { .. } => 409,
            Self::Inconsistent => 422,
        }
    }
}

impl AddCheckpoint {
    /// The request's body.
    pub fn encode(&self) -> String {
        let proof: String = self.proof.iter().map(|hash| STANDARD.encode(hash) + "\n").collect();
        format!("old {}\n{proof}\n{}", self.old_size, self.note)
    }

    /// Parses a request's body.
    ///
    /// # Errors
    /// [`Refused::BadRequest`].
    pub fn parse(body: &str) -> Result<Self, Refused> {
        Self::read(body).filter(|request| request.encode() == body).ok_or(Refused::BadRequest)
    }

    fn read(body: &str) -> Option<Self> {
        let (head, note) = body.split_once("\n\n")?;
        let mut lines = head.split('\n');
        // What cannot be read is a bad request, whatever the reason.
        let old_size = lines.next()?.strip_prefix("old ")?.parse().ok()?;
        let hash = |line| STANDARD.decode(line).ok()?.try_into().ok();
        let proof = lines.map(hash).collect::<Option<Vec<Hash>>>()?;
        (proof.len() <= PROOF_HASHES_MAX).then(|| Self { old_size, proof, note: note.to_owned() })
    }

    /// Decides on a request. `key` gives the key that is trusted for an origin; `last` the size and root that were
    /// cosigned last for it, `None` for none.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn judge<'k>(
        &self,
        key: impl FnOnce(&str) -> Option<&'k VerifierKey>,
        last: impl FnOnce(&str) -> Option<(u64, Hash)>,
    ) -> Result<Checkpoint, Refused> {
        // Whatever is wrong with the form, the log can only send another request.
        let note = Note::parse(&self.note).map_err(|_| Refused::BadRequest)?;
        let checkpoint = Checkpoint::parse(note.text).map_err(|_| Refused::BadRequest)?;
        let key = key(&checkpoint.origin).ok_or(Refused::UnknownLog)?;
        key.verify(&note).map_err(|_: NoteError| Refused::Forbidden)?;
        if self.old_size > checkpoint.size {
            return Err(Refused::BadRequest);
        }
        let (size, root) = last(&checkpoint.origin).unwrap_or((0, EMPTY_ROOT));
        if size != self.old_size {
            return Err(Refused::Conflict { size });
        }
        let consistent = verify_consistency((size, &root), (checkpoint.size, &checkpoint.root), &self.proof);
        consistent.map(|()| checkpoint).map_err(|_| Refused::Inconsistent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::SigningKey;
    use crate::tree::{Tree, leaf_hash, node_hash};

    #[test]
    fn a_witness_cosigns_what_grows_and_nothing_else() {
        let log = SigningKey::new("hub.test/log", &[1; 32]).unwrap();
        let leaves: Vec<_> = (0_u8..3).map(|i| leaf_hash(&[i])).collect();
        let root = |n: usize| Tree::new(leaves[..n].to_vec()).root();
        let note = |n: usize, root| log.sign(&Checkpoint::new("hub.test/log", n as u64, root).to_text());
        let request = |old_size, proof: &[Hash], note: &str| {
            let sent = AddCheckpoint { old_size, proof: proof.to_vec(), note: note.to_owned() }.encode();
            AddCheckpoint::parse(&sent).unwrap()
        };
        let known = |origin: &str| (origin == "hub.test/log").then(|| log.verifier());
        let two = Some((2, root(2)));
        let judged = |r: AddCheckpoint, last| r.judge(known, |_| last).map(|c| c.size);

        assert_eq!(judged(request(0, &[], &note(2, root(2))), None), Ok(2));
        assert_eq!(judged(request(2, &[leaves[2]], &note(3, root(3))), two), Ok(3));
        assert_eq!(judged(request(2, &[], &note(2, root(2))), two), Ok(2));
        assert_eq!(judged(request(0, &[], &note(3, root(3))), two), Err(Refused::Conflict { size: 2 }));
        let forged = node_hash(&root(2), &leaves[0]);
        assert_eq!(judged(request(2, &[leaves[2]], &note(3, forged)), two), Err(Refused::Inconsistent));
        assert_eq!(judged(request(2, &[], &note(2, forged)), two), Err(Refused::Inconsistent));
        assert_eq!(judged(request(2, &[], &note(1, root(1))), two), Err(Refused::BadRequest));
        assert_eq!(judged(request(0, &[root(1)], &note(2, root(2))), None), Err(Refused::Inconsistent));
        let stranger = SigningKey::new("hub.test/log", &[2; 32]).unwrap();
        let unsigned = stranger.sign(&Checkpoint::new("hub.test/log", 3, root(3)).to_text());
        assert_eq!(judged(request(2, &[leaves[2]], &unsigned), two), Err(Refused::Forbidden));
        let elsewhere = log.sign(&Checkpoint::new("other.test/log", 3, root(3)).to_text());
        assert_eq!(judged(request(2, &[leaves[2]], &elsewhere), two), Err(Refused::UnknownLog));
        for bad in ["", "old 2\n", "old 02\n\nx", "new 2\n\nx", "old 2\nAA\n\nx"] {
            assert_eq!(AddCheckpoint::parse(bad), Err(Refused::BadRequest), "{bad:?}");
        }
    }
}
