//! Bodies of `POST /tasks`.

#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| slamon_protocol::fuzzed::poll(body));
