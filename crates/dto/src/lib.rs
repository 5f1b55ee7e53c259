//! What goes over the wire, one file a resource. Names and shapes are the contract; nothing here decides
//! anything.

pub mod audit;
pub mod backup;
pub mod canary;
pub mod codebook;
pub mod conflict;
pub mod contributor;
pub mod dry_run;
pub mod edit;
pub mod edit_input;
pub mod erasure;
pub mod evidence;
pub mod feedback;
#[cfg(test)]
mod form_tests;
pub mod health;
pub mod job;
pub mod modularity;
pub mod proposal;
pub mod revert;
pub mod standing;
pub mod token;
pub mod training_data;
