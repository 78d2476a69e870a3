//! Owns the measurement of growth: what a hit costs among few copies and among very many, and what
//! making a copy costs meanwhile.
//! Never lets the store evict: it is given room for all.

use std::time::Instant;

use super::Options;
use super::bed::Bed;
use super::cases::{self, Case};
use super::cpu::once;
use super::figures::Figures;
use super::memory::fill;
use super::wrk::Load;
use crate::Result;

/// Copies that every cache holds with ease.
const FEW: u64 = 1000;

/// Measures hits among few copies, and among as many as the options say.
///
/// # Errors
/// When a request fails.
pub fn measure(options: &Options) -> Result<Vec<Figures>> {
    let room = [
        ("RETTER_CACHE_BYTES", "8GiB"),
        ("RETTER_CACHE_ENTRIES", "20000000"),
    ];
    let contenders = [options.retter(&room)];
    let bed = Bed::start(&options.directory, &contenders)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (contender, running) = &bed.contenders[0];
    let mut all = Vec::new();
    let mut filled = 0;
    for count in [FEW, options.copies] {
        let (begin, cpu) = (Instant::now(), running.process()?.cpu()?);
        runtime.block_on(fill(running.address, filled, count))?;
        #[allow(clippy::cast_precision_loss, reason = "copies are below 2^53")]
        let made = count.saturating_sub(filled).max(1) as f64;
        let cpu = (running.process()?.cpu()? - cpu).as_secs_f64() * 1e6 / made;
        let rate = made / begin.elapsed().as_secs_f64();
        filled = count;
        let load = Load {
            path: "/copy/N",
            pages: count,
            seconds: options.seconds,
            ..cases::hit().load
        };
        let case = Case {
            name: "growth",
            load,
            ..cases::hit()
        };
        let text = format!("hits of 1000 bytes at random among {count} copies");
        let name = format!("growth-{count}");
        let mut figures = Figures::new(&name, &text, case.unit.name(), &contenders);
        for _ in 0..options.rounds {
            let (value, rate) = once(&bed, &case, &load, contender, running)?;
            figures.rows[0].values.push(value);
            figures.rows[0].rates.push(rate);
        }
        let note = format!("making them took {cpu:.1} CPU µs each, {rate:.0} a second came");
        figures.notes.push(note);
        all.push(figures);
    }
    Ok(all)
}
