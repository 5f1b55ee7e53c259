#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| reasonedit_fuzzing::check("chat_template", data));
