//! Being a witness (c2sp.org/tlog-witness): cosigns a log's checkpoint when it continues the last one that was cosigned.
//!
//! The state of each log is its last cosigned checkpoint, in a file of its own that is durable before the cosignature leaves. So a
//! witness never cosigns a tree that shrank or was forked, also after a crash.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use ledger::witness::{AddCheckpoint, Refused};
use ledger::{Checkpoint, CosigningKey, Hash, Note, NoteError, Policy};
use sha2::{Digest as _, Sha256};
use telemetry::told;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Largest request: a note with many signatures and a proof of 63 hashes.
const REQUEST_BYTES_MAX: usize = 64 << 10;

/// Why there is no witness.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// A file cannot be read or written.
    #[error("{}: cannot be read or written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the folder.
    #[error("{}: another witness runs on it", .0.display())]
    Locked(PathBuf),
    /// The key's file has another length.
    #[error("{}: the key has not 32 bytes; restore it from its copy", .0.display())]
    Key(PathBuf),
    /// A kept checkpoint cannot be read.
    #[error("{}: not the checkpoint that was kept; restore it from its copy, or give the witness a new name and folder", .0.display())]
    Kept(PathBuf),
    /// The name is none.
    #[error(transparent)]
    Name(#[from] NoteError),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes for a key")]
    Random,
}

/// A witness with its key and state. One process at a time has its folder.
#[derive(Debug)]
pub struct Witness {
    dir: PathBuf,
    key: CosigningKey,
    policy: Policy,
    _lock: File,
}

