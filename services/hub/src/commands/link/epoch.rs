//! `hub link epoch`: linkage models of a hub, from proposal to switch.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use wire::admin::admin_service_client::AdminServiceClient;
use wire::admin::{
    CompareViewsRequest, LearnModelRequest, LearnedModel, LinkageModel, ListModelsRequest, PrepareViewsRequest,
    ProposeModelRequest, SwitchModelRequest, SwitchModelResponse,
};

use crate::answers::as_json;
use crate::commands::views;
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Table;
use crate::progress::Progress;

const DEFAULT_CALLER: &str = "operator/ops";

/// Arguments of `hub link epoch`.
#[derive(Debug, Clone, Args)]
pub struct EpochArgs {
    /// What to do with the hub's models.
    #[command(subcommand)]
    pub command: EpochCommand,
}

/// Commands of `hub link epoch`.
#[derive(Debug, Clone, Subcommand)]
pub enum EpochCommand {
    /// Show the models that the log holds
    #[command(after_help = "Example:\n  hub link epoch list")]
    List(ConnectionArgs),
    /// Learn a model from a sample of the hub's log, without labels, beginning with the one that serves
    #[command(
        after_help = "Example:\n  hub link epoch train -o model.bin\n  hub link epoch propose model.bin --reason 'learned from the records of October'\n  hub link epoch diff 2"
    )]
    Train(TrainArgs),
    /// Bring a model into the log as the next epoch; it links nothing yet
    #[command(
        after_help = "Example:\n  hub link epoch propose model.bin --reason 'learned from the records of October'"
    )]
    Propose(ProposeArgs),
    /// Link everything with a model beside the views that serve, and show who merges and who splits
    #[command(
        after_help = "Example:\n  hub link epoch diff 2 --samples 100\n\nThe views stay prepared: a switch then takes a moment."
    )]
    Diff(DiffArgs),
    /// Order that subjects are linked with a model; without prepared views these are folded first
    #[command(after_help = "Example:\n  hub link epoch switch 2 --reason 'difference read, 312 merges checked'")]
    Switch(SwitchArgs),
    /// Order the model that served before the last switch
    #[command(after_help = "Example:\n  hub link epoch rollback --reason 'too many merges in one province'")]
    Rollback(RollbackArgs),
}

