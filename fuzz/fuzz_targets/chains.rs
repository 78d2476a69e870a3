#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| retter_core::fuzzing::chains(data));
