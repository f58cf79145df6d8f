//! Asking witnesses for their cosignatures (c2sp.org/tlog-witness), one checkpoint after the other.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::{Duration, Instant};

use hyper::Uri;
use ledger::witness::AddCheckpoint;
use ledger::{CosignerKey, Note, Policy, PolicyError, Signers, TiledTree, TreeOf};
use rustls::ClientConfig;
use telemetry::told;
use tile_store::{Signed, TileStore};
use tokio::sync::mpsc;

use crate::client::{self, ClientError};

/// Longest wait for a witness: no checkpoint is signed meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a witness that did not cosign is left alone, so that one that is down does not slow the others.
const REST: Duration = Duration::from_secs(30);

/// Why witnesses cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum WitnessesError {
    /// The text is no policy, or has a log of another key.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A witness's URL cannot be used.
    #[error("witness '{0}' has a URL that is neither http nor https")]
    Url(String),
    /// No witness has a URL.
    #[error("no witness of the policy has a URL, so there is nobody to ask")]
    Nobody,
}

/// Whom to ask, and whom a verifier should trust.
#[derive(Debug)]
pub struct Witnesses {
    /// The configured policy.
    text: String,
    signers: Arc<Signers>,
    urls: Vec<(String, CosignerKey, Uri)>,
    tls: Option<Arc<ClientConfig>>,
}

impl Witnesses {
    /// From a trust policy's text (c2sp.org/tlog-policy) with URLs of witnesses. The log's own lines are added where they are not there.
    /// `tls` is for witnesses with https URLs.
    ///
    /// # Errors
    /// [`WitnessesError`].
    pub fn new(text: &str, signers: Arc<Signers>, tls: Option<Arc<ClientConfig>>) -> Result<Self, WitnessesError> {
        Policy::parse(text)?;
        let policy = Policy::parse(&signers.trust(Some(text)))?;
        let mut urls = Vec::new();
        for witness in policy.witnesses() {
            let Some(url) = &witness.url else { continue };
            let wrong = || WitnessesError::Url(witness.name.clone());
            let url = format!("{}/add-checkpoint", url.trim_end_matches('/'));
            urls.push((witness.name.clone(), witness.key.clone(), client::url(&url).ok_or_else(wrong)?));
        }
        if urls.is_empty() {
            return Err(WitnessesError::Nobody);
        }
        Ok(Self { text: text.to_owned(), signers, urls, tls })
    }

