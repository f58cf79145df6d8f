//! `hub views`: proving the views, folding others beside them, letting those take over.

use clap::{Args, Subcommand};
use tonic::transport::Channel;
use wire::admin::admin_service_client::AdminServiceClient;
use wire::admin::{
    ApproveFoldRequest, Basis, CompareViewsRequest, Difference, DiscardViewsRequest, PrepareViewsRequest,
    PrepareViewsResponse, ReplaceViewsRequest, ReplaceViewsResponse, SubjectMove, VerifyViewsRequest,
};

use crate::answers::as_json;
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Table;
use crate::progress::Progress;

const DEFAULT_CALLER: &str = "operator/ops";

/// A store that views can be folded into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StoreKind {
    /// fjall.
    Fjall,
    /// sled.
    Sled,
}

/// Arguments of `hub views`.
#[derive(Debug, Clone, Args)]
pub struct ViewsArgs {
    /// What to do with the views.
    #[command(subcommand)]
    pub command: ViewsCommand,
}

/// Commands of `hub views`.
#[derive(Debug, Clone, Subcommand)]
pub enum ViewsCommand {
    /// Fold the log from scratch beside the live views and compare the digests; exit code 1 when they differ
    #[command(after_help = "Example:\n  hub views verify --store sled")]
    Verify(VerifyArgs),
    /// Fold new views beside those that serve, and let them take over when they are equal; queries go on meanwhile
    #[command(
        after_help = "Example:\n  hub views rebuild --reason 'monthly rebuild'\n\nEnding the command does not end the work: give it again to look on. Views that differ do not take over: see 'hub views diff'."
    )]
    Rebuild(RebuildArgs),
    /// Fold other views beside those that serve, and leave them there
    #[command(
        after_help = "Examples:\n  hub views prepare --model-epoch 2\n  hub views prepare --restated land\n  hub views prepare --previous"
    )]
    Prepare(PrepareArgs),
    /// Show what the prepared views say otherwise than those that serve; exit code 1 when they differ
    #[command(
        after_help = "Examples:\n  hub views diff --samples 100\n  hub views diff --previous\n\nWith --previous: after an update that brought another version of the fold, what the former program's views said otherwise than this\nprogram's, at the place in the log where they ended."
    )]
    Diff(DiffArgs),
    /// Let prepared views on the present basis take over
    #[command(
        after_help = "Example:\n  hub views replace --approve-difference --reason 'rows mended, difference read'"
    )]
    Replace(ReplaceArgs),
    /// Approve what this version of the fold says otherwise than the former program's, as 'hub views diff --previous' showed it
    #[command(
        after_help = "Example:\n  hub views diff --previous\n  hub views approve 5f0c…e1 --reason 'difference read: names are compared without tone marks'\n\nThe digest is the one after 'this program'. The approval is an entry of the log; 'hub views discard --previous' frees the space."
    )]
    Approve(ApproveArgs),
    /// Remove the prepared views, or those that served before
    #[command(after_help = "Example:\n  hub views discard --previous")]
    Discard(DiscardArgs),
}

