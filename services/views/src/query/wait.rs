//! Reading one's own write: waiting until the views have folded a receipt's positions.

use std::time::Duration;

use record::{Index, Partition, Position, Positions, Stream};
use tonic::metadata::MetadataMap;
use wire::query::MinPosition;

use super::Core;
use super::error::Error;

/// Taken off the caller's deadline, so that its answer says how far the views are before the connection gives up.
const MARGIN: Duration = Duration::from_millis(50);
/// Most positions in one request.
const POSITIONS_MAX: usize = 4096;

/// How long a call may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    pub(super) time: Duration,
    /// Whether the caller's own deadline sets it.
    pub(super) deadline: bool,
}

impl Patience {
    /// From the call's `grpc-timeout`, or the hub's own bound.
    pub(super) fn of(metadata: &MetadataMap, own: Duration) -> Self {
        let asked = metadata.get("grpc-timeout").and_then(|v| v.to_str().ok()).and_then(timeout);
        match asked {
            Some(asked) => Self { time: asked.saturating_sub(MARGIN.max(asked / 10)), deadline: true },
            None => Self { time: own, deadline: false },
        }
    }
}

/// `TimeoutValue TimeoutUnit` of gRPC over HTTP/2: at most 8 digits, then one of `H M S m u n`.
fn timeout(text: &str) -> Option<Duration> {
    let (unit_at, unit) = text.char_indices().last()?;
    let digits = text.get(..unit_at)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(n * 3600),
        'M' => Duration::from_secs(n * 60),
        'S' => Duration::from_secs(n),
        'm' => Duration::from_millis(n),
        'u' => Duration::from_micros(n),
        'n' => Duration::from_nanos(n),
        _ => return None,
    })
}

impl Core {
    /// Waits until the views have folded the positions.
    pub(super) async fn folded(&self, asked: &[MinPosition], patience: Patience) -> Result<(), Error> {
        if asked.is_empty() {
            return Ok(());
        }
        let wanted = self.wanted(asked)?;
        let mut folded = self.handle.folded.clone();
        let mut status = self.handle.status.clone();
        let stopped = async { status.wait_for(|s| s.stopped.is_some()).await.map(drop) };
        let there = async { folded.wait_for(|p| p.covers_all(&wanted)).await.map(drop) };
        let reached = tokio::select! {
            biased;
            reached = there => reached.is_ok(),
            _ = stopped => false,
            () = tokio::time::sleep(patience.time) => return Err(self.behind(&wanted, patience.deadline)),
        };
        if reached { Ok(()) } else { Err(Error::FoldStopped) }
    }

    fn wanted(&self, asked: &[MinPosition]) -> Result<Positions, Error> {
        let bad = |at: usize, description: &str| {
            Error::field(format!("min_positions[{at}]"), "position_unknown", description)
        };
        if asked.len() > POSITIONS_MAX {
            return Err(Error::field(
                "min_positions",
                "position_unknown",
                format!("at most {POSITIONS_MAX} are taken"),
            ));
        }
        let (partitions, ends) = (self.handle.log.partitions(), self.handle.log.ends());
        let shared = self.handle.log.kind() == "kafka";
        let mut wanted = Positions::new();
        for (at, position) in asked.iter().enumerate() {
            let partition = u16::try_from(position.partition).ok().filter(|p| *p < partitions.change);
            let partition = partition.ok_or_else(|| bad(at, "the change stream has no such partition"))?;
            let position =
                Position { stream: Stream::Change, partition: Partition(partition), index: Index(position.index) };
            // Where others append too, this process may not have heard of the entry yet.
            if !ends.covers(position) && !shared {
                return Err(bad(at, "the log holds no entry there: send a receipt's position"));
            }
            wanted.include(position);
        }
        Ok(wanted)
    }

    fn behind(&self, wanted: &Positions, deadline: bool) -> Error {
        let folded = self.handle.folded.borrow();
        let short = wanted.iter().find(|(stream, partition, end)| folded.get(*stream, *partition) < *end);
        let missing = short.map_or_else(String::new, |(stream, partition, end)| {
            let at = folded.get(stream, partition).0;
            format!("{}/{} stands at {at} of {}", stream.name(), partition.0, end.0)
        });
        Error::Behind { missing, deadline }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_read_as_grpc_writes_it() {
        assert_eq!(timeout("100m"), Some(Duration::from_millis(100)));
        assert_eq!(timeout("2S"), Some(Duration::from_secs(2)));
        for text in ["", "S", "123456789S", "1x", "-1S", "1é"] {
            assert_eq!(timeout(text), None, "{text}");
        }
    }

    #[test]
    fn a_call_without_a_deadline_waits_as_long_as_the_hub_says() {
        let mut metadata = MetadataMap::new();
        let own = Duration::from_secs(3);
        assert_eq!(Patience::of(&metadata, own), Patience { time: own, deadline: false });
        metadata.insert("grpc-timeout", "1S".parse().expect("ascii"));
        assert_eq!(Patience::of(&metadata, own), Patience { time: Duration::from_millis(900), deadline: true });
    }
}
