//! Owns the JSON of `/health`.
//! Never decides what is healthy beyond what the circuit says.

use std::collections::BTreeMap;

use retter_core::admission::Holder;
use retter_core::breaker::State;
use retter_core::report::{
    AdmissionStats, CoverageCounts, Obstacle, PublicStats, RefreshStats, Sign, SoftStats, Source,
    Stats, WaitingStats, Way,
};
use retter_core::site::Manual;
use serde::Serialize;

use super::by_hand::ByHand;
use crate::clock::millis;
use crate::telemetry::{Telemetry, Times, escape};

#[derive(Serialize)]
struct Health {
    /// `ok`, `rescuing` while a circuit is not closed, `maintenance`, or `draining`.
    status: &'static str,
    version: &'static str,
    uptime_seconds: u64,
    circuit: &'static str,
    paths_open: usize,
    /// What an operator has decided in the place of the circuits.
    by_hand: Option<ByHand>,
    /// How long the application usually takes to begin an answer.
    usual_ms: Option<f64>,
    slow_calls: u64,
    /// By how much the application's clock seems to be behind.
    clock_behind_seconds: Option<u64>,
    soft_failures: SoftFailures,
    copies: Copies,
    /// Where copies outlive the program.
    disk: Option<OnDisk>,
    /// Where copies are shared with other instances.
    shared: Option<WithOthers>,
    admission: Admission,
    rescuable: Rescuable,
    public: Public,
    sessions: Sessions,
    refresh: Refresh,
    connections: Connections,
    requests: Requests,
    /// Of the last one to two minutes.
    latency_ms: Latencies,
    transitions: Vec<Change>,
    /// A proxy in front that is not declared, as it seems.
    undeclared_proxy: Option<UndeclaredProxy>,
    /// Parameters of queries that change no page, as it seems.
    idle_parameters: Vec<String>,
    waiting_room: WaitingRoom,
}

#[derive(Serialize)]
struct WaitingRoom {
    waiting: usize,
    /// How long a visitor who came now would wait; null while nobody waits, or where nobody can tell.
    wait_seconds: Option<u64>,
    given: u64,
    let_in: u64,
    left: u64,
    /// Visitors who got no place: of a network that has its share, or without cookies.
    refused: u64,
}

impl From<WaitingStats> for WaitingRoom {
    fn from(stats: WaitingStats) -> Self {
        Self {
            waiting: stats.waiting,
            wait_seconds: stats.wait.map(|wait| wait.as_secs()),
            given: stats.given,
            let_in: stats.let_in,
            left: stats.left,
            refused: stats.refused,
        }
    }
}

#[derive(Serialize)]
struct UndeclaredProxy {
    network: String,
    /// What declares it.
    setting: String,
}

#[derive(Serialize)]
struct Copies {
    count: usize,
    bytes: usize,
    insertions: u64,
    evictions: u64,
}

impl Copies {
    fn of(stats: &Stats) -> Self {
        Self {
            count: stats.copies,
            bytes: stats.copies_bytes,
            insertions: stats.insertions,
            evictions: stats.evictions,
        }
    }
}

#[derive(Serialize)]
pub(super) struct OnDisk {
    copies: usize,
    bytes: u64,
    /// Those of before the start that are here again, and whether that is all.
    loaded: u64,
    is_loading: bool,
    lost: u64,
    is_failing: bool,
}

impl From<retter_disk::Stats> for OnDisk {
    fn from(stats: retter_disk::Stats) -> Self {
        Self {
            copies: stats.copies,
            bytes: stats.bytes,
            loaded: stats.loaded,
            is_loading: stats.is_loading,
            lost: stats.lost,
            is_failing: stats.trouble.is_some(),
        }
    }
}

/// Copies that are shared with other instances.
#[derive(Serialize)]
pub(super) struct WithOthers {
    /// Those that were heard of within the last seconds, this one included.
    instances: usize,
    /// Whether all is known that others have told.
    is_current: bool,
    /// What is wrong with the Redis.
    trouble: Option<String>,
    asked: u64,
    found: u64,
    written: u64,
    lost: u64,
    gaps: u64,
    rejected: u64,
}

impl From<retter_shared::Stats> for WithOthers {
    fn from(stats: retter_shared::Stats) -> Self {
        let trouble = stats.trouble.map(|trouble| trouble.to_string());
        Self {
            instances: stats.instances,
            is_current: stats.is_current,
            trouble: trouble.map(|trouble| escape(trouble.as_bytes())),
            asked: stats.asked,
            found: stats.found,
            written: stats.written,
            lost: stats.lost,
            gaps: stats.gaps,
            rejected: stats.rejected,
        }
    }
}

