//! `retter replay` from outside: a committed log with an outage in it, and logs that are not fine.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

const OUTAGE: &str = "outage.log";
/// Four pages, one request each half second. From 8:00:30 to 8:01:30 UTC each answer takes ten
/// seconds to begin.
const BROWNOUT: &str = "brownout.json";

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay")
}

fn outage() -> Vec<u8> {
    std::fs::read(directory().join(OUTAGE)).expect("the sample is there")
}

/// Runs `retter replay` beside the sample, with `input`.
fn replay(args: &[&str], input: &[u8]) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_retter"))
        .arg("replay")
        .args(args)
        .current_dir(directory())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A program that refuses its arguments does not read.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("it is UTF-8");
    let code = output.status.code().expect("it was not killed");
    (code, text(output.stdout), text(output.stderr))
}

#[track_caller]
fn json(args: &[&str], input: &[u8]) -> Value {
    let args: Vec<_> = args.iter().copied().chain(["--json"]).collect();
    let (code, out, err) = replay(&args, input);
    assert_eq!((code, err.as_str()), (0, ""));
    serde_json::from_str(&out).expect("it is JSON")
}

#[track_caller]
fn refused(args: &[&str], input: &[u8], code: i32, parts: &[&str]) {
    let (found, _, err) = replay(args, input);
    assert_eq!(found, code, "{err}");
    for part in parts {
        assert!(err.contains(part), "{part} is not in\n{err}");
    }
}

/// To renew the text: `cd cli/tests/replay && retter replay outage.log >outage.txt`.
#[test]
fn the_outage_in_the_sample_is_found() {
    let expected = std::fs::read_to_string(directory().join("outage.txt")).unwrap();
    let (code, out, err) = replay(&[OUTAGE], b"");
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out, expected);
    // The file is not merely what the program says: the log has its outage from 8:01:00 to
    // 8:01:30 UTC.
    let opened = "2025-10-11 08:01:01 CLOSED -> OPEN: 5 connect failures in a row";
    assert!(out.contains(opened), "{out}");
    assert!(out.contains("circuit opened so often                                1"));
}

#[test]
fn every_way_in_gives_the_same_result() {
    let plain = json(&[OUTAGE], b"");
    assert_eq!(json(&["-"], &outage())["runs"], plain["runs"]);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&outage()).unwrap();
    assert_eq!(json(&["-"], &gzip.finish().unwrap())["runs"], plain["runs"]);
    // Two parts, the second first: they are farther apart than the window in which lines are sorted,
    // so the first part is late. None is lost.
    let text = outage();
    let half = text.len() / 2
        + text[text.len() / 2..]
            .iter()
            .position(|b| *b == b'\n')
            .unwrap();
    let swapped = [&text[half + 1..], &text[..=half]].concat();
    let swapped = json(&["-"], &swapped);
    assert_eq!(swapped["log"]["requests"], plain["log"]["requests"]);
    assert!(
        swapped["log"]["late"].as_u64().unwrap() > 0,
        "it begins more than a minute later"
    );
}

#[test]
fn files_are_merged_by_time() {
    let plain = json(&[OUTAGE], b"");
    let text = outage();
    let lines: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let path = |name: &str| Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let replayed = |parts: [Vec<u8>; 2]| {
        let files = ["merged.1", "merged.2"].map(path);
        for (file, part) in files.iter().zip(parts) {
            std::fs::write(file, part).unwrap();
        }
        let files = files.each_ref().map(|file| file.to_str().unwrap());
        json(&files, b"")
    };
    // As a shell lists what was rotated: the older file second. Between two seconds: the lines of one
    // come in the order of the files.
    let second = |at: &usize| lines[*at].split(|byte| *byte == b']').next();
    let time = |at: &usize| second(at).and_then(|start| start.split(|byte| *byte == b'[').nth(1));
    let cut = (300..lines.len()).find(|at| time(at) != time(&(at - 1)));
    let (older, newer) = lines.split_at(cut.unwrap());
    let [older, newer] = [older, newer].map(|lines| lines.concat());
    let rotated = replayed([newer, older]);
    assert_eq!(rotated["runs"], plain["runs"]);
    assert_eq!(rotated["log"]["late"], 0);
    // As two servers write it: each has every other second.
    let is_odd = |line: &[u8]| {
        let time = line.split(|byte| *byte == b'[').nth(1);
        time.is_some_and(|time| time["11/Oct/2025:10:00:0".len()] % 2 == 1)
    };
    let (odd, even): (Vec<&[u8]>, Vec<&[u8]>) =
        lines.iter().copied().partition(|line| is_odd(line));
    let [odd, even] = [odd, even].map(|lines| lines.concat());
    let merged = replayed([odd, even]);
    assert_eq!(merged["runs"], plain["runs"]);
}

