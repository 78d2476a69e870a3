//! Tests of a whole folder of which bits are not as they were written, and of what was found out of visitors.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use retter_core::rng::Rng;

use super::*;

/// How many bits are flipped each time.
const BITS: usize = 10_000;
const AT_A_TIME: usize = 20;

const PAGES: usize = 48;

/// A page of which it shows which one it is, and whether it is the last.
fn content(page: usize, version: u32) -> Vec<u8> {
    let line = format!("page {page} version {version}\n");
    line.bytes().cycle().take(4096).collect()
}

/// What a visitor gets, also once the circuit is open.
fn served(process: &Process, request: &Arc<RequestHead>) -> Option<Vec<u8>> {
    let now = process.now();
    let served = match process.site.decide(request, now).now()? {
        Decision::Fetch(fetch) => fetch.on_failure(Failure::Connect, now).ok()?,
        Decision::Serve(served) => served,
        Decision::Refuse(_) => return None,
    };
    Some(served.answer(request).body().to_vec())
}

fn paths(folder: &std::path::Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.file_name().is_some_and(|name| name != "lock"));
    files.sort();
    files
}

/// The files of a folder, by their names.
type Files = Vec<(std::ffi::OsString, Vec<u8>)>;

fn target(page: usize) -> String {
    format!("/{page}")
}

/// A folder after pages were kept, and a third of them dropped, and a third dropped and kept anew.
fn filled(state: &State) -> Files {
    let first = Process::start(state);
    for page in 0..PAGES {
        first.answer(&get(&target(page)), StatusCode::OK, &content(page, 1));
        // A turn of the writer has one segment.
        if page % 12 == 11 {
            first.wait("writing", |stats| stats.written == page as u64 + 1);
        }
    }
    for page in (0..PAGES).filter(|page| page % 3 != 0) {
        let write = request(Method::POST, &target(page), &[]);
        first.answer(&write, StatusCode::OK, b"");
    }
    for page in (0..PAGES).filter(|page| page % 3 == 1) {
        first.answer(&get(&target(page)), StatusCode::OK, &content(page, 2));
    }
    first.wait("writing", |stats| stats.copies == PAGES / 3 * 2);
    first.stop();
    let paths = paths(&state.path.path().join("copies")).into_iter();
    let files = paths.map(|path| {
        let bytes = std::fs::read(&path).unwrap();
        (path.file_name().unwrap().to_owned(), bytes)
    });
    files.collect()
}

/// Flips some bits, each as likely as any other.
fn flip(files: &mut Files, rng: &mut Rng) {
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    for _ in 0..AT_A_TIME {
        let draw = rng.next();
        let mut at = usize::try_from((draw >> 3) % bytes as u64).unwrap();
        for (_, file) in &mut *files {
            if at < file.len() {
                file[at] ^= 1 << (draw % 8);
                break;
            }
            at -= file.len();
        }
    }
}

#[test]
fn ten_thousand_flipped_bits_over_a_folder_give_no_wrong_byte_and_no_dropped_page() {
    let state = State {
        bytes_max: 1 << 20,
        ..State::new()
    };
    let whole = filled(&state);
    assert!(whole.len() >= 4, "several segments, and what was found out");
    let mut rng = Rng::new(22);
    let mut rescued = 0;
    for _ in 0..BITS / AT_A_TIME {
        let other = State {
            secret: state.secret.clone(),
            ..State::new()
        };
        let mut damaged = whole.clone();
        flip(&mut damaged, &mut rng);
        let folder = other.path.path().join("copies");
        std::fs::create_dir(&folder).unwrap();
        for (name, bytes) in &damaged {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
        let process = Process::start(&other);
        process.wait_until_loaded();
        for page in 0..PAGES {
            let Some(served) = served(&process, &get(&target(page))) else {
                continue;
            };
            rescued += 1;
            let version = match page % 3 {
                0 => 1,
                1 => 2,
                _ => panic!("page {page} was dropped"),
            };
            assert!(served == content(page, version), "page {page}");
        }
        process.stop();
    }
    assert!(
        rescued > BITS / AT_A_TIME,
        "the damage costs no more than what it is in: {rescued}"
    );
}

const ANNA: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

/// Whether a visitor with an address, and no cookie, is rescued.
fn is_rescued(process: &Process, path: &str, address: IpAddr) -> bool {
    let ruling = process.site.decide_for(&get(path), address, process.now());
    let Some(Decision::Fetch(fetch)) = ruling.now() else {
        panic!("nothing is fresh, and there is room");
    };
    fetch.on_failure(Failure::Connect, process.now()).is_ok()
}

/// A visitor with a session is refused a page that others have had.
fn refuse(process: &Process, path: &str, address: IpAddr) {
    let own = request(Method::GET, path, &[("cookie", "PHPSESSID=secret-of-anna")]);
    let ruling = process.site.decide_for(&own, address, process.now());
    let Some(Decision::Fetch(fetch)) = ruling.now() else {
        panic!("nothing is fresh, and there is room");
    };
    let head = ResponseHead::new(StatusCode::FORBIDDEN, Fields::default());
    let Verdict::Forward(holding) = fetch.on_head(&head, process.now()) else {
        panic!("it is no failure");
    };
    holding.pass_on().on_end(process.now());
}

#[test]
fn whoever_was_refused_a_page_gets_no_copy_of_it_at_the_next_start() {
    let state = State::new();
    let first = Process::start(&state);
    first.wait_until_loaded();
    first.keep("/a");
    first.keep("/b");
    first.wait("writing", |stats| stats.written == 2);
    refuse(&first, "/a", ANNA);
    let other = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
    assert!(!is_rescued(&first, "/a", ANNA) && is_rescued(&first, "/a", other));
    first.stop();
    let second = Process::start(&state);
    second.wait_until_loaded();
    assert!(!is_rescued(&second, "/a", ANNA), "she was refused it");
    assert!(is_rescued(&second, "/a", other) && is_rescued(&second, "/b", ANNA));
    second.stop();
    // Where a part of it is lost, refusals are forgotten.
    let file = state.path.path().join("copies/learnt");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 5;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let third = Process::start(&state);
    third.wait_until_loaded();
    assert!(!is_rescued(&third, "/a", ANNA) && !is_rescued(&third, "/a", other));
    // From here on all is as it should be.
    third.keep("/a");
    third.stop();
    let fourth = Process::start(&state);
    fourth.wait_until_loaded();
    assert!(is_rescued(&fourth, "/a", other));
    fourth.stop();
}

#[test]
fn what_was_found_out_is_on_the_disk_a_moment_later_whoever_kills_the_process() {
    let state = State::new();
    let first = Process::start(&state);
    first.wait_until_loaded();
    first.keep("/a");
    first.wait("writing", |stats| stats.written == 1);
    let file = state.path.path().join("copies/learnt");
    let before = || std::fs::metadata(&file).map_or(0, |about| about.len());
    let until = Instant::now() + PATIENCE;
    while before() == 0 {
        assert!(Instant::now() < until, "it is made");
        std::thread::yield_now();
    }
    let len = before();
    refuse(&first, "/a", ANNA);
    while before() == len {
        assert!(Instant::now() < until, "it grows");
        std::thread::yield_now();
    }
    let second = Process::start(&state.copied());
    second.wait_until_loaded();
    assert!(!is_rescued(&second, "/a", ANNA));
    second.stop();
    first.stop();
}
