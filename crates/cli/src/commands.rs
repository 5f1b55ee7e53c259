//! The subcommands, one file each.

pub(crate) mod adapt;
pub(crate) mod amend;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod batch;
pub(crate) mod bench;
pub(crate) mod codebook;
pub(crate) mod config;
pub(crate) mod dry_run;
pub(crate) mod edit;
pub(crate) mod eval;
pub(crate) mod export;
pub(crate) mod heads;
pub(crate) mod hit_rates;
pub(crate) mod keys;
pub(crate) mod models;
pub(crate) mod modularity;
pub(crate) mod query;
pub(crate) mod take_back;
pub(crate) mod target;
pub(crate) mod token;
mod unfinished_file;
pub(crate) mod world;
