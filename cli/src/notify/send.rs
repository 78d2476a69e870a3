//! Owns the sending of one message: to a program on its standard input, or by HTTP. Bounded in time.
//! Never runs on a thread that somebody waits for, but in `retter notify --test`.

use std::fmt;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use http::Method;
use rustix::process::{Pid, Signal, kill_process_group};

use super::body::{Format, Message};
use crate::client::{self, Peer, Question};
use crate::settings::BaseUrl;

/// For all of it.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked whether a program has ended.
const LOOKS: Duration = Duration::from_millis(20);

/// Whom to tell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Receiver {
    /// A program with its arguments.
    Command(Vec<String>),
    /// Where to, and the path there.
    Url(BaseUrl, Format),
}

/// Why a message did not arrive.
#[derive(Debug)]
pub(crate) enum Failed {
    Exit(std::process::ExitStatus),
    Http(client::Error),
    Late,
    Spawn(io::Error),
    Status(u16),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(status) => write!(f, "the program ended with {status}"),
            Self::Http(error) => error.fmt(f),
            Self::Late => write!(f, "the program took longer than {} s", TIMEOUT.as_secs()),
            Self::Spawn(error) => write!(f, "the program cannot be run: {error}"),
            Self::Status(status) => write!(f, "it was answered with {status}"),
        }
    }
}

impl Receiver {
    /// The setting that names it.
    pub(crate) const fn setting(&self) -> &'static str {
        match self {
            Self::Command(_) => "RETTER_NOTIFY_COMMAND",
            Self::Url(..) => "RETTER_NOTIFY_URL",
        }
    }

    /// Reads a program with its arguments: words, or a JSON array where one has a space in it.
    pub(crate) fn command(text: &str) -> Result<Vec<String>, String> {
        let text = text.trim();
        let words = match text.starts_with('[') {
            true => serde_json::from_str(text).map_err(|error| error.to_string())?,
            false => text
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        };
        match words.first() {
            Some(program) if !program.is_empty() => Ok(words),
            Some(_) | None => Err("it names no program".to_owned()),
        }
    }

    /// Reads where to send to.
    pub(crate) fn url(text: &str) -> Result<BaseUrl, String> {
        let text = text.trim();
        if text.starts_with("https://") {
            return Err(format!(
                "https is not spoken here yet; a program can: RETTER_NOTIFY_COMMAND=\"curl -sSf -m 8 \
                 --json @- {text}\""
            ));
        }
        BaseUrl::parse(text)
    }

    /// Sends a message.
    ///
    /// # Errors
    /// It did not arrive, as far as that can be known.
    pub(crate) fn send(&self, message: &Message) -> Result<(), Failed> {
        match self {
            Self::Command(words) => run(words, message),
            Self::Url(url, format) => post(url, *format, message),
        }
    }
}

fn post(url: &BaseUrl, format: Format, message: &Message) -> Result<(), Failed> {
    let body = message.body(format, SystemTime::now());
    let mut more = vec![("Content-Type", body.media_type)];
    more.extend(body.fields);
    let path = match url.prefix.as_str() {
        "" => "/",
        path => path,
    };
    let answer = client::ask(Question {
        method: &Method::POST,
        to: Peer::Host(&url.host, url.port),
        authority: &url.authority,
        path,
        more: &more,
        content: body.content.as_bytes(),
        timeout: TIMEOUT,
    });
    match answer.map_err(Failed::Http)?.status {
        200..300 => Ok(()),
        status => Err(Failed::Status(status)),
    }
}

fn run(words: &[String], message: &Message) -> Result<(), Failed> {
    let mut words = words.iter();
    let program = words.next().map(String::as_str).unwrap_or_default();
    let mut child = Command::new(program)
        .args(words)
        // It is not its business.
        .env_remove("RETTER_ADMIN_TOKEN")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // So that it can be ended with all that it started, and a signal to us is none to it.
        .process_group(0)
        .spawn()
        .map_err(Failed::Spawn)?;
    let until = Instant::now() + TIMEOUT;
    if let Some(mut stdin) = child.stdin.take() {
        // A pipe takes that much at once. Whoever reads nothing of it says so by how it ends.
        let _ = stdin.write_all(message.generic().as_bytes());
    }
    loop {
        match child.try_wait().map_err(Failed::Spawn)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(Failed::Exit(status)),
            None if Instant::now() >= until => {
                end(&mut child);
                return Err(Failed::Late);
            }
            None => std::thread::sleep(LOOKS),
        }
    }
}

fn end(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_gets_the_message_and_says_how_it_went() {
        let path = std::env::temp_dir().join(format!("retter-notify-{}", std::process::id()));
        let shown = path.display().to_string();
        let message = Message::test("shop:80".to_owned());
        let send = |script: &str| {
            let words = ["sh", "-c", script, "sh", &shown].map(str::to_owned);
            Receiver::Command(words.to_vec()).send(&message)
        };
        send("cat > \"$1\"").unwrap();
        let told: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(told["event"], "test");
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(send("exit 3"), Err(Failed::Exit(_))));
        let nothing = Receiver::Command(vec!["/nonexistent/program".to_owned()]);
        assert!(matches!(nothing.send(&message), Err(Failed::Spawn(_))));
    }

    #[test]
    fn receivers_are_read_from_settings() {
        let words = |text| Receiver::command(text).unwrap();
        assert_eq!(words(" mail  root "), ["mail", "root"]);
        assert_eq!(words(r#"["a b","c"]"#), ["a b", "c"]);
        for bad in ["", "[]", "[\"\"]", "[1]"] {
            assert!(Receiver::command(bad).is_err(), "{bad}");
        }
        let told = Receiver::url("https://hooks.example/x").unwrap_err();
        assert!(
            told.contains("curl") && told.contains("https://hooks.example/x"),
            "{told}"
        );
        assert_eq!(Receiver::url("http://ntfy/topic").unwrap().prefix, "/topic");
    }
}
