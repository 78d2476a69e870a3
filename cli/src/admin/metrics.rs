//! Owns the Prometheus text of `/metrics` (exposition format 0.0.4).
//! Never keeps a number: it writes what telemetry and the policy say.
//!
//! Written by hand rather than with a client library: all numbers exist already, and a library's
//! registry would count them a second time, with shared atomics on the path of every request.

mod coverage;
mod page;
mod shared;
mod waiting;

use std::time::{Duration, SystemTime};

use retter_core::breaker::{State, Tier};
use retter_core::report::{
    AdmissionStats, PublicStats, RefreshStats, SessionStats, Sign, SoftStats, Source, Stats,
};
use retter_core::rules::label::RESCUES;
use retter_core::site::Manual;

use crate::telemetry::{
    AGE_BUCKETS, LATENCY_BUCKETS, Log, Telemetry, Totals, Transitions, state_index,
};
use page::Page;

const STATES: [State; 3] = [State::Closed, State::HalfOpen, State::Open];
const TIERS: [Tier; 2] = [Tier::Origin, Tier::Path];

/// All metrics.
pub(super) fn render(telemetry: &Telemetry) -> String {
    let stats = telemetry.site().stats(telemetry.clock().now());
    let totals = telemetry.totals();
    let mut page = Page::default();
    process(&mut page, telemetry);
    exchanges(&mut page, &totals);
    origin(&mut page, &totals);
    circuits(&mut page, &stats, &telemetry.transitions());
    by_hand(&mut page, telemetry);
    outages(&mut page, telemetry);
    site(&mut page, &stats);
    coverage::render(&mut page, &stats.coverage);
    public(&mut page, &stats.public);
    sessions(&mut page, &stats.sessions);
    refreshes(&mut page, &stats.refresh);
    soft(&mut page, &stats.soft);
    waiting::render(&mut page, &stats.waiting);
    if let Some(on_disk) = telemetry.disk() {
        disk(&mut page, &on_disk.stats());
    }
    if let Some(instances) = telemetry.instances() {
        shared::render(&mut page, &instances.stats());
    }
    page.0
}

fn process(page: &mut Page, telemetry: &Telemetry) {
    let started = SystemTime::now()
        .checked_sub(telemetry.clock().epoch.elapsed())
        .and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok())
        .unwrap_or(Duration::ZERO);
    let version = env!("CARGO_PKG_VERSION");
    page.family("retter_build_info", "gauge", "The version, as a label.");
    page.sample("retter_build_info", &[("version", version)], 1);
    page.family(
        "process_start_time_seconds",
        "gauge",
        "When the program started, in seconds since 1970.",
    );
    page.sample("process_start_time_seconds", &[], started.as_secs());
    let (accepted, open) = telemetry.connections();
    page.counter(
        "retter_connections_accepted_total",
        "Client connections accepted.",
        accepted,
    );
    page.gauge("retter_connections_open", "Client connections open.", open);
    page.gauge(
        "retter_queued_bytes",
        "Bytes in use of RETTER_SERVER_SEND_BYTES, for peers who are slow to take them.",
        telemetry.gateway().queued_bytes(),
    );
    page.counter(
        "retter_access_log_dropped_total",
        "Access log lines dropped because nobody took them in time.",
        telemetry.access_lines_dropped(),
    );
    page.counter(
        "retter_log_dropped_total",
        "Log lines dropped because nobody took them in time.",
        Log::dropped(),
    );
    let name = "retter_reloads_total";
    page.family(
        name,
        "counter",
        "Reloads of the settings, by whether they were done.",
    );
    for (result, count) in ["done", "refused"].into_iter().zip(telemetry.reloads()) {
        page.sample(name, &[("result", result)], count);
    }
    page.counter(
        "retter_troubles_total",
        "Troubles of the server itself; the log names them.",
        telemetry.troubles(),
    );
}

fn exchanges(page: &mut Page, totals: &Totals) {
    let name = "retter_requests_total";
    page.family(
        name,
        "counter",
        "Requests by where the answer came from and its status (0: the client left before).",
    );
    // Every source is there from the start, so that a first rescue shows as an increase.
    for source in Source::ALL.map(Source::as_str) {
        if !totals.answers.contains_key(&(source, 200)) {
            page.sample(name, &[("source", source), ("status", "200")], 0);
        }
    }
    for ((source, status), count) in &totals.answers {
        page.sample(
            name,
            &[("source", source), ("status", &status.to_string())],
            count,
        );
    }
    let name = "retter_rescued_total";
    page.family(
        name,
        "counter",
        "Answers from a copy where the application should have answered, by what kept it from that.",
    );
    for reason in RESCUES {
        let count = totals.rescued.get(reason).copied().unwrap_or_default();
        page.sample(name, &[("reason", reason)], count);
    }
    page.counter(
        "retter_clients_left_total",
        "Requests whose client left before the answer's end.",
        totals.clients_left,
    );
    page.counter(
        "retter_answers_truncated_total",
        "Answers cut because the origin broke off inside them.",
        totals.truncated,
    );
    page.counter(
        "retter_received_bytes_total",
        "Body bytes received from clients.",
        totals.bytes_received,
    );
    page.counter(
        "retter_sent_bytes_total",
        "Body bytes sent to clients.",
        totals.bytes_sent,
    );
}

