//! Owns the life of the program in front of an application: start, signals, drain, exit code.
//! Never handles a client itself.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use retter_core::config::RescueMode;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use crate::clock::Clock;
use crate::keeping::{Keeping, STOP_PATIENCE};
use crate::notify::Notifier;
use crate::outage::{self, Outages};
use crate::reload::Reload;
use crate::runtime::{Adapter, Gateway, Observer, Options, Server};
use crate::settings::{Listen, Loaded, Sources, Values};
use crate::sharing::Sharing;
use crate::socket::{self, Socket};
use crate::telemetry::{AccessLog, Log, SHARDS, Telemetry, escape};
use crate::{admin, application, failed, files, web};

/// Answers on the admin address take no time; one that does, a purge of many copies, delays no
/// look at `/ready`.
const ADMIN_WORKERS: usize = 2;
/// How often state changes are looked for while there are no requests.
const TICK: Duration = Duration::from_millis(500);

/// Why the program could not start.
#[derive(Debug)]
pub(crate) enum StartError {
    /// An address cannot be listened on.
    Listen {
        /// The setting and its value.
        setting: String,
        /// Why.
        error: io::Error,
    },
    /// The operating system refused something else.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { setting, error } => {
                write!(
                    f,
                    "cannot listen with {setting}: {error}\n  {}",
                    remedy(error.kind())
                )
            }
            Self::System(error) => write!(f, "cannot start: {error}"),
        }
    }
}

fn remedy(kind: io::ErrorKind) -> &'static str {
    if kind == io::ErrorKind::AddrInUse {
        "Another program listens there (`ss -ltnp` shows which). Stop it, or set another port."
    } else if kind == io::ErrorKind::AddrNotAvailable {
        "This machine has no such address. Leave the host out to listen on every interface."
    } else if kind == io::ErrorKind::PermissionDenied {
        "Ports below 1024 need a privilege (CAP_NET_BIND_SERVICE). Set a port from 1024 up."
    } else {
        "Set another address."
    }
}

/// Everything that runs.
pub(crate) struct Protection {
    pub(crate) admin: Option<web::Server>,
    pub(crate) reload: Arc<Reload>,
    pub(crate) server: Server,
    socket: Option<(web::Server, Socket)>,
    pub(crate) telemetry: Arc<Telemetry>,
}

impl Protection {
    /// Starts the server and the admin address.
    pub(crate) fn start(
        runtime: Adapter,
        sources: &Sources,
        loaded: &Loaded,
    ) -> Result<Self, StartError> {
        let values = &loaded.values;
        let clock = Clock::start();
        let keeping = Keeping::prepare(values);
        let sharing = Sharing::of(values);
        // With that of others, pages have the names that they have there; with that of before, those of
        // before.
        let kept = keeping.as_ref().map(Keeping::seed);
        let seed = sharing.as_ref().map(Sharing::seed).or(kept);
        let seed = seed.unwrap_or_else(random);
        let gateway = Gateway::new(loaded.config.clone(), seed, clock.now());
        let disk = keeping.map(|keeping| keeping.start(gateway.site(), clock));
        let disk = disk.transpose().map_err(StartError::System)?;
        let shared = sharing.map(|sharing| sharing.start(gateway.site(), clock));
        let shared = shared.transpose().map_err(StartError::System)?;
        let access = values
            .access
            .map(|format| AccessLog::start(format, io::stdout()))
            .transpose()
            .map_err(StartError::System)?;
        let outages = outages(values, clock);
        let application = values.origin.authority.clone();
        let (receivers, after) = (values.notify.receivers(), values.notify.after);
        let notifier =
            Notifier::start(application, &receivers, after).map_err(StartError::System)?;
        let telemetry = Telemetry::new(Arc::clone(&gateway), clock, access, outages, notifier);
        let telemetry = Arc::new(telemetry.with_disk(disk).with_instances(shared));
        let reload = Reload::new(Arc::clone(&gateway), clock, sources.clone(), loaded);
        let reload = Arc::new(reload);
        let in_setting = |key| move |error| listen_error(loaded, key, error);
        // The admin address first: when it is taken, no client has been accepted yet.
        let admin = match &values.admin {
            Some(listen) => {
                let guard = admin::Guard {
                    hosts: values.admin_hosts.clone(),
                    token: values.admin_token.clone(),
                };
                let admin = start_admin(listen, guard, &telemetry, &reload);
                Some(admin.map_err(in_setting("admin.listen"))?)
            }
            None => None,
        };
        let socket = start_socket(values, &telemetry, &reload);
        let listen = values.listen.addrs().map_err(in_setting("server.listen"))?;
        let options = options(values, listen, clock);
        let observer: Arc<dyn Observer> = Arc::clone(&telemetry) as _;
        let server =
            (runtime.start)(&gateway, options, &observer).map_err(in_setting("server.listen"))?;
        Ok(Self {
            admin,
            reload,
            server,
            socket,
            telemetry,
        })
    }

