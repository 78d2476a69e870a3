//! Owns `surge`: a fragile application, more visitors than it can bear, and what stands between
//! them, one after another in one run.
//! Never lets two contenders run at one time.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::contender::{Contender, Kind};
use crate::http::Connection;
use crate::port::Port;
use crate::process::Process;
use crate::visitors::Visitors;
use crate::{Result, error};

pub mod beside;
pub mod columns;
pub mod load;
pub mod origin;
pub mod outcome;
pub mod random;
pub mod restart;
pub mod scenario;

use outcome::Outcome;
use scenario::{Event, Pages, RESTART, Scenario};

/// What a run is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names of scenarios; none is all.
    pub scenarios: Vec<String>,
    /// Names of contenders; none is all.
    pub contenders: Vec<String>,
    /// Visitors in a surge, as a multiple of the capacity.
    pub multiple: f64,
    /// How long a surge is; an outage is half of that.
    pub seconds: u32,
    /// Which visitors come.
    pub seed: u64,
    /// The binary of RETTER.
    pub retter: PathBuf,
    /// Further settings of RETTER.
    pub settings: Vec<(String, String)>,
    /// Where files of contenders are.
    pub directory: PathBuf,
}

impl Options {
    /// Every contender that was asked for and fits the scenario.
    fn contenders(&self, scenario: &Scenario) -> Result<Vec<Contender>> {
        // Peers limit a crowd by address, as far as their settings can say it.
        let is_beside = matches!(scenario.event, Event::Beside(_));
        let nginx = |key: &str| {
            let text = match is_beside {
                true => include_str!("../../configs/beside.nginx.conf"),
                false => include_str!("../../configs/surge.nginx.conf"),
            };
            Kind::Nginx(text.replace("@KEY@", key))
        };
        let retter = |concurrency: Option<u32>| {
            let mut settings = self.settings.clone();
            if let Some(concurrency) = concurrency {
                let name = "RETTER_BACKEND_CONCURRENCY".to_owned();
                settings.push((name, concurrency.to_string()));
            }
            Kind::Retter {
                program: self.retter.clone(),
                settings,
            }
        };
        let haproxy = match is_beside {
            true => include_str!("../../configs/beside.haproxy.cfg"),
            false => include_str!("../../configs/surge.haproxy.cfg"),
        };
        let mut all = vec![
            Contender::new("no-proxy", Kind::Nothing),
            Contender::new("nginx", nginx("")),
            Contender::new("nginx-cookie", nginx("$cookie_session")),
            Contender::new(
                "varnish",
                Kind::Varnish(include_str!("../../configs/surge.vcl").into()),
            ),
            Contender::new("haproxy", Kind::Haproxy(haproxy.to_owned())),
            Contender::new("retter", retter(None)),
            Contender::new("retter-8", retter(Some(origin::POOL))),
        ];
        if scenario.pages != Pages::Sessions {
            all.retain(|one| !one.name.ends_with("cookie"));
        }
        all.retain(|one| self.contenders.is_empty() || self.contenders.contains(&one.name));
        if all.is_empty() {
            return Err(error("there is no such contender"));
        }
        Ok(all)
    }
}

/// Runs all that was asked for; `done` gets each scenario as soon as it is there.
///
/// # Errors
/// When a contender does not start.
pub fn run(
    options: &Options,
    mut done: impl FnMut(&Scenario, &[Outcome]) -> Result<()>,
) -> Result<()> {
    let known = || scenario::ALL.iter().map(|scenario| scenario.name);
    if let Some(name) = options
        .scenarios
        .iter()
        .find(|name| known().all(|one| one != **name))
    {
        let known: Vec<_> = known().collect();
        return Err(error(format!(
            "no scenario `{name}`; there are {}",
            known.join(", ")
        )));
    }
    std::fs::create_dir_all(&options.directory)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for scenario in scenario::ALL {
        if !options.scenarios.is_empty() && !options.scenarios.iter().any(|n| n == scenario.name) {
            continue;
        }
        let mut outcomes = Vec::new();
        for contender in options.contenders(scenario)? {
            outcomes.push(runtime.block_on(one(options, scenario, &contender))?);
        }
        done(scenario, &outcomes)?;
    }
    Ok(())
}