fn origin(page: &mut Page, totals: &Totals) {
    let name = "retter_origin_failures_total";
    page.family(name, "counter", "Failures of the origin below HTTP.");
    for failure in Totals::FAILURES {
        let kind = failure.as_str();
        let count = totals.failures.get(kind).copied().unwrap_or_default();
        page.sample(name, &[("kind", kind)], count);
    }
    page.histogram(
        "retter_origin_latency_seconds",
        "Time of the origin from request to end of response.",
        (&LATENCY_BUCKETS, &totals.latencies),
        totals.latency_sum.as_secs_f64(),
    );
    page.histogram(
        "retter_copy_age_seconds",
        "Age of copies that answered in the application's place.",
        (&AGE_BUCKETS, &totals.copy_ages),
        totals.copy_age_sum.as_secs_f64(),
    );
}

fn outages(page: &mut Page, telemetry: &Telemetry) {
    let outages = telemetry.outages();
    let lasts = outages.lasts(telemetry.clock().now()).unwrap_or_default();
    page.gauge(
        "retter_outage_since_seconds",
        "How long the application has been down; 0 while it is not.",
        lasts.as_secs_f64(),
    );
    page.counter(
        "retter_outages_total",
        "Outages of the application that began.",
        outages.count_begun(),
    );
    let name = "retter_notifications_total";
    page.family(
        name,
        "counter",
        "Messages of outages, by receiver and what became of them.",
    );
    for (to, counts) in telemetry.notifier().counts() {
        for (result, count) in counts {
            page.sample(name, &[("to", to), ("result", result)], count);
        }
    }
}

fn by_hand(page: &mut Page, telemetry: &Telemetry) {
    let name = "retter_by_hand";
    page.family(
        name,
        "gauge",
        "1 for what an operator has decided in the place of the circuits.",
    );
    let decided = telemetry.site().by_hand(telemetry.clock().now());
    let decided = decided.map(|decided| decided.manual.as_str());
    for state in Manual::WORDS {
        let counts = decided == Some(state);
        page.sample(name, &[("state", state)], u8::from(counts));
    }
}

fn circuits(page: &mut Page, stats: &Stats, transitions: &Transitions) {
    page.gauge(
        "retter_circuit_state",
        "The origin's circuit: 0 closed, 1 half-open, 2 open.",
        state_index(stats.circuit),
    );
    let name = "retter_circuit";
    page.family(
        name,
        "gauge",
        "1 for the state that the origin's circuit is in.",
    );
    for state in STATES {
        page.sample(
            name,
            &[("state", word(state))],
            u8::from(state == stats.circuit),
        );
    }
    page.gauge(
        "retter_paths_open",
        "Paths whose own circuit is not closed.",
        stats.paths_open,
    );
    page.counter(
        "retter_slow_calls_total",
        "Exchanges in which the origin took longer than it should.",
        stats.slow_calls,
    );
    page.gauge(
        "retter_origin_usual_seconds",
        "How long the origin usually takes to begin an answer; the middle of all kinds of pages.",
        stats.usual.unwrap_or_default().as_secs_f64(),
    );
    let name = "retter_circuit_transitions_total";
    page.family(name, "counter", "State changes of circuits.");
    for tier in TIERS {
        for to in STATES {
            let labels = [("tier", tier.to_string()), ("to", word(to).to_owned())];
            let labels = labels
                .each_ref()
                .map(|(name, value)| (*name, value.as_str()));
            page.sample(name, &labels, transitions.count(tier, to));
        }
    }
}

fn site(page: &mut Page, stats: &Stats) {
    page.gauge("retter_copies", "Copies in the store.", stats.copies);
    page.gauge(
        "retter_copies_bytes",
        "Bytes of all copies.",
        stats.copies_bytes,
    );
    page.gauge(
        "retter_copies_leaving_bytes",
        "Bytes of large copies that were replaced and are still on their way to clients.",
        stats.leaving_bytes,
    );
    page.counter(
        "retter_copies_inserted_total",
        "Copies stored.",
        stats.insertions,
    );
    page.counter(
        "retter_copies_evicted_total",
        "Copies dropped to make room.",
        stats.evictions,
    );
    admission(page, &stats.admission);
}

