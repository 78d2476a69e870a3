//! Owns the operator's side: settings, health, metrics, signals, `check` and `demo`.
//! Never looks at the wording of a message beyond the names that an operator needs in it.

use std::time::Duration;

use retter_tests::client::{Client, Request};
use retter_tests::origin::Origin;
use retter_tests::program::Program;
use retter_tests::reply::Reply;
use retter_tests::retter::{Retter, command};
use retter_tests::scenario::until;
use retter_tests::signal::Gate;
use retter_tests::{DEADLINE, retter_program};
use rustix::process::Signal;

fn page() -> Origin {
    Origin::start(|seen| Reply::text(seen.target.as_str()))
}

/// An origin that answers `/slow` when the gate opens, and everything else at once.
fn gated() -> (Origin, Gate) {
    let gate = Gate::new();
    let at_origin = gate.clone();
    let origin = Origin::start(move |seen| {
        if seen.target == "/slow" {
            at_origin.wait();
        }
        Reply::text(seen.target.as_str())
    });
    (origin, gate)
}

/// Sends `/slow` and waits until it is at the origin.
fn send_slow(retter: &Retter, origin: &Origin) -> Client {
    let mut client = retter.client();
    client.send(&Request::get("/slow").to_bytes());
    let _ = origin.wait_for(1);
    client
}

#[test]
fn an_origin_by_name_is_found_on_any_of_its_addresses() {
    // The origin listens on IPv4 only; `localhost` may have an IPv6 address as well.
    let mut origin = page();
    let name = format!("localhost:{}", origin.address().port());
    let retter = Retter::start(retter_program!(), name);
    assert_eq!(retter.ask(&Request::get("/a")).source(), "backend");
    origin.down();
    assert_eq!(retter.ask(&Request::get("/b")).status, 502);
    let told = retter.wait_for("why", |line| {
        line.contains("cannot connect").then(|| line.to_owned())
    });
    assert!(told.contains("RETTER_BACKEND_BASEURL"), "{told}");
    origin.up();
    assert_eq!(retter.ask(&Request::get("/b")).source(), "backend");
}

#[test]
fn a_name_that_does_not_resolve_is_told() {
    let retter = Retter::start(retter_program!(), "no-such-host.invalid");
    assert_eq!(retter.ask(&Request::get("/")).status, 502);
    let told = retter.wait_for("why", |line| {
        line.contains("cannot").then(|| line.to_owned())
    });
    assert!(
        told.contains("no-such-host.invalid") && told.contains("RETTER_BACKEND_BASEURL"),
        "{told}"
    );
}

#[test]
fn health_and_readiness_are_told() {
    let mut origin = page();
    let retter = Retter::start(retter_program!(), origin.address());
    assert_eq!(retter.ask(&Request::get("/a")).status, 200);
    let health = retter.admin("/health");
    assert_eq!(health.status, 200);
    let json = health.text();
    for word in [
        "\"status\"",
        "\"circuit\"",
        "\"copies\"",
        "\"bytes\"",
        "uptime",
        "CLOSED",
    ] {
        assert!(json.contains(word), "{word} in {json}");
    }
    assert_eq!(retter.admin("/ready").status, 200);
    assert_eq!(retter.admin("/nothing").status, 404);

    origin.down();
    while retter.ask(&Request::get("/a")).circuit() != "OPEN" {}
    // The program is as healthy as before: it rescues. Only the circuit is open.
    let health = retter.admin("/health");
    assert_eq!(health.status, 200);
    assert!(health.text().contains("OPEN"), "{}", health.text());
}

#[test]
fn half_open_admin_connections_delay_nobody() {
    let retter = Retter::start(retter_program!(), page().address());
    let half: Vec<_> = ["", "GET /ready HT"]
        .iter()
        .cycle()
        .take(64)
        .map(|part| {
            let mut client = Client::connect(retter.admin_address());
            client.send(part.as_bytes());
            client
        })
        .collect();
    for path in ["/ready", "/health", "/metrics"] {
        assert_eq!(retter.admin(path).status, 200);
    }
    drop(half);
    let mut client = Client::connect(retter.admin_address());
    for path in ["/ready", "/health"] {
        let request = Request::get(path).host(Some("localhost"));
        assert_eq!(client.ask(&request).status, 200, "{path} on one connection");
    }
}

