//! The ledger over HTTP (c2sp.org/tlog-tiles): the super-log at the root, each partition under `<stream>/<partition>`.
//!
//! A path is parsed into a tree and a resource, of which the file's name is made again: nothing that a caller writes reaches the file
//! system. Only what the last signed checkpoint covers is given out, so that nothing is read while it is written, and what
//! may be kept for ever by caches is what will never change.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use ledger::tick::parse_tree_name;
use ledger::tile::TILE_WIDTH;
use ledger::{Resource, Tile, TreeOf};
use telemetry::told;
use tile_store::TileStore;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::ledger_part::LedgerHandle;

const FOR_EVER: &str = "public, max-age=31536000, immutable";
const NOT_KEPT: &str = "no-cache";

/// A listener that is bound, before it serves.
pub struct Listener {
    listener: TcpListener,
    /// Where it listens, with the port that the system chose when 0 was asked for.
    pub address: SocketAddr,
}

impl Listener {
    /// Binds the address.
    ///
    /// # Errors
    /// It is taken, or not this machine's.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Serves until told to stop. At most `requests_max` answers are made at the same time.
    pub fn serve(
        self,
        ledger: LedgerHandle,
        requests_max: usize,
        mut stopping: watch::Receiver<bool>,
    ) -> JoinHandle<()> {
        let shared = Shared { ledger, places: Arc::new(Semaphore::new(requests_max.max(1))) };
        let app = Router::new().fallback(answer).with_state(shared);
        tokio::spawn(async move {
            let stopped = async move {
                // An error means that the hub is gone, which is a stop too.
                let _ = stopping.wait_for(|stopping| *stopping).await;
            };
            if let Err(error) = axum::serve(self.listener, app).with_graceful_shutdown(stopped).await {
                tracing::error!(%error, "the ledger is not served any more");
            }
        })
    }
}

#[derive(Clone)]
struct Shared {
    ledger: LedgerHandle,
    places: Arc<Semaphore>,
}

async fn answer(State(shared): State<Shared>, method: Method, uri: Uri) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let Some((tree, resource)) = parse(uri.path()) else { return StatusCode::NOT_FOUND.into_response() };
    // The semaphore is never closed.
    let Ok(_place) = shared.places.acquire().await else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let ledger = shared.ledger.clone();
    match tokio::task::spawn_blocking(move || read(&ledger, tree, resource)).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, "reading a tile ended in a panic");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn parse(path: &str) -> Option<(TreeOf, Resource)> {
    let path = path.strip_prefix('/')?;
    if let Some(resource) = Resource::parse(path) {
        return Some((TreeOf::Log, resource));
    }
    let (name, resource) = path.match_indices('/').nth(1).map(|(at, _)| (&path[..at], &path[at + 1..]))?;
    let (stream, partition) = parse_tree_name(name)?;
    Some((TreeOf::Partition(stream, partition), Resource::parse(resource)?))
}

fn read(ledger: &LedgerHandle, tree: TreeOf, resource: Resource) -> Response {
    let now = ledger.status.borrow().clone();
    let Some(signed) = &now.signed else {
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")]).into_response();
    };
    let size = match tree {
        TreeOf::Log => signed.state.size,
        TreeOf::Partition(stream, partition) => match signed.state.head(stream, partition) {
            Some(head) => head.size,
            None => return StatusCode::NOT_FOUND.into_response(),
        },
    };
    let covered = |tile: &Tile| Tile::in_tree(tile.level, tile.index, size).is_some_and(|has| tile.width <= has.width);
    let (kind, kept) = match &resource {
        Resource::Checkpoint => ("text/plain; charset=utf-8", NOT_KEPT),
        Resource::Hashes(tile) | Resource::Entries(tile) if !covered(tile) => {
            return StatusCode::NOT_FOUND.into_response();
        }
        Resource::Hashes(_) | Resource::Entries(_) => ("application/octet-stream", FOR_EVER),
    };
    match TileStore::read(&ledger.dir, tree, resource) {
        Ok(bytes) => ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, kept), SNIFFING], bytes).into_response(),
        // A partial bundle goes when its tile is full: the full one is asked for then.
        Err(tile_store::Error::Io { source, .. })
            if source.kind() == io::ErrorKind::NotFound && may_be_gone(&resource) =>
        {
            StatusCode::NOT_FOUND.into_response()
        }
        Err(error) => {
            tracing::error!(error = %told(&error), "a file of the ledger cannot be read");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

const SNIFFING: (HeaderName, &str) = (header::X_CONTENT_TYPE_OPTIONS, "nosniff");

fn may_be_gone(resource: &Resource) -> bool {
    match resource {
        Resource::Checkpoint => true,
        Resource::Hashes(tile) | Resource::Entries(tile) => tile.width < TILE_WIDTH,
    }
}

#[cfg(test)]
mod tests {
    use record::{Partition, Stream};

    use super::*;

    #[test]
    fn a_path_names_a_tree_and_a_resource_or_nothing() {
        let tile = Resource::Hashes(Tile { level: 1, index: 0, width: 3 });
        assert_eq!(parse("/checkpoint"), Some((TreeOf::Log, Resource::Checkpoint)));
        assert_eq!(parse("/tile/1/000.p/3"), Some((TreeOf::Log, tile)));
        let partition = TreeOf::Partition(Stream::Change, Partition(7));
        assert_eq!(parse("/change/7/checkpoint"), Some((partition, Resource::Checkpoint)));
        assert_eq!(parse("/change/7/tile/1/000.p/3"), Some((partition, tile)));
        for path in [
            "",
            "/",
            "checkpoint",
            "//checkpoint",
            "/heads",
            "/signed",
            "/change/7",
            "/change/7/heads",
            "/change/07/checkpoint",
            "/change/7//checkpoint",
            "/other/7/checkpoint",
            "/change/7/../../secret/signing",
            "/tile/0/../../heads",
            "/change/%2e%2e/checkpoint",
            "/change/70000/checkpoint",
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
    }
}
