//! Owns the programs that are measured: their command lines, and their configuration files, which
//! are the files in `configs/` with addresses filled in.
//! Never measures.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::port::Port;
use crate::process::Process;
use crate::{Result, error};

/// A program that can stand in front of the origin.
#[derive(Clone, Debug)]
pub struct Contender {
    /// Its name in tables and of its folder, so one word.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// What a contender is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// The program of `compare` that answers everything itself: the least that a responder costs.
    Floor,
    /// HAProxy, with the text of its configuration.
    Haproxy(String),
    /// nginx, with the text of its configuration.
    Nginx(String),
    /// Nothing: clients speak with the origin.
    Nothing,
    /// RETTER, with settings beyond its addresses.
    Retter {
        /// The binary.
        program: PathBuf,
        /// Environment variables.
        settings: Vec<(String, String)>,
    },
    /// Varnish, with the text of its configuration.
    Varnish(String),
}

impl Contender {
    /// Names a program.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        let name = name.into();
        Self { name, kind }
    }

    /// Whether it is a program that RETTER is measured against.
    #[must_use]
    pub const fn is_peer(&self) -> bool {
        matches!(
            self.kind,
            Kind::Haproxy(_) | Kind::Nginx(_) | Kind::Varnish(_)
        )
    }

    /// Whether it answers by itself.
    #[must_use]
    pub const fn is_floor(&self) -> bool {
        matches!(self.kind, Kind::Floor)
    }

    /// Starts it in front of `origin`, with its files in `directory`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&self, origin: SocketAddr, directory: &Path) -> Result<Running> {
        if matches!(self.kind, Kind::Nothing) {
            return Ok(Running {
                address: origin,
                process: None,
                _port: None,
            });
        }
        let port = Port::reserve()?;
        let address = port.address();
        let directory = directory.join(&self.name);
        // What an earlier run left there would be its cache.
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory)?;
        let command = self.command(address, origin, &directory)?;
        let process = Process::start(&command, &directory.join("log"), address)?;
        Ok(Running {
            address,
            process: Some(process),
            _port: Some(port),
        })
    }

    fn command(&self, listen: SocketAddr, origin: SocketAddr, dir: &Path) -> Result<Command> {
        let configuration = |text: &str, name: &str| -> Result<PathBuf> {
            let path = dir.join(name);
            let text = text
                .replace("@DIR@", &dir.to_string_lossy())
                .replace("@LISTEN@", &listen.to_string())
                .replace("@ORIGIN@", &origin.to_string())
                .replace("@ORIGIN_HOST@", &origin.ip().to_string())
                .replace("@ORIGIN_PORT@", &origin.port().to_string());
            fs::write(&path, text)?;
            Ok(path)
        };
        let mut command;
        match &self.kind {
            Kind::Floor => {
                command = Command::new(std::env::current_exe()?);
                command.args(["responder", &listen.to_string()]);
            }
            Kind::Haproxy(text) => {
                command = Command::new("haproxy");
                command
                    .arg("-db")
                    .arg("-f")
                    .arg(configuration(text, "haproxy.cfg")?);
            }
            Kind::Nginx(text) => {
                command = Command::new("nginx");
                command.arg("-p").arg(dir).arg("-e").arg("stderr");
                command.arg("-c").arg(configuration(text, "nginx.conf")?);
            }
            Kind::Nothing => return Err(error("nothing has no command")),
            Kind::Retter { program, settings } => {
                command = Command::new(program);
                command
                    .env("RETTER_BACKEND_BASEURL", format!("http://{origin}"))
                    .env("RETTER_SERVER_LISTEN", listen.to_string())
                    .env("RETTER_ADMIN_LISTEN", "off")
                    .envs(settings.iter().map(|(name, value)| (name, value)));
            }
            Kind::Varnish(text) => {
                command = Command::new("varnishd");
                command
                    .arg("-F")
                    .arg("-f")
                    .arg(configuration(text, "default.vcl")?);
                command
                    .arg("-n")
                    .arg(dir.join("varnish"))
                    .args(["-j", "none"]);
                command.args(["-a", &listen.to_string(), "-s", "malloc,1g"]);
                // Its log in shared memory is to it what the access log is to others: less of it
                // (measured: 46 against 40 µs for a hit).
                let mask = "vsl_mask=-VCL_call,-VCL_return,-Hit,-Timestamp,-ReqHeader,\
                            -RespHeader,-ReqURL,-ReqMethod";
                command.args(["-p", mask]);
            }
        }
        Ok(command)
    }
}

/// A contender that runs.
#[derive(Debug)]
pub struct Running {
    /// Where clients connect to.
    pub address: SocketAddr,
    /// Its process, but for no contender at all.
    pub process: Option<Process>,
    _port: Option<Port>,
}

impl Running {
    /// Its process.
    ///
    /// # Errors
    /// When it has none.
    pub fn process(&self) -> Result<&Process> {
        self.process
            .as_ref()
            .ok_or_else(|| error("there is no process to measure"))
    }
}

/// The value of `--set NAME=VALUE`.
///
/// # Errors
/// When there is no `=`.
pub fn setting(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| "write NAME=VALUE".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}