/// Why a checkpoint was not cosigned.
#[derive(Debug, thiserror::Error)]
enum Declined {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the witness cannot keep its state")]
    State(#[from] WitnessError),
}

impl Witness {
    /// Opens the folder of a witness, or begins one with a new key. It cosigns the logs of the policy.
    ///
    /// # Errors
    /// [`WitnessError`].
    pub fn open(dir: &Path, name: &str, policy: Policy) -> Result<Self, WitnessError> {
        let logs = dir.join("logs");
        let created = fs::DirBuilder::new().recursive(true).mode(0o700).create(&logs);
        created.map_err(|source| WitnessError::Io { path: logs, source })?;
        let lock_path = dir.join("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock_path);
        let lock = lock.map_err(at(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(WitnessError::Locked(dir.to_owned())),
            Err(TryLockError::Error(source)) => return Err(WitnessError::Io { path: lock_path, source }),
        }
        let key = CosigningKey::new(name, &seed(&dir.join("key"))?)?;
        Ok(Self { dir: dir.to_owned(), key, policy, _lock: lock })
    }

    /// The key that verifies its cosignatures.
    pub fn verifier(&self) -> String {
        self.key.verifier().to_string()
    }

    /// Decides on a request, and keeps the new checkpoint before the cosignature is returned. `time` is in seconds since 1970.
    fn add_checkpoint(&self, request: &str, time: u64) -> Result<String, Declined> {
        let request = AddCheckpoint::parse(request)?;
        let last = match Note::parse(&request.note).ok().and_then(|note| Checkpoint::parse(note.text).ok()) {
            Some(asked) => self.last(&asked.origin)?,
            // What is no checkpoint is refused below.
            None => None,
        };
        let signer = |origin: &str| {
            let signed = |key: &&ledger::VerifierKey| key.open(&request.note).is_ok();
            self.policy.keys(origin).find(signed).or_else(|| self.policy.keys(origin).next())
        };
        let checkpoint = request.judge(signer, |_| last)?;
        self.keep(&checkpoint.origin, &request.note)?;
        Ok(self.key.cosign(&checkpoint.to_text(), time))
    }

    fn file(&self, origin: &str) -> PathBuf {
        let name: String = Sha256::digest(origin.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        self.dir.join("logs").join(name)
    }

    fn last(&self, origin: &str) -> Result<Option<(u64, Hash)>, WitnessError> {
        let path = self.file(origin);
        let kept = match fs::read_to_string(&path) {
            Ok(kept) => kept,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(WitnessError::Io { path, source }),
        };
        let checkpoint = Note::parse(&kept).ok().and_then(|note| Checkpoint::parse(note.text).ok());
        match checkpoint {
            Some(kept) if kept.origin == origin => Ok(Some((kept.size, kept.root))),
            Some(_) | None => Err(WitnessError::Kept(path)),
        }
    }

    fn keep(&self, origin: &str, note: &str) -> Result<(), WitnessError> {
        replace(&self.file(origin), note.as_bytes())
    }

    /// Serves until told to stop; requests are decided one by one. Returns the address and what ends with the service.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn serve(
        self,
        listen: SocketAddr,
        mut stopping: watch::Receiver<bool>,
    ) -> io::Result<(SocketAddr, tokio::task::JoinHandle<io::Result<()>>)> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let app = Router::new()
            .route("/add-checkpoint", post(add_checkpoint))
            .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
            .with_state(Arc::new(Mutex::new(self)));
        let stopped = async move {
            // An error means that whoever could stop it is gone, which is a stop too.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        };
        Ok((address, tokio::spawn(axum::serve(listener, app).with_graceful_shutdown(stopped).into_future())))
    }
}

async fn add_checkpoint(State(witness): State<Arc<Mutex<Witness>>>, request: String) -> Response {
    // A clock before 1970 has no time that a cosignature may carry.
    let Ok(since) = SystemTime::now().duration_since(UNIX_EPOCH) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let decide = move || {
        let witness = witness.lock().unwrap_or_else(PoisonError::into_inner);
        witness.add_checkpoint(&request, since.as_secs())
    };
    match tokio::task::spawn_blocking(decide).await {
        Ok(Ok(line)) => line.into_response(),
        Ok(Err(Declined::Refused(refused))) => {
            let status = StatusCode::from_u16(refused.http_status()).expect("the protocol's statuses are HTTP's");
            tracing::warn!(%refused, "not cosigned");
            match refused {
                Refused::Conflict { size } => {
                    (status, [(header::CONTENT_TYPE, "text/x.tlog.size")], format!("{size}\n")).into_response()
                }
                other => (status, format!("{other}\n")).into_response(),
            }
        }
        Ok(Err(Declined::State(error))) => {
            tracing::error!(error = %told(&error), "not cosigned");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Err(error) => {
            tracing::error!(%error, "deciding on a checkpoint ended in a panic");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> WitnessError + use<> {
    let path = path.to_owned();
    move |source| WitnessError::Io { path, source }
}

fn seed(path: &Path) -> Result<[u8; 32], WitnessError> {
    match fs::read(path) {
        Ok(bytes) => bytes.try_into().map_err(|_| WitnessError::Key(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(|_| WitnessError::Random)?;
            replace(path, &seed)?;
            Ok(seed)
        }
        Err(source) => Err(WitnessError::Io { path: path.to_owned(), source }),
    }
}

/// Replaces a file at once and durably; only its owner may read it.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), WitnessError> {
    let new = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(path.parent().expect("a file lies in a folder"))?.sync_all()
    };
    write().map_err(at(path))
}

#[cfg(test)]
mod tests {
    use ledger::tree::Tree;
    use ledger::{SigningKey, leaf_hash};

    use super::*;

    const ORIGIN: &str = "hub.test/log";

    fn request(log: &SigningKey, leaves: &[Hash], old: usize, new: usize, proof: &[Hash]) -> String {
        let root = Tree::new(leaves[..new].to_vec()).root();
        let note = log.sign(&Checkpoint::new(ORIGIN, new as u64, root).to_text());
        AddCheckpoint { old_size: old as u64, proof: proof.to_vec(), note }.encode()
    }

    #[test]
    fn a_witness_that_starts_again_refuses_what_shrank_or_was_forked() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let log = SigningKey::new(ORIGIN, &[1; 32]).expect("a name");
        let policy = || Policy::of_log(log.verifier().clone());
        let open = || Witness::open(dir.path(), "witness.test/a", policy()).expect("a folder");
        let leaves: Vec<_> = (0_u8..3).map(|n| leaf_hash(&[n])).collect();
        let first = open();
        let verifier = first.verifier();
        assert!(matches!(Witness::open(dir.path(), "witness.test/a", policy()), Err(WitnessError::Locked(_))));
        let line = first.add_checkpoint(&request(&log, &leaves, 0, 2, &[]), 7).expect("the first is taken");
        assert!(line.starts_with("\u{2014} witness.test/a "));
        drop(first);

        let again = open();
        assert_eq!(again.verifier(), verifier);
        let declined = |request: String| match again.add_checkpoint(&request, 8) {
            Err(Declined::Refused(refused)) => refused,
            other => panic!("{other:?}"),
        };
        assert_eq!(declined(request(&log, &leaves, 0, 3, &[])), Refused::Conflict { size: 2 });
        assert_eq!(declined(request(&log, &leaves, 2, 1, &[])), Refused::BadRequest);
        let mut forked = leaves.clone();
        forked[0] = leaf_hash(b"another");
        assert_eq!(declined(request(&log, &forked, 2, 3, &[forked[2]])), Refused::Inconsistent);
        assert_eq!(declined(request(&log, &forked, 2, 2, &[])), Refused::Inconsistent);
        again.add_checkpoint(&request(&log, &leaves, 2, 3, &[leaves[2]]), 9).expect("it grew");
    }
}