fn disk(page: &mut Page, stats: &retter_disk::Stats) {
    page.gauge(
        "retter_disk_copies",
        "Copies on the disk that would come back after a restart.",
        stats.copies,
    );
    page.gauge(
        "retter_disk_bytes",
        "Bytes of all segments on the disk.",
        stats.bytes,
    );
    page.gauge(
        "retter_disk_failing",
        "1 while the disk refuses or does not answer: new copies are in memory only.",
        u8::from(stats.trouble.is_some()),
    );
    page.counter(
        "retter_disk_loaded_total",
        "Copies of before the start that are here again.",
        stats.loaded,
    );
    page.counter(
        "retter_disk_written_total",
        "Copies written to the disk, those moved there included.",
        stats.written,
    );
    page.counter(
        "retter_disk_lost_total",
        "Copies that were not written, as the disk refused or was too slow.",
        stats.lost,
    );
}

fn soft(page: &mut Page, stats: &SoftStats) {
    let name = "retter_soft_failures_total";
    page.family(
        name,
        "counter",
        "Error pages that came with status 200, by the sign that says most.",
    );
    for sign in Sign::ALL {
        page.sample(name, &[("sign", sign.as_str())], stats.failed(sign));
    }
    page.counter(
        "retter_soft_doubts_total",
        "Pages that may be error pages: the copy before them was kept for now.",
        stats.doubted,
    );
}

fn admission(page: &mut Page, stats: &AdmissionStats) {
    page.gauge(
        "retter_admission_limit",
        "Requests that may be at the origin; it adapts.",
        stats.limit,
    );
    page.gauge(
        "retter_admission_in_flight",
        "Requests at the origin.",
        stats.in_flight,
    );
    page.gauge(
        "retter_admission_parked",
        "Requests that only wait inside the origin, as long polls do, and are no work for it.",
        stats.parked,
    );
    page.gauge(
        "retter_admission_waiting",
        "Requests that wait for room at the origin.",
        stats.waiting,
    );
    page.gauge(
        "retter_admission_following",
        "Those of them that wait for another's fetch of the same page.",
        stats.following,
    );
    page.gauge(
        "retter_origin_service_seconds",
        "Mean time of recent requests at the origin.",
        stats.service_time.as_secs_f64(),
    );
    page.counter(
        "retter_admission_overflows_total",
        "Requests that found the origin full.",
        stats.overflows,
    );
    let name = "retter_admission_shed_total";
    page.family(
        name,
        "counter",
        "Requests that found the origin full and were not sent on: answered from a copy, or \
         refused after the longest wait, before one that would be too long, or as too many waited.",
    );
    let shed = &stats.shed;
    for (reason, count) in [
        ("copy", shed.copy),
        ("deadline", shed.deadline),
        ("early", shed.early),
        ("full", shed.full),
    ] {
        page.sample(name, &[("reason", reason)], count);
    }
}

fn public(page: &mut Page, stats: &PublicStats) {
    page.gauge(
        "retter_public_wanted",
        "Pages that the application should be asked for as a stranger.",
        stats.wanted,
    );
    let name = "retter_public_asked_total";
    page.family(
        name,
        "counter",
        "Requests to the application as a stranger, by result.",
    );
    for (result, count) in [
        ("failed", stats.failed),
        ("kept", stats.kept),
        ("passed", stats.passed),
        ("refused", stats.refused),
    ] {
        page.sample(name, &[("result", result)], count);
    }
    page.counter(
        "retter_public_seconds_total",
        "Time that the application took for them.",
        stats.spent.as_secs_f64(),
    );
    page.counter(
        "retter_public_served_total",
        "Visitors who were answered with what a stranger was sent.",
        stats.served,
    );
}

fn sessions(page: &mut Page, stats: &SessionStats) {
    page.gauge(
        "retter_sessions_followed",
        "Cookies of browsers whose values are followed from one to the next.",
        stats.followed,
    );
    page.gauge(
        "retter_cookies_rolling",
        "Names of cookies to which the application gives another value with each answer.",
        stats.rolling,
    );
}

fn refreshes(page: &mut Page, stats: &RefreshStats) {
    page.gauge(
        "retter_copies_wanted",
        "Copies that should be renewed in the background.",
        stats.wanted,
    );
    page.gauge(
        "retter_refreshes_running",
        "Requests at the origin for which no client waits.",
        stats.running,
    );
    let name = "retter_refreshes_total";
    page.family(
        name,
        "counter",
        "Copies renewed in the background, by result.",
    );
    for (result, count) in [
        ("dropped", stats.dropped),
        ("failed", stats.failed),
        ("passed", stats.passed),
        ("renewed", stats.renewed),
    ] {
        page.sample(name, &[("result", result)], count);
    }
    let name = "retter_probes_total";
    page.family(name, "counter", "Circuits probed with copies, by result.");
    for (result, count) in [
        ("failed", stats.probes_failed),
        ("succeeded", stats.probes_succeeded),
    ] {
        page.sample(name, &[("result", result)], count);
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Closed => "closed",
        State::HalfOpen => "half-open",
        State::Open => "open",
    }
}
