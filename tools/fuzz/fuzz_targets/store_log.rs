#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| reasonedit_fuzzing::check("store_log", data));
