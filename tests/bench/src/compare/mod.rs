//! Owns `compare`: CPU time for each request, latency, memory and system calls, of RETTER, its
//! peers and a bare responder in one run.
//! Never pins anything to a processor: each contender takes what the machine gives it.

use std::path::PathBuf;

use crate::contender::{Contender, Kind};
use crate::{Result, error};

pub mod bed;
pub mod cases;
pub mod cpu;
pub mod figures;
pub mod growth;
pub mod latency;
pub mod memory;
pub mod responder;
pub mod syscalls;
pub mod wrk;

use cases::Case;
use figures::{FLOOR, Figures};

/// What a run is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names of scenarios; none is all.
    pub scenarios: Vec<String>,
    /// Names of contenders; none is all.
    pub contenders: Vec<String>,
    /// How often each contender is measured, in turn with the others.
    pub rounds: u32,
    /// How long each measurement is.
    pub seconds: u32,
    /// Copies in the scenario `growth`.
    pub copies: u64,
    /// Where the binaries of RETTER are.
    pub programs: PathBuf,
    /// The binary on tokio, when it is another one.
    pub retter: Option<PathBuf>,
    /// Further settings of RETTER.
    pub settings: Vec<(String, String)>,
    /// Where files of contenders and loads are.
    pub directory: PathBuf,
}

impl Options {
    /// RETTER on tokio.
    #[must_use]
    pub fn retter(&self, more: &[(&str, &str)]) -> Contender {
        let program = self
            .retter
            .clone()
            .unwrap_or_else(|| self.programs.join("retter"));
        self.retter_on("retter", program, more)
    }

    fn retter_on(&self, name: &str, program: PathBuf, more: &[(&str, &str)]) -> Contender {
        // One worker as everybody else has; what `--set` says comes last and wins.
        let mut settings = vec![("RETTER_SERVER_WORKERS".to_owned(), "1".to_owned())];
        let owned = |(name, value): &(&str, &str)| (String::from(*name), String::from(*value));
        settings.extend(more.iter().map(owned));
        settings.extend(self.settings.iter().cloned());
        Contender::new(name, Kind::Retter { program, settings })
    }

    /// Every contender that was asked for.
    #[must_use]
    pub fn contenders(&self) -> Vec<Contender> {
        let nginx = include_str!("../../configs/compare.nginx.conf");
        let haproxy = include_str!("../../configs/compare.haproxy.cfg");
        let varnish = include_str!("../../configs/compare.vcl");
        let mut all = vec![
            Contender::new(FLOOR, Kind::Floor),
            Contender::new("nginx", Kind::Nginx(nginx.to_owned())),
            Contender::new("haproxy", Kind::Haproxy(haproxy.to_owned())),
            Contender::new("varnish", Kind::Varnish(varnish.to_owned())),
            self.retter(&[]),
        ];
        for name in ["retter-smol", "retter-async-std"] {
            all.push(self.retter_on(name, self.programs.join(name), &[]));
        }
        all.retain(|one| self.contenders.is_empty() || self.contenders.contains(&one.name));
        all
    }
}

type Special = fn(&Options) -> Result<Vec<Figures>>;

/// The scenarios that are more than one load of `wrk`.
const SPECIAL: &[(&str, Special)] = &[
    ("latency", latency::measure),
    ("memory", memory::measure),
    ("growth", growth::measure),
    ("workers", workers),
    ("syscalls", syscalls::measure),
];

/// Hits with one worker and with two; only where there are processors for both and for the load
/// can the second one show what it is worth.
fn workers(options: &Options) -> Result<Vec<Figures>> {
    let contenders = ["1", "2"].map(|count| {
        let mut contender = options.retter(&[("RETTER_SERVER_WORKERS", count)]);
        contender.name = format!("retter-{count}-workers");
        contender
    });
    let text = "hits of 73 bytes by one worker and by two";
    let case = Case {
        name: "workers",
        text,
        ..cases::hit()
    };
    let mut figures = cpu::among(options, &case, contenders.to_vec())?;
    let processors = std::thread::available_parallelism()?;
    figures.notes.push(format!(
        "this machine has {processors} processors, `wrk` takes one"
    ));
    Ok(vec![figures])
}

/// Names of all scenarios.
#[must_use]
pub fn scenarios() -> Vec<&'static str> {
    let cases = cases::all();
    let names = cases.iter().map(|case| case.name);
    names.chain(SPECIAL.iter().map(|(name, _)| *name)).collect()
}

/// Measures all that was asked for; `done` gets each table as soon as it is there.
///
/// # Errors
/// When a contender does not start or does not do what a scenario claims.
pub fn run(options: &Options, mut done: impl FnMut(&Figures) -> Result<()>) -> Result<()> {
    let known = scenarios();
    if let Some(name) = options
        .scenarios
        .iter()
        .find(|name| !known.contains(&name.as_str()))
    {
        return Err(error(format!(
            "no scenario `{name}`; there are {}",
            known.join(", ")
        )));
    }
    if options.contenders().is_empty() {
        return Err(error("there is no such contender"));
    }
    let wanted = |name: &str| {
        options.scenarios.is_empty() || options.scenarios.iter().any(|wanted| wanted == name)
    };
    let cases: Vec<Case> = cases::all()
        .into_iter()
        .filter(|case| wanted(case.name))
        .collect();
    for case in &cases {
        done(&cpu::measure(options, case)?)?;
    }
    for (name, measure) in SPECIAL {
        if wanted(name) {
            measure(options)?.iter().try_for_each(&mut done)?;
        }
    }
    Ok(())
}
