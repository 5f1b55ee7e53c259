//! HTTP as this service speaks it, whatever it is about: what comes in within bounds, what went wrong as
//! problem documents, what each route asks of the layers around it.
//!
//! It knows nothing of editing: routes and their handlers are made above, registered with their [`policy`],
//! and take bodies by one of the extractors of [`payload`] and nothing else.

pub mod answers;
pub mod audit;
pub mod auth;
pub mod base64;
pub mod bind;
pub mod body;
mod callers;
pub mod client;
mod coding;
pub mod deprecation;
pub mod fetch;
pub mod headers;
pub mod host;
pub mod json;
pub mod limits;
pub mod metrics;
pub mod multipart;
pub mod newline;
pub mod origin;
pub mod outbound;
pub mod payload;
pub mod policy;
pub mod prefix;
pub mod problem;
pub mod rates;
pub mod request_id;
mod room;
pub mod shares;
pub mod sse;
