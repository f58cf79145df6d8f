//! The log's secrets between processes of one hub: from those with the role audit, which keep them, to the others.
//!
//! Safe however many give them, and in whatever order processes start and die: the log's secret never changes after its first
//! entry, and a key tree only loses keys. Whoever is given a tree that still has the key of an erased record destroys it when
//! the erasure comes by in the log, as the giver does; whoever is given a signing key that the log no longer names asks again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use event_log::EventLog;
use identity::{CertPaths, ClientTls, principal_of};
use ingest::commitment_of;
use record::{KeyTree, Keyring, LogSecret};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use wire::peer::peer_service_client::PeerServiceClient;
use wire::peer::peer_service_server::{PeerService, PeerServiceServer};
use wire::peer::{GetSecretsRequest, GetSecretsResponse};
use zeroize::Zeroizing;

use super::data_dir::DataDir;
use super::roles::Roles;
use super::signing::SigningFiles;
use crate::config::Config;
use crate::error::{CommandError, told};

/// Largest answer: about 12,000 erased records.
const ANSWER_BYTES_MAX: usize = 128 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two rounds of asking.
const AGAIN: Duration = Duration::from_millis(500);
/// Between two lines of the log about waiting.
const TELL: Duration = Duration::from_secs(10);

/// A log's secrets, as they are kept and given.
pub(crate) struct Secrets {
    /// What pseudonyms and ids are derived from.
    pub(crate) log: Zeroizing<[u8; 32]>,
    /// Seed of the key that signed when this process started.
    pub(crate) signing: Zeroizing<[u8; 32]>,
    /// What names the log towards its keys.
    pub(crate) log_id: [u8; 16],
}

/// What another process gave.
pub(super) struct Given {
    pub(super) secrets: Secrets,
    /// The keys of bodies with their ring; none where bodies are plain.
    pub(super) keys: Option<([u8; 16], KeyTree)>,
}

impl Given {
    /// The keys for use in memory.
    pub(super) fn keyring(&self) -> Option<Keyring> {
        self.keys.as_ref().map(|(ring, tree)| Keyring::new(*ring, tree.clone()))
    }
}

/// Whether this process gives the log's secrets to others.
pub(super) fn are_given(config: &Config, roles: &Roles) -> bool {
    roles.audit && config.log.kind == "kafka" && config.mutual_tls() && !config.peers.callers.is_empty()
}

/// Gives them.
pub(super) struct Peers {
    secrets: Arc<Secrets>,
    signing: SigningFiles,
    secret: Arc<LogSecret>,
    callers: Vec<String>,
}

impl Peers {
    /// The service, for whoever the configuration names. Mount it behind mutual TLS only.
    pub(super) fn service(config: &Config, opened: &DataDir) -> PeerServiceServer<Self> {
        let (secrets, secret) = (opened.secrets.clone(), opened.secret.clone());
        let peers = Self { secrets, signing: opened.signing.clone(), secret, callers: config.peers.callers.clone() };
        PeerServiceServer::new(peers).max_encoding_message_size(ANSWER_BYTES_MAX)
    }
}

pub(super) fn refused(code: Code, reason: &str, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "hub", std::collections::HashMap::<String, String>::new());
    Status::with_error_details(code, message, details)
}

/// Who asks for something that only the hub's own processes are given.
pub(super) fn process_of<T>(request: &Request<T>, callers: &[String], what: &str) -> Result<String, Status> {
    let principal = principal_of(request).map_err(|_| {
        refused(Code::Unauthenticated, "no_principal", "connect with a client certificate that holds a SPIFFE id")
    })?;
    if callers.iter().any(|path| path == principal.path()) {
        return Ok(principal.spiffe().to_owned());
    }
    tracing::warn!(
        caller = principal.spiffe(),
        what,
        "another caller than a process of this hub asked, and was refused"
    );
    let message = "this certificate is not one of the hub's own processes: peers.callers names those";
    Err(refused(Code::PermissionDenied, "not_a_peer", message))
}

#[tonic::async_trait]
impl PeerService for Peers {
    async fn get_secrets(&self, request: Request<GetSecretsRequest>) -> Result<Response<GetSecretsResponse>, Status> {
        let caller = process_of(&request, &self.callers, "the log's secrets")?;
        if request.get_ref().commitment != self.secret.commitment() {
            let message = "this process has the secrets of another log: correct log.kafka or peers.keys_from";
            return Err(refused(Code::FailedPrecondition, "other_log", message));
        }
        tracing::info!(to = caller, "the log's secrets were given to another process");
        let (ring, keys) = match self.secret.ring() {
            Some(ring) => (ring.to_vec(), self.secret.keys().encode().to_vec()),
            None => (Vec::new(), Vec::new()),
        };
        let signing = self.signing.clone();
        let seed = tokio::task::spawn_blocking(move || signing.present_seed()).await;
        let seed = seed.map_err(|panic| Status::internal(panic.to_string()))?.map_err(|error| {
            tracing::error!(error = %told(&error), "the signing key cannot be given");
            refused(
                Code::Unavailable,
                "no_signing_key",
                "this process cannot read its signing key: ask again, or another one",
            )
        })?;
        Ok(Response::new(GetSecretsResponse {
            log_secret: self.secrets.log.to_vec(),
            signing_seed: seed.as_ref().unwrap_or(&self.secrets.signing).to_vec(),
            log_id: self.secrets.log_id.to_vec(),
            ring,
            keys,
        }))
    }
}

