//! The proof of one answer: a bundle from the hub, and its check without it.

use std::path::Path;

use ledger::Policy;
use proof::report::Outcome;
use proof::{Report, Trust};
use prost::Message as _;
use serde_json::{Value, json};
use wire::audit::audit_service_client::AuditServiceClient;
use wire::audit::prove_request::What;
use wire::audit::{GetLedgerRequest, ProveRequest, ProvenAnswer};
use wire::query::GetSubjectResponse;

use super::Demo;
use crate::commands::audit::check::{proven, proven_text};
use crate::commands::audit::prove;
use crate::error::CommandError;
use crate::output::Output;

/// A bundle that was checked.
pub(super) struct Proof {
    bytes: usize,
    report: Report,
    /// Where it was kept: the bundle, and whom its check trusts.
    kept: Option<(String, String)>,
}

/// Lets the auditor prove what the portal was answered, and checks the bundle as a stranger does: from its bytes and a policy alone.
pub(super) async fn prove(
    demo: &Demo,
    answer: Option<&GetSubjectResponse>,
    keep: Option<&Path>,
) -> Result<Option<Proof>, CommandError> {
    let Some(answer) = answer else { return Ok(None) };
    let basis = answer.basis.clone().unwrap_or_default();
    let response = answer.encode_to_vec();
    let what = ProvenAnswer { position: basis.access_position, access_id: basis.access_id, response };
    let channel = demo.connect("auditor/main").await?;
    let request = ProveRequest {
        what: Some(What::Answer(what)),
        case_number: "DEMO-PROOF".to_owned(),
        ..ProveRequest::default()
    };
    let bundle = prove::bundle(channel.clone(), request).await?;
    let trust = AuditServiceClient::new(channel).get_ledger(GetLedgerRequest {}).await?.into_inner().trust;
    let kept = keep.map(|file| keep_at(file, &bundle, &trust)).transpose()?;
    let broken = |what: String| CommandError::failed(what, "this is a fault of the hub: report it");
    let policy = Policy::parse(&trust).map_err(|error| broken(format!("the hub's trust policy is none: {error}")))?;
    let report = proof::check(&bundle, &Trust { policy: &policy, known: None })
        .map_err(|rejected| broken(format!("the bundle of an answer does not hold: {}", rejected.failures[0])))?;
    Ok(Some(Proof { bytes: bundle.len(), report, kept }))
}

fn keep_at(file: &Path, bundle: &[u8], trust: &str) -> Result<(String, String), CommandError> {
    let mut policy = file.as_os_str().to_owned();
    policy.push(".policy");
    prove::write(file, bundle)?;
    prove::write(Path::new(&policy), trust.as_bytes())?;
    Ok((file.display().to_string(), Path::new(&policy).display().to_string()))
}

impl Proof {
    /// Whether the bundle opens the answer and shows what it was made from.
    pub(super) fn holds(&self) -> bool {
        let opened = |answer: &proof::report::AnswerShown| {
            matches!(answer.outcome, Outcome::Answered { .. }) && answer.records.iter().all(|(_, entries)| *entries > 0)
        };
        !self.report.answers.is_empty() && self.report.answers.iter().all(opened)
    }

    pub(super) fn json(&self) -> Value {
        let mut json = json!({
            "checked": self.holds(),
            "bytes": self.bytes,
            "entries": self.report.entries.len(),
            "checkpoint": self.report.checkpoint.size,
            "records": self.report.answers.iter().map(|answer| answer.records.len()).sum::<usize>(),
            "report": proven(&self.report),
        });
        if let Some((file, policy)) = &self.kept {
            json["file"] = file.as_str().into();
            json["policy"] = policy.as_str().into();
        }
        json
    }

    pub(super) fn text(&self, output: Output) -> String {
        let mut text = format!("{}\n", proven_text(&self.report, output));
        match &self.kept {
            Some((file, policy)) => {
                text.push_str(&format!("kept: hub audit check {file} --trust {policy}\n"));
            }
            None => text.push_str(&format!("{} bytes; --proof FILE keeps them\n", self.bytes)),
        }
        text
    }
}
