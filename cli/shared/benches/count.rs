//! Runs a hot path of the core a number of times with its copies shared over a Redis, or not, for a tool
//! that counts instructions: `count renew 1000 redis://127.0.0.1:6379`, or `off`.
//! `tests/bench/instructions` compares the two.

#[path = "../../../core/benches/paths/mod.rs"]
mod paths;

use std::time::{Duration, Instant};

use retter_core::Site;
use retter_shared::{Address, Instances, Options, PATIENCE, Scope, Secret};

/// The clock of the paths stands still. That of the instance does where its beginning is yet to come; else
/// what was made an hour ago, by one of them, would be in doubt.
const AHEAD: Duration = Duration::from_secs(3_600);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [name, count, redis] = &words[..] else {
        // As `cargo bench` does.
        return;
    };
    let count: u32 = count.parse().expect("a number of runs");
    let mut run = match redis.as_str() {
        "off" => paths::prepare(name),
        _ => paths::prepare_with(name, attach),
    };
    for _ in 0..count {
        run();
    }
}

/// Shares all copies over the Redis of the last argument: the visitor of the paths has a cookie.
fn attach(site: &Site) {
    let url = std::env::args().next_back().expect("an argument");
    let secret = Secret::new(&[b's'; 32]).expect("it is long enough");
    let options = Options {
        address: Address::parse(&url).expect("the address of a Redis"),
        scope: Scope::All,
        epoch: Instant::now() + AHEAD,
        patience: PATIENCE,
    };
    Instances::start(site, &secret, options).expect("threads");
}
