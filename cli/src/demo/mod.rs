//! Owns `retter demo`: a sample shop, this program in front of it, visitors, and a bad day.
//! Never touches anything outside this machine's loopback, and ends by itself.

mod shop;
mod show;
mod visitors;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{fmt, io};

use retter_core::report::{AdmissionStats, RefreshStats};

use crate::args::DemoOptions;
use crate::runtime::Adapter;
use crate::serve::{self, Protection, StartError};
use crate::settings::{Loaded, Sources};
use crate::telemetry::Log;
use crate::{failed, with_settings};
use shop::{Health, Shop};
use show::{Introduction, Second, Show};
use visitors::{Tally, Visitors};

/// The day: how the shop is, whether a crowd comes, and how many seconds each part takes.
const DAY: [(Health, bool, u32); 6] = [
    (Health::Healthy, false, 8),
    (Health::Healthy, true, 8),
    (Health::Slow, false, 8),
    (Health::Failing, false, 8),
    (Health::Down, false, 8),
    (Health::Healthy, false, 8),
];
const VISITORS: usize = 6;
/// Those who come besides, with the crowd.
const CROWD: usize = 14;
/// Fewer than the others: they too are a load, and the unprotected shop has only their share.
const SHADOWS: usize = 2;
const PAUSE: Duration = Duration::from_millis(120);
const TICK: Duration = Duration::from_secs(1);

/// Why the demo cannot go on.
#[derive(Debug)]
enum DemoError {
    /// The protection did not start.
    Start(StartError),
    /// The shop or the visitors did not start.
    System(io::Error),
}

impl From<io::Error> for DemoError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => error.fmt(f),
            Self::System(error) => write!(f, "the demo cannot go on: {error}"),
        }
    }
}

/// Shows the day, or days.
pub(crate) fn run(runtime: Adapter, flags: Sources, options: DemoOptions) -> ExitCode {
    let shop = match Shop::start() {
        Ok(shop) => shop,
        Err(error) => return failed(format_args!("{}", DemoError::System(error))),
    };
    let sources = sources(flags, &shop);
    with_settings(&sources, |loaded| {
        let log = match Log::start(loaded.values.log_level, loaded.values.log_json) {
            Ok(log) => log,
            Err(error) => return failed(format_args!("{}", DemoError::System(error))),
        };
        let shown = show(runtime, &sources, &loaded, &shop, options);
        drop(log);
        match shown {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(format_args!("{error}")),
        }
    })
}

/// The demo's settings: flags before defaults that suit a short day, and always its own shop. No
/// environment and no file, so that it is the same everywhere.
fn sources(mut sources: Sources, shop: &Shop) -> Sources {
    let defaults = [
        ("server.listen", "127.0.0.1:0"),
        ("admin.listen", "127.0.0.1:0"),
        // As many as the shop has workers: what is too much for it is answered from copies.
        ("backend.concurrency", "4"),
        // A shop that answers in 50 ms is slow at 500, and broken when it takes a second.
        ("backend.timeout_head", "1s"),
        ("breaker.slow_min", "500ms"),
        ("breaker.open_min", "1s"),
        ("breaker.open_max", "2s"),
        ("server.timeout_graceshut", "2s"),
        ("log.level", "off"),
        ("log.outages", "off"),
        ("admin.socket", "off"),
    ];
    sources.defaults = defaults.map(|(key, text)| (key, text.to_owned())).to_vec();
    let url = format!("http://{}", shop.addr);
    sources.flags.push(("backend.baseurl", url));
    sources
}

