//! Runs a hot path a number of times, for a tool that counts instructions: `count hit 1000`.
//! `tests/bench/instructions` is that tool's script.

mod paths;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [name, count] = &words[..] else {
        // As `cargo bench` does.
        return;
    };
    let count: u32 = count.parse().expect("a number of runs");
    let mut run = paths::prepare(name);
    for _ in 0..count {
        run();
    }
}
