//! The trail as its users see it: written, killed, tampered with, read.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on has failed")]

mod checkpoints;
mod failing;
mod folder;
mod outside;
mod tampering;
mod writing;