async fn one(options: &Options, scenario: &Scenario, contender: &Contender) -> Result<Outcome> {
    let phases = scenario.phases(options.seconds, options.multiple);
    let arrivals = scenario.schedule(&phases, options.seed);
    let origin = Origin::start(&options.directory)?;
    let running = contender.start(origin.address(), &options.directory)?;
    if scenario.pages == Pages::Sessions {
        load::log_in(running.address, scenario::USERS).await?;
    }
    let control = origin.control.address();
    let event = scenario.event;
    if let Event::Strict(word) = event {
        tell(control, word).await.map_err(error)?;
    }
    let start = Instant::now();
    let began = origin::now_millis();
    let told = tokio::spawn(async move {
        sleep_until(start + phases.begin).await;
        let _ = tell(control, "/peak").await;
        let _ = tell(control, "/made").await;
        match event {
            Event::Outage(word) => _ = tell(control, word).await,
            Event::Restart => {
                let _ = tell(control, "/dead").await;
                sleep_until(start + phases.begin + RESTART).await;
                let _ = tell(control, "/well").await;
            }
            Event::Beside(_) | Event::Bursts | Event::Strict(_) | Event::Surge => {}
        }
        sleep_until(start + phases.end).await;
        let peak = tell(control, "/peak").await;
        let made = tell(control, "/made").await;
        let ended = origin::now_millis();
        if matches!(event, Event::Outage(_) | Event::Strict(_)) {
            let _ = tell(control, "/well").await;
        }
        (peak, made, ended)
    });
    let visitors = match event {
        Event::Beside(_) | Event::Bursts | Event::Restart => Visitors::apart(running.address),
        Event::Outage(_) | Event::Strict(_) | Event::Surge => Visitors::new(running.address),
    };
    let others = match event {
        Event::Beside(crowd) => Some(crowd.start(running.address, start, phases)),
        Event::Bursts | Event::Outage(_) | Event::Restart | Event::Strict(_) | Event::Surge => None,
    };
    let visits = load::run(visitors, &arrivals).await;
    let (peak, made, ended) = told.await?;
    let silent = |text| error(format!("the application is silent: {text}"));
    let others = match others {
        Some(others) => Some(others.end().await),
        None => None,
    };
    let orders = ask(control, "/orders").await.map_err(silent)?;
    Ok(Outcome {
        contender: contender.name.clone(),
        visits,
        phases,
        peak: peak.map_err(silent)?,
        made: made.map_err(silent)?,
        ended,
        began,
        others,
        orders: restart::orders(&orders),
    })
}

/// The application in a process of its own.
struct Origin {
    port: Port,
    control: Port,
    _process: Process,
}

impl Origin {
    fn start(directory: &Path) -> Result<Self> {
        let (port, control) = (Port::reserve()?, Port::reserve()?);
        let mut command = Command::new(std::env::current_exe()?);
        let (address, orders) = (port.address(), control.address());
        command.args(["origin", &address.to_string(), &orders.to_string()]);
        let process = Process::start(&command, &directory.join("origin.log"), orders)?;
        Ok(Self {
            port,
            control,
            _process: process,
        })
    }

    const fn address(&self) -> SocketAddr {
        self.port.address()
    }
}

/// Gives the application an order; the number it answers with, or 0.
async fn tell(control: SocketAddr, order: &str) -> std::result::Result<u64, String> {
    Ok(ask(control, order).await?.parse().unwrap_or(0))
}

/// Gives the application an order; what it answers with.
async fn ask(control: SocketAddr, order: &str) -> std::result::Result<String, String> {
    let ask = async {
        let mut connection = Connection::connect(control).await?;
        connection
            .ask(format!("GET {order} HTTP/1.1\r\n\r\n").as_bytes())
            .await
    };
    let answered = tokio::time::timeout(Duration::from_secs(10), ask).await;
    let message = answered.map_err(|error| error.to_string())?;
    let body = message.map_err(|error| error.to_string())?.body;
    Ok(String::from_utf8_lossy(&body).into_owned())
}
