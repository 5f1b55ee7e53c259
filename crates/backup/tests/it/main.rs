//! Backups as a whole: made, verified, pruned, restored; with edits going on, on folders that decay, by
//! processes that are killed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on has failed")]

mod data;
mod decay;
mod erase;
mod incomplete;
mod kill;
mod prune;
mod sizes;
mod writers;
