//! Where keys are looked up: the exact vector index, hubness scales, the pair distances that the retrieval
//! gate takes its threshold from, and the spaces that these make up; and every number that decides it.

pub mod config;
pub mod hubness;
pub mod index;
pub mod merge;
mod reservoir;
pub mod space;
#[cfg(test)]
mod testing;

use reasonedit_records::{geometry, ids, key, member, sorted};