#[derive(Serialize)]
struct Admission {
    /// How many requests may be at the application; it adapts.
    limit: u32,
    in_flight: u32,
    /// Requests that only wait inside the application, and are no work for it.
    parked: u32,
    waiting: usize,
    /// Mean of recent requests.
    service_ms: f64,
    overflows: u64,
    shed: Shed,
    /// The page whose requests have been at the application longest, all together.
    longest: Option<Longest>,
}

impl Admission {
    fn of(stats: &AdmissionStats, longest: Option<Holder>) -> Self {
        Self {
            limit: stats.limit,
            in_flight: stats.in_flight,
            parked: stats.parked,
            waiting: stats.waiting,
            service_ms: millis(stats.service_time),
            overflows: stats.overflows,
            shed: Shed {
                copy: stats.shed.copy,
                deadline: stats.shed.deadline,
                early: stats.shed.early,
                full: stats.shed.full,
            },
            longest: longest.map(Longest::from),
        }
    }
}

/// A page that keeps the application.
#[derive(Serialize)]
struct Longest {
    page: Box<str>,
    requests: usize,
    parked: usize,
    longest_seconds: u64,
}

impl From<Holder> for Longest {
    fn from(holder: Holder) -> Self {
        Self {
            page: holder.page,
            requests: holder.requests,
            parked: holder.parked,
            longest_seconds: holder.longest.as_secs(),
        }
    }
}

/// What became of requests that found the application full and were not sent on.
#[derive(Serialize)]
struct Shed {
    copy: u64,
    deadline: u64,
    early: u64,
    full: u64,
}

/// Error pages that came with status 200.
#[derive(Serialize)]
struct SoftFailures {
    /// By the sign that says most.
    failed: BTreeMap<&'static str, u64>,
    /// Those of which it is not known.
    doubted: u64,
}

impl From<SoftStats> for SoftFailures {
    fn from(stats: SoftStats) -> Self {
        let by_sign = Sign::ALL.map(|sign| (sign.as_str(), stats.failed(sign)));
        Self {
            failed: BTreeMap::from(by_sign),
            doubted: stats.doubted,
        }
    }
}

/// Whether the pages of the last hour could be rescued if the application failed.
#[derive(Serialize)]
struct Rescuable {
    /// `None` where no page was asked for.
    ratio: Option<f64>,
    /// By whose copy.
    ways: BTreeMap<&'static str, u64>,
    /// By what is in the way. Those that are none are left out.
    obstacles: BTreeMap<&'static str, u64>,
    /// Redirects, and what there is no page for: they are not in the ratio.
    no_page: u64,
    /// A field of which nothing is known, which most of those have of which a field is in the way.
    unknown_field: Option<UnknownField>,
}

#[derive(Serialize)]
struct UnknownField {
    name: String,
    /// Of the requests in whose way fields are.
    share: f64,
}

impl Rescuable {
    fn new(hour: &CoverageCounts, field: Option<(String, f64)>) -> Self {
        let obstacles = Obstacle::ALL.map(|why| (why.as_str(), hour.without(why)));
        let ways = Way::ALL.map(|way| (way.as_str(), hour.by(way)));
        Self {
            ratio: hour.ratio(),
            ways: BTreeMap::from(ways),
            obstacles: obstacles
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .collect(),
            no_page: hour.no_page,
            unknown_field: field.map(|(name, share)| UnknownField {
                name: escape(name.as_bytes()),
                share,
            }),
        }
    }
}

/// What is asked as a stranger.
#[derive(Serialize)]
struct Public {
    /// Pages to be asked for, now or when they are due.
    wanted: usize,
    asked: u64,
    kept: u64,
    /// The application said that a stranger may not see the page.
    refused: u64,
    /// Nothing of such an answer is kept.
    passed: u64,
    failed: u64,
    /// The application's time.
    spent_ms: f64,
    /// Visitors who were answered with what a stranger was sent.
    served: u64,
}

impl From<PublicStats> for Public {
    fn from(stats: PublicStats) -> Self {
        Self {
            wanted: stats.wanted,
            asked: stats.asked,
            kept: stats.kept,
            refused: stats.refused,
            passed: stats.passed,
            failed: stats.failed,
            spent_ms: millis(stats.spent),
            served: stats.served,
        }
    }
}

/// Sessions that are known by a cookie value that one browser only was given.
#[derive(Serialize)]
struct Sessions {
    /// Cookies of browsers.
    followed: u32,
    /// Names of cookies that get another value with each answer.
    rolling: usize,
}

