//! Owns RETTER as the tests run it: a process with settings in its environment, on free ports, on
//! the runtime that `TEST_RUNTIME` names.
//! Never passes on settings from the environment of the tests themselves.

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::process::Command;

use crate::client::{self, Client, Request, Response};
use crate::program::Program;

/// A command that runs the program under test with an environment free of its settings.
#[must_use]
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RETTER_")) {
        command.env_remove(name);
    }
    // Instances side by side have no socket in common.
    command
        .env_remove("RUNTIME_DIRECTORY")
        .env_remove("XDG_RUNTIME_DIR");
    command
}

/// The runtime under test. Its variable does not begin as the settings do: they are taken out.
fn runtime() -> String {
    std::env::var("TEST_RUNTIME").unwrap_or_else(|_| "tokio".to_owned())
}

/// RETTER, running.
#[derive(Debug)]
pub struct Retter {
    program: Program,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Retter {
    /// Starts it in front of the application at `origin`, an address with an optional path.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    #[must_use]
    pub fn start(program: &str, origin: impl ToString) -> Self {
        Self::start_with(program, origin, &[])
    }

    /// Starts it with more settings.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    #[must_use]
    pub fn start_with(program: &str, origin: impl ToString, settings: &[(&str, &str)]) -> Self {
        Self::start_command(command(program), origin, settings)
    }

    /// Starts it by a [`command`] that runs it in its own way.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    #[must_use]
    pub fn start_command(
        mut command: Command,
        origin: impl ToString,
        settings: &[(&str, &str)],
    ) -> Self {
        command
            .env(
                "RETTER_BACKEND_BASEURL",
                format!("http://{}", origin.to_string()),
            )
            .env("RETTER_SERVER_LISTEN", "127.0.0.1:0")
            .env("RETTER_ADMIN_LISTEN", "127.0.0.1:0")
            .envs(settings.iter().copied());
        let program = Program::start(&mut command);
        let (address, admin, greeting) = program.wait_for("its addresses", |line| {
            Some((
                address_after(line, "listening on ")?,
                address_after(line, "admin on ")?,
                line.to_owned(),
            ))
        });
        // No suite is green because another runtime was tested.
        let runtime = format!(" {} worker", runtime());
        assert!(greeting.contains(&runtime), "{runtime} in {greeting}");
        Self {
            program,
            address,
            admin,
        }
    }

    /// Where it listens for clients.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its admin listener is.
    #[must_use]
    pub const fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Opens a connection to it.
    ///
    /// # Panics
    /// If it does not accept.
    #[track_caller]
    #[must_use]
    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Asks it on a connection of its own.
    ///
    /// # Panics
    /// If there is no complete and correct response.
    #[track_caller]
    #[must_use]
    pub fn ask(&self, request: &Request) -> Response {
        client::ask(self.address, request)
    }

    /// Asks its admin listener.
    ///
    /// # Panics
    /// If there is no complete and correct response.
    #[track_caller]
    #[must_use]
    pub fn admin(&self, target: &str) -> Response {
        self.ask_admin(&Request::get(target))
    }

    /// What a metric, named with its labels, is now.
    ///
    /// # Panics
    /// If it is not there, or is no number.
    #[track_caller]
    #[must_use]
    pub fn metric(&self, name: &str) -> f64 {
        let metrics = self.admin("/metrics").text();
        metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
            .unwrap_or_else(|| panic!("no {name} in {metrics}"))
    }

    /// Asks its admin listener for something else than a page.
    ///
    /// # Panics
    /// If there is no complete and correct response.
    #[track_caller]
    #[must_use]
    pub fn ask_admin(&self, request: &Request) -> Response {
        client::ask(self.admin, &request.clone().host(Some("localhost")))
    }
}

impl Deref for Retter {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.program
    }
}

impl DerefMut for Retter {
    fn deref_mut(&mut self) -> &mut Program {
        &mut self.program
    }
}

fn address_after(line: &str, words: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(words)?;
    let end = rest
        .find(|letter: char| !letter.is_ascii_digit() && !".:".contains(letter))
        .unwrap_or(rest.len());
    rest.get(..end)?.trim_end_matches(['.', ':']).parse().ok()
}
