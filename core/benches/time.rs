//! Measures time and allocations of the hot paths: `cargo bench -p retter-core --bench time`.

mod paths;

use divan::{AllocProfiler, Bencher};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(args = paths::NAMES)]
fn path(bencher: Bencher<'_, '_>, name: &str) {
    let mut run = paths::prepare(name);
    // The first ones fill buffers and tables.
    for _ in 0..100 {
        run();
    }
    bencher.bench_local(run);
}
