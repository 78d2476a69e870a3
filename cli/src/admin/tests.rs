use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use retter_core::breaker::State;
use retter_core::config::Settings;
use retter_core::event::{OriginReport, Report};
use retter_core::report::{CallId, End, Failure};
use retter_core::time::Instant;

use super::*;
use crate::clock::Clock;
use crate::notify::Notifier;
use crate::outage::Outages;
use crate::runtime::{Gateway, Observer};
use crate::settings::{self, Sources};
use crate::telemetry::SHARDS;
use crate::web::{Limits, Server};

fn telemetry() -> Telemetry {
    let config = Settings::default().validate().unwrap();
    let clock = Clock::start();
    let gateway = Gateway::new(config, 1, clock.now());
    let outages = Outages::new(clock, SHARDS);
    let notifier = Notifier::start(String::new(), &[], Duration::ZERO).unwrap();
    Telemetry::new(gateway, clock, None, outages, notifier)
}

fn report(source: Source, status: Option<u16>, origin_ms: Option<u64>) -> Report {
    let ended = Instant::from_epoch(Duration::from_millis(1));
    Report {
        call: CallId::FIRST,
        broken: None,
        bytes_received: 1,
        bytes_sent: 10,
        circuit: State::Closed,
        claims_forwarding: false,
        client: [192, 0, 2, 1].into(),
        copy_age: None,
        end: if status.is_some() {
            End::Complete
        } else {
            End::ClientLeft
        },
        ended,
        handling: None,
        origin: origin_ms.map(|millis| OriginReport {
            broken: None,
            bytes: 0,
            failure: (millis > 1000).then_some(Failure::Timeout),
            head: None,
            is_stream: false,
            status: None,
            time: Duration::from_millis(millis),
        }),
        peer: "192.0.2.1:1".parse().unwrap(),
        request: None,
        request_id: None,
        source,
        started: Instant::ZERO,
        status: status.map(|status| StatusCode::from_u16(status).unwrap()),
        waited: false,
    }
}

fn busy() -> Telemetry {
    let telemetry = telemetry();
    telemetry.on_connect();
    telemetry.on_report(report(Source::Backend, Some(200), Some(30)));
    telemetry.on_report(report(Source::Backend, Some(404), Some(5)));
    telemetry.on_report(report(Source::Cache, Some(200), Some(15_000)));
    telemetry.on_report(report(Source::NoCache, Some(503), None));
    telemetry.on_report(report(Source::Backend, None, None));
    telemetry
}

/// Of a program whose settings come from no file.
fn reload() -> Reload {
    let sources = Sources::default();
    let loaded = settings::load(&sources).unwrap();
    let clock = Clock::start();
    let gateway = Gateway::new(loaded.config.clone(), 1, clock.now());
    Reload::new(gateway, clock, sources, &loaded)
}

fn get(telemetry: &Telemetry, method: &str, target: &str) -> (u16, String) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        ..Request::default()
    };
    let response = answer(&request, Some(&Guard::default()), telemetry, &reload());
    (response.status, String::from_utf8(response.body).unwrap())
}

#[test]
fn pages() {
    let telemetry = busy();
    #[track_caller]
    fn check(telemetry: &Telemetry, method: &str, path: &str, status: u16, part: &str) {
        let (found, body) = get(telemetry, method, path);
        assert_eq!(found, status);
        assert!(body.contains(part), "{body}");
    }
    check(
        &telemetry,
        "GET",
        "/",
        200,
        "<script src=\"/dashboard.js\" defer>",
    );
    check(&telemetry, "GET", "/status", 200, "circuit      CLOSED");
    check(&telemetry, "GET", "/overview", 200, "\"state\":\"errors\"");
    check(&telemetry, "GET", "/dashboard.css", 200, "light-dark(");
    check(&telemetry, "GET", "/ready", 200, "ready");
    check(&telemetry, "GET", "/other", 404, "/metrics");
    check(&telemetry, "POST", "/health", 405, "GET");
    telemetry.start_draining();
    check(&telemetry, "GET", "/ready", 503, "stopping");
    check(
        &telemetry,
        "GET",
        "/health",
        200,
        "\"status\": \"draining\"",
    );
}

