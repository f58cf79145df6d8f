//! The body of a change entry: what the publisher stated, and who it was.

use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::{AgencyId, RecordId, Timestamp};
use crate::position::{Index, Partition};

const ENVELOPE_VERSION: u8 = 1;
const REFUSAL_VERSION: u8 = 1;

/// What a change does to its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Operation {
    /// States the whole record.
    Upsert = 1,
    /// Takes the record back: it holds no more.
    Retract = 2,
}

impl Operation {
    fn from_u8(v: u8) -> Option<Self> {
        match v {
            1 => Some(Self::Upsert),
            2 => Some(Self::Retract),
            _ => None,
        }
    }
}

/// BLAKE3 of everything that the publisher stated. Two changes of one identity are duplicates when these are equal, and in
/// conflict when they differ. Kept in the view store and the digest only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatementHash(pub [u8; 32]);

/// A change as the log keeps it. Borrowed, so that the fold copies nothing.
///
/// The *statement* is what the publisher says of the record; the rest (`published_at`, `principal`, `trace`) is of one
/// delivery, and may differ between retries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The record's id in its register.
    pub record_id: RecordId,
    /// The record type, such as `birth`.
    pub record_type: &'a str,
    /// Upsert or retract.
    pub operation: Operation,
    /// The agency that acted.
    pub agency: AgencyId,
    /// The earlier version that this one corrects; 0 for none.
    pub replaces: u64,
    /// From when the change holds.
    pub effective_at: Timestamp,
    /// When the register recorded it.
    pub registered_at: Timestamp,
    /// The legal basis; may be empty.
    pub legal_basis: &'a str,
    /// Why the change was made; may be empty.
    pub reason: &'a str,
    /// The record, exactly as received: serialised protobuf of the record type. Empty for a retraction.
    pub payload: &'a [u8],
    /// When the publisher sent it.
    pub published_at: Timestamp,
    /// The SPIFFE id of the publisher's certificate.
    pub principal: &'a str,
    /// W3C trace context: trace id, span id, flags.
    pub trace: Option<TraceContext>,
}

/// The binary parts of a W3C `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span that published.
    pub span_id: [u8; 8],
    /// Trace flags; bit 0 says sampled.
    pub flags: u8,
}

impl TraceContext {
    /// Parses a `traceparent` header of version 00.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version != "00" || parts.next().is_some() {
            return None;
        }
        let flags: [u8; 1] = hex(flags)?;
        Some(Self { trace_id: hex(trace)?, span_id: hex(span)?, flags: flags[0] })
    }

    /// The `traceparent` header.
    pub fn to_header(self) -> String {
        use std::fmt::Write as _;
        let mut out = String::from("00-");
        let push = |out: &mut String, bytes: &[u8]| {
            for b in bytes {
                write!(out, "{b:02x}").expect("writing to a string cannot fail");
            }
        };
        push(&mut out, &self.trace_id);
        out.push('-');
        push(&mut out, &self.span_id);
        out.push('-');
        push(&mut out, &[self.flags]);
        out
    }
}

