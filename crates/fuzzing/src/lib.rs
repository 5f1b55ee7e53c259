//! Bytes from outside, whatever they are: one function for each place where they enter the product.
//!
//! Each calls what the service itself calls there, and asserts what has to hold of any input. The functions
//! are run by `tools/fuzz` under libFuzzer for as long as one likes, and by this crate's own test on the
//! corpus that is kept and on mutations of it, in seconds.
#![allow(clippy::expect_used, reason = "a target fails by panicking")]

#[cfg(feature = "models")]
mod answers;
mod archives;
mod bend;
#[cfg(feature = "models")]
mod bodies;
mod codings;
#[cfg(feature = "models")]
mod configuration;
mod input;
mod limits;
mod logs;
#[cfg(feature = "models")]
mod models;
mod outside;
mod pictures;
#[cfg(feature = "models")]
mod prompts;
#[cfg(feature = "models")]
mod requests;
mod scratch;
#[cfg(feature = "models")]
mod service;
mod stores;
mod texts;

pub use limits::{Target, peak};

use limits::MIB;

/// The targets that need no model, by name. The bound is on memory above what was there before: what is read,
/// what is made of it, and what libraries take meanwhile.
const PLAIN: [Target; 10] = [
    Target { name: "address", ready: || (), run: outside::address, memory: MIB },
    // With the window of 8 MiB that a frame of zstd may ask for, and a line with its tree.
    Target { name: "archive", ready: archives::ready, run: archives::archive, memory: 96 * MIB },
    Target { name: "audit", ready: stores::ready, run: stores::audit, memory: 32 * MIB },
    Target { name: "backup", ready: logs::ready, run: logs::backup, memory: 64 * MIB },
    Target { name: "content_coding", ready: codings::ready, run: codings::coding, memory: 32 * MIB },
    Target { name: "keys", ready: stores::ready, run: stores::keys, memory: 4 * MIB },
    Target { name: "picture_decode", ready: || (), run: pictures::decode, memory: 48 * MIB },
    Target { name: "picture_resize", ready: || (), run: pictures::resize, memory: 48 * MIB },
    Target { name: "store_log", ready: logs::ready, run: logs::log, memory: 32 * MIB },
    Target { name: "text", ready: || (), run: texts::text, memory: 8 * MIB },
];

/// Those that need one, or stand above one.
#[cfg(feature = "models")]
const MODELS: [Target; 11] = [
    Target { name: "adapter", ready: models::ready, run: models::adapter, memory: 16 * MIB },
    Target { name: "chat", ready: answers::ready, run: answers::chat, memory: 64 * MIB },
    Target { name: "chat_template", ready: prompts::ready, run: prompts::chat_template, memory: 64 * MIB },
    Target { name: "json_body", ready: bodies::ready, run: bodies::json, memory: 8 * MIB },
    Target { name: "label_studio", ready: answers::ready, run: answers::label_studio, memory: 64 * MIB },
    Target { name: "multipart", ready: || (), run: bodies::multipart, memory: 8 * MIB },
    Target { name: "prompt", ready: prompts::ready, run: prompts::prompt, memory: 16 * MIB },
    Target { name: "question", ready: answers::ready, run: answers::question, memory: 64 * MIB },
    Target { name: "request", ready: requests::ready, run: requests::any, memory: 16 * MIB },
    Target { name: "safetensors", ready: models::ready, run: models::safetensors, memory: 16 * MIB },
    Target { name: "settings", ready: configuration::ready, run: configuration::settings, memory: 16 * MIB },
];
#[cfg(not(feature = "models"))]
const MODELS: [Target; 0] = [];

/// All targets of this build.
pub fn targets() -> impl Iterator<Item = &'static Target> {
    PLAIN.iter().chain(&MODELS)
}

/// Runs the target of this name, within its bounds.
///
/// # Panics
/// There is none, or something doesn't hold: see [`Target::check`].
pub fn check(name: &str, data: &[u8]) {
    let target = targets().find(|target| target.name == name);
    target.expect("a target of this build").check(data);
}
