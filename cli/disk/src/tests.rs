//! Owns the tests of a disk as a whole: a site before a restart, its disk, and a site after it; and disks
//! that are full, gone or do not answer.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use retter_core::config::Settings;
use retter_core::copies::Purge;
use retter_core::message::{Fields, RequestHead, ResponseHead};
use retter_core::report::Failure;
use retter_core::{Decision, Site, Verdict};

use crate::folder::{Directory, Folder, Segment};
use crate::secret::Secret;
use crate::{Disk, Options, Scope, Trouble};

mod flips;
mod trouble;

/// A guard only.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a page of the tests is like.
const BODY_BYTES: usize = 10 * 1024;

/// A process: a site, and its disk.
struct Process {
    site: Site,
    disk: Arc<Disk>,
    epoch: Instant,
}

impl Process {
    fn start(state: &State) -> Self {
        Self::start_in(state, state.folder())
    }

    fn start_in(state: &State, folder: Arc<dyn Folder>) -> Self {
        let epoch = Instant::now();
        let mut settings = Settings::default();
        state.change.iter().for_each(|change| change(&mut settings));
        let now = retter_core::Instant::ZERO;
        let site = Site::new(&settings.validate().unwrap(), state.secret.seed(), now);
        site.set_wall_clock(Duration::from_secs(1_700_000_000) + state.later, now);
        let options = Options {
            folder: state.path.path().join("copies"),
            bytes_max: state.bytes_max,
            scope: state.scope,
            epoch,
        };
        let disk = Disk::start_in(folder, &site, &state.secret, &options).unwrap();
        Self { site, disk, epoch }
    }

    fn now(&self) -> retter_core::Instant {
        retter_core::Instant::from_epoch(self.epoch.elapsed())
    }

    #[track_caller]
    fn wait(&self, what: &str, holds: impl Fn(&crate::Stats) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds(&self.disk.stats()) {
            assert!(Instant::now() < until, "{what}: {:?}", self.disk.stats());
            std::thread::yield_now();
        }
    }

    fn wait_until_loaded(&self) {
        self.wait("loading", |stats| !stats.is_loading);
    }

    /// Asks for a page, which the application answers so.
    fn answer(&self, request: &Arc<RequestHead>, status: StatusCode, body: &[u8]) {
        let now = self.now();
        let Some(Decision::Fetch(fetch)) = self.site.decide(request, now).now() else {
            panic!("nothing is fresh, and there is room");
        };
        let head = ResponseHead::new(status, Fields::default());
        let Verdict::Forward(holding) = fetch.on_head(&head, now) else {
            panic!("it is no failure");
        };
        let mut passing = holding.pass_on();
        passing.on_data(body, now);
        passing.on_end(now);
    }

    fn keep(&self, path: &str) {
        self.answer(&get(path), StatusCode::OK, &body(path));
    }

    /// What a visitor gets while the application takes no connection, as text.
    fn rescued(&self, request: &Arc<RequestHead>) -> Option<String> {
        let body = self.served(request)?;
        // The first line and the length say all: a failing test shows no whole page.
        let line = body.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let is_whole = body.len() == BODY_BYTES
            && body.chunks(line.len() + 1).all(|part| {
                let expected = format!("{line}\n").into_bytes();
                expected.starts_with(part)
            });
        Some(if is_whole {
            line.into_owned()
        } else {
            format!("{} bytes", body.len())
        })
    }

    fn served(&self, request: &Arc<RequestHead>) -> Option<Vec<u8>> {
        let now = self.now();
        let Some(Decision::Fetch(fetch)) = self.site.decide(request, now).now() else {
            panic!("nothing is fresh, and there is room");
        };
        let served = fetch.on_failure(Failure::Connect, now).ok()?;
        Some(served.answer(request).body().to_vec())
    }

    fn stop(self) {
        self.disk.stop(PATIENCE);
    }
}

/// What outlives a process.
struct State {
    path: tempfile::TempDir,
    secret: Secret,
    scope: Scope,
    bytes_max: u64,
    later: Duration,
    change: Option<fn(&mut Settings)>,
}

impl State {
    fn new() -> Self {
        let path = tempfile::tempdir().unwrap();
        Self {
            secret: Secret::open(path.path()).unwrap(),
            path,
            scope: Scope::Shared,
            bytes_max: 64 << 20,
            later: Duration::ZERO,
            change: None,
        }
    }

    fn folder(&self) -> Arc<Directory> {
        Arc::new(Directory::new(self.path.path().join("copies")))
    }

    fn files(&self) -> Vec<std::path::PathBuf> {
        let files = std::fs::read_dir(self.path.path().join("copies")).unwrap();
        let files = files.map(|file| file.unwrap().path());
        let mut files: Vec<_> = files
            .filter(|path| path.extension().is_some_and(|it| it == "copies"))
            .collect();
        files.sort();
        files
    }

