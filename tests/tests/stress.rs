//! Owns the heavy crowds: ten thousand idle connections, two thousand slow attackers of each kind
//! (Debian's `slowhttptest`, and others before an application that has four workers), and a long
//! time of constantly new keys.
//! Never runs with the other tests: `tests/run.sh stress` and `tests/run.sh soak` do, and every
//! load is bounded in number and time.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use retter_tests::client::{Client, Request};
use retter_tests::origin::Origin;
use retter_tests::reply::Reply;
use retter_tests::retter::Retter;
use retter_tests::retter_program;
use retter_tests::wire::{self, Broken, Wire};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Not `println!`: the test runner would show it only when the test fails.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn rss(retter: &Retter) -> u64 {
    retter.memory("VmRSS") / 1024
}

/// Asks once on a connection of its own; how long it took.
fn honest(address: SocketAddr, number: u64) -> Duration {
    let start = Instant::now();
    let target = format!("/honest/{}", number % 10);
    let answer = Client::connect(address).ask(&Request::get(&target));
    assert_eq!((answer.status, answer.text()), (200, target));
    start.elapsed()
}

fn echo() -> Origin {
    Origin::counting(|seen| Reply::text(seen.target.as_str()))
}

#[test]
#[ignore = "heavy: tests/run.sh stress"]
fn ten_thousand_idle_connections() {
    let count = usize::try_from(number("RETTER_STRESS_IDLE", 10_000)).expect("a count");
    let origin = echo();
    let places = (count + 100).to_string();
    let settings = [
        ("RETTER_SERVER_CONNECTIONS", places.as_str()),
        ("RETTER_SERVER_TIMEOUT_IDLE", "10m"),
    ];
    let retter = Retter::start_with(retter_program!(), origin.address(), &settings);
    let before = rss(&retter);
    let crowd: Vec<TcpStream> = (0..count)
        .map(|_| TcpStream::connect(retter.address()).expect("it accepts"))
        .collect();
    let slowest = (0..100)
        .map(|number| honest(retter.address(), number))
        .max();
    let silent = rss(&retter);
    // One after another: asked all at once, a full origin would rightly refuse some.
    let mut crowd: Vec<_> = crowd.into_iter().map(Client::over).collect();
    for client in &mut crowd {
        assert_eq!(client.ask(&Request::get("/a")).text(), "/a");
    }
    let used = rss(&retter);
    let each = (used - before) * 1024 / count as u64;
    say(&format!(
        "{count} idle connections: RSS {before} KiB before, {silent} KiB silent, {used} KiB after \
         a request on each ({each} bytes each); slowest honest answer {slowest:?}"
    ));
    assert!(each < 16 * 1024, "{each} bytes for an idle connection");
}

