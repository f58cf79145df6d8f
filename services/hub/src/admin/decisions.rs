//! Reviewers' decisions on pairs of mentions.

use std::sync::Arc;

use access::HubAction;
use record::control::{Order, Verdict};
use record::{Index, MentionId};
use tonic::Request;
use views::decisions::{self, Decided};
use views::fold::FoldError;
use wire::admin::{
    DecideRequest, DecideResponse, Decision, ListDecisionsRequest, ListDecisionsResponse, Verdict as WireVerdict,
};

use super::error::Error;
use super::{Inner, on_a_thread};

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;

pub(super) async fn decide(inner: &Arc<Inner>, mut request: Request<DecideRequest>) -> Result<DecideResponse, Error> {
    let body = std::mem::take(request.get_mut());
    let turn = inner.turn(&request, HubAction::Review, &body.reason).await?;
    let (left, right) = (mention(&body.left, "left")?, mention(&body.right, "right")?);
    let verdict = match body.verdict() {
        WireVerdict::Must => Verdict::Must,
        WireVerdict::Cannot => Verdict::Cannot,
        WireVerdict::Unsure => Verdict::Unsure,
        WireVerdict::Undo => Verdict::Undo,
        WireVerdict::Unspecified => return Err(Error::Verdict),
    };
    let at = Arc::clone(inner);
    on_a_thread(move || check(&at, left, right, verdict)).await?;
    let index = inner.order(&turn, Order::Decision { a: left, b: right, verdict }).await?;
    let at = Arc::clone(inner);
    on_a_thread(move || told(&at, left, right, index)).await
}

/// Refuses what cannot be meant, and what the decisions in force contradict.
fn check(inner: &Inner, left: MentionId, right: MentionId, verdict: Verdict) -> Result<(), Error> {
    if left == right {
        return Err(Error::OneMention);
    }
    let view = inner.handle.reader.view().map_err(FoldError::from)?;
    if verdict == Verdict::Undo {
        return if decisions::is_decided(&view, left, right)? { Ok(()) } else { Err(Error::NothingToUndo) };
    }
    let kind = |mention: MentionId| decisions::kind_of(&view, mention)?.ok_or(Error::UnknownMention(mention));
    if kind(left)? != kind(right)? {
        return Err(Error::OtherKind);
    }
    if verdict == Verdict::Unsure {
        return Ok(());
    }
    let chain = decisions::contradicted(&view, left, right, verdict == Verdict::Must)?;
    if chain.is_empty() { Ok(()) } else { Err(Error::Contradicted(chain)) }
}

fn told(inner: &Inner, left: MentionId, right: MentionId, index: Index) -> Result<DecideResponse, Error> {
    let view = inner.handle.reader.view().map_err(FoldError::from)?;
    let subject =
        |mention| Ok::<_, Error>(decisions::subject_of(&view, mention)?.map(|s| s.to_hex()).unwrap_or_default());
    let decided = decisions::decision(&view, (left.min(right), left.max(right)), index)?;
    Ok(DecideResponse {
        decision: decided.map(wire_decision),
        left_subject: subject(left)?,
        right_subject: subject(right)?,
    })
}

pub(super) async fn list(
    inner: &Arc<Inner>,
    request: Request<ListDecisionsRequest>,
) -> Result<ListDecisionsResponse, Error> {
    inner.permit(&request, HubAction::Review)?;
    let body = request.into_inner();
    let of = if body.mention.is_empty() { None } else { Some(mention(&body.mention, "mention")?) };
    let limit = match body.limit as usize {
        0 => LIMIT_DEFAULT,
        limit => limit.min(LIMIT_MAX),
    };
    let inner = Arc::clone(inner);
    on_a_thread(move || {
        let view = inner.handle.reader.view().map_err(FoldError::from)?;
        let (found, more) = decisions::decisions(&view, of, limit)?;
        Ok(ListDecisionsResponse { decisions: found.into_iter().map(wire_decision).collect(), more })
    })
    .await
}

fn mention(text: &str, field: &'static str) -> Result<MentionId, Error> {
    MentionId::from_hex(text).ok_or(Error::Mention(field))
}

fn wire_decision(decided: Decided) -> Decision {
    let verdict = match decided.verdict {
        Verdict::Must => WireVerdict::Must,
        Verdict::Cannot => WireVerdict::Cannot,
        Verdict::Unsure => WireVerdict::Unsure,
        Verdict::Undo => WireVerdict::Undo,
    };
    Decision {
        index: decided.index.0,
        left: decided.pair.0.to_hex(),
        right: decided.pair.1.to_hex(),
        verdict: verdict.into(),
        effect: decided.effect.name().to_owned(),
        actor: decided.actor,
        reason: decided.reason,
        decided_at: Some(wire::timestamp(decided.recorded_at.0)),
    }
}