#[test]
fn what_is_decided_by_hand_counts_and_is_told() {
    let telemetry = telemetry();
    let post = |target: &str| {
        let (status, body) = get(&telemetry, "POST", target);
        let json = serde_json::from_str::<serde_json::Value>(&body).unwrap_or_default();
        (
            status,
            json["by_hand"]["state"].as_str().map(str::to_owned),
            body,
        )
    };
    let state = || {
        let now = telemetry.clock().now();
        telemetry.site().by_hand(now).map(|decided| decided.manual)
    };
    for (target, expected) in [
        ("/circuit?state=open&for=30m", Some("open")),
        ("/circuit?for=7days&state=closed", Some("closed")),
        ("/circuit?state=auto", None),
        (
            "/maintenance?state=on&message=Back%20at%20%3C5%3E",
            Some("maintenance"),
        ),
        ("/maintenance?state=off", None),
    ] {
        let (status, told, body) = post(target);
        assert_eq!(
            (status, told.as_deref()),
            (200, expected),
            "{target}: {body}"
        );
        assert_eq!(state().map(|manual| manual.as_str()), expected);
    }
    let bad = [
        "/circuit",
        "/circuit?state=on",
        "/circuit?state=open&for=0",
        "/circuit?state=open&for=8days",
        "/circuit?state=open&message=x",
        "/circuit?state=open&until=5",
        "/maintenance?state=open",
        "/maintenance?state=on&message=1%0A1",
        "/maintenance?state=on&message=%ff",
    ];
    for target in bad {
        let (status, _, body) = post(target);
        assert!(status == 400 && body.contains("POST "), "{target}: {body}");
        assert_eq!(get(&telemetry, "GET", target).0, 405);
    }
    assert_eq!(state(), None, "what is refused changes nothing");
    assert!(post("/probe").2.contains("nothing to probe"));
    post("/maintenance?state=on&for=5m&message=now");
    let (_, health) = get(&telemetry, "GET", "/health");
    let health: serde_json::Value = serde_json::from_str(&health).unwrap();
    assert_eq!(health["status"], "maintenance");
    assert_eq!(health["by_hand"]["message"], "now");
    assert_eq!(post("/probe").0, 409);
    let samples = parse(&get(&telemetry, "GET", "/metrics").1);
    assert_eq!(samples["retter_by_hand{state=\"maintenance\"}"], 1.0);
    assert_eq!(samples["retter_by_hand{state=\"open\"}"], 0.0);
}

#[test]
fn health_counts_and_times() {
    let (_, body) = get(&busy(), "GET", "/health");
    let health: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(health["status"], "ok");
    assert_eq!(health["circuit"], "CLOSED");
    assert_eq!(health["requests"]["by_source"]["backend"], 3);
    assert_eq!(health["requests"]["by_source"]["last-known-success"], 0);
    assert_eq!(health["requests"]["by_status"]["2xx"], 2);
    assert_eq!(health["requests"]["by_status"]["none"], 1);
    assert_eq!(health["requests"]["clients_left"], 1);
    let p50 = health["latency_ms"]["origin"]["p50"].as_f64().unwrap();
    assert!((29.0..32.0).contains(&p50), "{p50}");
    assert_eq!(health["connections"]["open"], 1);
}

/// Reads the exposition format strictly: every sample belongs to the family above it, families
/// do not repeat, no sample repeats, values are numbers.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut families = BTreeSet::new();
    let mut family = (String::new(), String::new());
    let mut samples = BTreeMap::new();
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            assert!(help.contains(' '), "{line}");
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(families.insert(name.to_owned()), "{name} twice");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            family = (name.to_owned(), kind.to_owned());
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
        let rest = name.strip_prefix(family.0.as_str()).expect(line);
        let histogram = ["_bucket", "_sum", "_count"].contains(&rest);
        assert_eq!(histogram, family.1 == "histogram", "{line}");
        assert!(histogram || rest.is_empty(), "{line}");
        let labels = labels.strip_suffix('}').expect(line);
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (label, value) = label.split_once('=').expect(line);
            assert!(
                label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{line}"
            );
            assert!(
                value.len() >= 2 && value.starts_with('"') && value.ends_with('"'),
                "{line}"
            );
        }
        let value: f64 = value.parse().expect(line);
        assert!(
            samples.insert(sample.to_owned(), value).is_none(),
            "{sample} twice"
        );
    }
    samples
}

