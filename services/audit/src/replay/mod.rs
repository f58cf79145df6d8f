//! `Replay`: the log's entries as they are, read once from the first wanted to the last, filtered.
//!
//! The ends are those at the call's beginning, so that a replay ends also while publishers publish. What was sent is behind the
//! token of the same message: a caller who keeps the token with what it has taken goes on without gap or repetition.

mod filter;
mod shown;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use event_log::{Logged, StreamSet};
use ledger::tick::tree_name;
use record::{KeyTree, Partition, Position, Positions, Reader, Stream, Writer};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use wire::audit::{ReplayRequest, ReplayResponse, ReplaySummary, ReplayedEntry};

use crate::ahead::read_ahead;
use crate::error::Error;
use crate::service::{Inner, MESSAGES_QUEUED, PROGRESS, Purpose, Responses, on_a_thread};
use filter::{Filter, Span};
use shown::Shower;

/// A message goes out at so many entries, or about so many bytes.
const MESSAGE_ENTRIES: usize = 512;
const MESSAGE_BYTES: usize = 1 << 20;

/// Starts a replay: permitted, written down, then streamed. It ends early when the caller goes away or the hub stops.
pub(crate) async fn replay(
    inner: &Arc<Inner>,
    caller: String,
    request: ReplayRequest,
) -> Result<Responses<ReplayResponse>, Error> {
    let purpose = Purpose {
        caller,
        case: request.case_number.clone(),
        procedure: "audit.replay",
        asked: filter::in_words(&request),
    };
    inner.audited(&purpose).await?;
    let place = inner.places.clone().acquire_owned().await.map_err(|_| Error::Stopping)?;
    let run = {
        let inner = Arc::clone(inner);
        on_a_thread(move || Run::new(&inner, &request)).await?
    };
    // What is streamed has no end yet: its access names the filter.
    let named: Vec<_> = run.filter.records().collect();
    inner.shown(&purpose, named, purpose.asked.join("\n").as_bytes()).await?;
    let (sender, receiver) = mpsc::channel(MESSAGES_QUEUED);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = run.read_through(&sender) {
            // Fails when the caller has gone away.
            let _ = sender.blocking_send(Err(Status::from(error)));
        }
        drop(place);
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

/// A replay under way.
struct Run {
    inner: Arc<Inner>,
    filter: Filter,
    shower: Shower,
    /// What is read of each partition.
    spans: HashMap<(Stream, Partition), Span>,
    begin: Positions,
    streams: StreamSet,
    mark: [u8; 8],
    total: u64,
}

type Sender = mpsc::Sender<Result<ReplayResponse, Status>>;

impl Run {
    fn new(inner: &Arc<Inner>, request: &ReplayRequest) -> Result<Self, Error> {
        let filter = Filter::new(inner, request)?;
        let mark = mark_of(request);
        let mut spans = filter.spans(inner, request)?;
        if !request.resume.is_empty() {
            let resumed = resume_of(&request.resume, mark)?;
            for ((stream, partition), span) in &mut spans {
                span.from = span.from.max(resumed.get(*stream, *partition).0).min(span.to.max(span.from));
            }
        }
        let ends = inner.deps.log.ends();
        let mut begin: Positions = ends.iter().collect();
        let mut streams = StreamSet::empty();
        for ((stream, partition), span) in &spans {
            if span.from < span.to {
                begin.set(*stream, *partition, record::Index(span.from));
                streams = streams.with(*stream);
            }
        }
        let total = spans.values().map(|span| span.to.saturating_sub(span.from)).sum();
        let shower = Shower::new(inner, request);
        Ok(Self { inner: Arc::clone(inner), filter, shower, spans, begin, streams, mark, total })
    }

    fn wants(&self, at: Position) -> bool {
        let span = self.spans.get(&(at.stream, at.partition));
        span.is_some_and(|span| (span.from..span.to).contains(&at.index.0))
    }

    fn read_through(self, sender: &Sender) -> Result<(), Error> {
        let mut out = Outgoing::new(&self);
        let mut wanted = true;
        if self.total > 0 {
            let reader = self.inner.deps.log.reader(&self.begin, self.streams)?;
            read_ahead(reader, |batch| {
                wanted = out.take_all(&batch, sender)?;
                Ok::<_, Error>(wanted && out.read < self.total)
            })?;
        }
        if !wanted {
            return Ok(());
        }
        if out.read < self.total {
            // The ends were the log's own.
            return Err(Error::Internal);
        }
        let summary = out.summary();
        out.send(sender, Some(summary));
        Ok(())
    }
}

/// What has been read and not been sent.
struct Outgoing<'a> {
    run: &'a Run,
    /// As they were at the last message: what is erased meanwhile is not shown for longer.
    keys: Arc<KeyTree>,
    entries: Vec<ReplayedEntry>,
    bytes: usize,
    read: u64,
    matched: HashMap<String, u64>,
    next: Positions,
    sent: Instant,
}

