//! Reaching a hub as a client.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use identity::{CertPaths, ClientTls};
use tonic::transport::{Channel, Endpoint};

use crate::config::Config;
use crate::context::Context;
use crate::error::CommandError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Which hub, and as whom.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// The hub's URI; by default the address in the configuration
    #[arg(long, value_name = "URI")]
    pub endpoint: Option<String>,
    /// Call as this development client, such as portal/national
    #[arg(long = "as", value_name = "PATH", conflicts_with_all = ["cert", "key"])]
    pub caller: Option<String>,
    /// Authority of the hub's certificate (PEM); by default the development one
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Own certificate (PEM); by default a development client that suits the command
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Own private key (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
}

impl ConnectionArgs {
    /// The URI that is called.
    pub fn uri(&self, config: &Config) -> String {
        self.endpoint.clone().unwrap_or_else(|| {
            let scheme = if config.mutual_tls() { "https" } else { "http" };
            let listen = config.grpc.listen;
            if listen.ip().is_unspecified() {
                return format!("{scheme}://localhost:{}", listen.port());
            }
            format!("{scheme}://{listen}")
        })
    }

    /// The certificate files, where `default_caller` (such as `operator/ops`) is the development client of the command.
    pub fn certs(&self, config: &Config, default_caller: &str) -> CertPaths {
        let caller = self.caller.as_deref().unwrap_or(default_caller);
        let mut paths = CertPaths::dev_client(&config.dev_certs_dir(), caller);
        let replace = |path: &mut PathBuf, by: &Option<PathBuf>| by.iter().for_each(|by| path.clone_from(by));
        replace(&mut paths.ca, &self.ca);
        replace(&mut paths.cert, &self.cert);
        replace(&mut paths.key, &self.key);
        paths
    }

    /// Connects.
    ///
    /// # Errors
    /// Certificate files or the URI cannot be used ([`crate::Exit::Usage`]), or nobody answers
    /// ([`crate::Exit::Unreachable`]).
    pub async fn connect(&self, context: &Context, default_caller: &str) -> Result<Channel, CommandError> {
        let config = context.config()?;
        let uri = self.uri(&config);
        let malformed = |_| CommandError::usage(format!("'{uri}' is no URI"), "write it as https://HOST:PORT");
        let endpoint = Endpoint::from_shared(uri.clone()).map_err(malformed)?;
        let mut endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true);
        if uri.starts_with("https:") {
            let paths = self.certs(&config, default_caller);
            let tls = ClientTls::load(&paths).map_err(|error| unusable(&error, &config.dev_certs_dir()))?;
            endpoint = endpoint.tls_config(tls.tonic()).map_err(|error| unusable(&error, &config.dev_certs_dir()))?;
        }
        endpoint.connect().await.map_err(|error| {
            let what = format!("the hub at {uri} cannot be reached: {}", root_cause(&error));
            CommandError::unreachable(
                what,
                "check that it runs ('hub serve') and that --endpoint and the certificates fit",
            )
        })
    }
}

fn unusable(error: &dyn std::error::Error, dev_certs: &Path) -> CommandError {
    let what = match error.source() {
        Some(_) => format!("{error}: {}", root_cause(error)),
        None => error.to_string(),
    };
    let what_to_do = format!(
        "name the files with --ca, --cert and --key, or make some in {} with 'hub dev-certs'",
        dev_certs.display()
    );
    CommandError::usage(what, what_to_do)
}

pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::GlobalArgs;
    use crate::error::Exit;

    #[test]
    fn a_hub_that_listens_everywhere_is_called_on_this_machine() {
        let mut config = Config::default();
        assert_eq!(ConnectionArgs::default().uri(&config), "https://127.0.0.1:7443");
        config.grpc.listen = "0.0.0.0:9000".parse().expect("an address");
        assert_eq!(ConnectionArgs::default().uri(&config), "https://localhost:9000");
    }

    #[test]
    fn a_named_certificate_replaces_the_development_one() {
        let config = Config::default();
        let usual = ConnectionArgs::default().certs(&config, "portal/national");
        assert_eq!(usual.cert, Path::new("hub-data/dev-certs/portal-national.pem"));
        let named = ConnectionArgs { cert: Some("a.pem".into()), key: Some("a.key".into()), ..Default::default() };
        let paths = named.certs(&config, "portal/national");
        assert_eq!((paths.cert, paths.key), ("a.pem".into(), "a.key".into()));
        assert_eq!(paths.ca, Path::new("hub-data/dev-certs/ca.pem"));
    }

    #[tokio::test]
    async fn a_missing_certificate_is_a_usage_error_and_a_silent_address_unreachable() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let context = Context::new(GlobalArgs { data_dir: Some(dir.path().to_owned()), ..Default::default() });
        let missing = ConnectionArgs::default().connect(&context, "operator/ops").await.expect_err("no certificates");
        assert_eq!(missing.exit, Exit::Usage);
        assert!(missing.what_to_do.contains("hub dev-certs"), "{}", missing.what_to_do);

        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let endpoint = format!("http://{}", free.expect("a free port"));
        let silent = ConnectionArgs { endpoint: Some(endpoint), ..Default::default() };
        let error = silent.connect(&context, "operator/ops").await.expect_err("nobody listens");
        assert_eq!(error.exit, Exit::Unreachable);
    }
}
