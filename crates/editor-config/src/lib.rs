//! Every number and every text that the editor decides by, with its default and its source.

pub mod config;
pub mod prompts;
