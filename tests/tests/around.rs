//! Owns the proof that what `docs/src/around.md` tells people to write does what it says: each of its settings
//! for other programs runs here in the real program, with RETTER between.
//! Never changes them but for addresses and paths.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use retter_tests::application::Application;
use retter_tests::browser::Browser;
use retter_tests::client::{Request, Response};
use retter_tests::nginx::Nginx;
use retter_tests::port::Port;
use retter_tests::program::Program;
use retter_tests::retter::Retter;
use retter_tests::retter_program;
use retter_tests::scenario::{until, word};
use rustix::process::Signal;

/// The block of code of the chapter that has this word in it, under a language.
fn block(language: &str, word: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/around.md");
    let text = fs::read_to_string(path).expect("the chapter");
    let mut found: Vec<String> = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line.strip_prefix("```") == Some(language) {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            found.push(block.join("\n"));
        }
    }
    let mut fitting = found.into_iter().filter(|block| block.contains(word));
    fitting
        .next()
        .unwrap_or_else(|| panic!("no block with {word}"))
}

/// The text with `from` replaced, which has to be there.
#[track_caller]
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no {from} in {text}");
    text.replace(from, to)
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(port: &Port) -> Self {
        let name = format!("retter-around-{}", port.address().port());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn apps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("apps")
}

/// php-fpm with one worker on a socket in `folder`.
fn start_fpm(folder: &Path) -> Program {
    let socket = folder.join("fpm.sock");
    let config = folder.join("fpm.conf");
    let text = format!(
        "[global]\nerror_log = /proc/self/fd/2\ndaemonize = no\n[www]\nlisten = {}\nlisten.mode = 0666\n\
         pm = static\npm.max_children = 2\nphp_admin_value[session.save_path] = {}\n",
        socket.display(),
        folder.display()
    );
    // As root it wants to be told whose its workers are.
    let whose = match rustix::process::geteuid().is_root() {
        true => "user = root\ngroup = root\n",
        false => "",
    };
    fs::write(&config, text + whose).expect("the settings of php-fpm");
    // Its name has the version in it.
    let programs = fs::read_dir("/usr/sbin").expect("a folder of programs");
    let mut programs = programs.map(|entry| entry.expect("an entry").path());
    let is_fpm = |path: &PathBuf| path.to_string_lossy().contains("/php-fpm");
    let program = programs.find(is_fpm).expect("php-fpm is installed");
    let mut command = Command::new(program);
    command.args(["--nodaemonize", "--allow-to-run-as-root", "--fpm-config"]);
    let program = Program::start(command.arg(config));
    program.wait_for("that it is ready", |line| {
        line.contains("ready to handle connections").then_some(())
    });
    program
}

/// Ends a program with its workers.
#[track_caller]
fn stop(mut program: Program) {
    program.signal(Signal::TERM);
    let _ = program.end();
}

/// A visitor signs in by way of `front`, the application goes, and the visitor keeps the page.
#[track_caller]
fn rescues(front: SocketAddr, kill: impl FnOnce()) {
    let mut visitor = Browser::new(front, "visitor");
    let welcome = visitor.post("/login", "user=anna");
    assert_eq!(welcome.status, 303, "{welcome:?}");
    let page = visitor.get("/profile");
    assert_eq!((page.status, &*word(&page.text(), "user")), (200, "anna"));
    assert_eq!(page.source(), "backend");
    kill();
    until("a copy answers", || {
        let copy = visitor.get("/profile");
        assert_eq!(
            word(&copy.text(), "rendering"),
            word(&page.text(), "rendering")
        );
        copy.source() == "last-known-success"
    });
}

#[test]
#[ignore = "installs programs: tests/run.sh around"]
fn one_nginx_stands_before_and_behind_for_php_fpm() {
    let [front, behind] = [Port::reserve(), Port::reserve()];
    let folder = Folder::new(&front);
    let retter = Retter::start(retter_program!(), behind.address());
    let servers = [
        ("listen 80;", format!("listen {};", front.address())),
        ("127.0.0.1:8089", retter.address().to_string()),
        ("127.0.0.1:8088", behind.address().to_string()),
        ("/var/www/shop", apps().join("php").display().to_string()),
        (
            "/run/php/php8.2-fpm.sock",
            folder.0.join("fpm.sock").display().to_string(),
        ),
    ];
    let text = block("nginx", "fastcgi_pass");
    let text = servers
        .iter()
        .fold(text, |text, (from, to)| replaced(&text, from, to));
    let fpm = start_fpm(&folder.0);
    let nginx = Nginx::serve(front, &text);
    rescues(nginx.address(), || stop(fpm));
}

