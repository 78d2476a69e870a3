//! Stand-in for the policy and the adapter until they land: a naive proxy with one copy per
//! path and session and a breaker of five failures. To be deleted at the merge.
#![allow(
    missing_docs,
    missing_debug_implementations,
    unnameable_types,
    unreachable_pub,
    dead_code,
    clippy::too_many_lines
)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use retter_core::breaker::{Reason, State, Tier, Transition};
use retter_core::config::Config;
use retter_core::report::Stats;
use retter_core::time::Instant;

pub struct Retter {
    pub(crate) inner: Mutex<Inner>,
}

#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) copies: BTreeMap<String, (Instant, Vec<u8>)>,
    pub(crate) failed: u32,
    pub(crate) open_until: Option<Instant>,
    pub(crate) state: State,
    pub(crate) transitions: VecDeque<Transition>,
}

impl Retter {
    pub fn new(_config: Config, _seed: u64, _now: Instant) -> Arc<Self> {
        let inner = Mutex::default();
        Arc::new(Self { inner })
    }

    pub fn stats(&self, _now: Instant) -> Stats {
        let inner = self.inner.lock().expect("stand-in");
        Stats {
            circuit: inner.state,
            copies: inner.copies.len(),
            ..Stats::default()
        }
    }

    pub fn poll_transition(&self) -> Option<Transition> {
        self.inner.lock().expect("stand-in").transitions.pop_front()
    }

    pub fn circuit(&self, _now: Instant) -> State {
        self.inner.lock().expect("stand-in").state
    }

    /// Whether the origin may be asked.
    pub(crate) fn admit(&self, now: Instant) -> bool {
        let mut inner = self.inner.lock().expect("stand-in");
        if inner.open_until.is_some_and(|until| until > now) {
            return false;
        }
        if inner.state == State::Open {
            inner.open_until = Some(now + Duration::from_secs(1));
            inner.turn(
                State::HalfOpen,
                Reason::OpenTimeElapsed {
                    open: Duration::from_secs(1),
                },
                now,
            );
        }
        true
    }

    pub(crate) fn record(&self, ok: bool, now: Instant) {
        let mut inner = self.inner.lock().expect("stand-in");
        if ok {
            inner.failed = 0;
            inner.open_until = None;
            if inner.state != State::Closed {
                inner.turn(State::Closed, Reason::ProbesSucceeded { probes: 1 }, now);
            }
        } else {
            inner.failed += 1;
            if inner.failed >= 5 && inner.state != State::Open {
                inner.open_until = Some(now + Duration::from_secs(1));
                let failed = inner.failed;
                inner.turn(State::Open, Reason::Consecutive { failed }, now);
            }
        }
    }
}

impl Inner {
    fn turn(&mut self, to: State, reason: Reason, at: Instant) {
        let from = std::mem::replace(&mut self.state, to);
        self.transitions.push_back(Transition {
            at,
            from,
            path: None,
            reason,
            tier: Tier::Origin,
            to,
        });
    }
}

