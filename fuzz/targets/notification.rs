//! What others say by NOTIFY.

#![no_main]

libfuzzer_sys::fuzz_target!(|payload: &[u8]| slamon_store::fuzzed::notification(payload));