/// Starts `slowhttptest` in one of its modes.
fn attack(address: SocketAddr, mode: &[&str], target: &str, count: u64, secs: u64) -> Child {
    Command::new("slowhttptest")
        .args(mode)
        .args([
            "-c",
            &count.to_string(),
            "-r",
            "1000",
            "-l",
            &secs.to_string(),
        ])
        .args([
            "-i",
            "5",
            "-p",
            "3",
            "-u",
            &format!("http://{address}{target}"),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("tests/run.sh stress installs slowhttptest")
}

#[test]
#[ignore = "heavy: tests/run.sh stress"]
fn slow_attackers_and_honest_users() {
    /// The memory for all slow peers (32 MiB), what each may hold besides, and the program.
    const RSS_KIB_MAX: u64 = 200 << 10;
    let count = number("RETTER_STRESS_SLOW", 2000);
    let secs = number("RETTER_STRESS_SECONDS", 30);
    let page = "x".repeat(2 << 20);
    let origin = Origin::counting(move |seen| {
        let reply = Reply::text(if seen.target.starts_with("/large") {
            page.as_str()
        } else {
            seen.target.as_str()
        });
        // Nobody may keep it: each reader has it from the application.
        match seen.target.as_str() {
            "/large-unkept" => reply.field("cache-control", "no-store"),
            _ => reply,
        }
    });
    let retter = Retter::start(retter_program!(), origin.address());
    const READ: &[&str] = &[
        "-X", "-w", "10", "-y", "20", "-n", "5", "-z", "32", "-k", "3",
    ];
    let modes: [(&str, &[&str], &str); 4] = [
        ("headers", &["-H"], "/large"),
        ("body", &["-B", "-s", "8192"], "/large"),
        ("read", READ, "/large"),
        ("read what is not kept", READ, "/large-unkept"),
    ];
    for (name, mode, target) in modes {
        let attacker = attack(retter.address(), mode, target, count, secs);
        let until = Instant::now() + Duration::from_secs(secs);
        let (mut times, mut rss_max, mut asked) = (Vec::new(), 0, 0);
        while Instant::now() < until {
            times.push(honest(retter.address(), asked));
            rss_max = rss_max.max(rss(&retter));
            asked += 1;
            thread::sleep(Duration::from_millis(20));
        }
        let open = retter.metric("retter_connections_open");
        say(&format!("open here at the end: {open}"));
        let output = attacker
            .wait_with_output()
            .expect("it ends by its own limit");
        say(&format!(
            "{count} slow attackers ({name}) for {secs} s: {asked} honest answers, {}; RSS at most \
             {rss_max} KiB",
            spread(&mut times)
        ));
        assert!(rss_max < RSS_KIB_MAX, "{name}: {rss_max} KiB");
        let report = last_report(&String::from_utf8_lossy(&output.stdout));
        say(report.trim_end());
        let (_, available) = report
            .split_once("service available:")
            .expect("slowhttptest says how it went");
        assert!(available.trim_start().starts_with("YES"), "{name}");
    }
}

/// The last of the reports that `slowhttptest` prints, without its colours.
fn last_report(output: &str) -> String {
    let last = output.rfind("slow HTTP test status").unwrap_or(0);
    let plain = output[last..].split('\u{1b}').map(|part| {
        let end = part.strip_prefix('[').and_then(|rest| rest.find('m'));
        end.map_or(part, |end| &part[end + 2..])
    });
    plain.collect()
}

/// The middle, the hundredth and the longest of `times`.
fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    format!("p50 {:?}, p99 {:?}, slowest {:?}", at(50), at(99), at(100))
}

/// An application with four workers: each does one request at a time, its content included.
fn four_workers() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    for _ in 0..4 {
        let listener = listener.try_clone().expect("a listener can be shared");
        // Ends with the process: nobody joins a thread that only waits for connections.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = work(stream);
            }
        });
    }
    address
}

fn work(stream: TcpStream) -> Result<(), Broken> {
    let mut wire = Wire::new(stream);
    let head = wire.head()?;
    if let Some(framing) = head.fields.framing()? {
        wire.begin(framing);
        let mut trailers = wire::Fields::default();
        while wire.piece(&mut trailers)?.is_some() {}
    }
    let target = head.start.split(' ').nth(1).unwrap_or_default();
    let length = target.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{target}"
    );
    wire.send(answer.as_bytes()).map_err(Broken::Io)
}

