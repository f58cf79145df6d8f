//! `hub conformance`: a scripted publisher and a scripted portal against any hub.

mod portal;
mod publisher;
mod samples;
mod streams;
mod suite;

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use wire::admin::GetContractRequest;
use wire::admin::admin_service_client::AdminServiceClient;
use wire::query::query_service_client::QueryServiceClient;

use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use portal::Portal;
use publisher::Publisher;
use suite::Suite;

/// Records that are played with.
const SAMPLES: usize = 20;

/// Arguments of `hub conformance`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  hub conformance --register civil\n  hub conformance --register roads --sample roads.ndjson --junit conformance.xml\n  hub conformance --register civil --endpoint https://hub.test.gov:7443 --ca ca.pem --cert civil.pem --key civil.key \\\n    --portal-cert portal.pem --portal-key portal.key

The publisher publishes about a hundred records whose ids begin with 'conformance-', and takes them back at the end; they stay in the log as
history. Play it against a hub for tests, or one that a register is only joining. Records of the registers civil, land, health and
population are made up; for another register name a file with a sound record as 'hub publish' takes it.
The exit code is 1 when a case fails."
)]
pub struct ConformanceArgs {
    /// The register that the publisher publishes
    #[arg(long, value_name = "NAME")]
    pub register: String,
    /// Sound records of the register, as 'hub publish' takes them (NDJSON)
    #[arg(long, value_name = "FILE")]
    pub sample: Option<PathBuf>,
    /// Procedure that the portal asks for
    #[arg(long, value_name = "CODE", default_value = "1.001193")]
    pub procedure: String,
    /// Call as this development client when asking
    #[arg(long, value_name = "PATH", default_value = "portal/national", conflicts_with_all = ["portal_cert", "portal_key"])]
    pub portal_as: String,
    /// The portal's certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "portal_key")]
    pub portal_cert: Option<PathBuf>,
    /// The portal's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "portal_cert")]
    pub portal_key: Option<PathBuf>,
    /// Leave the portal's cases out
    #[arg(long)]
    pub no_portal: bool,
    /// Write what came of each case as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Which hub, and as whom; by default as register/NAME.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Plays the cases and tells what passed.
///
/// # Errors
/// The hub did not answer, or refuses the contract; there are no records to play with; the file cannot be written.
pub async fn run(args: &ConformanceArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, &format!("register/{}", args.register)).await?;
    let mut admin =
        AdminServiceClient::new(channel.clone()).max_decoding_message_size(contract::DESCRIPTOR_SET_BYTES_MAX * 2);
    let contract = admin.get_contract(GetContractRequest { register: args.register.clone() }).await?.into_inner();
    let prefix = prefix();
    let samples = samples::samples(&args.register, args.sample.as_deref(), &contract.descriptors, &prefix, SAMPLES)?;
    let mut suite = Suite::default();
    let mut publisher = Publisher::new(channel.clone(), &args.register, &samples, &prefix);
    publisher.play(&mut suite).await;
    if args.no_portal {
        portal::skip(&mut suite, "left out by --no-portal");
    } else {
        let connection = ConnectionArgs {
            endpoint: args.connection.endpoint.clone(),
            caller: args.portal_cert.is_none().then(|| args.portal_as.clone()),
            ca: args.connection.ca.clone(),
            cert: args.portal_cert.clone(),
            key: args.portal_key.clone(),
        };
        let portal_channel = connection.connect(context, "portal/national").await?;
        let mut portal = Portal {
            client: QueryServiceClient::new(portal_channel.clone()),
            channel: portal_channel,
            publisher: channel,
            register: args.register.clone(),
            procedure: args.procedure.clone(),
            case_number: prefix.clone(),
            personal_id: samples.personal_id.clone(),
            published: publisher.accepted.clone(),
            access_id: String::new(),
        };
        match portal.reachable().await {
            Ok(()) => portal.play(&mut suite).await,
            Err(status) => portal::skip(&mut suite, status.message()),
        }
    }
    publisher.clean_up(&mut suite).await;
    if let Some(file) = &args.junit {
        crate::commands::audit::prove::write(file, suite.junit(&args.register).as_bytes())?;
    }
    context.output.show(&suite.json(), || suite.text(context.output))?;
    let (_, failed, _) = suite.counts();
    Ok(if failed == 0 { Exit::Ok } else { Exit::Failed })
}

/// What the ids of this run's records begin with.
fn prefix() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("conformance-{}-{}", now.as_millis(), std::process::id())
}