    /// Ends everything; returns how many sessions were cut.
    pub(crate) fn stop(self) -> usize {
        self.telemetry.start_draining();
        self.server.drain();
        let cut = self.server.join();
        self.telemetry.close();
        if let Some(disk) = self.telemetry.disk() {
            disk.stop(STOP_PATIENCE);
        }
        if let Some(instances) = self.telemetry.instances() {
            instances.stop(STOP_PATIENCE);
        }
        let socket = self.socket.map(|(server, _)| server);
        for admin in [self.admin, socket].into_iter().flatten() {
            admin.stop(Duration::from_millis(500));
        }
        cut
    }
}

fn options(values: &Values, listen: Vec<SocketAddr>, clock: Clock) -> Options {
    Options {
        listen,
        workers: values.workers,
        origin_host: values.origin.host.clone(),
        origin_port: values.origin.port,
        idle_connections_max: values.idle_connections,
        idle_timeout: values.idle_timeout,
        seats: values.seats,
        drain_timeout: values.drain_timeout,
        epoch: clock.epoch,
    }
}

fn start_admin(
    listen: &Listen,
    guard: admin::Guard,
    telemetry: &Arc<Telemetry>,
    reload: &Arc<Reload>,
) -> io::Result<web::Server> {
    let listener = TcpListener::bind(&listen.addrs()?[..])?;
    let telemetry = Arc::clone(telemetry);
    let reload = Arc::clone(reload);
    let handler =
        move |request: &web::Request| admin::answer(request, Some(&guard), &telemetry, &reload);
    let limits = web::Limits::with_workers(ADMIN_WORKERS);
    web::Server::start(listener, limits, Arc::new(handler))
}

/// The same for commands on this machine. The program goes on without it.
fn start_socket(
    values: &Values,
    telemetry: &Arc<Telemetry>,
    reload: &Arc<Reload>,
) -> Option<(web::Server, Socket)> {
    let listening = socket::listen(&values.admin_socket, |name| std::env::var_os(name));
    let (listener, socket) = match listening {
        Ok(listening) => listening?,
        Err(error) => {
            tracing::warn!("{}", escape(error.to_string().as_bytes()));
            return None;
        }
    };
    let telemetry = Arc::clone(telemetry);
    let reload = Arc::clone(reload);
    // Nobody but its owner can connect.
    let handler = move |request: &web::Request| admin::answer(request, None, &telemetry, &reload);
    let limits = web::Limits {
        content_kept_max: admin::CONTENT_BYTES_MAX,
        ..web::Limits::with_workers(1)
    };
    match web::Server::start(listener, limits, Arc::new(handler)) {
        Ok(server) => Some((server, socket)),
        Err(error) => {
            tracing::warn!("no socket for commands: {error}");
            None
        }
    }
}

/// Without its file the program goes on all the same.
fn outages(values: &Values, clock: Clock) -> Outages {
    let outages = || Outages::new(clock, SHARDS);
    let Some(path) = outage::journal_path(&values.outages, values.state_dir.as_deref()) else {
        return outages();
    };
    outages().with_journal(&path).unwrap_or_else(|error| {
        let path = escape(path.display().to_string().as_bytes());
        tracing::warn!(
            "the file of outages {path} cannot be used: {error}; outages are forgotten at the next \
             restart (RETTER_LOG_OUTAGES)"
        );
        outages()
    })
}

fn listen_error(loaded: &Loaded, key: &str, error: io::Error) -> StartError {
    let given = loaded.shown.iter().find(|given| given.spec.key == key);
    let setting = given.map_or_else(
        || key.to_owned(),
        |given| format!("{}={}", given.spec.variable(), given.text),
    );
    StartError::Listen { setting, error }
}