pub(crate) mod adapter {
    use std::io::{self, Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use retter_core::message::{Fields, RequestHead};
    use retter_core::report::{End, Observer, OriginReport, Report, Source};
    use retter_core::time::Instant;

    use super::Retter;

    #[derive(Clone)]
    pub struct Options {
        pub listen: Vec<SocketAddr>,
        pub workers: usize,
        pub origin_host: String,
        pub origin_port: u16,
        pub idle_connections_max: usize,
        pub idle_timeout: Duration,
        pub drain_timeout: Duration,
        pub epoch: std::time::Instant,
    }

    pub struct Server {
        addrs: Vec<SocketAddr>,
        stop: Arc<AtomicBool>,
    }

    impl Server {
        pub fn start(
            retter: Arc<Retter>,
            options: Options,
            observer: Arc<dyn Observer>,
        ) -> io::Result<Self> {
            let listener = TcpListener::bind(&options.listen[..])?;
            let addrs = vec![listener.local_addr()?];
            let stop = Arc::new(AtomicBool::new(false));
            let stopping = Arc::clone(&stop);
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if stopping.load(Ordering::Relaxed) {
                        return;
                    }
                    let (retter, options, observer) =
                        (Arc::clone(&retter), options.clone(), Arc::clone(&observer));
                    std::thread::spawn(move || {
                        observer.on_connect();
                        let _ = serve(stream, &retter, &options, &observer);
                        observer.on_disconnect();
                    });
                }
            });
            Ok(Self { addrs, stop })
        }

        pub fn local_addrs(&self) -> &[SocketAddr] {
            &self.addrs
        }

        pub fn drain(&self) {
            self.stop.store(true, Ordering::Relaxed);
            let _ = TcpStream::connect(("127.0.0.1", self.addrs[0].port()));
        }

        pub fn join(self) -> usize {
            0
        }
    }

    fn serve(
        mut stream: TcpStream,
        retter: &Retter,
        options: &Options,
        observer: &Arc<dyn Observer>,
    ) -> io::Result<()> {
        let now = || Instant::from_epoch(options.epoch.elapsed());
        let mut request = vec![0; 8192];
        let len = stream.read(&mut request)?;
        request.truncate(len);
        let started = now();
        let text = String::from_utf8_lossy(&request).into_owned();
        let mut words = text.split(' ');
        let (method, target) = (
            words.next().unwrap_or_default().to_owned(),
            words.next().unwrap_or_default().to_owned(),
        );
        let cookie = text
            .lines()
            .find(|line| line.starts_with("Cookie"))
            .unwrap_or_default();
        let key = format!("{target} {cookie}");
        let mut origin = None;
        let fetched = if method != "GET" || retter.admit(now()) {
            let result = fetch(&request, options);
            let status = result.as_ref().ok().and_then(|bytes| status(bytes));
            let ok = status.is_some_and(|status| status.as_u16() < 500);
            retter.record(ok, now());
            origin = Some(OriginReport {
                failure: None,
                status,
                time: now().saturating_since(started),
            });
            result.ok().filter(|_| ok)
        } else {
            None
        };
        let (source, bytes) = match fetched {
            Some(bytes) => {
                if method == "GET" {
                    retter
                        .inner
                        .lock()
                        .expect("stand-in")
                        .copies
                        .insert(key, (now(), bytes.clone()));
                }
                (Source::Backend, bytes)
            }
            None => match retter.inner.lock().expect("stand-in").copies.get(&key) {
                Some((at, bytes)) if now().saturating_since(*at) < Duration::from_secs(5) => {
                    (Source::Cache, bytes.clone())
                }
                Some((_, bytes)) => (Source::LastKnownSuccess, bytes.clone()),
                None => (
                    Source::NoCache,
                    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec(),
                ),
            },
        };
        let circuit = retter.circuit(now());
        let text = String::from_utf8_lossy(&bytes).replacen(
            "\r\n",
            &format!(
                "\r\nX-Retter: {}\r\nX-Circuit: {circuit}\r\n",
                source.as_str()
            ),
            1,
        );
        let end = if stream.write_all(text.as_bytes()).is_ok() {
            End::Complete
        } else {
            End::ClientLeft
        };
        observer.on_report(Report {
            bytes_received: 0,
            bytes_sent: bytes.len() as u64,
            circuit,
            end,
            ended: now(),
            origin,
            peer: stream.peer_addr()?,
            request: method
                .parse()
                .ok()
                .map(|method| RequestHead::new(method, &target, Fields::default())),
            source,
            started,
            status: status(&bytes),
        });
        Ok(())
    }

    fn status(bytes: &[u8]) -> Option<http::StatusCode> {
        http::StatusCode::from_bytes(bytes.get(9..12)?).ok()
    }

    fn fetch(request: &[u8], options: &Options) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect((options.origin_host.as_str(), options.origin_port))?;
        stream.set_read_timeout(Some(Duration::from_secs(3)))?;
        stream.write_all(request)?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
