//! Bodies of `POST /tasks/response`.

#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| slamon_protocol::fuzzed::result(body));