#[test]
#[ignore = "installs programs: tests/run.sh around"]
fn nginx_stands_before() {
    let front = Port::reserve();
    let mut application = Application::php();
    let retter = Retter::start(retter_program!(), application.address());
    let location = block("nginx", "X-Forwarded-User");
    let location = replaced(&location, "127.0.0.1:8089", &retter.address().to_string());
    let server = format!("server {{\nlisten {};\n{location}\n}}", front.address());
    let nginx = Nginx::serve(front, &server);
    rescues(nginx.address(), || application.kill());
}

#[test]
#[ignore = "installs programs: tests/run.sh around"]
fn caddy_stands_before() {
    let front = Port::reserve();
    let folder = Folder::new(&front);
    let mut application = Application::php();
    let retter = Retter::start(retter_program!(), application.address());
    let site = block("caddyfile", "reverse_proxy");
    // Whatever the host is called.
    let any = format!("http://:{}", front.address().port());
    let site = replaced(&site, "shop.example", &any);
    let site = replaced(&site, "127.0.0.1:8089", &retter.address().to_string());
    let file = folder.0.join("Caddyfile");
    fs::write(
        &file,
        format!("{{\nadmin off\ndefault_bind 127.0.0.1\n}}\n{site}\n"),
    )
    .expect("the settings of Caddy");
    let mut command = Command::new("caddy");
    command
        .env("HOME", &folder.0)
        .args(["run", "--adapter", "caddyfile", "--config"]);
    let caddy = Program::start(command.arg(&file));
    caddy.wait_for("that it serves", |line| {
        line.contains("serving initial configuration").then_some(())
    });
    rescues(front.address(), || application.kill());
}

#[test]
#[ignore = "installs programs: tests/run.sh around"]
fn gunicorn_stands_behind() {
    let port = Port::reserve();
    let told = block("sh", "gunicorn");
    let told = replaced(&told, "127.0.0.1:8088", &port.address().to_string());
    let mut words = told.split_whitespace();
    let mut command = Command::new(words.next().expect("a program"));
    let packages = apps().join("../../target/venv/lib");
    let packages = fs::read_dir(packages).expect("the virtual environment");
    let packages = packages.map(|entry| entry.expect("an entry").path().join("site-packages"));
    command
        .args(words)
        .current_dir(apps().join("flask"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONPATH", packages.last().expect("a version of Python"));
    let gunicorn = Program::start(&mut command);
    gunicorn.wait_for("that it listens", |line| {
        line.contains("Booting worker").then_some(())
    });
    let retter = Retter::start(retter_program!(), port.address());
    rescues(retter.address(), || stop(gunicorn));
}

/// What an application answers that says where a request comes from: the visitor's address.
#[track_caller]
fn ask_whence(retter: &Retter, path: &str) -> Response {
    let page = retter.ask(&Request::get(path).field("X-Forwarded-For", "203.0.113.9"));
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.text().contains("203.0.113.9"), "{page:?}");
    page
}

#[test]
#[ignore = "installs programs: tests/run.sh around"]
fn node_stands_behind() {
    let port = Port::reserve();
    let told = block("js", "trust proxy");
    let told = replaced(&told, "8088", &port.address().port().to_string());
    let mut command = Command::new("node");
    command
        .args(["--input-type=module", "--eval", &told])
        .current_dir(apps().join("express"));
    let node = Program::start(&mut command);
    until("it listens", || TcpStream::connect(port.address()).is_ok());
    let retter = Retter::start(retter_program!(), port.address());
    assert_eq!(ask_whence(&retter, "/").source(), "backend");
    stop(node);
    until("a copy answers", || {
        ask_whence(&retter, "/").source() == "last-known-success"
    });
}

#[test]
#[ignore = "installs programs: tests/run.sh around"]
fn tomcat_stands_behind() {
    let application = Application::tomcat(&block("xml", "RemoteIpValve"));
    let retter = Retter::start(retter_program!(), application.address());
    assert_eq!(ask_whence(&retter, "/from").source(), "backend");
}
