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
    Django,
    Express,
    Flask {
        script: &'static str,
    },
    Php {
        /// Of PHP, each as `name=value`.
        options: Vec<String>,
        script: &'static str,
        /// A directory of its own, so that sessions outlive the process and not the test.
        state: PathBuf,
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

    /// Starts the Flask application whose sessions are permanent, see `tests/apps/flask/permanent.py`.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    #[must_use]
    pub fn flask_permanent() -> Self {
        let script = "permanent.py";
        Self::start(Port::reserve(), Kind::Flask { script })
    }

    /// Starts the Django application, see `tests/apps/django`.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    #[must_use]
    pub fn django() -> Self {
        Self::start(Port::reserve(), Kind::Django)
    }

    /// Starts the Express application, see `tests/apps/express`.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    #[must_use]
    pub fn express() -> Self {
        Self::start(Port::reserve(), Kind::Express)
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
        Self::start_php("index.php", &[])
    }

    /// Starts the PHP application with a session, and a secret of it, on each of many pages, see
    /// `tests/apps/php/many.php`.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    #[must_use]
    pub fn php_many() -> Self {
        Self::start_php("many.php", &[])
    }

    /// Starts the PHP application that fails in the ways of such applications, see
    /// `tests/apps/php/soft.php`, with options of PHP (`display_errors=1`).
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    #[must_use]
    pub fn php_soft(options: &[&str]) -> Self {
        Self::start_php("soft.php", options)
    }

    /// Says in which way that application fails from now on; `well` for in none.
    ///
    /// # Panics
    /// If it is another application.
    #[track_caller]
    pub fn fail_by(&self, mode: &str) {
        let Kind::Php { state, .. } = &self.kind else {
            panic!("only PHP fails so");
        };
        let (new, file) = (state.join("new"), state.join("mode"));
        std::fs::write(&new, mode).expect("a file in the application's directory");
        std::fs::rename(&new, &file).expect("it takes the place of the old one");
    }

    #[track_caller]
    fn start_php(script: &'static str, options: &[&str]) -> Self {
        let port = Port::reserve();
        let name = format!("retter-php-{}", port.address().port());
        let state = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&state).expect("a directory for sessions");
        let options = options.iter().map(|&option| option.to_owned()).collect();
        Self::start(
            port,
            Kind::Php {
                options,
                script,
                state,
            },
        )
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
        let port = self.address().port().to_string();
        let python = |script: PathBuf| {
            let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv");
            let mut command = Command::new(venv.join("bin/python"));
            command.arg("-u").arg(script).arg(&port);
            command
        };
        match &self.kind {
            Kind::Django => python(apps.join("django/app.py")),
            Kind::Express => {
                let mut command = Command::new("node");
                command.arg(apps.join("express/app.mjs")).arg(&port);
                command
            }
            Kind::Flask { script } => python(apps.join("flask").join(script)),
            Kind::Php {
                options,
                script,
                state,
            } => {
                let mut command = Command::new("php");
                let sessions = format!("session.save_path={}", state.display());
                for option in options.iter().chain([&sessions]) {
                    command.arg("-d").arg(option);
                }
                command
                    .env("SOFT_STATE", state)
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
        if let Kind::Php { state, .. } = &self.kind {
            let _ = std::fs::remove_dir_all(state);
        }
    }
}