#[test]
fn metrics_are_prometheus_text() {
    let mut origin = page();
    let retter = Retter::start(retter_program!(), origin.address());
    assert_eq!(retter.ask(&Request::get("/a")).status, 200);
    origin.down();
    assert_eq!(retter.ask(&Request::get("/a")).source(), "cache");
    let response = retter.admin("/metrics");
    assert_eq!(response.status, 200);
    assert!(
        response
            .field("content-type")
            .expect("a type")
            .starts_with("text/plain")
    );
    let text = response.text();
    for line in text.lines() {
        let sample = line.rsplit_once(' ').map(|(_, value)| value.parse::<f64>());
        let fine = line.starts_with("# ") || matches!(sample, Some(Ok(_)));
        assert!(fine, "not Prometheus text: {line:?}");
    }
    // An exchange is counted when its answer has left, so just after the client has read it.
    for source in ["backend", "cache"] {
        let label = format!("source=\"{source}\"");
        until(&format!("{source} is counted"), || {
            let counted = |line: &str| line.contains(&label) && !line.ends_with(" 0");
            retter.admin("/metrics").text().lines().any(counted)
        });
    }
    for word in ["le=\"+Inf\"", "evicted", "connections", "circuit", "bytes"] {
        assert!(text.contains(word), "{word} in {text}");
    }
}

#[test]
fn a_signal_lets_what_is_in_flight_complete() {
    for signal in [Signal::TERM, Signal::INT] {
        let (origin, gate) = gated();
        let mut retter = Retter::start(retter_program!(), origin.address());
        let mut client = send_slow(&retter, &origin);
        let mut idle = retter.client();
        assert_eq!(idle.ask(&Request::get("/quick")).status, 200);
        retter.signal(signal);
        // An idle connection has nothing to wait for: its end says that the drain has begun.
        idle.expect_end();
        gate.open();
        let response = client.response("GET");
        assert_eq!((response.status, response.text().as_str()), (200, "/slow"));
        client.expect_end();
        assert_eq!(retter.end().code(), Some(0), "{}", retter.errors());
    }
}

#[test]
fn draining_ends_after_the_grace_time() {
    let (origin, gate) = gated();
    let settings = [("RETTER_SERVER_TIMEOUT_GRACESHUT", "100ms")];
    let mut retter = Retter::start_with(retter_program!(), origin.address(), &settings);
    let _client = send_slow(&retter, &origin);
    retter.signal(Signal::TERM);
    assert!(retter.end_within(DEADLINE).is_some(), "{}", retter.errors());
    gate.open();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (origin, gate) = gated();
    let settings = [
        ("RETTER_SERVER_TIMEOUT_GRACESHUT", "1h"),
        ("RETTER_SERVER_TIMEOUT_READ", "1h"),
    ];
    let mut retter = Retter::start_with(retter_program!(), origin.address(), &settings);
    let _client = send_slow(&retter, &origin);
    let mut idle = retter.client();
    assert_eq!(idle.ask(&Request::get("/quick")).status, 200);
    retter.signal(Signal::TERM);
    idle.expect_end();
    assert!(
        retter.end_within(Duration::ZERO).is_none(),
        "one signal drains"
    );
    retter.signal(Signal::TERM);
    let _ = retter.end();
    gate.open();
}

#[test]
fn all_bad_settings_are_named_at_once() {
    let mut command = command(retter_program!());
    let bad = [
        ("RETTER_BACKEND_BASEURL", "ftp://example"),
        ("RETTER_SERVER_LISTEN", "nowhere"),
        ("RETTER_CACHE_TTL", "soon"),
        ("RETTER_CACHE_DETECT_QUERY", "perhaps"),
        ("RETTER_BREAKER_FAIL_RATE", "7"),
        ("RETTER_BREAKER_CONSECUTIVE_FAIL", "0"),
        ("RETTER_SERVER_TIMEOUT_READ", "-3s"),
    ];
    let mut program = Program::start(command.envs(bad));
    assert_eq!(program.end().code(), Some(2));
    let errors = program.errors();
    for (name, value) in bad {
        assert!(errors.contains(name), "{name} is not named:\n{errors}");
        assert!(errors.contains(value), "{value} is not shown:\n{errors}");
    }
}