#[test]
fn every_request_gets_one_thing() {
    let all = json(&[OUTAGE, "--plot", "/dev/null"], b"");
    let got = all["runs"][0]["got"].as_object().unwrap();
    let sum: u64 = got.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(sum, all["log"]["requests"].as_u64().unwrap());
    let slices = all["runs"][0]["slices"].as_array().unwrap();
    let in_slices = slices
        .iter()
        .flat_map(|slice| slice.as_object().unwrap().values());
    assert_eq!(
        in_slices.map(|count| count.as_u64().unwrap()).sum::<u64>(),
        sum
    );
    assert_eq!(all["log"]["malformed"], 1);
    assert_eq!(all["log"]["without_request"], 2);
    assert_eq!(all["log"]["malformed_first"][0]["line"], 121);
}

#[test]
fn settings_count() {
    let run = |args: &[&str]| {
        let args: Vec<_> = [OUTAGE].iter().chain(args).copied().collect();
        json(&args, b"")["runs"][0].clone()
    };
    let spared = |run: &Value| run["spared"].as_u64().unwrap();
    let rescued = |run: &Value| {
        let count = |name: &str| run["got"][name].as_u64().unwrap();
        count("rescued_failed") + count("rescued_circuit_open")
    };
    let usual = run(&[]);
    assert_eq!(usual["circuit_opened"], 1);
    let rates = [
        "--breaker-consecutive-fail",
        "1000",
        "--breaker-fail-rate",
        "1",
    ];
    assert!(spared(&run(&rates)) < spared(&usual), "it opens later");
    let strict = run(&[
        "--assume-cache-control",
        "no-store",
        "--cache-rescue",
        "strict",
    ]);
    assert_eq!(rescued(&strict), 0);
    let own = run(&["--assume-gateway-errors", "false"]);
    assert!(rescued(&own) > 0);
    let reason = own["changes"][0]["reason"].as_str().unwrap();
    assert!(!reason.contains("connect"), "{reason}");
}

#[test]
fn a_copy_of_one_visitor_rescues_another_only_where_that_is_assumed() {
    let line = |visitor, second, status| {
        format!(
            "192.0.2.{visitor} - - [11/Oct/2025:10:00:0{second} +0200] \"GET / HTTP/1.1\" \
             {status} 7 \"-\" \"-\"\n"
        )
    };
    let log = [line(1, 0, 200), line(2, 1, 502)].concat();
    let rescued = |sessions| {
        let run = json(&["-", "--assume-sessions", sessions], log.as_bytes());
        run["runs"][0]["got"]["rescued_failed"].as_u64()
    };
    assert_eq!((rescued("visitor"), rescued("none")), (Some(0), Some(1)));
}

#[test]
fn two_settings_stand_side_by_side() {
    let files = ["eager.toml", "patient.toml"];
    let args = [
        OUTAGE,
        "--compare",
        files[0],
        files[1],
        "--plot",
        "/dev/stderr",
    ];
    let (code, out, svg) = replay(&args, b"");
    assert_eq!(code, 0, "{svg}");
    let heading = out
        .lines()
        .find(|line| line.starts_with("Users would have got"))
        .unwrap();
    assert!(heading.ends_with("eager.toml    patient.toml"), "{heading}");
    for part in [
        "with eager.toml</text>",
        "with patient.toml</text>",
        "</svg>",
    ] {
        assert!(svg.contains(part), "{part}");
    }
    // Where the circuit was closed, nothing is drawn.
    assert!(!svg.contains("CLOSED: "), "{svg}");
    assert!(
        svg.contains("<title>OPEN: 2 connect failures in a row</title>"),
        "{svg}"
    );
    let both = json(&args[..4], b"");
    assert_eq!(both["runs"][0]["settings"], "eager.toml");
    assert_ne!(both["runs"][0]["changes"], both["runs"][1]["changes"]);
}

/// The run's changes of the application's circuit: time, new state and reason.
fn changes(run: &Value) -> Vec<String> {
    let changes = run["changes"].as_array().into_iter().flatten();
    let of_origin = changes.filter(|change| change["path"].is_null());
    let text = |change: &Value, name: &str| change[name].as_str().unwrap_or_default().to_owned();
    of_origin
        .map(|change| {
            ["time", "to", "reason"]
                .map(|name| text(change, name))
                .join(" ")
        })
        .collect()
}

