//! Owns the count of system calls for each request, by `strace`.
//! Never measures time meanwhile: under `strace` it means nothing.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::Options;
use super::bed::{self, Bed};
use super::cases::{self, Case};
use super::figures::Figures;
use super::wrk::Load;
use crate::contender::Running;
use crate::{Result, error};

/// Counts for a hit and for a request that is forwarded.
///
/// # Errors
/// When `strace` cannot attach, or a request fails.
pub fn measure(options: &Options) -> Result<Vec<Figures>> {
    let contenders = options.contenders();
    let bed = Bed::start(&options.directory, &contenders)?;
    let mut all = Vec::new();
    for case in [cases::hit(), cases::forward()] {
        let name = format!("syscalls-{}", case.name);
        let mut figures = Figures::new(&name, case.text, "system calls/request", &contenders);
        for (place, (contender, running)) in bed.contenders.iter().enumerate() {
            let counts = count(&bed, &case, running, options.seconds)?;
            let all: f64 = counts.iter().map(|(_, count)| count).sum();
            figures.rows[place].values.push(all);
            let parts: Vec<String> = counts
                .iter()
                .filter(|(_, count)| *count >= 0.005)
                .map(|(name, count)| format!("{name} {count:.2}"))
                .collect();
            figures
                .notes
                .push(format!("{}: {}", contender.name, parts.join(", ")));
        }
        all.push(figures);
    }
    Ok(all)
}

/// System calls by name for each request, most first.
fn count(bed: &Bed, case: &Case, running: &Running, seconds: u32) -> Result<Vec<(String, f64)>> {
    bed::ask(running.address, case.load.path, false)?;
    let ids: Vec<String> = running
        .process()?
        .ids()?
        .iter()
        .map(u32::to_string)
        .collect();
    let file = bed.directory.join("strace");
    let mut strace = Command::new("strace")
        .args(["-c", "-f", "-o"])
        .arg(&file)
        .args(["-p", &ids.join(",")])
        .stderr(Stdio::null())
        .spawn()?;
    let deadline = Instant::now() + Duration::from_secs(10);
    let is_traced = |id: &String| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        !status.contains("TracerPid:\t0\n")
    };
    while !ids.iter().all(is_traced) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    let load = Load {
        seconds,
        ..case.load
    };
    let outcome = load.run(running.address, &bed.directory);
    let pid = i32::try_from(strace.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.ok_or_else(|| error("strace has no id"))?, Signal::INT)?;
    strace.wait()?;
    let outcome = outcome?;
    // % time, seconds, usecs/call, calls, errors (or nothing), name
    let mut counts = Vec::new();
    for line in fs::read_to_string(&file)?.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [_, _, _, calls, .., name] = words[..]
            && name != "total"
            && let Ok(calls) = calls.parse::<f64>()
        {
            counts.push((name.to_owned(), calls / outcome.answers));
        }
    }
    if counts.is_empty() {
        return Err(error(
            "strace counted nothing: may this user trace processes?",
        ));
    }
    counts.sort_by(|one, other| other.1.total_cmp(&one.1));
    Ok(counts)
}