/// Arguments of `hub link epoch train`.
#[derive(Debug, Clone, Args)]
pub struct TrainArgs {
    /// Where the model is written
    #[arg(short, long, value_name = "FILE", default_value = "model.bin")]
    pub out: PathBuf,
    /// Mentions that are learned from
    #[arg(long, value_name = "COUNT", default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1_000..=2_000_000))]
    pub mentions: u32,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub link epoch propose`.
#[derive(Debug, Clone, Args)]
pub struct ProposeArgs {
    /// The model, as 'hub link epoch train' writes it
    #[arg(value_name = "FILE")]
    pub model: PathBuf,
    /// Unit lists that linkage normalises with, by version; those of the model in force when absent
    #[arg(long = "unit-list", value_name = "VERSION")]
    pub unit_lists: Vec<String>,
    /// Why, kept in the log
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub link epoch diff`.
#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    /// The model's epoch
    #[arg(value_name = "EPOCH", value_parser = clap::value_parser!(u32).range(1..))]
    pub epoch: u32,
    /// Subjects that are named, of each sort
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub samples: u32,
    /// Percent of one thread's time
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub share: u32,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub link epoch switch`.
#[derive(Debug, Clone, Args)]
pub struct SwitchArgs {
    /// The model's epoch
    #[arg(value_name = "EPOCH", value_parser = clap::value_parser!(u32).range(1..))]
    pub epoch: u32,
    /// Why, kept in the log
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub link epoch rollback`.
#[derive(Debug, Clone, Args)]
pub struct RollbackArgs {
    /// Why, kept in the log
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Runs what was asked for.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn run(args: &EpochArgs, context: &Context) -> Result<Exit, CommandError> {
    match &args.command {
        EpochCommand::List(connection) => {
            let channel = connection.connect(context, DEFAULT_CALLER).await?;
            let listed = AdminServiceClient::new(channel).list_models(ListModelsRequest {}).await?.into_inner();
            context
                .output
                .show(&as_json("hub.admin.v1.ListModelsResponse", &listed), || models_text(&listed.models))?;
        }
        EpochCommand::Train(args) => train(args, context).await?,
        EpochCommand::Propose(args) => propose(args, context).await?,
        EpochCommand::Diff(args) => {
            let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
            let request =
                PrepareViewsRequest { model_epoch: args.epoch, share: args.share, ..PrepareViewsRequest::default() };
            views::prepare(channel.clone(), request, context).await?;
            return views::diff(channel, CompareViewsRequest { samples: args.samples, previous: false }, context).await;
        }
        EpochCommand::Switch(args) => {
            let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
            let request = SwitchModelRequest { epoch: args.epoch, reason: args.reason.clone() };
            let done = AdminServiceClient::new(channel).switch_model(request).await?.into_inner();
            show(&done, context)?;
        }
        EpochCommand::Rollback(args) => {
            let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
            let request = SwitchModelRequest { epoch: 0, reason: args.reason.clone() };
            let done = AdminServiceClient::new(channel).switch_model(request).await?.into_inner();
            show(&done, context)?;
        }
    }
    Ok(Exit::Ok)
}

fn show(done: &SwitchModelResponse, context: &Context) -> Result<(), CommandError> {
    context.output.show(&as_json("hub.admin.v1.SwitchModelResponse", done), || {
        let when = if done.serving {
            "it serves"
        } else {
            "it serves when views are folded with it: 'hub status' shows how far they are"
        };
        format!("model {} instead of {}: {when}\n", done.after, done.before)
    })
}

async fn train(args: &TrainArgs, context: &Context) -> Result<(), CommandError> {
    let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
    let request = LearnModelRequest { mentions: args.mentions };
    let mut answers = AdminServiceClient::new(channel).learn_model(request).await?.into_inner();
    let progress = Progress::new("read", "entries", None, context.output.is_json());
    let mut learned = None;
    while let Some(answer) = answers.message().await? {
        if answer.entries_total > 0 {
            progress.total(answer.entries_total);
            progress.set(answer.entries);
        }
        learned = answer.model.or(learned);
    }
    progress.finish();
    let learned =
        learned.ok_or_else(|| CommandError::failed("the hub ended before a model was learned", "see the hub's log"))?;
    std::fs::write(&args.out, &learned.model).map_err(|error| {
        CommandError::failed(format!("cannot write {}: {error}", args.out.display()), "name another file with --out")
    })?;
    context.output.show(&as_json("hub.admin.v1.LearnedModel", &learned), || learned_text(&learned, args))
}

fn learned_text(learned: &LearnedModel, args: &TrainArgs) -> String {
    let mut table = Table::new(["field", "level", "m", "u", "before", "bits", ""]);
    for level in &learned.levels {
        table.row([
            level.field.clone(),
            level.level.clone(),
            format!("{:.4}", level.m),
            format!("{:.6}", level.u),
            format!("{:+.2}", level.before_bits),
            format!("{:+.2}", level.bits),
            level.kept.clone(),
        ]);
    }
    format!(
        "{} mentions, {} pairs, {:.0} expected matches, {} rounds, prior {:+.2} bits (was {:+.2})\n\n{}\n{} is written: 'hub link epoch propose' brings it into the log\n",
        learned.mentions,
        learned.blocked_pairs,
        learned.matches,
        learned.rounds,
        learned.prior_bits,
        learned.prior_before_bits,
        table.text(),
        args.out.display()
    )
}

async fn propose(args: &ProposeArgs, context: &Context) -> Result<(), CommandError> {
    let model = std::fs::read(&args.model).map_err(|error| {
        CommandError::usage(format!("cannot read {}: {error}", args.model.display()), "name the model's file")
    })?;
    let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
    let request = ProposeModelRequest { model, unit_lists: args.unit_lists.clone(), reason: args.reason.clone() };
    let done = AdminServiceClient::new(channel).propose_model(request).await?.into_inner();
    context.output.show(&as_json("hub.admin.v1.ProposeModelResponse", &done), || {
        models_text(&done.model.iter().cloned().collect::<Vec<_>>())
    })
}

fn models_text(models: &[LinkageModel]) -> String {
    let mut table = Table::new(["epoch", "threshold", "ordered", "serving", "control entry", "hash"]);
    let mark = |yes: bool| if yes { "yes" } else { "" }.to_owned();
    for model in models {
        table.row([
            model.epoch.to_string(),
            format!("{:.2} bits", model.threshold_bits),
            mark(model.ordered),
            mark(model.serving),
            model.index.to_string(),
            model.hash.clone(),
        ]);
    }
    table.text()
}
