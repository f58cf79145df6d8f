//! The scripted publisher's streams: order, flow control, and what happens when one breaks.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use wire::ingest::{Batch, Change, PublishRequest, PublishResponse};

use super::publisher::{Publisher, expect, letters};
use super::suite::{Seen, failed};

/// Batches of the case of flow control, at most: each of what was published before, so that nothing new is kept. Their answers are
/// more than what this client's HTTP/2 window takes unread, which is 2 MiB.
const FLOOD_BATCHES: usize = 12_000;
/// A stream that takes nothing for so long is held back.
const HELD_BACK: Duration = Duration::from_millis(700);

impl Publisher {
    /// Sends batches over one stream as fast as it takes them; answers are read when `read` says so.
    async fn stream(
        &mut self,
        outgoing: mpsc::Receiver<PublishRequest>,
    ) -> Result<tonic::Streaming<PublishResponse>, Status> {
        Ok(self.client.publish(ReceiverStream::new(outgoing)).await?.into_inner())
    }

    pub(super) async fn in_order(&mut self) -> Seen {
        let batches: Vec<Batch> = (0..8)
            .map(|n| {
                let changes = (0..3).map(|at| self.fresh(&format!("stream-{n}-{at}"))).collect();
                self.batch(changes)
            })
            .collect();
        let sequences: Vec<u64> = batches.iter().map(|batch| batch.sequence).collect();
        let (sender, outgoing) = mpsc::channel(batches.len());
        for batch in batches {
            // There is room for all of them.
            let _ = sender.send(PublishRequest { batch: Some(batch) }).await;
        }
        drop(sender);
        let mut answers = self.stream(outgoing).await?;
        let mut found = Vec::new();
        while let Some(answer) = answers.message().await? {
            let result = answer.result.unwrap_or_default();
            expect(&result, "aaa")?;
            found.push(result.sequence);
        }
        if found == sequences {
            Ok(format!("{} batches", found.len()))
        } else {
            failed("the answers are in another order")
        }
    }

    pub(super) async fn flow_control(&mut self) -> Seen {
        let (sender, outgoing) = mpsc::channel(1);
        let changes = self.samples.clone();
        let register = self.register.clone();
        let (told, mut sent) = mpsc::channel::<usize>(1);
        // Ends with this case, however that ends.
        let mut flood = JoinSet::new();
        flood.spawn(async move {
            for n in 0..FLOOD_BATCHES {
                let batch = Batch {
                    sequence: n as u64,
                    register: register.clone(),
                    published_at: None,
                    changes: changes.clone(),
                    register_epoch: 0,
                };
                let send = sender.send(PublishRequest { batch: Some(batch) });
                let mut send = std::pin::pin!(send);
                tokio::select! {
                    result = &mut send => if result.is_err() { return n },
                    () = tokio::time::sleep(HELD_BACK) => {
                        // Held back: whoever waits for that begins to read.
                        let _ = told.send(n).await;
                        if send.await.is_err() { return n }
                        break;
                    }
                }
                if n + 1 == FLOOD_BATCHES {
                    let _ = told.send(FLOOD_BATCHES).await;
                }
            }
            drop(sender);
            FLOOD_BATCHES
        });
        let mut answers = self.stream(outgoing).await?;
        let held_at = sent.recv().await.unwrap_or(FLOOD_BATCHES);
        let mut answered = 0_usize;
        while let Some(answer) = answers.message().await? {
            let result = answer.result.unwrap_or_default();
            if result.sequence != answered as u64 || letters(&result).chars().any(|letter| letter != 'd') {
                return failed("an answer is missing, in another order, or is not a duplicate");
            }
            answered += 1;
        }
        // Ended long before: all it sent was answered.
        let _ = flood.join_next().await;
        if held_at == FLOOD_BATCHES {
            return failed(format!("{FLOOD_BATCHES} batches were taken while no answer was read: nothing bounds them"));
        }
        Ok(format!("held back after {held_at} batches; {answered} answered in order"))
    }

    pub(super) async fn broken_off(&mut self) -> Seen {
        let changes: Vec<Change> = (0..50).map(|n| self.fresh(&format!("broken-{n:02}"))).collect();
        let (sender, outgoing) = mpsc::channel(1);
        let batch = self.batch(changes.clone());
        // The stream takes it before it is dropped, or not: both may happen to a publisher.
        let _ = sender.send(PublishRequest { batch: Some(batch) }).await;
        let begun = tokio::time::timeout(Duration::from_millis(20), self.stream(outgoing)).await;
        drop(begun);
        drop(sender);
        let result = self.publish(changes.clone()).await?;
        if letters(&result).chars().any(|letter| !matches!(letter, 'a' | 'd')) {
            return failed(format!("the outcomes are {}", letters(&result)));
        }
        let again = self.publish(changes.clone()).await?;
        expect(&again, &"d".repeat(changes.len()))?;
        let states = self.until_folded(&changes).await?;
        let conflicts: u32 = states.iter().map(|status| status.conflicts).sum();
        if conflicts > 0 {
            failed("the fold has conflicts")
        } else {
            Ok(format!("{} changes, each once", changes.len()))
        }
    }
}