#[test]
fn an_address_in_use_is_a_clear_error() {
    let taken = page();
    let mut command = command(retter_program!());
    let address = taken.address().to_string();
    let mut program = Program::start(
        command
            .env("RETTER_SERVER_LISTEN", &address)
            .env("RETTER_ADMIN_LISTEN", "127.0.0.1:0"),
    );
    assert!(!program.end().success());
    assert!(program.errors().contains(&address), "{}", program.errors());
}

#[test]
fn signals_of_service_scripts_do_not_end_it() {
    let (origin, gate) = gated();
    let mut retter = Retter::start(retter_program!(), origin.address());
    let mut running = send_slow(&retter, &origin);
    retter.signal(Signal::HUP);
    retter.wait_for("that it heard it", |line| {
        line.contains("nothing to reload").then_some(())
    });
    for signal in [Signal::USR1, Signal::USR2, Signal::HUP] {
        retter.signal(signal);
        assert_eq!(retter.ask(&Request::get("/a")).status, 200, "{signal:?}");
    }
    gate.open();
    assert_eq!(running.response("GET").text(), "/slow");
    retter.signal(Signal::TERM);
    assert_eq!(retter.end().code(), Some(0), "{}", retter.errors());
}

#[test]
fn a_drain_is_not_cut_short_by_them() {
    let (origin, gate) = gated();
    let mut retter = Retter::start(retter_program!(), origin.address());
    let mut running = send_slow(&retter, &origin);
    retter.signal(Signal::TERM);
    retter.wait_for("that it stops", |line| {
        line.contains("stopping").then_some(())
    });
    for signal in [Signal::USR1, Signal::USR2, Signal::HUP] {
        retter.signal(signal);
    }
    retter.wait_for("that it heard it", |line| {
        line.contains("nothing is reloaded").then_some(())
    });
    gate.open();
    assert_eq!(running.response("GET").text(), "/slow");
    assert_eq!(retter.end().code(), Some(0), "{}", retter.errors());
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let origin = page();
    let directory = std::env::temp_dir().join(format!("retter-{}", origin.address().port()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let file = directory.join("retter.toml");
    let text = "cache.ttl = \"11s\"\n[breaker]\nconsecutive_fail = 12\nfail_rate = 0.13\n";
    std::fs::write(&file, text).expect("a settings file");
    let mut command = command(retter_program!());
    command
        .arg("check")
        .arg("--config")
        .arg(&file)
        .args(["--breaker-fail-rate", "0.33"])
        .env("RETTER_BREAKER_CONSECUTIVE_FAIL", "22")
        .env("RETTER_BREAKER_FAIL_RATE", "0.23")
        .env(
            "RETTER_BACKEND_BASEURL",
            format!("http://{}", origin.address()),
        );
    let mut program = Program::start(&mut command);
    assert_eq!(program.end().code(), Some(0), "{}", program.errors());
    let shown = program.output();
    for (name, value) in [
        ("RETTER_CACHE_TTL", "11s"),
        ("RETTER_BREAKER_CONSECUTIVE_FAIL", "22"),
        ("RETTER_BREAKER_FAIL_RATE", "0.33"),
    ] {
        let found = shown
            .lines()
            .any(|line| line.contains(name) && line.contains(value));
        assert!(found, "{name} = {value} in\n{shown}");
    }
    assert!(origin.requests() >= 1, "the origin is asked");
    let _ = std::fs::remove_dir_all(directory);
}

#[test]
fn check_is_content_with_the_beginning_of_a_large_page() {
    let origin = Origin::start(|_| Reply::text(vec![b'x'; 2 << 20]));
    let mut command = command(retter_program!());
    let url = format!("http://{}", origin.address());
    command.arg("check").env("RETTER_BACKEND_BASEURL", url);
    let mut program = Program::start(&mut command);
    assert_eq!(program.end().code(), Some(0), "{}", program.errors());
}

#[test]
fn check_says_when_the_origin_does_not_answer() {
    let mut origin = page();
    origin.down();
    let address = origin.address().to_string();
    let mut command = command(retter_program!());
    command
        .arg("check")
        .env("RETTER_BACKEND_BASEURL", format!("http://{address}"));
    let mut program = Program::start(&mut command);
    assert!(!program.end().success());
    let printed = program.output() + &program.errors();
    assert!(printed.contains(&address), "{printed}");
}

#[test]
fn check_shows_what_was_set_and_whether_the_addresses_are_free() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("it is bound").to_string();
    let origin = page();
    let run = |listen: &str, all: &[&str]| {
        let mut command = command(retter_program!());
        command
            .arg("check")
            .args(all)
            .env(
                "RETTER_BACKEND_BASEURL",
                format!("http://{}", origin.address()),
            )
            .env("RETTER_SERVER_LISTEN", listen)
            .env("RETTER_ADMIN_LISTEN", "127.0.0.1:0");
        let mut program = Program::start(&mut command);
        let _ = program.end();
        program.output()
    };
    let free = run("127.0.0.1:0", &[]);
    assert!(free.contains("RETTER_SERVER_LISTEN: free"), "{free}");
    assert!(
        !free.contains("RETTER_CACHE_TTL") && free.contains("RETTER_BACKEND_BASEURL"),
        "{free}"
    );
    let all = run("127.0.0.1:0", &["--all"]);
    assert!(all.contains("RETTER_CACHE_TTL"), "{all}");
    let told = run(&taken, &[]);
    assert!(told.contains("would not start"), "{told}");
}

#[test]
fn an_address_alone_names_the_application() {
    let origin = page();
    let mut command = command(retter_program!());
    let settings = [
        "--server-listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ];
    command
        .arg(format!("http://{}", origin.address()))
        .args(settings);
    let mut program = Program::start(&mut command);
    let protecting = format!("protecting http://{} ", origin.address());
    program.wait_for("its greeting", |line| {
        line.contains(&protecting).then_some(())
    });
    program.signal(Signal::TERM);
    assert!(program.end().success());
    let mut command = retter_tests::retter::command(retter_program!());
    let mut program = Program::start(command.arg("chekc"));
    assert!(!program.end().success());
    assert!(
        program.errors().contains("neither a command nor"),
        "{}",
        program.errors()
    );
}

#[test]
fn the_short_help_fits_a_screen() {
    let mut program = Program::start(command(retter_program!()).arg("-h"));
    assert_eq!(program.end().code(), Some(0));
    let help = program.output();
    assert!(help.lines().count() < 60, "{help}");
    assert!(help.contains("retter http://localhost:8088"), "{help}");
    assert!(
        help.contains("--server-listen") && !help.contains("--cache-ttl"),
        "{help}"
    );
}

#[test]
fn help_shows_every_setting_of_the_original() {
    let mut program = Program::start(command(retter_program!()).arg("--help"));
    assert_eq!(program.end().code(), Some(0));
    let help = program.output();
    for name in [
        "RETTER_BACKEND_BASEURL",
        "RETTER_SERVER_LISTEN",
        "RETTER_CACHE_TTL",
        "RETTER_CACHE_DETECT_QUERY",
        "RETTER_CACHE_DETECT_SESSION",
        "RETTER_BREAKER_FAIL_RATE",
        "RETTER_BREAKER_CONSECUTIVE_FAIL",
        "RETTER_SERVER_TIMEOUT_WRITE",
        "RETTER_SERVER_TIMEOUT_READ",
        "RETTER_SERVER_TIMEOUT_IDLE",
        "RETTER_SERVER_TIMEOUT_GRACESHUT",
    ] {
        assert!(help.contains(name), "{name} in\n{help}");
    }
}

#[test]
fn the_demo_walks_through_an_outage_by_itself() {
    // Settings of the machine must not change what a newcomer sees.
    let mut command = command(retter_program!());
    command
        .args(["demo", "--duration-scale", "0.1"])
        .env("RETTER_SERVER_LISTEN", "nowhere");
    let mut program = Program::start(&mut command);
    assert_eq!(program.end().code(), Some(0), "{}", program.errors());
    let shown = program.output();
    for word in ["http://", "with RETTER", "without RETTER", "OPEN", "CLOSED"] {
        assert!(shown.contains(word), "{word} in\n{shown}");
    }
}