/// What is asked in the background.
#[derive(Serialize)]
struct Refresh {
    wanted: usize,
    running: u32,
    renewed: u64,
    passed: u64,
    failed: u64,
    dropped: u64,
    probes_succeeded: u64,
    probes_failed: u64,
}

impl From<RefreshStats> for Refresh {
    fn from(stats: RefreshStats) -> Self {
        Self {
            wanted: stats.wanted,
            running: stats.running,
            renewed: stats.renewed,
            passed: stats.passed,
            failed: stats.failed,
            dropped: stats.dropped,
            probes_succeeded: stats.probes_succeeded,
            probes_failed: stats.probes_failed,
        }
    }
}

#[derive(Serialize)]
struct Connections {
    open: u64,
    accepted: u64,
}

#[derive(Serialize)]
struct Requests {
    by_source: BTreeMap<&'static str, u64>,
    by_status: BTreeMap<&'static str, u64>,
    clients_left: u64,
    /// Copies that answered in the application's place, by what kept it from answering.
    rescued: BTreeMap<&'static str, u64>,
    truncated: u64,
}

#[derive(Serialize)]
struct Latencies {
    origin: Percentiles,
    answer: Percentiles,
}

#[derive(Serialize)]
struct Percentiles {
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
}

#[derive(Serialize)]
struct Change {
    at: String,
    tier: String,
    path: Option<String>,
    from: &'static str,
    to: &'static str,
    reason: String,
}

/// The state in detail.
pub(super) fn json(telemetry: &Telemetry) -> String {
    let mut text =
        serde_json::to_string_pretty(&read(telemetry)).expect("texts and numbers always serialise");
    text.push('\n');
    text
}

fn read(telemetry: &Telemetry) -> Health {
    let now = telemetry.clock().now();
    let stats = telemetry.site().stats(now);
    let totals = telemetry.totals();
    let (accepted, open) = telemetry.connections();
    let transitions = telemetry.transitions();
    let all_closed = stats.circuit == State::Closed && stats.paths_open == 0;
    let by_hand = telemetry.site().by_hand(now).map(|decided| decided.manual);
    let by_source = Source::ALL.map(|source| (source.as_str(), totals.answers_from(source)));
    Health {
        status: match by_hand {
            _ if telemetry.is_draining() => "draining",
            Some(Manual::Maintenance { .. }) => "maintenance",
            Some(Manual::Open) => "rescuing",
            Some(Manual::Closed) | None if all_closed => "ok",
            Some(Manual::Closed) | None => "rescuing",
        },
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: telemetry.clock().epoch.elapsed().as_secs(),
        circuit: stats.circuit.as_str(),
        paths_open: stats.paths_open,
        by_hand: ByHand::read(telemetry),
        usual_ms: stats.usual.map(millis),
        slow_calls: stats.slow_calls,
        clock_behind_seconds: stats.clock_behind.map(|behind| behind.as_secs()),
        soft_failures: stats.soft.into(),
        copies: Copies::of(&stats),
        disk: telemetry.disk().map(|disk| disk.stats().into()),
        shared: telemetry
            .instances()
            .map(|instances| instances.stats().into()),
        admission: Admission::of(&stats.admission, telemetry.site().gate().holder(now)),
        rescuable: Rescuable::new(&stats.coverage.hour, telemetry.site().worst_field()),
        public: stats.public.into(),
        sessions: Sessions {
            followed: stats.sessions.followed,
            rolling: stats.sessions.rolling,
        },
        refresh: stats.refresh.into(),
        connections: Connections { open, accepted },
        requests: Requests {
            by_source: BTreeMap::from(by_source),
            by_status: totals.by_class(),
            clients_left: totals.clients_left,
            rescued: totals.rescued.clone(),
            truncated: totals.truncated,
        },
        latency_ms: Latencies {
            origin: percentiles(&totals.origin_times),
            answer: percentiles(&totals.answer_times),
        },
        transitions: transitions
            .last
            .iter()
            .map(|change| Change {
                at: humantime::format_rfc3339_millis(telemetry.clock().wall(change.at)).to_string(),
                tier: change.tier.to_string(),
                path: change.path.as_ref().map(|path| escape(path.as_bytes())),
                from: change.from.as_str(),
                to: change.to.as_str(),
                reason: change.reason.to_string(),
            })
            .collect(),
        undeclared_proxy: telemetry
            .undeclared()
            .map(|(network, setting)| UndeclaredProxy { network, setting }),
        idle_parameters: telemetry.site().idle_parameters(),
        waiting_room: stats.waiting.into(),
    }
}

fn percentiles(times: &Times) -> Percentiles {
    let at = |share| times.percentile(share).map(millis);
    Percentiles {
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
    }
}
