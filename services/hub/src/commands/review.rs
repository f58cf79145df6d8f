//! `hub review`: pairs that somebody should look at, and what was decided on them.

use clap::{Args, Subcommand, ValueEnum};
use wire::admin::admin_service_client::AdminServiceClient;
use wire::admin::{DecideRequest, Decision, ListDecisionsRequest, ListDecisionsResponse, Verdict as WireVerdict};
use wire::query::query_service_client::QueryServiceClient;
use wire::query::{ListReviewsRequest, ListReviewsResponse, Purpose};

use crate::answers::{as_json, time_of};
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Table;

const DEFAULT_CALLER: &str = "reviewer/main";

/// Arguments of `hub review`.
#[derive(Debug, Clone, Args)]
pub struct ReviewArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ReviewCommand,
}

/// Commands of `hub review`.
#[derive(Debug, Clone, Subcommand)]
pub enum ReviewCommand {
    /// List pairs that a reviewer should look at, the most urgent first
    #[command(
        after_help = "Example:\n  hub review list --case R-2026-7 --limit 20\n\nWhy a pair is close, and why it is apart: hub explain person --subject LEFT --and RIGHT --case R-2026-7 --as reviewer/main"
    )]
    List(ListArgs),
    /// Decide that two mentions are one subject, or two; or undo that
    #[command(
        after_help = "Example:\n  hub review decide cannot 34000348568b82c6d9df73a30f4a6cae 437c0a164272d574ab5f59a189a51536 \\\n    --reason 'namesakes, born on one day; both certificates seen'"
    )]
    Decide(DecideArgs),
    /// List decisions, with who took them and why
    #[command(after_help = "Example:\n  hub review decisions --mention 34000348568b82c6d9df73a30f4a6cae")]
    Decisions(DecisionsArgs),
}

/// Arguments of `hub review list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Case number that the review belongs to
    #[arg(long = "case", value_name = "NUMBER", help_heading = "Purpose")]
    pub case_number: String,
    /// At most so many pairs, 200 at most
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: u32,
    /// Go on where a list ended
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    pub page: String,
    /// Which hub, and as whom; by default as reviewer/main.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// A reviewer's verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Verdict {
    /// The two are one subject
    Must,
    /// The two are two subjects
    Cannot,
    /// Nobody can tell: the pair leaves the queue, links stay as they are
    Unsure,
    /// Earlier decisions on the pair hold no more
    Undo,
}

/// Arguments of `hub review decide`.
#[derive(Debug, Clone, Args)]
pub struct DecideArgs {
    /// What is decided
    #[arg(value_enum)]
    pub verdict: Verdict,
    /// Id of a mention, or of a subject
    pub left: String,
    /// Id of the other
    pub right: String,
    /// Why, kept with the decision; without personal data
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Which hub, and as whom; by default as reviewer/main.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub review decisions`.
#[derive(Debug, Clone, Args)]
pub struct DecisionsArgs {
    /// Only those that name this mention
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub mention: String,
    /// At most so many, 1000 at most
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u32,
    /// Which hub, and as whom; by default as reviewer/main.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Runs what was asked for.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn run(args: &ReviewArgs, context: &Context) -> Result<Exit, CommandError> {
    match &args.command {
        ReviewCommand::List(args) => list(args, context).await,
        ReviewCommand::Decide(args) => decide(args, context).await,
        ReviewCommand::Decisions(args) => decisions(args, context).await,
    }
}

async fn list(args: &ListArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
    let request = ListReviewsRequest {
        purpose: Some(Purpose { procedure: String::new(), case_number: args.case_number.clone() }),
        limit: args.limit,
        page_token: args.page.clone(),
    };
    let answer = QueryServiceClient::new(channel).list_reviews(request).await?.into_inner();
    context.output.show(&as_json("hub.query.v1.ListReviewsResponse", &answer), || told_reviews(&answer))?;
    Ok(Exit::Ok)
}

fn told_reviews(answer: &ListReviewsResponse) -> String {
    if answer.reviews.is_empty() {
        return "nothing is to be reviewed\n".to_owned();
    }
    let mut table = Table::new(["why", "bits", "answers", "left", "right", "now"]);
    for review in answer.reviews.iter().cloned() {
        let together = review.left_subject == review.right_subject;
        let bits = if review.class == "conflict" { "-".to_owned() } else { format!("{:.1}", review.bits) };
        let now = if together { "together" } else { "apart" };
        table.row([review.class, bits, review.accesses.to_string(), review.left, review.right, now.to_owned()]);
    }
    let (epoch, threshold) = (answer.model_epoch, answer.threshold_bits);
    let mut out = format!("{}linkage model epoch {epoch}, a link needs {threshold:.1} bits\n", table.text());
    if !answer.next_page_token.is_empty() {
        out.push_str(&format!("there is more: --page {}\n", answer.next_page_token));
    }
    out
}

async fn decide(args: &DecideArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
    let verdict = match args.verdict {
        Verdict::Must => WireVerdict::Must,
        Verdict::Cannot => WireVerdict::Cannot,
        Verdict::Unsure => WireVerdict::Unsure,
        Verdict::Undo => WireVerdict::Undo,
    };
    let request = DecideRequest {
        left: args.left.clone(),
        right: args.right.clone(),
        verdict: verdict.into(),
        reason: args.reason.clone(),
    };
    let answer = AdminServiceClient::new(channel).decide(request).await?.into_inner();
    context.output.show(&as_json("hub.admin.v1.DecideResponse", &answer), || {
        let decision = answer.decision.clone().unwrap_or_default();
        let now = if answer.left_subject == answer.right_subject {
            format!("both are subject {}", answer.left_subject)
        } else {
            format!("subject {} and subject {}", answer.left_subject, answer.right_subject)
        };
        format!("decision {} {}; now: {now}\n", decision.index, decision.effect)
    })?;
    Ok(Exit::Ok)
}

async fn decisions(args: &DecisionsArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
    let request = ListDecisionsRequest { mention: args.mention.clone(), limit: args.limit };
    let answer = AdminServiceClient::new(channel).list_decisions(request).await?.into_inner();
    context.output.show(&as_json("hub.admin.v1.ListDecisionsResponse", &answer), || told_decisions(&answer))?;
    Ok(Exit::Ok)
}

fn told_decisions(answer: &ListDecisionsResponse) -> String {
    if answer.decisions.is_empty() {
        return "no decisions\n".to_owned();
    }
    let mut table = Table::new(["no", "verdict", "effect", "left", "right", "by", "at", "why"]);
    for decision in answer.decisions.iter().cloned() {
        let (verdict, at) = (verdict_name(&decision), time_of(decision.decided_at.as_ref()));
        let no = decision.index.to_string();
        let row = [no, verdict, decision.effect, decision.left, decision.right, decision.actor, at, decision.reason];
        table.row(row);
    }
    let more = if answer.more { "there are more: --limit\n" } else { "" };
    format!("{}{more}", table.text())
}

fn verdict_name(decision: &Decision) -> String {
    decision.verdict().as_str_name().trim_start_matches("VERDICT_").to_lowercase()
}
