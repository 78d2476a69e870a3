//! Owns the measurement of latency at a load that every contender bears: requests come when their
//! time has come, not when the one before was answered.
//! Never compares contenders at their own saturation: that is what throughput is for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::Options;
use super::bed::Bed;
use super::figures::Figures;
use crate::surge::random::Random;
use crate::visitors::Visitors;
use crate::{Result, error, percentile};

/// How many visitors there are, each with connections of their own.
const VISITORS: usize = 64;
/// Name, path, and requests a second: about a fifth of what the slowest contender can do.
const LOADS: &[(&str, &str, f64)] = &[
    ("latency-hit", "/hit/73", 2000.0),
    ("latency-forward", "/forward/73", 1000.0),
];

/// Measures p50 and p99 of each load.
///
/// # Errors
/// When a request fails.
pub fn measure(options: &Options) -> Result<Vec<Figures>> {
    let contenders = options.contenders();
    let bed = Bed::start(&options.directory, &contenders)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut all = Vec::new();
    for (name, path, rate) in LOADS {
        let mut both = [("p50", 0.5), ("p99", 0.99)].map(|(percent, share)| {
            let text = format!("{percent} of {path} at {rate} requests a second");
            (
                share,
                Figures::new(&format!("{name}-{percent}"), &text, "µs", &contenders),
            )
        });
        for round in 0..options.rounds {
            for (place, (contender, running)) in bed.contenders.iter().enumerate() {
                let seed = u64::from(round);
                let times = run(running.address, path, *rate, options.seconds, seed);
                let times = runtime
                    .block_on(times)
                    .map_err(|text| error(format!("{}: {text}", contender.name)))?;
                for (share, figures) in &mut both {
                    let value = percentile(&times, *share);
                    figures.rows[place].values.push(value);
                }
            }
        }
        all.extend(both.map(|(_, figures)| figures));
    }
    Ok(all)
}

/// The times of all requests in microseconds.
async fn run(
    address: SocketAddr,
    path: &'static str,
    rate: f64,
    seconds: u32,
    seed: u64,
) -> std::io::Result<Vec<f64>> {
    let visitors = Arc::new(Visitors::new(address));
    let request: Arc<[u8]> = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n")
        .into_bytes()
        .into();
    let mut random = Random::new(seed);
    let start = Instant::now();
    let (mut at, end) = (Duration::ZERO, Duration::from_secs(seconds.into()));
    let mut running = JoinSet::new();
    while at < end {
        sleep_until(start + at).await;
        let (visitors, request) = (Arc::clone(&visitors), Arc::clone(&request));
        let visitor = random.below(VISITORS);
        running.spawn(async move {
            let begin = Instant::now();
            let message = visitors.ask(visitor, &request).await?;
            if message.status != 200 {
                return Err(std::io::Error::other(format!("status {}", message.status)));
            }
            Ok(begin.elapsed().as_secs_f64() * 1e6)
        });
        at += Duration::from_secs_f64(random.gap(rate));
    }
    let mut times = Vec::new();
    while let Some(time) = running.join_next().await {
        times.push(time??);
    }
    Ok(times)
}
