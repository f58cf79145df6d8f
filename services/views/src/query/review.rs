//! `ListReviews`: what a reviewer should look at, the most urgent first.
//!
//! A budget, not a list of everything: one answer looks at the head of the queue, or at what follows a page token, and puts that in
//! order of what a wrong link has reached.

use std::collections::BTreeSet;
use std::sync::Arc;

use access::{CASE_BYTES_MAX, HubAction, Refusal};
use linkage::NodeMeta;
use prost::Message as _;
use record::{Pseudonym, Timestamp};
use view_store::{KeyRange, Table};
use wire::query::{ListReviewsRequest, ListReviewsResponse, Review};

use super::Core;
use super::account::{Asked, Failure, Told, Verdict};
use super::error::Error;
use super::explain::bits;
use super::session::{AsOf, Session};
use super::told::hex;
use crate::decisions::is_decided;
use crate::fold::{FoldError, REVIEW_KEY_BYTES, ReviewClass, ReviewRow};

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 200;
/// Rows that an answer looks at for each pair that it may hold: decided pairs and those of no consequence go by.
const LOOKED_AT: usize = 4;
/// Accesses that are counted for a pair.
const ACCESSES_MAX: usize = 100;
/// Records of a subject whose accesses are counted.
const RECORDS_MAX: usize = 32;

struct Page {
    limit: usize,
    after: Option<[u8; REVIEW_KEY_BYTES]>,
    policy: [u8; 32],
    now: Timestamp,
}

impl Core {
    /// The hash of the policy that lets a caller review, for a case.
    pub(super) fn permit_review(&self, asked: &Asked) -> Result<[u8; 32], Error> {
        let access = self.handle.access.load_full();
        access.permit_hub(&asked.caller, HubAction::Review)?;
        if asked.case.trim().is_empty() {
            return Err(Refusal::PurposeMissing.into());
        }
        if asked.case.len() > CASE_BYTES_MAX || asked.case.chars().any(char::is_control) {
            return Err(Refusal::CaseMalformed.into());
        }
        Ok(*access.policy_hash().as_bytes())
    }

    pub(super) async fn list_reviews(
        self: &Arc<Self>,
        asked: &Asked,
        request: ListReviewsRequest,
    ) -> Result<Told<ListReviewsResponse>, Failure> {
        let policy = self.permit_review(asked)?;
        let limit = match request.limit as usize {
            0 => LIMIT_DEFAULT,
            limit => limit.min(LIMIT_MAX),
        };
        let page = Page { limit, after: token(&request.page_token)?, policy, now: asked.at };
        let core = Arc::clone(self);
        self.reads.run(move || Ok(list(&core, &page))).await?
    }
}

fn token(text: &str) -> Result<Option<[u8; REVIEW_KEY_BYTES]>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let digit = |at: usize| text.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(digit).collect();
    let key = bytes.and_then(|bytes| bytes.try_into().ok());
    let bad = || Error::field("page_token", "page_token_malformed", "send the token of an answer as it came");
    key.map(Some).ok_or_else(bad)
}

/// A pair with what orders it.
struct Candidate {
    row: ReviewRow,
    review: Review,
}

fn list(core: &Core, page: &Page) -> Result<Told<ListReviewsResponse>, Failure> {
    let session = Session::open(core, AsOf::default(), page.now)?;
    let basis = Arc::new(core.basis(session.positions.clone(), page.policy));
    let model = session.control.model.as_ref().ok_or(FoldError::Row("model"))?.model.clone();
    let from = page.after.map(|mut key| {
        // The first key behind it: keys have one length.
        for byte in key.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
        key
    });
    let range = from.as_ref().map_or(KeyRange::All, |from| KeyRange::From(from));
    let look = page.limit * LOOKED_AT;
    let rows = session.view.range(Table::Review, range, look)?;
    let mut last = rows.len() == look;
    let (mut found, mut records, mut next) = (Vec::new(), BTreeSet::new(), String::new());
    for (key, _) in rows {
        if found.len() == page.limit {
            last = true;
            break;
        }
        next = hex(&key);
        let row = ReviewRow::decode(&key)?;
        if let Some(review) = candidate(core, &session, &row, model.threshold(), &mut records)? {
            found.push(Candidate { row, review });
        }
    }
    found.sort_by_key(|c| (c.row.class, std::cmp::Reverse(c.review.accesses), c.row));
    let response = ListReviewsResponse {
        reviews: found.into_iter().map(|c| c.review).collect(),
        next_page_token: if last { next } else { String::new() },
        threshold_bits: bits(model.threshold()),
        model_epoch: model.epoch(),
        basis: None,
    };
    let (bytes, records) = (response.encode_to_vec(), records.into_iter().collect());
    Ok(Told { bytes, response, verdict: Verdict::Answered, records, fields: Vec::new(), basis })
}

/// The pair as the answer shows it; `None` when a reviewer has decided on it.
fn candidate(
    core: &Core,
    session: &Session,
    row: &ReviewRow,
    threshold: i32,
    records: &mut BTreeSet<Pseudonym>,
) -> Result<Option<Review>, Error> {
    let (left, right) = (session.node_by_id(&row.a)?, session.node_by_id(&row.b)?);
    let (a, b) = (left.anchor.mention, right.anchor.mention);
    if is_decided(&session.view, a, b)? {
        return Ok(None);
    }
    let mut of_pair = Vec::new();
    for meta in [&left, &right] {
        of_pair.extend(records_of(session, meta)?);
    }
    let (found, _) = core.access_log.list(&of_pair, None, ACCESSES_MAX).map_err(Error::Accesses)?;
    let anchors = [a, b].into_iter().map(|m| session.mention(m)).collect::<Result<Vec<_>, _>>()?;
    records.extend(anchors.into_iter().flatten().map(|row| row.record));
    let (class, weight) = match row.class {
        ReviewClass::Conflict => ("conflict", 0),
        ReviewClass::Refused => ("refused", i32::try_from(u32::MAX - row.rank).unwrap_or(i32::MAX)),
        ReviewClass::Weak => ("weak", threshold.saturating_add_unsigned(row.rank)),
    };
    Ok(Some(Review {
        class: class.to_owned(),
        left: a.to_hex(),
        right: b.to_hex(),
        left_subject: left.subject.to_hex(),
        right_subject: right.subject.to_hex(),
        bits: bits(weight),
        accesses: u32::try_from(found.len()).unwrap_or(u32::MAX),
    }))
}

fn records_of(session: &Session, meta: &NodeMeta) -> Result<Vec<Pseudonym>, Error> {
    Ok(session.records(meta.subject)?.into_keys().take(RECORDS_MAX).collect())
}