#[test]
fn a_slow_application_opens_the_circuit_while_it_is() {
    let run = json(&[BROWNOUT], b"")["runs"][0].clone();
    let changes = changes(&run);
    // The fifth that should have been over by then was sent at 8:00:32.0.
    assert_eq!(
        changes[0],
        "2025-10-11 08:00:33 OPEN 5 slow in a row (over 1.0 s), 3 paths"
    );
    // No probe finds it well before it is.
    let closed = changes.iter().position(|change| change.contains("CLOSED"));
    let closed = closed.expect("it closes in the end");
    assert_eq!(closed, changes.len() - 1, "{changes:?}");
    assert!(*changes[closed] > *"2025-10-11 08:01:30");
    // From 8:00:30.0 to 8:00:32.5, and each was told so after a second.
    assert_eq!(run["got"]["rescued_slow"], 6);
    assert_eq!(run["got"]["left"], 0);
    assert_eq!(run["got"]["errors"], 0);
    // The application answered at last, with the same page. Probes that take long may fill it.
    let got = |name: &str| run["got"][name].as_u64().unwrap();
    let rescued = got("rescued_slow") + got("rescued_circuit_open") + got("rescued_full");
    assert_eq!(run["rescued_while_answering"]["same"], rescued);
}

#[test]
fn settings_for_slowness_make_a_difference() {
    let both = json(&[BROWNOUT, "--compare", "hasty.toml", "lenient.toml"], b"");
    let [hasty, lenient] = [0, 1].map(|index| both["runs"][index].clone());
    let opened = "2025-10-11 08:00:32 OPEN 5 slow in a row (over 0.5 s), 3 paths";
    assert_eq!(changes(&hasty)[0], opened);
    assert_eq!(changes(&lenient), [""; 0]);
    assert_eq!(lenient["got"]["rescued_slow"], 0);
    // More than it bears at once; the rest waits for as long as it takes.
    assert_eq!(lenient["got"]["rescued_circuit_open"], 0);
    assert!(hasty["got"]["answered"].as_u64() < lenient["got"]["answered"].as_u64());
}

#[test]
fn a_hanging_application_opens_the_circuit_before_anything_times_out() {
    let line = |second, page, status| {
        format!(
            "192.0.2.1 - - [11/Oct/2025:10:00:{second:02} +0200] \"GET /{page} HTTP/1.1\" \
             {status} 7 \"-\" \"-\"\n"
        )
    };
    let well = (0..3).map(|second| line(second, second % 3, 200));
    let hanging = (3..13).map(|second| line(second, second % 3, 504));
    let log: String = well.chain(hanging).collect();
    let run = json(&["-"], log.as_bytes())["runs"][0].clone();
    let opened = "2025-10-11 08:00:08 OPEN 5 slow in a row (over 1.0 s), 3 paths";
    assert_eq!(changes(&run)[0], opened);
    assert_eq!(run["got"]["rescued_slow"], 5);
    assert_eq!(run["got"]["rescued_circuit_open"], 5);
    // They are seen by their time-out alone where nothing is slow.
    let off = json(&["-", "--breaker-slow-rate", "off"], log.as_bytes());
    let off = &off["runs"][0];
    assert_eq!(off["got"]["rescued_slow"], 0);
    assert!(
        changes(off)
            .iter()
            .all(|change| change.as_str() > "2025-10-11 08:00:18"),
        "nothing fails before its time-out"
    );
}

/// Probes fail all night; and one line is from a clock that is wrong by centuries.
#[test]
fn a_silent_log_is_no_end_of_probes_and_loses_none() {
    let line = |time: &str, page, status| {
        format!("192.0.2.1 - - [{time} +0000] \"GET /{page} HTTP/1.1\" {status} 7 \"-\" \"-\"\n")
    };
    let well = (0..3).map(|page| line("11/Oct/2025:22:00:00", page, 200));
    let down = (0..6).map(|page| line("11/Oct/2025:22:00:01", page % 3, 502));
    let later = ["12/Oct/2025:06:00:00", "12/Oct/2500:06:00:00"].map(|time| line(time, 0, 502));
    let log: String = well.chain(down).chain(later).collect();
    let run = json(&["-"], log.as_bytes())["runs"][0].clone();
    let changes = run["changes"].as_array().unwrap();
    assert_eq!(changes[0]["from"], "CLOSED");
    for pair in changes.windows(2) {
        assert_eq!(pair[0]["to"], pair[1]["from"], "{pair:?}");
    }
    // The night, and the day after its last line: it takes no connections, and is asked for nothing.
    let probes = run["asked_in_background"].as_u64().unwrap();
    assert!(probes < 100, "{probes}");
    assert_eq!(run["circuit_opened"], 1);
}

