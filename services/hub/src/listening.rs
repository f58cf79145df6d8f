//! Opening the hub's door as the configuration says.

use std::net::SocketAddr;
use std::time::Duration;

use identity::{ConnectionLimits, Incoming, ServerTls, TrustDomain};
use telemetry::{LogFormat, TelemetryConfig};
use tokio::net::TcpListener;

use crate::config::Config;
use crate::connection::root_cause;
use crate::error::CommandError;

/// The trust domain of the configuration.
///
/// # Errors
/// It is not one.
pub fn trust_domain(config: &Config) -> Result<TrustDomain, CommandError> {
    let name = config.top.trust_domain.as_str();
    TrustDomain::try_from(name).map_err(|error| {
        CommandError::usage(format!("trust_domain '{name}' is none: {error}"), "correct it in the configuration")
    })
}

/// Listens on the configuration's address and lets in whom it says. Also gives the address that the system chose.
///
/// # Errors
/// The address is taken or not this machine's; the certificates cannot be used; plaintext was asked for on an address
/// that other machines can reach.
pub async fn listen(config: &Config) -> Result<(Incoming, SocketAddr), CommandError> {
    let trust_domain = trust_domain(config)?;
    let tls = config.mutual_tls().then(|| server_tls(config, trust_domain.clone())).transpose()?;
    let address = config.grpc.listen;
    let cannot = |error: std::io::Error| {
        CommandError::failed(
            format!("cannot listen on {address}: {error}"),
            "stop what listens there or change grpc.listen",
        )
    };
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let bound = listener.local_addr().map_err(cannot)?;
    let limits = connection_limits(config);
    let incoming = match tls {
        Some(tls) => Incoming::tls(listener, tls, limits),
        None => plaintext(config, &trust_domain, listener, limits)?,
    };
    Ok((incoming, bound))
}

fn server_tls(config: &Config, trust_domain: TrustDomain) -> Result<ServerTls, CommandError> {
    let revoked = config.tls.revoked.as_ref().map(|path| config.path(path));
    let loaded = ServerTls::load_revoking(&config.server_certs(), revoked.as_deref(), trust_domain);
    let tls = loaded.map_err(|error| {
        let what_to_do = "name the files in section [tls], or make development ones with 'hub dev-certs'";
        let cause = root_cause(&error);
        let what = if cause == error.to_string() { cause } else { format!("{error}: {cause}") };
        CommandError::usage(what, what_to_do)
    })?;
    Ok(if config.http.enabled { tls.with_http1() } else { tls })
}

fn plaintext(
    config: &Config,
    trust_domain: &TrustDomain,
    listener: TcpListener,
    limits: ConnectionLimits,
) -> Result<Incoming, CommandError> {
    let path = config.tls.plaintext_principal.as_str();
    let principal = trust_domain.principal(path).map_err(|error| {
        CommandError::usage(format!("tls.plaintext_principal '{path}' is none: {error}"), "write it as KIND/NAME")
    })?;
    Incoming::plaintext(listener, principal, limits)
        .map_err(|error| CommandError::usage(error.to_string(), "listen on 127.0.0.1 or set tls.mode to \"mutual\""))
}

fn connection_limits(config: &Config) -> ConnectionLimits {
    ConnectionLimits {
        handshakes: config.grpc.handshakes_max as usize,
        handshake_timeout: Duration::from_millis(config.grpc.handshake_timeout_ms),
        connections: config.grpc.connections_max as usize,
    }
}

/// What telemetry is set up with; `instance` tells processes on one machine apart.
pub fn telemetry_config(config: &Config, instance: String) -> TelemetryConfig {
    let keys = &config.telemetry;
    TelemetryConfig {
        log_format: if keys.log_format == "json" { LogFormat::Json } else { LogFormat::Text },
        log_filter: keys.log_filter.clone(),
        otlp_endpoint: keys.otlp_endpoint.clone(),
        trace_ratio: keys.trace_ratio,
        prometheus_listen: keys.prometheus_listen,
        service: "hub",
        version: env!("CARGO_PKG_VERSION"),
        instance,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    fn plaintext_on(address: &str) -> Config {
        let mut config = Config::default();
        config.tls.mode = "off".to_owned();
        config.grpc.listen = address.parse().expect("an address");
        config
    }

    #[tokio::test]
    async fn a_port_in_use_is_named_with_a_way_out() {
        let (_incoming, bound) = listen(&plaintext_on("127.0.0.1:0")).await.expect("a free port");
        let error = listen(&plaintext_on(&bound.to_string())).await.err().expect("the port is taken");
        assert_eq!(error.exit, Exit::Failed);
        assert!(error.what.contains(&bound.to_string()) && error.what_to_do.contains("grpc.listen"), "{error:?}");
    }

    #[tokio::test]
    async fn plaintext_is_not_offered_to_other_machines() {
        let error = listen(&plaintext_on("0.0.0.0:0")).await.err().expect("everybody could connect");
        assert_eq!(error.exit, Exit::Usage);
    }

    #[tokio::test]
    async fn a_missing_certificate_is_named_before_the_port_is_taken() {
        let mut config = Config::default();
        config.top.data_dir = "/nonexistent".into();
        let error = listen(&config).await.err().expect("there are no certificates");
        assert_eq!(error.exit, Exit::Usage);
        assert!(error.what.contains("/nonexistent/dev-certs/"), "{}", error.what);
    }
}
