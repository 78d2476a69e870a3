//! Owns a real application under test: its process, its port, its death and its return.
//! Never knows what it is written in beyond the command that starts it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::port::Port;
use crate::program::Program;

/// An application that can be killed and come back on the same port.
#[derive(Debug)]
pub struct Application {
    port: Port,
    kind: Kind,
    program: Option<Program>,
}

#[derive(Debug)]
enum Kind {
    Flask {
        script: &'static str,
    },
    Php {
        script: &'static str,
        sessions: PathBuf,
    },
}

impl Application {
    /// Starts the Flask application, see `tests/apps/flask`.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    #[must_use]
    pub fn flask() -> Self {
        Self::start(Port::reserve(), Kind::Flask { script: "app.py" })
    }

    /// Starts the Flask application that says whom it believes to be asked by, see
    /// `tests/apps/flask/told.py`.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    #[must_use]
    pub fn flask_told() -> Self {
        Self::start(Port::reserve(), Kind::Flask { script: "told.py" })
    }

    /// Starts the PHP application, see `tests/apps/php`.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    #[must_use]
    pub fn php() -> Self {
        Self::php_script("index.php")
    }

    /// Starts the PHP application with a session, and a secret of it, on each of many pages, see
    /// `tests/apps/php/many.php`.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    #[must_use]
    pub fn php_many() -> Self {
        Self::php_script("many.php")
    }

    #[track_caller]
    fn php_script(script: &'static str) -> Self {
        let port = Port::reserve();
        // A directory of its own, so that sessions outlive the process and not the test.
        let name = format!("retter-php-{}", port.address().port());
        let sessions = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&sessions).expect("a directory for sessions");
        Self::start(port, Kind::Php { script, sessions })
    }

    #[track_caller]
    fn start(port: Port, kind: Kind) -> Self {
        let mut application = Self {
            port,
            kind,
            program: None,
        };
        application.come_back();
        application
    }

    /// Kills it: nobody listens, every connection ends.
    pub fn kill(&mut self) {
        if let Some(program) = self.program.take() {
            program.kill();
        }
    }

    /// Starts it, again if it was killed, and waits until it accepts.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    pub fn come_back(&mut self) {
        let program = Program::start(&mut self.command());
        let ready = format!("http://{}", self.address());
        program.wait_for(&ready, |line| line.contains(&ready).then_some(()));
        self.program = Some(program);
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.port.address()
    }

    fn command(&self) -> Command {
        let apps = Path::new(env!("CARGO_MANIFEST_DIR")).join("apps");
        match &self.kind {
            Kind::Flask { script } => {
                let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv");
                let mut command = Command::new(venv.join("bin/python"));
                command
                    .arg("-u")
                    .arg(apps.join("flask").join(script))
                    .arg(self.address().port().to_string());
                command
            }
            Kind::Php { script, sessions } => {
                let mut command = Command::new("php");
                command
                    .arg("-d")
                    .arg(format!("session.save_path={}", sessions.display()))
                    .args(["-S", &self.address().to_string()])
                    .arg(apps.join("php").join(script));
                command
            }
        }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.kill();
        if let Kind::Php { sessions, .. } = &self.kind {
            let _ = std::fs::remove_dir_all(sessions);
        }
    }
}
