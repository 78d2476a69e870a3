//! Owns the proof that copies go from one machine to another, that an operator can look at one, and that the
//! pages of a sitemap are fetched politely before the first visitor.
//! Never waits for a page of politeness longer than the application asks for: it asks for none, or for a second.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use retter_tests::client::Request;
use retter_tests::origin::{Origin, Seen};
use retter_tests::port::Port;
use retter_tests::program::Program;
use retter_tests::reply::Reply;
use retter_tests::retter::{Retter, command};
use retter_tests::retter_program;
use tempfile::TempDir;

/// An application that fails while it is told to.
fn application() -> (Origin, Arc<AtomicBool>) {
    let is_down = Arc::new(AtomicBool::new(false));
    let fails = Arc::clone(&is_down);
    let origin = Origin::start(move |seen| match fails.load(Ordering::SeqCst) {
        true => Reply::status(503, "down"),
        false => page(seen),
    });
    (origin, is_down)
}

fn page(seen: &Seen) -> Reply {
    let whose = seen.cookie("PHPSESSID").unwrap_or("everybody");
    Reply::text(format!("page {} for {whose}\u{1b}[2J", seen.target))
}

/// An instance with its socket in a folder.
struct Machine {
    retter: Retter,
    folder: TempDir,
}

impl Machine {
    fn start(origin: &Origin, more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("s");
        let mut settings = vec![
            ("RETTER_ADMIN_SOCKET", socket.to_str().expect("ASCII")),
            ("RETTER_CACHE_PUBLIC", "off"),
            ("RETTER_BREAKER_FAIL_RATE", "1"),
            ("RETTER_BREAKER_CONSECUTIVE_FAIL", "1000000"),
        ];
        settings.extend(more);
        let retter = Retter::start_with(retter_program!(), origin.address(), &settings);
        Self { retter, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a command; whether it succeeded, and what it said.
    fn run(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = command(retter_program!());
        command
            .args(arguments)
            .env("RETTER_ADMIN_SOCKET", self.path("s"))
            .env("RETTER_CACHE_PUBLIC", "off")
            .env("RETTER_SERVER_LISTEN", self.retter.address().to_string());
        let mut program = Program::start(&mut command);
        let is_done = program.end().success();
        (is_done, format!("{}{}", program.output(), program.errors()))
    }

    #[track_caller]
    fn done(&self, arguments: &[&str], part: &str) -> String {
        let (is_done, said) = self.run(arguments);
        assert!(is_done && said.contains(part), "{arguments:?}: {said}");
        said
    }

    #[track_caller]
    fn refused(&self, arguments: &[&str], part: &str) {
        let (is_done, said) = self.run(arguments);
        assert!(!is_done && said.contains(part), "{arguments:?}: {said}");
    }

    #[track_caller]
    fn keep(&self, request: &Request) {
        let response = self.retter.ask(request);
        assert_eq!((response.status, response.source()), (200, "backend"));
    }
}

fn own(target: &str) -> Request {
    Request::get(target).field("Cookie", "PHPSESSID=of-anna-and-nobody-else")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a name in ASCII")
}

#[test]
fn an_operator_is_shown_a_copy_that_everybody_may_see_and_no_other() {
    let (origin, _) = application();
    let machine = Machine::start(&origin, &[]);
    machine.keep(&Request::get("/a?b=c"));
    machine.keep(&own("/own"));
    let shown = machine.done(&["copies", "show", "/a?b=c"], "HTTP/1.1 200 OK");
    assert!(shown.contains("page /a?b=c for everybody"), "{shown}");
    let head = machine.done(
        &["copies", "show", "--head", "http://shop.example/a?b=c"],
        "date: ",
    );
    assert!(!head.contains("page"), "{head}");
    machine.refused(&["copies", "show", "/own"], "no copy of that page");
    machine.refused(
        &["copies", "show", "--number", "2", "/a?b=c"],
        "There are 1 copies",
    );
    machine.done(&["copies"], "shop.example/a?…");
    // Over the network nobody sees a whole copy without a token, and nobody hands one in.
    for target in ["/copies/show?url=/a%3Fb=c", "/copies/export"] {
        assert_eq!(machine.retter.admin(target).status, 403, "{target}");
    }
    let handed = machine
        .retter
        .ask_admin(&Request::post("/copies/import", "x"));
    assert_eq!(handed.status, 403);
}

#[test]
fn copies_rescue_on_another_machine_after_they_were_exported_and_imported() {
    let (origin, is_down) = application();
    let here = Machine::start(&origin, &[]);
    let there = Machine::start(&origin, &[]);
    for number in 0..300 {
        here.keep(&Request::get(&format!("/{number}")));
    }
    here.keep(&own("/own"));
    there.keep(&Request::get("/0"));
    is_down.store(true, Ordering::SeqCst);
    let file = here.path("export");
    here.done(
        &["copies", "export", text(&file)],
        "300 copies that everybody may see",
    );
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    here.refused(&["copies", "export", text(&file)], "is there already");
    let said = there.done(&["copies", "import", text(&file)], "299 copies taken over");
    assert!(said.contains("1 left out: there is a newer one"), "{said}");
    let rescued = there.retter.ask(&Request::get("/299"));
    assert_eq!((rescued.status, rescued.source()), (200, "cache"));
    assert!(rescued.text().starts_with("page /299 for everybody"));
    assert_eq!(
        there.retter.ask(&own("/own")).status,
        503,
        "a session's stays"
    );
    // A client with the token but not the socket may look and may not hand in.
    let token = [("RETTER_ADMIN_TOKEN", "0123456789abcdef")];
    let guarded = Machine::start(&origin, &token);
    let asked = Request::get("/copies/export").field("Authorization", "Bearer 0123456789abcdef");
    assert_eq!(guarded.retter.ask_admin(&asked).status, 200);
    let handed =
        Request::post("/copies/import", "").field("Authorization", "Bearer 0123456789abcdef");
    assert_eq!(guarded.retter.ask_admin(&handed).status, 403);
}

#[test]
fn a_file_that_others_could_have_made_or_that_is_not_whole_is_not_taken_over() {
    let (origin, _) = application();
    let machine = Machine::start(&origin, &[]);
    machine.keep(&Request::get("/a"));
    let (plain, sealed, key) = (
        machine.path("plain"),
        machine.path("sealed"),
        machine.path("key"),
    );
    std::fs::write(&key, "0123456789abcdef".repeat(4)).unwrap();
    let set = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set(&key, 0o644);
    machine.refused(
        &["copies", "export", "--key", text(&key), text(&sealed)],
        "chmod 600",
    );
    set(&key, 0o600);
    machine.done(&["copies", "export", text(&plain)], "not sealed");
    machine.done(
        &["copies", "export", "--key", text(&key), text(&sealed)],
        ", sealed",
    );
    let other = Machine::start(&origin, &[]);
    set(&plain, 0o622);
    other.refused(
        &["copies", "import", text(&plain)],
        "others could have written it",
    );
    set(&plain, 0o600);
    other.refused(&["copies", "import", text(&sealed)], "it is sealed");
    other.refused(
        &["copies", "import", "--key", text(&key), text(&plain)],
        "it is not sealed",
    );
    let whole = std::fs::read(&plain).unwrap();
    let cut = machine.path("cut");
    std::fs::write(&cut, &whole[..whole.len() - 1]).unwrap();
    set(&cut, 0o600);
    other.refused(&["copies", "import", text(&cut)], "its end is missing");
    // What is sealed is believed for its key, whoever could have written it.
    set(&sealed, 0o666);
    other.done(
        &["copies", "import", "--key", text(&key), text(&sealed)],
        "1 copies taken over",
    );
    let third = Machine::start(&origin, &[("RETTER_CACHE_IGNORED_QUERY", "known,page")]);
    third.refused(
        &["copies", "import", text(&plain)],
        "RETTER_CACHE_IGNORED_QUERY",
    );
}

/// A site of some pages, as its crawlers find it; it is busy at first.
fn site() -> (Origin, Arc<AtomicBool>) {
    let is_down = Arc::new(AtomicBool::new(false));
    let fails = Arc::clone(&is_down);
    let was_busy = AtomicBool::new(false);
    let origin = Origin::start(move |seen| match seen.target.as_str() {
        _ if fails.load(Ordering::SeqCst) => Reply::status(500, "down"),
        "/robots.txt" => {
            Reply::text("User-agent: *\nDisallow: /\n\nUser-agent: Retter\nDisallow: /no\n")
        }
        "/sitemap.xml" => Reply::text(
            "<sitemapindex><sitemap><loc>http://shop.example/pages.xml</loc></sitemap>\
             <sitemap><loc>http://other.example/pages.xml</loc></sitemap>\
             <sitemap><loc>http://shop.example/sitemap.xml</loc></sitemap></sitemapindex>",
        ),
        "/pages.xml" => {
            let mut pages = String::from("<urlset>");
            for path in ["/a", "/b?c=d&amp;e", "/a", "/no/page", "/moved", "/busy"] {
                pages += &format!("<url><loc>http://shop.example{path}</loc></url>");
            }
            Reply::text(pages + "<url><loc>http://other.example/x</loc></url></urlset>")
        }
        "/moved" => Reply::status(301, "").field("Location", "/a"),
        "/busy" if !was_busy.swap(true, Ordering::SeqCst) => {
            Reply::status(503, "busy").field("Retry-After", "0")
        }
        _ => page(seen),
    });
    (origin, is_down)
}

#[test]
fn the_pages_of_a_sitemap_rescue_before_anybody_has_visited_them() {
    let (origin, is_down) = site();
    let machine = Machine::start(&origin, &[]);
    let from = ["copies", "--from", "http://shop.example/sitemap.xml"];
    let said = machine.done(&from, "3 pages asked for and answered");
    for part in [
        "1 left out by robots.txt",
        "2 of other hosts",
        "1 answered with status 301",
        "copies before ",
    ] {
        assert!(said.contains(part), "no {part} in {said}");
    }
    let seen = origin.take_seen();
    let targets: Vec<_> = seen.iter().map(|seen| seen.target.as_str()).collect();
    let expected = [
        "/robots.txt",
        "/sitemap.xml",
        "/pages.xml",
        "/a",
        "/b?c=d&e",
        "/moved",
        "/busy",
        "/busy",
    ];
    assert_eq!(targets, expected, "one after another, and nothing else");
    for seen in &seen {
        let agent = seen.field("user-agent").unwrap_or_default();
        assert!(agent.starts_with("RETTER/"), "{agent}");
        assert_eq!(seen.field("cookie"), None);
    }
    is_down.store(true, Ordering::SeqCst);
    for target in ["/a", "/b?c=d&e", "/busy"] {
        let browser = Request::get(target)
            .host(Some("shop.example"))
            .field("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        let rescued = machine.retter.ask(&browser);
        assert_eq!(
            (rescued.status, rescued.source()),
            (200, "cache"),
            "{target}"
        );
    }
}

#[test]
fn a_file_of_addresses_is_asked_for_as_those_ask_who_come_by_https() {
    let (origin, _) = site();
    let machine = Machine::start(&origin, &[]);
    let file = machine.path("pages.txt");
    std::fs::write(&file, "https://shop.example/c\nhttps://shop.example/d\n").unwrap();
    let from = ["copies", "--from", text(&file), "--limit", "1"];
    let said = machine.done(&from, "1 pages asked for and answered");
    assert!(said.contains("1 beyond the limit"), "{said}");
    let seen = origin.take_seen();
    let schemes = seen.iter().map(|seen| seen.field("x-forwarded-proto"));
    assert_eq!(schemes.collect::<Vec<_>>(), [Some("https"), Some("https")]);
    machine.refused(&["copies", "--from", "/there/is/none.xml"], "No such file");
}

#[test]
fn an_application_that_fails_or_wants_to_be_left_alone_is() {
    let many: String = (0..100).map(|page| format!("http://h/{page}\n")).collect();
    let check = |reply: fn() -> Reply, part: &str, asked: usize| {
        let origin = Origin::start(move |seen| match seen.target.as_str() {
            "/robots.txt" => Reply::status(404, ""),
            _ => reply(),
        });
        // The circuit would answer in its place.
        let machine = Machine::start(&origin, &[]);
        let file = machine.path("pages.txt");
        std::fs::write(&file, &many).unwrap();
        machine.refused(&["copies", "--from", text(&file)], part);
        let targets = origin.take_seen().into_iter().map(|seen| seen.target);
        let pages = targets.filter(|target| target != "/robots.txt").count();
        assert_eq!(pages, asked, "{part}");
    };
    check(
        || Reply::status(500, "no"),
        "5 pages in a row came to nothing",
        5,
    );
    let later = || Reply::status(429, "no").field("Retry-After", "3600");
    check(later, "wants to be left alone for 1h", 1);
    let soon = || Reply::status(429, "no").field("Retry-After", "0");
    check(soon, "5 pages in a row came to nothing", 15);
}

#[test]
fn nothing_is_asked_for_while_robots_txt_cannot_be_read() {
    let origin = Origin::start(|_| Reply::status(500, "no"));
    let machine = Machine::start(&origin, &[]);
    let file = machine.path("pages.txt");
    std::fs::write(&file, "http://h/a\n").unwrap();
    for from in [text(&file), "http://h/sitemap.xml"] {
        machine.refused(
            &["copies", "--from", from],
            "http://h/robots.txt is answered with status 500",
        );
    }
    let nobody = Port::reserve().address().to_string();
    machine.refused(
        &["copies", "--server-listen", &nobody, "--from", text(&file)],
        "is that its RETTER_SERVER_LISTEN?",
    );
    assert!(
        origin
            .take_seen()
            .iter()
            .all(|seen| seen.target == "/robots.txt")
    );
}
