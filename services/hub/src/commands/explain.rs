//! `hub explain`: why mentions are one subject, or why two are not.

use std::fmt::Write as _;

use clap::Args;
use wire::query::query_service_client::QueryServiceClient;
use wire::query::subject_key::Key;
use wire::query::{ComparedMention, ComparedPair, ExplainLinkRequest, ExplainLinkResponse, Purpose, SubjectKey};

use super::asking::{SubjectArgs, SubjectKind};
use crate::answers::as_json;
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::{Output, Table};

/// Why writing needs no error.
const UNFAILING: &str = "writing to a string cannot fail";

/// Bits that one character of a bar stands for.
const BITS_PER_MARK: f64 = 1.5;

/// Arguments of `hub explain`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  hub explain person --personal-id 012345678901 --case A-7\n  \
                        hub explain person --subject 34000348568b82c6d9df73a30f4a6cae \
                        --and 437c0a164272d574ab5f59a189a51536 --case A-7")]
pub struct ExplainArgs {
    /// What kind of subject
    #[arg(value_enum)]
    pub kind: SubjectKind,
    /// Whom or what.
    #[command(flatten)]
    pub subject: SubjectArgs,
    /// Id of the mention or subject to compare with; without it, all that holds the subject together is shown
    #[arg(long = "and", value_name = "ID")]
    pub other: Option<String>,
    /// Case number of the audit, or of the person's request
    #[arg(long = "case", value_name = "NUMBER", help_heading = "Purpose")]
    pub case_number: String,
    /// Which hub, and as whom; by default as auditor/main.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Explains a subject, or a pair.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn run(args: &ExplainArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, "auditor/main").await?;
    let request = ExplainLinkRequest {
        kind: args.kind.name().to_owned(),
        left: Some(args.subject.key().wire()),
        right: args.other.clone().map(|id| SubjectKey { key: Some(Key::Subject(id)) }),
        purpose: Some(Purpose { procedure: String::new(), case_number: args.case_number.clone() }),
    };
    let answer = QueryServiceClient::new(channel).explain_link(request).await?.into_inner();
    context.output.show(&as_json("hub.query.v1.ExplainLinkResponse", &answer), || told(&answer, context.output))?;
    Ok(Exit::Ok)
}

fn told(answer: &ExplainLinkResponse, output: Output) -> String {
    if answer.left_subject.is_empty() {
        return "nobody has this key\n".to_owned();
    }
    let mut out = String::new();
    let verdict = match (answer.right_subject.is_empty(), answer.together) {
        (true, _) => format!("subject {}", answer.left_subject),
        (false, true) => format!("together: both are subject {}", answer.left_subject),
        (false, false) => format!("apart: subject {} and subject {}", answer.left_subject, answer.right_subject),
    };
    let line = "linkage model epoch";
    let (epoch, threshold) = (answer.model_epoch, answer.threshold_bits);
    writeln!(out, "{}; {line} {epoch}, a link needs {threshold:.1} bits", output.bold(&verdict)).expect(UNFAILING);
    for (heading, pairs) in [("", &answer.pairs), ("Refused", &answer.refused)] {
        if !heading.is_empty() && !pairs.is_empty() {
            writeln!(out, "\n{}", output.bold(heading)).expect(UNFAILING);
        }
        for pair in pairs {
            out.push_str(&told_pair(pair, output));
        }
    }
    if answer.more {
        out.push_str("\nthere is more than this answer holds: explain one pair with --and\n");
    }
    out
}

fn told_pair(pair: &ComparedPair, output: Output) -> String {
    let mut out = format!(
        "\n{}  {}\n{}  {}\n",
        mention(pair.left.as_ref()),
        record(pair.left.as_ref()),
        mention(pair.right.as_ref()),
        record(pair.right.as_ref())
    );
    let mut table = Table::new(["field", "level", "bits", "", "sum"]);
    let mut sum = 0.0;
    for evidence in &pair.evidence {
        sum += evidence.bits;
        let level = match evidence.rarity_bits {
            rarity if rarity > 0.0 => format!("{} (rarity {rarity:.1})", evidence.level),
            _ => evidence.level.clone(),
        };
        let bits = format!("{:+.1}", evidence.bits);
        table.row([evidence.field.clone(), level, bits, bar(evidence.bits), format!("{sum:.1}")]);
    }
    out.push_str(&table.text());
    let outcome = outcome(&pair.outcome);
    let styled = if pair.outcome.starts_with("refused") { output.warn(outcome) } else { outcome.to_owned() };
    writeln!(out, "{:.1} bits: {styled}", pair.bits).expect(UNFAILING);
    if let [a, b] = pair.refused_by.as_slice() {
        writeln!(out, "refused by {} and {}", mention(Some(a)), mention(Some(b))).expect(UNFAILING);
    }
    out
}

fn bar(bits: f64) -> String {
    let marks = (bits.abs() / BITS_PER_MARK).round() as usize;
    (if bits < 0.0 { "░" } else { "█" }).repeat(marks)
}

fn mention(compared: Option<&ComparedMention>) -> String {
    compared.map(|c| c.mention.clone()).unwrap_or_default()
}

fn record(compared: Option<&ComparedMention>) -> String {
    let Some(compared) = compared else { return String::new() };
    let source = compared.source.clone().unwrap_or_default();
    let alike = match compared.mentions {
        0 | 1 => String::new(),
        n => format!(", and {} more with equal features", n - 1),
    };
    format!("{} {} version {}, {}{alike}", source.register, source.record_type, source.version, source.position)
}

fn outcome(outcome: &str) -> &str {
    match outcome {
        "equal" => "equal features, one node",
        "tree" => "linked",
        "inside" => "linked, and together already",
        "refused_by_reviewer" => "refused: a reviewer keeps them apart",
        "refused_by_ids" => "refused: valid personal or parcel ids differ",
        "refused_by_same_record" => "refused: one record names both as different",
        "refused_by_bound" => "refused: too many nodes hang together, the threshold was raised",
        "below_threshold" => "too weak",
        "not_compared" => "strong enough, but they share no blocking key",
        other => other,
    }
}