    /// All of it as it is now, as after a process was killed.
    fn copied(&self) -> Self {
        let other = Self {
            secret: self.secret.clone(),
            ..Self::new()
        };
        let folder = other.path.path().join("copies");
        std::fs::create_dir(&folder).unwrap();
        for file in self.files() {
            std::fs::copy(&file, folder.join(file.file_name().unwrap())).unwrap();
        }
        let learnt = self.path.path().join("copies/learnt");
        if learnt.exists() {
            std::fs::copy(&learnt, folder.join("learnt")).unwrap();
        }
        other
    }
}

fn request(method: Method, path: &str, lines: &[(&str, &str)]) -> Arc<RequestHead> {
    let lines = [&[("host", "h")], lines].concat();
    let fields = Fields::from_pairs(lines.iter().map(|(name, value)| (*name, value.as_bytes())));
    Arc::new(RequestHead::new(method, path, fields))
}

fn get(path: &str) -> Arc<RequestHead> {
    request(Method::GET, path, &[])
}

/// What each line of a page says.
fn line(path: &str) -> String {
    format!("this is {path}")
}

fn body(path: &str) -> Vec<u8> {
    let line = line(path) + "\n";
    line.bytes().cycle().take(BODY_BYTES).collect()
}

#[test]
fn what_was_kept_rescues_after_a_restart_and_what_was_dropped_does_not() {
    let state = State::new();
    let first = Process::start(&state);
    for path in ["/a", "/b", "/c", "/d"] {
        first.keep(path);
    }
    first.wait("writing", |stats| stats.written == 4);
    first.answer(&request(Method::POST, "/b", &[]), StatusCode::OK, b"");
    first.answer(&get("/c"), StatusCode::NOT_FOUND, b"");
    // No process has to end well for a drop.
    assert!(first.disk.flush(PATIENCE));
    let killed = state.copied();
    first.keep("/e");
    first.stop();
    for (state, last) in [(&killed, None), (&state, Some(line("/e")))] {
        let second = Process::start(state);
        second.wait_until_loaded();
        assert_eq!(second.rescued(&get("/a")), Some(line("/a")));
        assert_eq!(second.rescued(&get("/d")), Some(line("/d")));
        assert_eq!(second.rescued(&get("/b")), None, "it was written");
        assert_eq!(second.rescued(&get("/c")), None, "it is gone");
        assert_eq!(second.rescued(&get("/e")), last);
        second.stop();
    }
}

#[test]
fn a_purge_holds_at_the_next_start_whatever_was_loaded_and_in_memory() {
    let state = State::new();
    let first = Process::start(&state);
    for path in ["/a/1", "/a/2", "/b/1"] {
        first.keep(path);
    }
    first.stop();
    let second = Process::start(&state);
    second.wait_until_loaded();
    let prefix = Purge::Prefix {
        host: None,
        path: "/a/".to_owned(),
    };
    assert_eq!(second.site.purge(&prefix), 2);
    assert!(second.disk.flush(PATIENCE));
    let copied = state.copied();
    let third = Process::start(&copied);
    third.wait_until_loaded();
    assert_eq!(third.rescued(&get("/a/1")), None);
    assert_eq!(third.rescued(&get("/b/1")), Some(line("/b/1")));
    second.site.purge(&Purge::All);
    assert!(second.disk.flush(PATIENCE));
    let copied = state.copied();
    let fourth = Process::start(&copied);
    fourth.wait_until_loaded();
    assert_eq!(fourth.site.stats(fourth.now()).copies, 0);
    // What is kept afterwards counts.
    second.keep("/b/1");
    second.stop();
    let fifth = Process::start(&state);
    fifth.wait_until_loaded();
    assert_eq!(fifth.rescued(&get("/b/1")), Some(line("/b/1")));
}

#[test]
fn copies_of_sessions_are_kept_only_where_asked_for_and_sealed_there() {
    let own = request(
        Method::GET,
        "/own",
        &[("cookie", "PHPSESSID=secret-of-anna")],
    );
    for (scope, is_kept) in [(Scope::Shared, false), (Scope::All, true)] {
        let state = State {
            scope,
            ..State::new()
        };
        let first = Process::start(&state);
        first.keep("/all");
        first.answer(&own, StatusCode::OK, b"the page of Anna");
        first.stop();
        let second = Process::start(&state);
        second.wait_until_loaded();
        assert_eq!(second.rescued(&get("/all")), Some(line("/all")));
        assert_eq!(second.rescued(&own).is_some(), is_kept, "{scope:?}");
        let written: Vec<_> = state
            .files()
            .iter()
            .map(|file| std::fs::read(file).unwrap())
            .collect();
        let written = written.concat();
        let holds = |text: &[u8]| written.windows(text.len()).any(|part| part == text);
        assert!(!holds(b"Anna") && !holds(b"secret-of-anna"));
        assert_eq!(holds(b"this is /all"), scope == Scope::Shared);
        // A logout.
        let cookie = "PHPSESSID=secret-of-anna".to_owned();
        second.site.purge(&Purge::Session { cookie });
        assert!(second.disk.flush(PATIENCE));
        let copied = State {
            scope,
            ..state.copied()
        };
        let third = Process::start(&copied);
        third.wait_until_loaded();
        assert_eq!(third.rescued(&own), None);
        assert_eq!(third.rescued(&get("/all")), Some(line("/all")));
        second.stop();
    }
}