fn hex<const N: usize>(s: &str) -> Option<[u8; N]> {
    if s.len() != 2 * N || !s.is_ascii() {
        return None;
    }
    let mut out = [0; N];
    for (i, o) in out.iter_mut().enumerate() {
        *o = u8::from_str_radix(&s[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(out)
}

impl<'a> Envelope<'a> {
    /// The hash of the statement.
    pub fn statement_hash(&self) -> StatementHash {
        let mut w = Writer::with_capacity(256 + self.payload.len());
        self.encode_statement(&mut w);
        StatementHash(*blake3::hash(&w.finish()).as_bytes())
    }

    fn encode_statement(&self, w: &mut Writer) {
        w.text(self.record_id.as_str()).text(self.record_type).u8(self.operation as u8);
        w.text(self.agency.as_str()).varint(self.replaces);
        w.i64(self.effective_at.0).i64(self.registered_at.0);
        w.text(self.legal_basis).text(self.reason).bytes(self.payload);
    }

    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(320 + self.payload.len());
        w.u8(ENVELOPE_VERSION);
        self.encode_statement(&mut w);
        w.i64(self.published_at.0).text(self.principal);
        match &self.trace {
            None => w.u8(0),
            Some(t) => w.u8(1).raw(&t.trace_id).raw(&t.span_id).u8(t.flags),
        };
        w.finish()
    }

    /// Reads what [`Envelope::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let out = Self::read(&mut r)?;
        r.end("change envelope")?;
        Ok(out)
    }

    fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        r.version("change envelope", ENVELOPE_VERSION)?;
        let record_id = r.id()?;
        let record_type = r.text()?;
        let at = r.at();
        let operation = Operation::from_u8(r.u8()?).ok_or(DecodeError::Invalid { at, what: "operation" })?;
        let agency = r.id()?;
        let replaces = r.varint()?;
        let effective_at = Timestamp(r.i64()?);
        let registered_at = Timestamp(r.i64()?);
        let (legal_basis, reason, payload) = (r.text()?, r.text()?, r.bytes()?);
        let published_at = Timestamp(r.i64()?);
        let principal = r.text()?;
        let at = r.at();
        let trace = match r.u8()? {
            0 => None,
            1 => Some(TraceContext { trace_id: r.array()?, span_id: r.array()?, flags: r.u8()? }),
            _ => return Err(DecodeError::Invalid { at, what: "trace context flag" }),
        };
        Ok(Self {
            record_id,
            record_type,
            operation,
            agency,
            replaces,
            effective_at,
            registered_at,
            legal_basis,
            reason,
            payload,
            published_at,
            principal,
            trace,
        })
    }
}

/// One reason why a change was refused, as its publisher was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalReason<'a> {
    /// The field, as a path within the record; empty when the whole change is meant.
    pub field_path: &'a str,
    /// The rule's id.
    pub rule_id: &'a str,
    /// One of the eight error groups, or empty when no rule of the contract was broken.
    pub group: &'a str,
    /// What to do. Never holds the value.
    pub message: &'a str,
}

/// The body of a rejected entry: the change as received and why it was refused.
///
/// What cannot be kept as an envelope (an id that breaks its rule, say) is kept as the bytes that were received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// The serialised `Change` message, exactly as received.
    pub received: &'a [u8],
    /// The SPIFFE id of the publisher's certificate.
    pub principal: &'a str,
    /// When the publisher sent it.
    pub published_at: Timestamp,
    /// Why; never empty.
    pub reasons: Vec<RefusalReason<'a>>,
}

impl<'a> Refusal<'a> {
    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(128 + self.received.len());
        w.u8(REFUSAL_VERSION).bytes(self.received).text(self.principal).i64(self.published_at.0);
        w.varint(self.reasons.len() as u64);
        for reason in &self.reasons {
            w.text(reason.field_path).text(reason.rule_id).text(reason.group).text(reason.message);
        }
        w.finish()
    }

    /// Reads what [`Refusal::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        r.version("refusal", REFUSAL_VERSION)?;
        let (received, principal, published_at) = (r.bytes()?, r.text()?, Timestamp(r.i64()?));
        let mut reasons = Vec::new();
        for _ in 0..r.count(4)? {
            reasons.push(RefusalReason {
                field_path: r.text()?,
                rule_id: r.text()?,
                group: r.text()?,
                message: r.text()?,
            });
        }
        r.end("refusal")?;
        Ok(Self { received, principal, published_at, reasons })
    }
}

/// The body of an entry that closes a refusal: it was driven again and taken, or given up by its publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalClosed<'a> {
    /// The partition of the rejected entry.
    pub partition: Partition,
    /// The index of the rejected entry.
    pub index: Index,
    /// Who closed it: a SPIFFE id.
    pub principal: &'a str,
}

impl<'a> RefusalClosed<'a> {
    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(REFUSAL_VERSION).u16(self.partition.0).u64(self.index.0).text(self.principal);
        w.finish()
    }

    /// Reads what [`RefusalClosed::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        r.version("refusal closure", REFUSAL_VERSION)?;
        let out = Self { partition: Partition(r.u16()?), index: Index(r.u64()?), principal: r.text()? };
        r.end("refusal closure")?;
        Ok(out)
    }
}
