//! Flask configuration files.

#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| slamon_afm::config::fuzzed::file(file));
