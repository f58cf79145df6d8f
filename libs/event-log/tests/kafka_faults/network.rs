//! What stands between hub and brokers fails: a proxy that cuts every connection, and one that is slow.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_log::{EventLog, Kafka, init_kafka};

use crate::brokers::{self, Brokers};
use crate::load::{Load, check, until};
use crate::outages::outage;

/// Passes bytes on in both directions.
struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    cut: AtomicBool,
    delay_ms: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Listens; where to pass on is said by [`Proxy::lead_to`].
    fn bind() -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        (Self { port, state: Arc::default() }, listener)
    }

    fn lead_to(&self, listener: TcpListener, port: u16) {
        let state = self.state.clone();
        std::thread::spawn(move || {
            for from in listener.incoming().flatten() {
                if state.cut.load(Ordering::Acquire) {
                    continue;
                }
                let Ok(to) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let both = [from.try_clone().expect("a socket"), to.try_clone().expect("a socket")];
                state.open.lock().expect("no panic").extend(both);
                for (mut from, mut to) in
                    [(from.try_clone().expect("a socket"), to.try_clone().expect("a socket")), (to, from)]
                {
                    let state = state.clone();
                    std::thread::spawn(move || pass(&mut from, &mut to, &state));
                }
            }
        });
    }

    /// Breaks what is open and lets nothing through.
    fn cut(&self) {
        self.state.cut.store(true, Ordering::Release);
        for stream in self.state.open.lock().expect("no panic").drain(..) {
            // One that is closed already is what is wanted.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn heal(&self) {
        self.state.cut.store(false, Ordering::Release);
    }

    fn slow(&self, delay: Duration) {
        self.state.delay_ms.store(delay.as_millis() as u64, Ordering::Release);
    }
}

fn pass(from: &mut TcpStream, to: &mut TcpStream, state: &State) {
    let mut bytes = [0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        std::thread::sleep(Duration::from_millis(state.delay_ms.load(Ordering::Acquire)));
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    // Whichever side has closed, the other learns of it.
    let _ = to.shutdown(Shutdown::Both);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_is_cut_and_healed_and_one_that_is_slow_lose_nothing() {
    let (proxy, listener) = Proxy::bind();
    let brokers = Brokers::start_in(1, |_| vec![("KAFKA_PROXY", proxy.port.to_string())]);
    proxy.lead_to(listener, brokers.port + 20);
    let mut options = brokers::options(&format!("127.0.0.1:{}", proxy.port), "network");
    options.stall_after = Duration::from_secs(2);
    options.append_timeout = outage() + Duration::from_secs(60);
    init_kafka(&options).expect("topics");
    let log: EventLog = Kafka::open(&options).expect("opened").into();
    let load = Load::start(&log, "network");
    load.acknowledges(300).await;

    proxy.cut();
    until("the cut is told", || log.stalled().is_some()).await;
    tokio::time::sleep(outage()).await;
    proxy.heal();
    load.acknowledges(300).await;
    until("its end is told", || log.stalled().is_none()).await;

    // Every answer takes a while: fewer appends, and none that fails.
    proxy.slow(Duration::from_millis(150));
    load.acknowledges(60).await;
    proxy.slow(Duration::ZERO);
    // A cut in the middle of everything, again and again.
    for _ in 0..5 {
        load.acknowledges(30).await;
        proxy.cut();
        proxy.heal();
    }
    load.acknowledges(100).await;
    let outcome = load.stop().await;
    assert!(outcome.failed.is_empty(), "who waits within the deadline is served: {:?}", outcome.failed.first());
    assert_eq!(check(&log, &outcome.promised), outcome.promised.len());
    log.close().await;
}
