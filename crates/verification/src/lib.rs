//! Verified retrieval: what was retrieved is put in front only where the model, asked about the query's
//! picture, bears it out (beyond the paper).
//!
//! Nearness can't tell "the same question on a picture for which the reasoning holds" from "the same question
//! on another picture". The model can: asked whether the picture shows a statement, it is right far more
//! often than on the question that had to be corrected. So every statement is judged on the query's picture,
//! an answer by the statements of its edit, and what fails is withheld and said to be.
//!
//! What several edits say is judged by the reasons of each of them, and stands if those of one hold: another
//! edit that happens to be nearer changes nothing. It is told of those alone that bear it out.
//!
//! What can't be judged by a picture is not. A statement that the model did not recognise on its own edit's
//! picture goes with its edit; if it saw something of it there, the edit is judged by how much less of it the
//! asked picture shows. So does a yes to what the model affirms of pictures without content too (general
//! knowledge, what it can't see); a no to it counts. An edit of which nothing is left to judge speaks within
//! a multiple of its radius. The edit of this very picture needs no judgement.
//!
//! Of answers to one question that exclude each other one is put in front at most ([`Dispute`]).

mod claims;
mod disputes;
mod questions;
mod support;
mod verifier;

pub use claims::{Ground, Grounds, Judged};
pub use disputes::{Apart, Contender, Dispute, Settled, Verdict, undecided, verdict};
pub use verifier::Verifier;
