//! Bodies of `POST /task`.

#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| slamon_protocol::fuzzed::post_task(body));