/// What a member of a crowd sends first, and then again and again.
type Crowd = (&'static str, &'static [u8], &'static [u8]);

const CROWDS: [Crowd; 4] = [
    ("silence", b"", b""),
    ("half a request line", b"GET /ha", b""),
    (
        "content byte by byte",
        b"POST /form HTTP/1.1\r\nHost: h\r\nContent-Length: 9999\r\n\r\n",
        b"x",
    ),
    (
        "chunks byte by byte",
        b"POST /form HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\nx\r\n",
    ),
];

#[test]
#[ignore = "heavy: tests/run.sh stress"]
fn slow_crowds_before_four_workers() {
    let count = usize::try_from(number("RETTER_STRESS_SLOW", 2000)).expect("a count");
    let secs = number("RETTER_STRESS_SECONDS", 30);
    for (name, first, then) in CROWDS {
        let retter = Retter::start(retter_program!(), four_workers());
        let until = Instant::now() + Duration::from_secs(secs);
        let crowd: Vec<TcpStream> = (0..count)
            .map(|_| {
                let mut stream = TcpStream::connect(retter.address()).expect("it accepts");
                let _ = stream.write_all(first);
                stream.set_nonblocking(true).expect("a connected socket");
                stream
            })
            .collect();
        let mut told = [0_u64; 2];
        let (mut times, mut rss_max, mut asked) = (Vec::new(), 0, 0);
        let mut next = Instant::now();
        while Instant::now() < until {
            if Instant::now() >= next {
                next += Duration::from_secs(1);
                for mut stream in &crowd {
                    let _ = stream.write(then);
                }
            }
            asked += 1;
            // Every page is one that nobody has a copy of.
            let target = format!("/honest/{asked}");
            let request = match asked % 3 {
                0 => Request::post(&target, "a=b"),
                _ => Request::get(&target),
            };
            let start = Instant::now();
            let answer = Client::connect(retter.address()).ask(&request);
            times.push(start.elapsed());
            let is_served = answer.status == 200;
            assert!(!is_served || answer.text() == target, "{target}");
            told[usize::from(is_served)] += 1;
            rss_max = rss_max.max(rss(&retter));
        }
        let [refused, served] = told;
        say(&format!(
            "{count} of {name} for {secs} s: {served} honest requests served, {refused} refused; \
             {}; RSS at most {rss_max} KiB",
            spread(&mut times)
        ));
        assert!(served > 9 * refused, "{name} keeps honest users out");
    }
}

#[test]
#[ignore = "long: tests/run.sh soak"]
fn memory_stays_flat_under_new_keys() {
    const STEP: Duration = Duration::from_secs(10);
    const VISITORS: u64 = 16;
    let secs = number("RETTER_SOAK_SECONDS", 60);
    let origin = Origin::counting(|seen| {
        let len = 200 + seen.target.len() * 397 % 20_000;
        Reply::text(format!("{} {}", seen.target, "x".repeat(len)))
    });
    let retter = Retter::start(retter_program!(), origin.address());
    let start = Instant::now();
    let until = start + Duration::from_secs(secs);
    let asked = AtomicU64::new(0);
    let mut seen: Vec<(u64, u64)> = Vec::new();
    thread::scope(|scope| {
        for visitor in 0..VISITORS {
            let (asked, address) = (&asked, retter.address());
            scope.spawn(move || visit(address, visitor, asked, until));
        }
        let mut next = STEP;
        while start + next <= until {
            thread::sleep((start + next).saturating_duration_since(Instant::now()));
            let sample = (rss(&retter), asked.load(Ordering::Relaxed));
            say(&format!(
                "{:5} s: RSS {} KiB, {} requests",
                next.as_secs(),
                sample.0,
                sample.1
            ));
            seen.push(sample);
            next += STEP;
        }
    });
    // The store (64 MiB) fills first; from then on nothing may grow.
    let half = &seen[seen.len() / 2..];
    let (first, last) = (
        half.first().map_or(0, |s| s.0),
        half.last().map_or(0, |s| s.0),
    );
    say(&format!("second half: RSS {first} KiB to {last} KiB"));
    assert!(
        last < first + first / 5 + 8 * 1024,
        "memory grows: {seen:?}"
    );
}

fn query_len(number: u64) -> usize {
    usize::try_from(number % 50).expect("it is small")
}

/// New pages for new sessions all the time, on connections that last for a while.
fn visit(address: SocketAddr, visitor: u64, asked: &AtomicU64, until: Instant) {
    let mut number = 0_u64;
    while Instant::now() < until {
        let mut client = Client::connect(address);
        for _ in 0..100 {
            number += 1;
            let target = format!("/{visitor}/{number}?{}", "k".repeat(query_len(number)));
            let session = format!("PHPSESSID=s{visitor}-{}", number / 20);
            let request = Request::get(&target).field("Cookie", &session);
            match client.try_ask(&request) {
                Ok(answer) => {
                    let status = answer.status;
                    assert!(matches!(status, 200 | 503), "{status} for {target}");
                    asked.fetch_add(1, Ordering::Relaxed);
                    if answer.closes() || Instant::now() >= until {
                        break;
                    }
                }
                Err(Broken::Closed) => break,
                Err(error) => panic!("{target}: {error}"),
            }
        }
    }
}
