//! The configuration: one TOML file, every key with a default, unknown keys refused.
//!
//! [`sections`] is the one table from which the structs, their defaults, `hub config explain` and the checks are made.

mod explain;
mod load;
mod section;
mod sections;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use explain::explain;
pub use load::{ConfigError, load, parse};
pub use section::{Bounds, Key};
pub use sections::{
    Admin, Grpc, Http, Keys, Ledger, Limits, Log, LogKafka, Peers, Quality, Roles, Store, Telemetry, Tls, Top,
};

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// Keys at the file's top.
    pub top: Top,
    /// The gRPC server.
    pub grpc: Grpc,
    /// What this process does.
    pub roles: Roles,
    /// Other processes of the same hub.
    pub peers: Peers,
    /// JSON over HTTP.
    pub http: Http,
    /// Who may connect.
    pub tls: Tls,
    /// The log.
    pub log: Log,
    /// The log on Apache Kafka.
    pub log_kafka: LogKafka,
    /// The keys of bodies.
    pub keys: Keys,
    /// What operators and reviewers order.
    pub admin: Admin,
    /// The ledger.
    pub ledger: Ledger,
    /// The view store.
    pub store: Store,
    /// What one caller may take.
    pub limits: Limits,
    /// When a measure is insufficient.
    pub quality: Quality,
    /// What the hub tells of itself.
    pub telemetry: Telemetry,
}

/// Where the development certificates lie within the data directory.
pub const DEV_CERTS_DIR: &str = "dev-certs";

impl Config {
    /// Every key in the order of the file, with its present value.
    pub fn keys(&self) -> Vec<Key> {
        let sections = [
            self.top.keys(),
            self.grpc.keys(),
            self.roles.keys(),
            self.peers.keys(),
            self.http.keys(),
            self.tls.keys(),
            self.log.keys(),
            self.log_kafka.keys(),
            self.keys.keys(),
            self.admin.keys(),
            self.ledger.keys(),
            self.store.keys(),
            self.limits.keys(),
            self.quality.keys(),
            self.telemetry.keys(),
        ];
        sections.into_iter().flatten().collect()
    }

    /// A path of the configuration: as it is when absolute, else within the data directory.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.top.data_dir.join(path)
    }

    /// Where `hub dev-certs` writes and where clients look by default.
    pub fn dev_certs_dir(&self) -> PathBuf {
        self.path(Path::new(DEV_CERTS_DIR))
    }

    /// The server's certificate files.
    pub fn server_certs(&self) -> identity::CertPaths {
        identity::CertPaths {
            ca: self.path(&self.tls.client_ca),
            cert: self.path(&self.tls.cert),
            key: self.path(&self.tls.key),
        }
    }

    /// Whether callers need a certificate.
    pub fn mutual_tls(&self) -> bool {
        self.tls.mode == "mutual"
    }
}