#[test]
fn a_fresh_copy_can_be_wrong() {
    let line = |second, method, bytes| {
        format!(
            "192.0.2.1 - - [11/Oct/2025:10:00:{second:02} +0200] \"{method} / HTTP/1.1\" 200 \
             {bytes} \"-\" \"-\"\n"
        )
    };
    // Another page from the third second on, and again after ten.
    let lines = [
        line(0, "GET", 7),
        line(1, "GET", 7),
        line(2, "HEAD", 0),
        line(3, "GET", 8),
        line(4, "GET", 8),
        line(10, "GET", 9),
    ];
    let files = ["fresh_ttl.toml", "fresh_origin.toml"];
    let args = ["-", "--compare", files[0], files[1]];
    let both = json(&args, lines.concat().as_bytes());
    let [ttl, origin] = [0, 1].map(|index| both["runs"][index].clone());
    let verdicts = |run: &Value, kind: &str| {
        ["same", "unknown", "wrong"].map(|name| run[kind][name].as_u64().unwrap())
    };
    assert_eq!(verdicts(&ttl, "fresh_while_answering"), [1, 1, 2]);
    assert_eq!(verdicts(&ttl, "rescued_while_answering"), [0, 0, 0]);
    assert_eq!(ttl["got"]["fresh"], 4);
    assert_eq!(verdicts(&origin, "fresh_while_answering"), [0, 0, 0]);
    assert_eq!(origin["got"]["answered"], 6);
    let (_, text, _) = replay(&args, lines.concat().as_bytes());
    let row = |label: &str| {
        let row = text
            .lines()
            .find(|line| line.trim_start().starts_with(label));
        let row = row.unwrap_or_else(|| panic!("no {label} in\n{text}"));
        row.split_whitespace()
            .rev()
            .take(2)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(row("fresh copy, wrong"), "0 2");
    assert_eq!(row("rescue, wrong"), "0 0");
}

/// Newcomers in an outage: whether they are rescued depends on whether they see what others saw.
#[test]
fn what_a_log_does_not_tell_is_a_span_and_not_a_promise() {
    let line = |second: usize, visitor: usize, status| {
        format!(
            "192.0.2.{visitor} - - [11/Oct/2025:10:00:{second:02} +0200] \"GET /{} HTTP/1.1\" \
             {status} 7 \"-\" \"-\"\n",
            visitor % 4
        )
    };
    let well = (0..20).map(|visitor| line(visitor, visitor, 200));
    let down = (20..40).map(|visitor| line(visitor, visitor, 502));
    let log: String = well.chain(down).collect();
    let all = json(&["-"], log.as_bytes());
    assert_eq!(all["log"]["errors_without_retter"]["most"], 20);
    let span = &all["runs"][0]["errors_with_retter"];
    assert_eq!((&span["least"], &span["most"]), (&0.into(), &20.into()));
    assert_eq!(span["assumed"], 20);
    let (_, text, _) = replay(&["-"], log.as_bytes());
    let begins = "Without RETTER 50.00 % of these requests were errors.\nWith it between 0.00 % and \
                  50.00 %, depending on how many visitors see the same pages";
    assert!(text.starts_with(begins), "{text}");
    let shared = json(&["-", "--assume-sessions", "none"], log.as_bytes());
    let span = &shared["runs"][0]["errors_with_retter"];
    assert_eq!((&span["assumed"], &span["most"]), (&0.into(), &20.into()));
}

#[test]
fn what_cannot_be_replayed_is_told() {
    refused(&[], b"", 2, &["ACCESS_LOG"]);
    refused(&["no-such.log"], b"", 1, &["cannot read no-such.log"]);
    refused(&["."], b"", 1, &["it is a directory"]);
    refused(&["-"], b"", 1, &["the log is empty"]);
    let nonsense = b"to be\nor not\n";
    refused(
        &["-"],
        nonsense,
        1,
        &["none of 2 lines", "(standard input):2:", "or not"],
    );
    refused(
        &[OUTAGE, "--plot", "/no/such/place.svg"],
        b"",
        1,
        &["cannot write /no/such"],
    );
    refused(
        &[OUTAGE, "--cache-ttl", "soon"],
        b"",
        2,
        &["--cache-ttl = soon"],
    );
    let compare = ["--compare", "eager.toml", "no.toml", OUTAGE];
    refused(&compare, b"", 2, &["settings file no.toml"]);
    refused(&[OUTAGE, "--assume-sessions", "some"], b"", 2, &["visitor"]);
    refused(
        &[OUTAGE, "--assume-origin-time", "soon"],
        b"",
        2,
        &["is not a duration"],
    );
}
