//! Owns a real application under test: its process, its port, its death and its return.
//! Never knows what it is written in beyond the command that starts it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::port::Port;
use crate::program::Program;

/// What Debian's package of Tomcat brings.
const TOMCAT: &str = "/usr/share/tomcat10";

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
    Laravel {
        /// A directory of its own.
        state: PathBuf,
    },
    Php {
        /// Of PHP, each as `name=value`.
        options: Vec<String>,
        script: &'static str,
        /// A directory of its own, so that sessions outlive the process and not the test.
        state: PathBuf,
    },
    Rails {
        /// A directory of its own.
        state: PathBuf,
    },
    Tomcat {
        /// A directory of its own.
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

    /// Starts the Laravel application, see `tests/apps/laravel`.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    #[must_use]
    pub fn laravel() -> Self {
        let port = Port::reserve();
        let state = state(&port, "laravel");
        for directory in ["sessions", "views", "cache/data"] {
            let directory = state.join("framework").join(directory);
            std::fs::create_dir_all(directory).expect("a directory of the application");
        }
        Self::start(port, Kind::Laravel { state })
    }

    /// Starts the Rails application, see `tests/apps/rails`.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    #[must_use]
    pub fn rails() -> Self {
        let port = Port::reserve();
        let state = state(&port, "rails");
        Self::start(port, Kind::Rails { state })
    }

    /// Starts Tomcat with one page for all paths, see `tests/apps/tomcat`, and with these valves.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    #[must_use]
    pub fn tomcat(valves: &str) -> Self {
        let port = Port::reserve();
        let state = state(&port, "tomcat");
        let parts = [
            (PathBuf::from(TOMCAT).join("etc/web.xml"), "conf/web.xml"),
            (apps().join("tomcat/page.jsp"), "webapps/ROOT/page.jsp"),
            (
                apps().join("tomcat/web.xml"),
                "webapps/ROOT/WEB-INF/web.xml",
            ),
        ];
        for directory in ["conf", "logs", "temp", "work", "webapps/ROOT/WEB-INF"] {
            std::fs::create_dir_all(state.join(directory)).expect("a directory of Tomcat");
        }
        for (from, to) in parts {
            std::fs::copy(&from, state.join(to)).expect("a file of Tomcat");
        }
        let server = std::fs::read_to_string(apps().join("tomcat/server.xml"));
        let server = server.expect("the settings of Tomcat");
        let server = server.replace("<!-- valves -->", valves);
        std::fs::write(state.join("conf/server.xml"), server).expect("a file of Tomcat");
        Self::start(port, Kind::Tomcat { state })
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
        let state = state(&port, "php");
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

    /// Sends its process a signal.
    ///
    /// # Panics
    /// If it does not run.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let program = self.program.as_ref().expect("it runs");
        program.signal(signal);
    }

    /// Starts it, again if it was killed, and waits until it accepts.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    pub fn come_back(&mut self) {
        let program = Program::start(&mut self.command());
        let ready = match &self.kind {
            Kind::Tomcat { .. } => "Server startup in".to_owned(),
            Kind::Django
            | Kind::Express
            | Kind::Flask { .. }
            | Kind::Laravel { .. }
            | Kind::Php { .. }
            | Kind::Rails { .. } => format!("http://{}", self.address()),
        };
        program.wait_for(&ready, |line| line.contains(&ready).then_some(()));
        self.program = Some(program);
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.port.address()
    }

    fn command(&self) -> Command {
        let apps = apps();
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
            Kind::Laravel { state } => {
                let mut command = Command::new("php");
                for name in ["CONFIG", "EVENTS", "PACKAGES", "ROUTES", "SERVICES"] {
                    let file = state.join(format!("{}.php", name.to_ascii_lowercase()));
                    command.env(format!("APP_{name}_CACHE"), file);
                }
                command
                    .env("APP_STATE", state)
                    .args(["-S", &self.address().to_string()])
                    .arg(apps.join("laravel/index.php"));
                command
            }
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
            Kind::Rails { state } => {
                let mut command = Command::new("puma");
                command
                    .env("APP_STATE", state)
                    .env("RAILS_ENV", "production")
                    .args(["--threads", "4", "--bind"])
                    .arg(format!("tcp://{}", self.address()))
                    .arg(apps.join("rails/config.ru"));
                command
            }
            Kind::Tomcat { state } => {
                let mut command = Command::new(Path::new(TOMCAT).join("bin/catalina.sh"));
                command
                    .env("CATALINA_BASE", state)
                    .env("CATALINA_HOME", TOMCAT)
                    .env("CATALINA_OPTS", format!("-Dshop.port={port} -Xmx256m"))
                    .arg("run");
                command
            }
        }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.kill();
        match &self.kind {
            Kind::Laravel { state }
            | Kind::Php { state, .. }
            | Kind::Rails { state }
            | Kind::Tomcat { state } => {
                let _ = std::fs::remove_dir_all(state);
            }
            Kind::Django | Kind::Express | Kind::Flask { .. } => {}
        }
    }
}

fn apps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("apps")
}

/// A directory for what outlives the process and not the test.
#[track_caller]
fn state(port: &Port, name: &str) -> PathBuf {
    let name = format!("retter-{name}-{}", port.address().port());
    let state = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&state).expect("a directory for the application");
    state
}