    /// Whether a witness has an https URL, in which case authorities are needed.
    pub fn needs_tls(text: &str) -> bool {
        text.split_whitespace().any(|word| word.starts_with("https://"))
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Starts asking, on the current runtime. It ends when the answer's end is dropped.
    pub(crate) fn start(self, dir: PathBuf) -> Asking {
        let (requests, mut waiting) = mpsc::channel::<Signed>(1);
        let (answers, answered) = blocking::channel();
        tokio::spawn(async move {
            let mut memory = HashMap::new();
            while let Some(signed) = waiting.recv().await {
                // The follower is gone when it does not take the answer.
                if answers.send(self.cosign(&dir, signed, &mut memory).await).is_err() {
                    return;
                }
            }
        });
        Asking { requests, answered, busy: false }
    }

    /// The checkpoint with all cosignatures that could be had; `None` when they are too few.
    async fn cosign(&self, dir: &Path, mut signed: Signed, memory: &mut HashMap<String, Remembered>) -> Option<Signed> {
        let asking = self.urls.iter().map(|(name, key, url)| {
            let remembered = memory.get(name).copied().unwrap_or_default();
            let signed = &signed;
            async move { (name, self.ask(dir, signed, (name, key, url), remembered).await) }
        });
        let answers = futures::future::join_all(asking).await;
        for (name, (line, remembered)) in answers {
            signed.note.extend(line);
            memory.insert(name.clone(), remembered);
        }
        // By the keys of today: the log's may have changed since the start.
        let verified = match Policy::parse(&self.signers.trust(Some(&self.text))) {
            Ok(policy) => policy.verify(&signed.note).map(drop).map_err(|error| told(&error)),
            Err(error) => Err(told(&error)),
        };
        match verified {
            Ok(()) => Some(signed),
            Err(error) => {
                tracing::warn!(%error, size = signed.state.size, "the checkpoint is not cosigned by enough witnesses");
                None
            }
        }
    }

    /// Asks one witness; once more when it names another size than was thought.
    async fn ask(
        &self,
        dir: &Path,
        signed: &Signed,
        (name, key, url): (&str, &CosignerKey, &Uri),
        mut remembered: Remembered,
    ) -> (Option<String>, Remembered) {
        if remembered.rests_until.is_some_and(|until| Instant::now() < until) {
            return (None, remembered);
        }
        for _ in 0..2 {
            match self.add_checkpoint(dir, signed, remembered.size, key, url).await {
                Ok(line) => return (Some(line), Remembered { size: signed.state.size, rests_until: None }),
                Err(AskError::Conflict(size)) if size != remembered.size => remembered.size = size,
                Err(error) => {
                    tracing::warn!(witness = name, error = %told(&error), "a witness did not cosign; it is asked again later");
                    remembered.rests_until = Some(Instant::now() + REST);
                    return (None, remembered);
                }
            }
        }
        (None, remembered)
    }

    async fn add_checkpoint(
        &self,
        dir: &Path,
        signed: &Signed,
        old_size: u64,
        key: &CosignerKey,
        url: &Uri,
    ) -> Result<String, AskError> {
        let size = signed.state.size;
        if old_size > size {
            return Err(AskError::Ahead { witness: old_size, log: size });
        }
        let proof = {
            let dir = dir.to_owned();
            let prove = move || {
                TiledTree::new(size, |tile| TileStore::tile(&dir, TreeOf::Log, tile)).consistency(old_size, size)
            };
            let proven = tokio::task::spawn_blocking(prove).await.map_err(|_| AskError::Panicked)?;
            proven.map_err(|error| AskError::Proof(Box::new(error)))?
        };
        let request = AddCheckpoint { old_size, proof, note: signed.note.clone() }.encode();
        let answer = client::post(url, request, self.tls.as_ref(), PATIENCE).await?;
        match answer.status {
            200 => cosignature(&signed.note, answer.text, key),
            409 => Err(answer.text.trim_end().parse().map_or(AskError::Status(409), AskError::Conflict)),
            status => Err(AskError::Status(status)),
        }
    }
}

/// The lines of an answer, when they hold a valid cosignature by the key and nothing else.
fn cosignature(note: &str, lines: String, key: &CosignerKey) -> Result<String, AskError> {
    let (text, _) = note.split_once("\n\n").expect("the log's own note has signatures");
    let alone = format!("{text}\n\n{lines}");
    let parsed = Note::parse(&alone).map_err(|_| AskError::Cosignature)?;
    let only = parsed.signatures.len() == 1 && parsed.text.len() == text.len() + 1;
    match key.verify(&parsed) {
        Ok(Some(_)) if only => Ok(lines),
        // What else it sent is of no use, whatever is wrong with it.
        Ok(_) | Err(_) => Err(AskError::Cosignature),
    }
}

/// What is known of a witness.
#[derive(Debug, Clone, Copy, Default)]
struct Remembered {
    /// Size of the checkpoint that it cosigned last, as far as is known.
    size: u64,
    rests_until: Option<Instant>,
}

#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("it answered with HTTP status {0}")]
    Status(u16),
    #[error("it has cosigned a checkpoint of {0} ticks last")]
    Conflict(u64),
    #[error(
        "it has cosigned a checkpoint of {witness} ticks, and the log has {log}: the log was set back to an older copy"
    )]
    Ahead { witness: u64, log: u64 },
    #[error("its answer holds no valid cosignature by its key")]
    Cosignature,
    #[error("the consistency proof cannot be made")]
    Proof(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("making the consistency proof ended in a panic")]
    Panicked,
}

/// The follower's end: one checkpoint is out at a time.
pub(crate) struct Asking {
    requests: mpsc::Sender<Signed>,
    answered: blocking::Receiver<Option<Signed>>,
    busy: bool,
}

impl Asking {
    /// Whether a checkpoint is out.
    pub(crate) fn is_asking(&self) -> bool {
        self.busy
    }

    /// Sends a checkpoint out; none must be.
    pub(crate) fn ask(&mut self, signed: Signed) {
        // It fails when the runtime is gone: then nobody cosigns any more.
        self.busy = self.requests.try_send(signed).is_ok();
    }

    /// What came back, when something did.
    pub(crate) fn answered(&mut self) -> Option<Signed> {
        match self.answered.try_recv() {
            Ok(cosigned) => {
                self.busy = false;
                cosigned
            }
            Err(blocking::TryRecvError::Empty) => None,
            Err(blocking::TryRecvError::Disconnected) => {
                self.busy = false;
                None
            }
        }
    }
}