/// Asks the processes in turn, again and again, until one gives the secrets of this log. Waits for the log to be begun, too.
///
/// # Errors
/// One that asking again does not mend: certificates that cannot be used, a refusal, an answer that is none.
pub(super) async fn fetch(config: &Config, log: &EventLog) -> Result<Given, CommandError> {
    let addresses = addresses(config.peers.keys_from.as_deref());
    let tls = tls(config)?;
    let mut told_at: Option<Instant> = None;
    loop {
        let mut obstacle = "the log has no first entry yet".to_owned();
        let commitment = commitment_of(log).map_err(|error| {
            CommandError::failed(format!("the log's first entry: {}", told(&error)), "bring its brokers back")
        })?;
        if let Some(commitment) = commitment {
            for address in &addresses {
                match ask(address, &tls, commitment).await {
                    Ok(given) => return read(given, address),
                    Err(status) if lasting(&status) => return Err(refusal(address, &status)),
                    Err(status) => obstacle = format!("{address}: {}", told(&status)),
                }
            }
        }
        if told_at.is_none_or(|at| at.elapsed() > TELL) {
            tracing::info!(%obstacle, "waiting for the log's secrets");
            told_at = Some(Instant::now());
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The URIs of a key that names processes.
pub(super) fn addresses(given: Option<&str>) -> Vec<String> {
    let given = given.unwrap_or_default();
    given.split(',').map(|address| address.trim().to_owned()).filter(|address| !address.is_empty()).collect()
}

pub(super) fn tls(config: &Config) -> Result<ClientTls, CommandError> {
    let peers = &config.peers;
    let paths = CertPaths { ca: config.path(&peers.ca), cert: config.path(&peers.cert), key: config.path(&peers.key) };
    ClientTls::load(&paths).map_err(|error| {
        CommandError::usage(
            told(&error),
            "name the files in section [peers], or make development ones with 'hub dev-certs'",
        )
    })
}

/// Connects to a process.
pub(super) async fn connect(address: &str, tls: &ClientTls, timeout: Option<Duration>) -> Result<Channel, Status> {
    let endpoint = Endpoint::from_shared(address.to_owned());
    let endpoint = endpoint.map_err(|_| Status::invalid_argument("write it as https://HOST:PORT"))?;
    // Without TLS nothing is asked: whoever answers could be anybody.
    if endpoint.uri().scheme_str() != Some("https") {
        return Err(Status::invalid_argument("secrets and views are taken over https only"));
    }
    let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true);
    let endpoint = timeout.into_iter().fold(endpoint, |endpoint, timeout| endpoint.timeout(timeout));
    let endpoint = endpoint.tls_config(tls.tonic()).map_err(|error| Status::unavailable(told(&error)))?;
    endpoint.connect().await.map_err(|error| Status::unavailable(told(&error)))
}

async fn ask(address: &str, tls: &ClientTls, commitment: [u8; 32]) -> Result<GetSecretsResponse, Status> {
    let channel = connect(address, tls, Some(CALL_TIMEOUT)).await?;
    let mut client = PeerServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
    let request = GetSecretsRequest { commitment: commitment.to_vec() };
    Ok(client.get_secrets(request).await?.into_inner())
}

/// Whether asking again will not help. A process that has not the role audit says `Unimplemented`.
pub(super) fn lasting(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::PermissionDenied | Code::FailedPrecondition | Code::InvalidArgument | Code::Unimplemented
    )
}

fn refusal(address: &str, status: &Status) -> CommandError {
    CommandError::failed(
        format!("{address} does not give the log's secrets: {}", status.message()),
        "correct sections [peers] of both processes: keys_from names processes with the role audit",
    )
}

fn read(given: GetSecretsResponse, address: &str) -> Result<Given, CommandError> {
    let GetSecretsResponse { log_secret, signing_seed, log_id, ring, keys } = given;
    let (log_secret, signing_seed, keys) =
        (Zeroizing::new(log_secret), Zeroizing::new(signing_seed), Zeroizing::new(keys));
    let secrets = || {
        Some(Secrets {
            log: Zeroizing::new(log_secret.as_slice().try_into().ok()?),
            signing: Zeroizing::new(signing_seed.as_slice().try_into().ok()?),
            log_id: log_id.as_slice().try_into().ok()?,
        })
    };
    let tree = || Some((ring.as_slice().try_into().ok()?, KeyTree::decode(&keys).ok()?));
    let keys = if ring.is_empty() { Some(None) } else { tree().map(Some) };
    let given = secrets().zip(keys).map(|(secrets, keys)| Given { secrets, keys });
    given.ok_or_else(|| {
        CommandError::failed(
            format!("{address} gave secrets that cannot be read"),
            "run the same version of the hub in all processes",
        )
    })
}