#[test]
fn by_other_settings_nothing_comes_back_and_nothing_does_after_that_either() {
    let mut state = State::new();
    let first = Process::start(&state);
    first.keep("/a");
    first.stop();
    state.change = Some(|settings| settings.site.cache.detect_query = false);
    let second = Process::start(&state);
    second.wait_until_loaded();
    assert_eq!(second.rescued(&get("/a")), None);
    second.stop();
    // A drop by other settings may have been of another name.
    state.change = None;
    let third = Process::start(&state);
    third.wait_until_loaded();
    assert_eq!(third.rescued(&get("/a")), None);
    third.stop();
    state.scope = Scope::All;
    let fourth = Process::start(&state);
    fourth.wait_until_loaded();
    fourth.keep("/b");
    fourth.stop();
    state.scope = Scope::Shared;
    let fifth = Process::start(&state);
    fifth.wait_until_loaded();
    assert_eq!(fifth.rescued(&get("/b")), None, "sealed");
}

#[test]
fn the_disk_holds_no_more_than_its_bound_and_what_was_kept_last() {
    let state = State {
        bytes_max: 1 << 20,
        ..State::new()
    };
    let first = Process::start(&state);
    for batch in 0..4_u64 {
        for number in 0..100 {
            first.keep(&format!("/{}", batch * 100 + number));
        }
        first.wait("writing", |stats| stats.written >= (batch + 1) * 100);
    }
    first.wait("cleaning", |stats| stats.bytes <= state.bytes_max);
    let stats = first.disk.stats();
    assert!(stats.copies > 50, "{stats:?}");
    assert_eq!(stats.lost, 0);
    first.stop();
    let second = Process::start(&state);
    second.wait_until_loaded();
    assert_eq!(second.disk.stats().copies, stats.copies);
    assert_eq!(second.rescued(&get("/399")), Some(line("/399")));
    assert_eq!(second.rescued(&get("/0")), None);
}

#[test]
fn what_still_counts_is_moved_before_its_segment_goes() {
    let state = State {
        bytes_max: 1 << 18,
        ..State::new()
    };
    let first = Process::start(&state);
    first.keep("/stays");
    first.wait("writing", |stats| stats.written == 1);
    for batch in 0..25 {
        let paths = (0..8).map(|number| format!("/{batch}/{number}"));
        let paths: Vec<_> = paths.collect();
        paths.iter().for_each(|path| first.keep(path));
        first.wait("writing", |stats| stats.copies == 9);
        for path in &paths {
            first.answer(&request(Method::POST, path, &[]), StatusCode::OK, b"");
        }
        assert_eq!(first.disk.stats().copies, 1);
    }
    first.wait("cleaning", |stats| stats.bytes <= state.bytes_max);
    first.stop();
    let second = Process::start(&state);
    second.wait_until_loaded();
    assert_eq!(second.disk.stats().copies, 1);
    assert_eq!(second.rescued(&get("/stays")), Some(line("/stays")));
}

fn small(path: &str) -> String {
    path.repeat(20)
}

#[test]
fn a_damaged_or_cut_segment_gives_no_wrong_page_and_no_dropped_one() {
    let state = State::new();
    let first = Process::start(&state);
    for path in ["/a", "/b", "/c"] {
        first.answer(&get(path), StatusCode::OK, small(path).as_bytes());
    }
    first.wait("writing", |stats| stats.written == 3);
    first.answer(&request(Method::POST, "/b", &[]), StatusCode::OK, b"");
    first.stop();
    let files = state.files();
    let [file] = &files[..] else {
        panic!("{files:?}")
    };
    let whole = std::fs::read(file).unwrap();
    let check = |bytes: &[u8], what: &str, may_be_older: bool| {
        let other = State {
            secret: state.secret.clone(),
            ..State::new()
        };
        let folder = other.path.path().join("copies");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(file.file_name().unwrap()), bytes).unwrap();
        let process = Process::start(&other);
        process.wait_until_loaded();
        for path in ["/a", "/b", "/c"] {
            let rescued = process.served(&get(path));
            let is_right = rescued.is_none_or(|rescued| rescued == small(path).as_bytes());
            assert!(is_right, "{what}: {path}");
        }
        assert!(
            may_be_older || process.rescued(&get("/b")).is_none(),
            "{what}"
        );
        process.stop();
    };
    check(&whole, "whole", false);
    // Every one is tried in the tests of frames and of records.
    for bit in (0..whole.len() * 8).step_by(61) {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        check(&flipped, &format!("bit {bit}"), false);
    }
    for end in (0..whole.len()).step_by(7) {
        check(&whole[..end], &format!("{end} bytes"), true);
    }
}
