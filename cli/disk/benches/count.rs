//! Runs a hot path of the core a number of times with its copies on a disk, or not, for a tool that
//! counts instructions: `count renew 1000 on`. `tests/bench/instructions` compares the two.

#[path = "../../../core/benches/paths/mod.rs"]
mod paths;

use std::time::Instant;

use retter_core::Site;
use retter_disk::{Disk, Options, Scope, Secret};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [name, count, disk] = &words[..] else {
        // As `cargo bench` does.
        return;
    };
    let count: u32 = count.parse().expect("a number of runs");
    let mut run = match disk.as_str() {
        "on" => paths::prepare_with(name, attach),
        _ => paths::prepare(name),
    };
    for _ in 0..count {
        run();
    }
}

/// Keeps all copies: the visitor of the paths has a cookie.
fn attach(site: &Site) {
    let folder = std::env::temp_dir().join(format!("retter-count-{}", std::process::id()));
    let secret = Secret::open(&folder).expect("a folder");
    let options = Options {
        folder,
        bytes_max: 64 << 20,
        scope: Scope::All,
        epoch: Instant::now(),
    };
    Disk::start(site, &secret, options).expect("threads");
}