/// Arguments of `hub views verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Store of the replay; the live one's kind when absent
    #[arg(long, value_enum, value_name = "KIND")]
    pub store: Option<StoreKind>,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub views rebuild`.
#[derive(Debug, Clone, Args)]
pub struct RebuildArgs {
    /// Percent of one thread's time
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub share: u32,
    /// Why, kept in the log
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub views prepare`.
#[derive(Debug, Clone, Args)]
pub struct PrepareArgs {
    /// Linked with this model instead of the one in force
    #[arg(long, value_name = "EPOCH", default_value_t = 0, hide_default_value = true)]
    pub model_epoch: u32,
    /// With this register as it is being restated; may be repeated
    #[arg(long, value_name = "NAME")]
    pub restated: Vec<String>,
    /// The views that served before, brought up to date
    #[arg(long, conflicts_with_all = ["model_epoch", "restated"])]
    pub previous: bool,
    /// Percent of one thread's time
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub share: u32,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub views diff`.
#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    /// Changed subjects and records that are named, of each sort
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub samples: u32,
    /// The views that served before, by another version of the fold, instead of the prepared ones
    #[arg(long)]
    pub previous: bool,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub views replace`.
#[derive(Debug, Clone, Args)]
pub struct ReplaceArgs {
    /// Also when the digests differ
    #[arg(long)]
    pub approve_difference: bool,
    /// Why, kept in the log
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub views approve`.
#[derive(Debug, Clone, Args)]
pub struct ApproveArgs {
    /// Digest of what this program folds, 64 hexadecimal digits
    #[arg(value_name = "DIGEST")]
    pub digest: String,
    /// Why, kept in the log
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub views discard`.
#[derive(Debug, Clone, Args)]
pub struct DiscardArgs {
    /// Those that served before, instead of the prepared ones
    #[arg(long)]
    pub previous: bool,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Runs what was asked for.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn run(args: &ViewsArgs, context: &Context) -> Result<Exit, CommandError> {
    match &args.command {
        ViewsCommand::Verify(args) => verify(args, context).await,
        ViewsCommand::Rebuild(args) => rebuild(args, context).await,
        ViewsCommand::Prepare(args) => {
            let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
            let request = PrepareViewsRequest {
                model_epoch: args.model_epoch,
                restated: args.restated.clone(),
                previous: args.previous,
                share: args.share,
            };
            let level = prepare(channel, request, context).await?;
            context.output.show(&as_json("hub.admin.v1.PrepareViewsResponse", &level), || {
                let basis = basis_text(level.basis.as_ref());
                format!("views on {basis} are prepared: 'hub views diff' shows what they say otherwise\n")
            })?;
            Ok(Exit::Ok)
        }
        ViewsCommand::Diff(args) => {
            let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
            diff(channel, CompareViewsRequest { samples: args.samples, previous: args.previous }, context).await
        }
        ViewsCommand::Replace(args) => {
            let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
            let (reason, approve_difference) = (args.reason.clone(), args.approve_difference);
            replace(channel, ReplaceViewsRequest { reason, approve_difference }, context).await
        }
        ViewsCommand::Approve(args) => {
            let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
            let request = ApproveFoldRequest { reason: args.reason.clone(), after_digest: args.digest.clone() };
            let done = AdminServiceClient::new(channel).approve_fold(request).await?.into_inner();
            context.output.show(&as_json("hub.admin.v1.ApproveFoldResponse", &done), || {
                format!(
                    "fold version {} is approved\nformer        {}\nthis program  {}\n",
                    done.fold_version, done.before_digest, done.after_digest
                )
            })?;
            Ok(Exit::Ok)
        }
        ViewsCommand::Discard(args) => {
            let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
            let request = DiscardViewsRequest { previous: args.previous };
            let done = AdminServiceClient::new(channel).discard_views(request).await?.into_inner();
            context.output.show(&as_json("hub.admin.v1.DiscardViewsResponse", &done), || "removed\n".to_owned())?;
            Ok(Exit::Ok)
        }
    }
}

async fn rebuild(args: &RebuildArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
    let request = PrepareViewsRequest { share: args.share, ..Default::default() };
    prepare(channel.clone(), request, context).await?;
    let request = ReplaceViewsRequest { reason: args.reason.clone(), approve_difference: false };
    replace(channel, request, context).await
}

/// Prepares views, and shows how far they are until they are level.
pub(super) async fn prepare(
    channel: Channel,
    request: PrepareViewsRequest,
    context: &Context,
) -> Result<PrepareViewsResponse, CommandError> {
    let mut answers = AdminServiceClient::new(channel).prepare_views(request).await?.into_inner();
    let bar = |what| Progress::new(what, "entries", None, context.output.is_json());
    let (mut progress, mut last, mut ordering) = (None, None, None);
    while let Some(answer) = answers.message().await? {
        if answer.entries_ordered > 0 {
            let ordering = ordering.get_or_insert_with(|| bar("order"));
            ordering.total(answer.entries_total);
            ordering.set(answer.entries_ordered);
            last = Some(answer);
            continue;
        }
        if let Some(ordering) = ordering.take() {
            // Entries that are no changes have no place in the order.
            ordering.set(answer.entries_total);
            ordering.finish();
        }
        let progress = progress.get_or_insert_with(|| bar("prepare"));
        progress.total(answer.entries_total);
        progress.set(answer.entries);
        last = Some(answer);
    }
    ordering.into_iter().chain(progress).for_each(Progress::finish);
    last.filter(|answer| answer.level).ok_or_else(|| {
        CommandError::failed("the hub ended before the views were level", "give the command again to look on")
    })
}

async fn replace(channel: Channel, request: ReplaceViewsRequest, context: &Context) -> Result<Exit, CommandError> {
    let done = AdminServiceClient::new(channel).replace_views(request).await?.into_inner();
    context.output.show(&as_json("hub.admin.v1.ReplaceViewsResponse", &done), || replaced_text(&done, context))?;
    Ok(Exit::Ok)
}

fn replaced_text(done: &ReplaceViewsResponse, context: &Context) -> String {
    let equal = done.before_digest == done.after_digest;
    let verdict = if equal { context.output.good("equal") } else { context.output.warn("different, as approved") };
    format!("served  {}\nserves  {}\n{verdict}\n", done.before_digest, done.after_digest)
}

/// Compares, and shows what differs.
pub(super) async fn diff(
    channel: Channel,
    request: CompareViewsRequest,
    context: &Context,
) -> Result<Exit, CommandError> {
    let mut answers = AdminServiceClient::new(channel).compare_views(request).await?.into_inner();
    let progress = Progress::new("compare", "rows", None, context.output.is_json());
    let mut difference = None;
    while let Some(answer) = answers.message().await? {
        if answer.rows_total > 0 {
            progress.total(answer.rows_total);
            progress.set(answer.rows);
        }
        difference = answer.difference.or(difference);
    }
    progress.finish();
    let found = difference
        .ok_or_else(|| CommandError::failed("the hub ended the comparison without a result", "see the hub's log"))?;
    context.output.show(&as_json("hub.admin.v1.Difference", &found), || difference_text(&found, context))?;
    Ok(if found.equal { Exit::Ok } else { Exit::Failed })
}

fn basis_text(basis: Option<&Basis>) -> String {
    let Some(basis) = basis else { return String::new() };
    let mut registers: Vec<_> = basis.registers.iter().map(|(name, epoch)| format!(", {name} epoch {epoch}")).collect();
    registers.sort();
    format!("model {}{}", basis.model_epoch, registers.concat())
}

fn difference_text(found: &Difference, context: &Context) -> String {
    let mentions = found.mentions.unwrap_or_default();
    let verdict = if found.equal { context.output.good("equal") } else { context.output.bad("DIFFERENT") };
    let versions = (found.serving_fold_version, found.prepared_fold_version);
    let (before, after) = if versions.0 == versions.1 { ("serving", "prepared") } else { ("former", "this program") };
    let fold =
        |version: u32| if versions.0 == versions.1 { String::new() } else { format!(", fold version {version}") };
    let mut out = format!(
        "{before:<12}  {}  {}{}\n{after:<12}  {}  {}{}\n{verdict}\n\n",
        found.serving_digest,
        basis_text(found.serving.as_ref()),
        fold(versions.0),
        found.prepared_digest,
        basis_text(found.prepared.as_ref()),
        fold(versions.1),
    );
    let mut subjects = Table::new(["", before, after, ""]);
    let count = |what: &str, before: u64, after: u64, equal: bool| {
        [what.to_owned(), before.to_string(), after.to_string(), if equal { "" } else { "different" }.to_owned()]
    };
    let same = found.merged == 0 && found.split == 0 && found.serving_subjects == found.prepared_subjects;
    subjects.row(count("subjects", found.serving_subjects, found.prepared_subjects, same));
    for rows in &found.kinds {
        subjects.row(count(&format!("{} rows", rows.kind), rows.serving, rows.prepared, rows.equal));
    }
    out += &subjects.text();
    let short = if found.short { " or more" } else { "" };
    out += &format!(
        "\n{} mentions under the same subject, {} under another, {} added, {} gone\n{}{short} subjects are several now, {}{short} become several\n",
        mentions.same, mentions.moved, mentions.added, mentions.removed, found.merged, found.split
    );
    let mut records =
        Table::new(["register", "agency", "commune", "same", "added", "changed", "removed", "other rows"]);
    for row in &found.records {
        records.row([
            row.register.clone(),
            row.agency.clone(),
            row.commune.clone(),
            row.same.to_string(),
            row.added.to_string(),
            row.changed.to_string(),
            row.removed.to_string(),
            row.other_rows.to_string(),
        ]);
    }
    out += &format!("\n{}", records.text());
    out += &causes_text(found);
    let moves = |title: &str, moves: &[SubjectMove]| {
        let rows: Vec<String> = moves.iter().map(|m| format!("  {}  {}\n", m.subject, m.others.join(" "))).collect();
        if rows.is_empty() { String::new() } else { format!("\n{title}\n{}", rows.concat()) }
    };
    out += &moves("merge (subject, then what comes into it)", &found.merged_samples);
    out += &moves("split (subject, then what it falls into)", &found.split_samples);
    if !found.record_samples.is_empty() {
        out += &format!("\nrecords that differ\n  {}\n", found.record_samples.join("\n  "));
    }
    if versions.0 != versions.1 {
        out += &format!("\nif that is right: 'hub views approve {} --reason …'\n", found.prepared_digest);
    }
    out
}

/// Why things differ, and in which attributes.
fn causes_text(found: &Difference) -> String {
    let mut out = String::new();
    if !found.causes.is_empty() {
        let mut causes = Table::new(["cause", "count"]);
        found.causes.iter().for_each(|c| causes.row([c.cause.replace('_', " "), c.count.to_string()]));
        out += &format!("\n{}", causes.text());
    }
    if !found.fields.is_empty() {
        let mut fields = Table::new(["attribute", "changed", "added", "removed", "disputed in one only"]);
        for f in &found.fields {
            let [changed, added, removed, disputed] =
                [f.changed, f.added, f.removed, f.disputed].map(|n| n.to_string());
            fields.row([f.field.clone(), changed, added, removed, disputed]);
        }
        out += &format!("\nof {} subjects that the differences touch:\n{}", found.fields_subjects, fields.text());
    }
    out
}

async fn verify(args: &VerifyArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
    let store = match args.store {
        None => "",
        Some(StoreKind::Fjall) => "fjall",
        Some(StoreKind::Sled) => "sled",
    };
    let request = VerifyViewsRequest { store: store.to_owned() };
    let mut answers = AdminServiceClient::new(channel).verify_views(request).await?.into_inner();
    let progress = Progress::new("verify", "entries", None, context.output.is_json());
    let mut result = None;
    while let Some(answer) = answers.message().await? {
        progress.total(answer.entries_total);
        progress.set(answer.entries);
        result = answer.result.or(result);
    }
    progress.finish();
    let result = result
        .ok_or_else(|| CommandError::failed("the hub ended the verification without a result", "see the hub's log"))?;
    context.output.show(&as_json("hub.admin.v1.Verification", &result), || {
        let verdict = if result.equal { context.output.good("equal") } else { context.output.bad("DIFFERENT") };
        let (live, replay) = (&result.live_digest, &result.replay_digest);
        let rows: String = result.differences.iter().map(|row| format!("  {row}\n")).collect();
        let repair = if result.equal { "" } else { "\n'hub views rebuild' folds them anew from the log\n" };
        format!(
            "live    {live}\nrows    {}\nreplay  {replay}\n{verdict}: {} entries in {:.1} s\n{rows}{repair}",
            result.rows_digest, result.entries, result.seconds
        )
    })?;
    Ok(if result.equal { Exit::Ok } else { Exit::Failed })
}
