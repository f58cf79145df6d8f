//! What goes on beside requests: health, looking through the views, and the retention of access entries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use event_log::EventLog;
use record::{Positions, Stream, Timestamp};
use telemetry::Readiness;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use views::quality_history::QualityHistory;
use views::rows;
use views::runtime::ViewsHandle;

use crate::error::told;

/// Between two looks for access entries that are past their retention.
const RETENTION_LOOK: Duration = Duration::from_secs(3_600);
/// Between two looks whether the log goes on.
const LOG_LOOK: Duration = Duration::from_millis(500);
const DAY_US: i64 = 86_400_000_000;
/// Between two looks at how far a process is.
const STANDING_LOOK: Duration = Duration::from_millis(100);

/// How a process stands to its log.
pub(super) struct Standing {
    /// Its fold, or whatever it follows the log with, is gone for good.
    pub(super) gone: bool,
    /// It takes nothing in: it is gone, or waits until it can go on.
    pub(super) stopped: bool,
    /// It has read what the log held when it started.
    pub(super) caught_up: bool,
}

/// Tells health checks of these services, and `/readyz`, whether this process serves: from the first failed write of the log on it does not,
/// since no answer could be made durable, which needs a new start, as does a fold that is gone. While the fold stands still it does not, since its
/// answers would be older by the day, and does again when the fold goes on; the same with a log that stalls; nor before it has caught up with
/// what the log held when it started.
pub(super) async fn tell_health(
    health: HealthReporter,
    services: Vec<&'static str>,
    readiness: Readiness,
    mut writable: watch::Receiver<bool>,
    standing: impl Fn() -> Standing,
    mut stalled: watch::Receiver<bool>,
    mut stopping: watch::Receiver<bool>,
) {
    let services: Vec<&str> = [""].into_iter().chain(services).collect();
    let mut told = None;
    loop {
        let Standing { gone, stopped, caught_up } = standing();
        let lasting = match (*writable.borrow_and_update(), gone) {
            (false, _) => Some("the log takes nothing"),
            (true, true) => Some("the fold has stopped"),
            (true, false) => None,
        };
        let waits = stopped.then_some("the fold has stopped");
        let silent = (*stalled.borrow_and_update()).then_some("the log does not answer");
        let obstacle = lasting.or(waits).or(silent).or((!caught_up).then_some("catching up with the log"));
        if told != Some(obstacle) {
            match obstacle {
                Some(obstacle) => readiness.not_ready(obstacle),
                None => readiness.ready(),
            }
            let status = if obstacle.is_none() { ServingStatus::Serving } else { ServingStatus::NotServing };
            tell(&health, &services, status).await;
            told = Some(obstacle);
        }
        if lasting.is_some() {
            // Neither comes back before a new start.
            break;
        }
        tokio::select! {
            // An error means that nobody looks any more, since the hub stops.
            changed = stalled.changed() => if changed.is_err() { break },
            changed = writable.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(STANDING_LOOK) => {}
            _ = stopping.wait_for(|stopping| *stopping) => break,
        }
    }
    // Fails when the hub is gone already, which is a stop too.
    let _ = stopping.wait_for(|stopping| *stopping).await;
    readiness.not_ready("stopping");
    tell(&health, &services, ServingStatus::NotServing).await;
}

/// How views stand.
pub(super) fn standing_of(handle: &ViewsHandle, target: Option<Positions>) -> impl Fn() -> Standing + use<> {
    let fold = handle.status.clone();
    move || {
        let status = fold.borrow();
        // The fold's thread drops its end when it is gone.
        let gone = fold.has_changed().is_err();
        let caught_up = target.as_ref().is_none_or(|target| status.positions.covers_all(target));
        Standing { gone, stopped: gone || status.stopped.is_some(), caught_up }
    }
}

/// What the views must hold before a hub whose log others may write to is ready: all of the log but its accesses, as it is now. An embedded log is
/// served from at once.
pub(super) fn to_catch_up_with(log: &EventLog) -> Option<Positions> {
    let ends = || log.ends().iter().filter(|(stream, ..)| *stream != Stream::Access).collect();
    (log.kind() == "kafka").then(ends)
}

/// Looks whether the log stalls, until the hub stops. An embedded one never does.
pub(super) fn watch_log(log: EventLog, mut stopping: watch::Receiver<bool>) -> (watch::Receiver<bool>, JoinHandle<()>) {
    let (tell, told) = watch::channel(false);
    let watching = tokio::spawn(async move {
        loop {
            let stall = log.stalled();
            let changed = tell.send_if_modified(|before| std::mem::replace(before, stall.is_some()) != stall.is_some());
            match stall.filter(|_| changed) {
                Some(stall) => {
                    tracing::warn!(what = %stall.what, lasting_ms = stall.lasting.as_millis(), "the log stalls")
                }
                None if changed => tracing::info!("the log goes on"),
                None => {}
            }
            tokio::select! {
                () = tokio::time::sleep(LOG_LOOK) => {}
                _ = stopping.wait_for(|stopping| *stopping) => break,
            }
        }
        // Whoever listens is stopping too.
        drop(log);
        tell.closed().await;
    });
    (told, watching)
}

