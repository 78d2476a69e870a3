//! Owns the measurement of CPU time: what a contender used while `wrk` got its answers.
//! Never counts the time of the origin or of `wrk`.

use super::Options;
use super::bed::{self, Bed};
use super::cases::{AnswersFrom, Case, OriginIs, Unit};
use super::figures::Figures;
use super::wrk::Load;
use crate::contender::{Contender, Kind, Running};
use crate::{Result, error};

/// Measures a case for every contender, round by round.
///
/// # Errors
/// When a contender does not do what the case claims.
pub fn measure(options: &Options, case: &Case) -> Result<Figures> {
    among(options, case, options.contenders())
}

/// Measures a case for these contenders, round by round.
///
/// # Errors
/// When a contender does not do what the case claims.
pub fn among(options: &Options, case: &Case, mut contenders: Vec<Contender>) -> Result<Figures> {
    if case.origin != OriginIs::Well {
        // It has no stale copies.
        contenders.retain(|contender| !matches!(contender.kind, Kind::Haproxy(_)));
    }
    let mut bed = Bed::start(&options.directory, &contenders)?;
    for (contender, running) in &bed.contenders {
        check(case, contender, running)?;
    }
    match case.origin {
        OriginIs::Dead => bed.kill_origin(),
        OriginIs::Failing => bed.fail_origin()?,
        OriginIs::Well => {}
    }
    if case.origin != OriginIs::Well {
        for (contender, running) in &bed.contenders {
            bed::settle(contender, running.address, case.load.path)?;
        }
    }
    let load = Load {
        seconds: options.seconds,
        ..case.load
    };
    let mut figures = Figures::new(case.name, case.text, case.unit.name(), &contenders);
    for _ in 0..options.rounds {
        for (row, (contender, running)) in figures.rows.iter_mut().zip(&bed.contenders) {
            let (value, rate) = once(&bed, case, &load, contender, running)?;
            row.values.push(value);
            row.rates.push(rate);
        }
    }
    Ok(figures)
}

/// Shows that a contender answers with the page, twice so that it may have kept it.
fn check(case: &Case, contender: &Contender, running: &Running) -> Result<()> {
    for _ in 0..3 {
        let answer = bed::ask(running.address, case.load.path, case.load.gzip)?;
        let is_right = if case.load.gzip {
            answer.head.contains("content-encoding: gzip")
        } else {
            answer.body.len() == case.bytes
        };
        if answer.status != 200 || !is_right {
            let bytes = answer.body.len();
            let name = &contender.name;
            return Err(error(format!("{name}: {bytes} bytes for {}", answer.head)));
        }
    }
    Ok(())
}

/// Measures once: CPU time in the unit of the case, and answers a second.
pub(super) fn once(
    bed: &Bed,
    case: &Case,
    load: &Load<'_>,
    contender: &Contender,
    running: &Running,
) -> Result<(f64, f64)> {
    let process = running.process()?;
    let (cpu, asked) = (process.cpu()?, bed.asked()?);
    let outcome = load.run(running.address, &bed.directory)?;
    let (cpu, asked) = (process.cpu()? - cpu, bed.asked()? - asked);
    let share = asked / outcome.answers;
    let is_right = match case.from {
        _ if contender.is_floor() => true,
        AnswersFrom::Copies => share < 0.1,
        AnswersFrom::Origin => share > 0.99,
    };
    if !is_right {
        let name = &contender.name;
        return Err(error(format!(
            "{name}: {share:.3} of {} at the origin",
            case.name
        )));
    }
    let micros = cpu.as_secs_f64() * 1e6;
    let value = match case.unit {
        Unit::Request => micros / outcome.answers,
        Unit::Mebibyte => micros / (outcome.bytes / f64::from(1 << 20)),
    };
    Ok((value, outcome.answers / outcome.seconds))
}