#[test]
fn metrics_are_valid_and_count() {
    #[track_caller]
    fn check(samples: &BTreeMap<String, f64>, sample: &str, expected: f64) {
        assert_eq!(samples.get(sample), Some(&expected), "{sample}");
    }
    let (_, text) = get(&busy(), "GET", "/metrics");
    let samples = parse(&text);
    check(
        &samples,
        "retter_requests_total{source=\"backend\",status=\"200\"}",
        1.0,
    );
    check(
        &samples,
        "retter_requests_total{source=\"backend\",status=\"0\"}",
        1.0,
    );
    check(
        &samples,
        "retter_requests_total{source=\"last-known-success\",status=\"200\"}",
        0.0,
    );
    check(
        &samples,
        "retter_origin_latency_seconds_bucket{le=\"0.025\"}",
        1.0,
    );
    check(
        &samples,
        "retter_origin_latency_seconds_bucket{le=\"0.05\"}",
        2.0,
    );
    check(
        &samples,
        "retter_origin_latency_seconds_bucket{le=\"10\"}",
        2.0,
    );
    check(
        &samples,
        "retter_origin_latency_seconds_bucket{le=\"+Inf\"}",
        3.0,
    );
    check(&samples, "retter_origin_latency_seconds_count", 3.0);
    check(&samples, "retter_origin_latency_seconds_sum", 15.035);
    check(
        &samples,
        "retter_origin_failures_total{kind=\"timeout\"}",
        1.0,
    );
    check(&samples, "retter_circuit_state", 0.0);
    check(&samples, "retter_circuit{state=\"closed\"}", 1.0);
    check(
        &samples,
        "retter_circuit_transitions_total{tier=\"path\",to=\"half-open\"}",
        0.0,
    );
    check(&samples, "retter_connections_open", 1.0);
    parse(&get(&telemetry(), "GET", "/metrics").1);
}

#[test]
fn threads_share_the_counting() {
    let telemetry = Arc::new(telemetry());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..250 {
                    telemetry.on_report(report(Source::Backend, Some(200), Some(1)));
                }
            });
        }
    });
    assert_eq!(telemetry.totals().answers_from(Source::Backend), 1000);
}

/// Order alone is looked at: `/ready` has its answer while every other connection is open, has
/// been told nothing, and has its own answer still to come.
#[test]
fn half_open_connections_do_not_delay_readiness() {
    const HOUR: Duration = Duration::from_secs(3600);
    const PARTS: [&str; 4] = [
        "",
        "G",
        "GET /ready HTTP/1.1\r\nHo",
        "GET /ready HTTP/1.1\r\n",
    ];
    const REQUEST: &str = "GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let is_ready = |mut stream: &TcpStream| {
        let expected = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\
                        Cache-Control: no-store\r\nContent-Length: 6\r\n\r\nready\n";
        let mut bytes = vec![0; expected.len()];
        // Only a server that never answers is waited for so long.
        stream.set_read_timeout(Some(HOUR / 60)).unwrap();
        stream.read_exact(&mut bytes).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    };
    for count in [64, 200] {
        let telemetry = telemetry();
        let limits = Limits {
            idle_timeout: HOUR,
            request_timeout: HOUR,
            ..Limits::with_workers(1)
        };
        let reload = reload();
        let handler = move |request: &Request| answer(request, None, &telemetry, &reload);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server::start(listener, limits, Arc::new(handler)).unwrap();
        let connect = |bytes: &str| {
            let mut stream = TcpStream::connect(server.addr().unwrap()).unwrap();
            stream.write_all(bytes.as_bytes()).unwrap();
            stream
        };
        let half: Vec<_> = PARTS
            .iter()
            .cycle()
            .take(count)
            .map(|part| (connect(part), *part))
            .collect();
        is_ready(&connect(REQUEST));
        for (stream, part) in &half {
            stream.set_nonblocking(true).unwrap();
            let told = stream.peek(&mut [0]).unwrap_err();
            assert_eq!(told.kind(), ErrorKind::WouldBlock, "after {part:?}");
            stream.set_nonblocking(false).unwrap();
        }
        for (mut stream, part) in half {
            stream.write_all(&REQUEST.as_bytes()[part.len()..]).unwrap();
            is_ready(&stream);
        }
    }
}
