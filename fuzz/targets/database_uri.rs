//! Database URIs, and passwords in them.

#![no_main]

libfuzzer_sys::fuzz_target!(|uri: &[u8]| {
    slamon_store::fuzzed::database_uri(uri);
    slamon_afm::config::fuzzed::database_uri(uri);
});