impl<'a> Outgoing<'a> {
    fn new(run: &'a Run) -> Self {
        let begin = |(key, span): (&(Stream, Partition), &Span)| (key.0, key.1, record::Index(span.from));
        let next = run.spans.iter().map(begin).collect();
        Self {
            run,
            keys: run.inner.deps.secret.keys(),
            entries: Vec::new(),
            bytes: 0,
            read: 0,
            matched: HashMap::new(),
            next,
            sent: Instant::now(),
        }
    }

    /// Takes what is wanted of a batch, and sends what is full or due; `false` when the caller has gone away.
    fn take_all(&mut self, batch: &[Logged], sender: &Sender) -> Result<bool, Error> {
        if self.run.inner.is_stopping() {
            return Err(Error::Stopping);
        }
        for logged in batch.iter().filter(|logged| self.run.wants(logged.position)) {
            self.take(logged)?;
            if self.is_full() && !self.send(sender, None) {
                return Ok(false);
            }
        }
        Ok(!self.is_due() || self.send(sender, None))
    }

    fn take(&mut self, logged: &Logged) -> Result<(), Error> {
        self.read += 1;
        self.next.include(logged.position);
        let opened = self.run.filter.open(logged, &self.keys);
        if let Some(found) = self.run.filter.matches(&opened) {
            let entry = self.run.shower.show(logged, found);
            self.bytes += logged.bytes.len() + entry.bytes.len() + 256;
            self.entries.push(entry);
            *self.matched.entry(logged.position.stream.name().to_owned()).or_default() += 1;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= MESSAGE_ENTRIES || self.bytes >= MESSAGE_BYTES
    }

    fn is_due(&self) -> bool {
        self.sent.elapsed() >= PROGRESS
    }

    /// Sends what there is; `false` when the caller has gone away.
    fn send(&mut self, sender: &Sender, summary: Option<ReplaySummary>) -> bool {
        self.bytes = 0;
        self.keys = self.run.inner.deps.secret.keys();
        self.sent = Instant::now();
        let message = ReplayResponse {
            entries: std::mem::take(&mut self.entries),
            read: self.read,
            total: self.run.total,
            resume: token(&self.next, self.run.mark),
            summary,
        };
        sender.blocking_send(Ok(message)).is_ok()
    }

    fn summary(&self) -> ReplaySummary {
        let range = |(key, span): (&(Stream, Partition), &Span)| {
            let range = format!("{}..{}", span.from, span.to.max(span.from));
            (tree_name(key.0, key.1), range)
        };
        let (complete, not_complete) = self.run.filter.completeness();
        ReplaySummary {
            matched: self.matched.values().sum(),
            matched_by_stream: self.matched.clone(),
            ranges: self.run.spans.iter().filter(|(_, span)| span.from < span.to).map(range).collect(),
            complete,
            not_complete,
        }
    }
}

/// What tells the filter of a token: it leads nowhere under another.
fn mark_of(request: &ReplayRequest) -> [u8; 8] {
    let words = filter::in_words(request).join("\n");
    blake3::hash(words.as_bytes()).as_bytes()[..8].try_into().expect("a hash has 32 bytes")
}

fn token(next: &Positions, mark: [u8; 8]) -> String {
    let mut w = Writer::new();
    w.raw(&mark);
    next.encode(&mut w);
    URL_SAFE_NO_PAD.encode(w.finish())
}

fn resume_of(token: &str, mark: [u8; 8]) -> Result<Positions, Error> {
    let wrong = || Error::field("resume", "send a token of an earlier replay with the same filter");
    // Whatever is wrong with it, it is no token of ours.
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
    let mut r = Reader::new(&bytes);
    let found: [u8; 8] = r.array().map_err(|_| wrong())?;
    let positions = Positions::decode(&mut r).map_err(|_| wrong())?;
    r.end("resume token").map_err(|_| wrong())?;
    if found == mark { Ok(positions) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use record::Index;

    use super::*;

    #[test]
    fn a_token_leads_back_under_its_own_filter_only() {
        let next: Positions = [(Stream::Change, Partition(3), Index(7))].into_iter().collect();
        let asked = ReplayRequest { register: "civil".into(), ..Default::default() };
        let mark = mark_of(&asked);
        assert_eq!(resume_of(&token(&next, mark), mark).expect("its own"), next);
        let other = mark_of(&ReplayRequest { register: "land".into(), ..Default::default() });
        assert!(resume_of(&token(&next, mark), other).is_err());
        assert!(resume_of("no token", mark).is_err());
    }
}