async fn tell(health: &HealthReporter, services: &[&str], status: ServingStatus) {
    for service in services {
        health.set_service_status(*service, status).await;
    }
}

/// Of the time, this part is spent on looking through the views.
const LOOKING_SHARE: u32 = 10;

/// Reads all rows of the views again and again, and tells when they are not what their digest says.
pub(super) async fn check_rows(handle: ViewsHandle, interval: Duration, mut stopping: watch::Receiver<bool>) {
    let mut was_wrong = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        let (looked_at, stop) = (handle.clone(), stopping.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let mut begun = Instant::now();
            let purger = looked_at.purger.clone();
            let _long = purger.long_read();
            rows::check(&looked_at, (ingest::system_clock())(), |_| {
                std::thread::sleep((begun.elapsed() * (LOOKING_SHARE - 1)).min(Duration::from_secs(1)));
                begun = Instant::now();
                !*stop.borrow() && !purger.is_wanted()
            })
        });
        match looked.await {
            Ok(Some(checked)) => {
                match &checked.wrong {
                    Some(wrong) => tracing::error!(
                        wrong,
                        "the views are not what was folded: 'hub views verify' names the rows, 'hub views rebuild' folds them anew"
                    ),
                    None if was_wrong => tracing::info!(rows = checked.rows, "the views are what was folded again"),
                    None => tracing::debug!(rows = checked.rows, "the views are what was folded"),
                }
                was_wrong = checked.wrong.is_some();
                handle.checked.store(Some(Arc::new(checked)));
            }
            // Broken off for a purge, or because the hub stops.
            Ok(None) => {}
            Err(panic) => tracing::error!(%panic, "looking through the views ended in a panic"),
        }
    }
}

/// Of the time, this part is spent on copying entries from brokers.
const COPYING_SHARE: u32 = 2;
/// Between two lines about it.
const COPYING_TOLD: Duration = Duration::from_secs(10);

/// Copies what this process has not read of a log on Kafka, because it took its views from another one or lost its local files, once its views have
/// caught up with `target`. Questions are answered meanwhile; each body that is not there yet costs them one to a broker.
pub(super) async fn fill_local(
    handle: ViewsHandle,
    log: EventLog,
    target: Positions,
    mut stopping: watch::Receiver<bool>,
) {
    let mut folded = handle.folded.clone();
    tokio::select! {
        reached = folded.wait_for(|folded| folded.covers_all(&target)) => if reached.is_err() { return },
        _ = stopping.wait_for(|stopping| *stopping) => return,
    }
    let stop = stopping.clone();
    let (begun, mut told_at) = (Instant::now(), Instant::now());
    let filled = tokio::task::spawn_blocking(move || {
        log.fill_local(&target, |entries, worked| {
            if told_at.elapsed() >= COPYING_TOLD {
                told_at = Instant::now();
                tracing::info!(entries, "entries that were not read here are copied from the brokers");
            }
            std::thread::sleep((worked * (COPYING_SHARE - 1)).min(Duration::from_secs(1)));
            !*stop.borrow()
        })
    });
    match filled.await {
        Ok(Ok(0)) => {}
        Ok(Ok(entries)) => {
            tracing::info!(
                entries,
                took_ms = begun.elapsed().as_millis(),
                "entries that were not read here were copied from the brokers"
            );
        }
        Ok(Err(error)) => {
            tracing::warn!(error = %told(&error), "entries that were not read here are asked of the brokers one by one")
        }
        Err(panic) => tracing::error!(%panic, "copying entries from the brokers ended in a panic"),
    }
}

/// Lets go of access entries that are past their retention.
pub(super) async fn retain(log: EventLog, days: u32, mut stopping: watch::Receiver<bool>) {
    loop {
        let before = Timestamp((ingest::system_clock())().0.saturating_sub(i64::from(days) * DAY_US));
        let looked = {
            let log = log.clone();
            tokio::task::spawn_blocking(move || log.retain_access(before)).await
        };
        match looked {
            Ok(Ok(0)) => {}
            Ok(Ok(segments)) => tracing::info!(segments, days, "access entries past their retention were let go of"),
            Ok(Err(error)) => {
                tracing::warn!(error = %told(&error), "access entries past their retention are still there")
            }
            Err(panic) => tracing::error!(%panic, "the retention of access entries ended in a panic"),
        }
        tokio::select! {
            () = tokio::time::sleep(RETENTION_LOOK) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
    }
}

/// Between two looks whether the hour has its sample of quality.
const SAMPLE_LOOK: Duration = Duration::from_secs(60);

/// Keeps a sample of the quality counters each hour, once there are records and the views are level with the log.
pub(super) async fn sample_quality(handle: ViewsHandle, history: QualityHistory, mut stopping: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(SAMPLE_LOOK) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        // Of views that are being folded anew nothing is told.
        if handle.status.borrow().rebuilding_because.is_some() {
            continue;
        }
        let (handle, history) = (handle.clone(), history.clone());
        let sampled = tokio::task::spawn_blocking(move || {
            let (view, _) = handle.view()?;
            history.sample(&view, (ingest::system_clock())())
        });
        match sampled.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(error = %told(&error), "the hour has no sample of quality"),
            Err(panic) => tracing::error!(%panic, "sampling quality ended in a panic"),
        }
    }
}