/// 64 bits that nobody outside can know: the standard library's hash keys come from the
/// operating system.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Protects the application until a signal ends it.
pub(crate) fn run(runtime: Adapter, sources: &Sources, loaded: Loaded) -> ExitCode {
    let log = match Log::start(loaded.values.log_level, loaded.values.log_json) {
        Ok(log) => log,
        Err(error) => return failed(format_args!("{}", StartError::System(error))),
    };
    let protected = protect(runtime, sources, &loaded);
    // What was logged comes before what is told last.
    drop(log);
    match protected {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => failed(format_args!("{text}")),
    }
}

fn protect(runtime: Adapter, sources: &Sources, loaded: &Loaded) -> Result<(), String> {
    for warning in &loaded.warnings {
        tracing::warn!("{}", escape(warning.as_bytes()));
    }
    if let Some(text) = files::allow(loaded.values.seats.total) {
        tracing::warn!("{text}");
    }
    let signals = signals(&[SIGHUP, SIGUSR1, SIGUSR2])
        .map_err(|error| StartError::System(error).to_string())?;
    let protection =
        Protection::start(runtime, sources, loaded).map_err(|error| error.to_string())?;
    greet(&protection, loaded, runtime);
    application::look(loaded);
    loop {
        match signals.recv_timeout(TICK) {
            Ok(SIGHUP) => reload_by_signal(&protection),
            Ok(_) => break,
            Err(RecvTimeoutError::Timeout) => protection.telemetry.tick(),
            Err(RecvTimeoutError::Disconnected) => {
                return Err("the signal thread has ended".to_owned());
            }
        }
    }
    let patience = humantime::format_duration(loaded.values.drain_timeout);
    tracing::info!("stopping: running requests have {patience} to end; a second signal ends now");
    exit_at_second(signals);
    match protection.stop() {
        0 => tracing::info!("stopped"),
        cut => tracing::warn!("stopped; sessions cut because they had not ended in time: {cut}"),
    }
    Ok(())
}

fn reload_by_signal(protection: &Protection) {
    let result = protection.reload.run(false);
    protection.telemetry.count_reload(result.is_ok());
    match result {
        Ok(reloaded) => tracing::info!("SIGHUP: {reloaded}"),
        Err(why) => tracing::warn!("SIGHUP: {why}"),
    }
}

fn greet(protection: &Protection, loaded: &Loaded, runtime: Adapter) {
    let values = &loaded.values;
    let addrs: Vec<_> = protection
        .server
        .local_addrs()
        .iter()
        .map(SocketAddr::to_string)
        .collect();
    let copies = match loaded.config.site().cache.rescue {
        RescueMode::All => "every 200 (`all`: private pages too)",
        RescueMode::Session => "private pages only for their own session",
        RescueMode::Strict => "by RFC 9111 to the letter",
    };
    let admin = match protection.admin.as_ref().and_then(web::Server::addr) {
        Some(addr) => format!("admin on {addr} (/health, /ready, /metrics)"),
        None => "no admin address".to_owned(),
    };
    let socket = protection.socket.as_ref();
    let socket = socket.map_or_else(String::new, |(_, socket)| {
        let path = socket.path.display().to_string();
        format!(", and on {} for commands", escape(path.as_bytes()))
    });
    tracing::info!(
        "listening on {}, protecting http://{}{} with {} {} workers; copies: {copies}; {admin}{socket}",
        addrs.join(", "),
        values.origin.authority,
        values.origin.prefix,
        values.workers,
        runtime.name,
    );
}

/// Receives SIGINT and SIGTERM from now on, and SIGHUP if it is among the `harmless`: those end
/// nothing, and scripts of services send them to whatever runs.
pub(crate) fn signals(harmless: &[i32]) -> io::Result<Receiver<i32>> {
    let mut signals = Signals::new([SIGINT, SIGTERM].iter().chain(harmless))?;
    let (sender, receiver) = channel();
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                if !matches!(signal, SIGHUP | SIGINT | SIGTERM) {
                    continue;
                }
                if sender.send(signal).is_err() {
                    return;
                }
            }
        })?;
    Ok(receiver)
}

/// Ends the process at the next signal, with the exit code shells use for it (128 + number).
fn exit_at_second(signals: Receiver<i32>) {
    // Without this thread the drain timeout still ends the program.
    let _ = std::thread::Builder::new().spawn(move || {
        while let Ok(signal) = signals.recv() {
            if signal == SIGHUP {
                tracing::info!("SIGHUP: nothing is reloaded while the program ends");
                continue;
            }
            Log::flush();
            std::process::exit(128 + signal);
        }
    });
}
