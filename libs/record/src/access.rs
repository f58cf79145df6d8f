//! The access entry: who was answered what, when, why and from what.

use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::{Pseudonym, Timestamp};
use crate::position::{Index, Positions};

const ACCESS_VERSION: u8 = 1;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Action {
    /// One subject's attributes.
    GetSubject = 1,
    /// The items of a procedure.
    CheckProcedure = 2,
    /// Masked hits.
    Search = 3,
    /// Who looked at a subject.
    ListAccesses = 4,
    /// An operator read or drove again what a publisher had sent.
    Operate = 5,
    /// Why mentions are one subject, or not.
    ExplainLink = 6,
    /// What a reviewer should look at.
    ListReviews = 7,
    /// Subjects that change.
    Watch = 8,
}

impl Action {
    const ALL: [Self; 8] = [
        Self::GetSubject,
        Self::CheckProcedure,
        Self::Search,
        Self::ListAccesses,
        Self::Operate,
        Self::ExplainLink,
        Self::ListReviews,
        Self::Watch,
    ];

    /// The name, as answers write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::GetSubject => "get_subject",
            Self::CheckProcedure => "check_procedure",
            Self::Search => "search",
            Self::ListAccesses => "list_accesses",
            Self::Operate => "operate",
            Self::ExplainLink => "explain_link",
            Self::ListReviews => "list_reviews",
            Self::Watch => "watch",
        }
    }
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// An answer was given.
    Answered {
        /// Salt of the hash.
        salt: [u8; 16],
        /// Keyed hash of salt and answer.
        answer: [u8; 32],
    },
    /// The caller was refused.
    Refused {
        /// Stable code, such as `purpose_missing`.
        code: String,
    },
    /// The request was in order, and nothing was there to answer.
    NotFound,
    /// The key names several subjects.
    Ambiguous,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// What was asked for.
    pub action: Action,
    /// Random id of this access, told to the caller with the answer.
    pub id: [u8; 16],
    /// SPIFFE id of the caller.
    pub caller: String,
    /// The procedure; may be empty in a refusal.
    pub procedure: String,
    /// The case number; may be empty in a refusal.
    pub case: String,
    /// Records read.
    pub records: Vec<Pseudonym>,
    /// Attributes released.
    pub fields: Vec<String>,
    /// When.
    pub at: Timestamp,
    /// What the hub knew at this time was asked for; `None` for the time of asking.
    pub known_at: Option<Timestamp>,
    /// What was true at this time was asked for; `None` for the time of asking.
    pub valid_at: Option<Timestamp>,
    /// What was decided.
    pub decision: Decision,
}

/// The accesses of one group commit, and what they were answered from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessBatch {
    /// How far the views had folded.
    pub positions: Positions,
    /// How much of the control stream counted (exclusive).
    pub control: Index,
    /// The fold's version.
    pub fold_version: u32,
    /// The linkage model's epoch.
    pub model_epoch: u32,
    /// Hash of the policy document.
    pub policy: [u8; 32],
    /// The accesses.
    pub accesses: Vec<Access>,
}

impl AccessBatch {
    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(512);
        w.u8(ACCESS_VERSION);
        self.positions.encode(&mut w);
        w.u64(self.control.0).u32(self.fold_version).u32(self.model_epoch).raw(&self.policy);
        w.varint(self.accesses.len() as u64);
        self.accesses.iter().for_each(|a| a.encode(&mut w));
        w.finish()
    }

    /// Reads what [`AccessBatch::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        r.version("access entry", ACCESS_VERSION)?;
        let positions = Positions::decode(&mut r)?;
        let (control, fold_version, model_epoch, policy) = (Index(r.u64()?), r.u32()?, r.u32()?, r.array()?);
        let mut accesses = Vec::new();
        for _ in 0..r.count(Access::BYTES_MIN)? {
            accesses.push(Access::decode(&mut r)?);
        }
        r.end("access entry")?;
        Ok(Self { positions, control, fold_version, model_epoch, policy, accesses })
    }
}

impl Access {
    const BYTES_MIN: usize = 33;

    fn encode(&self, w: &mut Writer) {
        w.u8(self.action as u8).raw(&self.id).text(&self.caller).text(&self.procedure).text(&self.case);
        w.varint(self.records.len() as u64);
        self.records.iter().for_each(|r| {
            w.raw(&r.0);
        });
        w.varint(self.fields.len() as u64);
        self.fields.iter().for_each(|f| {
            w.text(f);
        });
        w.i64(self.at.0);
        for time in [self.known_at, self.valid_at] {
            match time {
                None => w.u8(0),
                Some(t) => w.u8(1).i64(t.0),
            };
        }
        match &self.decision {
            Decision::Answered { salt, answer } => w.u8(1).raw(salt).raw(answer),
            Decision::Refused { code } => w.u8(2).text(code),
            Decision::NotFound => w.u8(3),
            Decision::Ambiguous => w.u8(4),
        };
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = r.at();
        let action = r.u8()?;
        let action = Action::ALL.into_iter().find(|a| *a as u8 == action);
        let action = action.ok_or(DecodeError::Invalid { at, what: "action" })?;
        let id = r.array()?;
        let (caller, procedure, case) = (r.text()?.to_owned(), r.text()?.to_owned(), r.text()?.to_owned());
        let records = (0..r.count(16)?).map(|_| r.array().map(Pseudonym)).collect::<Result<_, _>>()?;
        let fields = (0..r.count(1)?).map(|_| r.text().map(str::to_owned)).collect::<Result<_, _>>()?;
        let time = Timestamp(r.i64()?);
        let known_at = Self::decode_time(r)?;
        let valid_at = Self::decode_time(r)?;
        let at = r.at();
        let decision = match r.u8()? {
            1 => Decision::Answered { salt: r.array()?, answer: r.array()? },
            2 => Decision::Refused { code: r.text()?.to_owned() },
            3 => Decision::NotFound,
            4 => Decision::Ambiguous,
            _ => return Err(DecodeError::Invalid { at, what: "decision" }),
        };
        Ok(Self { action, id, caller, procedure, case, records, fields, at: time, known_at, valid_at, decision })
    }

    fn decode_time(r: &mut Reader<'_>) -> Result<Option<Timestamp>, DecodeError> {
        let at = r.at();
        match r.u8()? {
            0 => Ok(None),
            1 => Ok(Some(Timestamp(r.i64()?))),
            _ => Err(DecodeError::Invalid { at, what: "time flag" }),
        }
    }
}