fn show(
    runtime: Adapter,
    sources: &Sources,
    loaded: &Loaded,
    shop: &Shop,
    options: DemoOptions,
) -> Result<(), DemoError> {
    let signals = serve::signals(&[])?;
    let protection = Protection::start(runtime, sources, loaded).map_err(DemoError::Start)?;
    let port = protection
        .server
        .local_addrs()
        .first()
        .map_or(0, SocketAddr::port);
    let front = format!("127.0.0.1:{port}");
    let switch = shop.switch_addr.to_string();
    let admin = protection
        .admin
        .as_ref()
        .and_then(crate::web::Server::addr)
        .map(|addr| addr.to_string());
    let admin = admin.as_deref().unwrap_or("(off)");
    let show = Show::new();
    show.introduction(&Introduction {
        shop: &shop.addr.to_string(),
        front: &front,
        admin,
        switch: &switch,
        length: (!options.repeat).then(|| part_lengths(options.duration_scale).sum()),
    });
    let stage = Stage {
        protection: &protection,
        shop,
        show,
        signals: &signals,
        port,
        visitors: Visitors::start(port, 0..VISITORS, PAUSE)?,
        shadows: Visitors::start(shop.addr.port(), 0..SHADOWS, PAUSE)?,
    };
    let started = Instant::now();
    let mut totals = (Tally::default(), Tally::default());
    let mut go_on = true;
    while go_on {
        go_on = stage.day(started, options.duration_scale, &mut totals)? && options.repeat;
    }
    let took = started.elapsed();
    totals.0.add(&stage.visitors.stop());
    totals.1.add(&stage.shadows.stop());
    let stats = refreshes(&protection);
    show.summary((&totals.0, &totals.1), &stats, took);
    if options.keep {
        show.staying(&front, admin, &switch);
        // Also ends when the signal thread has.
        let _ = signals.recv();
    } else {
        show.farewell();
    }
    protection.stop();
    Ok(())
}

fn refreshes(protection: &Protection) -> RefreshStats {
    let telemetry = &protection.telemetry;
    telemetry.site().stats(telemetry.clock().now()).refresh
}

fn part_lengths(scale: f64) -> impl Iterator<Item = Duration> {
    DAY.iter()
        .map(move |(_, _, seconds)| Duration::from_secs(u64::from(*seconds)).mul_f64(scale))
}

/// Everything that a day needs.
struct Stage<'a> {
    protection: &'a Protection,
    shop: &'a Shop,
    show: Show,
    signals: &'a Receiver<i32>,
    /// Where visitors find RETTER.
    port: u16,
    visitors: Visitors,
    shadows: Visitors,
}

impl Stage<'_> {
    /// Plays one day; returns false when it was interrupted.
    fn day(
        &self,
        started: Instant,
        scale: f64,
        totals: &mut (Tally, Tally),
    ) -> Result<bool, DemoError> {
        for ((health, is_crowded, _), length) in DAY.iter().zip(part_lengths(scale)) {
            self.shop.switch(*health)?;
            let all = VISITORS..VISITORS + CROWD;
            let crowd = if *is_crowded { all } else { 0..0 };
            let crowd = Visitors::start(self.port, crowd, PAUSE)?;
            let go_on = self.part(length, started, &crowd, totals);
            totals.0.add(&crowd.stop());
            if !go_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Plays one part of a day; returns false when it was interrupted.
    fn part(
        &self,
        length: Duration,
        started: Instant,
        crowd: &Visitors,
        totals: &mut (Tally, Tally),
    ) -> bool {
        let until = Instant::now() + length;
        let mut shed = self.admission().shed.all();
        while Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            match self.signals.recv_timeout(left.min(TICK)) {
                // A smaller rest counts with the next one.
                Err(RecvTimeoutError::Timeout) if left < TICK / 2 => {}
                Err(RecvTimeoutError::Timeout) => self.second(started, crowd, &mut shed, totals),
                Ok(_) | Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        true
    }

    /// Shows a second; `shed` is how many had found the shop full before.
    fn second(
        &self,
        started: Instant,
        crowd: &Visitors,
        shed: &mut u64,
        totals: &mut (Tally, Tally),
    ) {
        let telemetry = &self.protection.telemetry;
        let (mut with, without) = (self.visitors.take(), self.shadows.take());
        with.add(&crowd.take());
        totals.0.add(&with);
        totals.1.add(&without);
        telemetry.drain_events(telemetry.clock().now());
        let admission = self.admission();
        let before = std::mem::replace(shed, admission.shed.all());
        self.show.second(&Second {
            at: started.elapsed(),
            health: self.shop.health(),
            is_crowded: crowd.count() > 0,
            circuit: telemetry.site().circuit(telemetry.clock().now()),
            shed: *shed - before,
            admission,
            with: &with,
            without: &without,
        });
    }

    fn admission(&self) -> AdmissionStats {
        let telemetry = &self.protection.telemetry;
        let now = telemetry.clock().now();
        telemetry.site().stats(now).admission
    }
}
