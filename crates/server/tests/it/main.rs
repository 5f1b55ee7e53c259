//! The service as a client sees it. One program, since each links the whole model.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on has failed")]

mod access;
mod backup;
mod bodies;
mod common;
mod context;
mod contract;
mod editing;
mod embedding;
mod erase;
mod errors;
mod every_body;
mod fuzz;
mod http;
mod integration;
mod jobs;
mod kill;
mod label_studio;
mod label_studio_pictures;
mod looking;
mod model;
mod modularity;
mod openai;
mod openai_clients;
mod openai_failures;
mod page;
mod reasoner;
mod receiver;
mod serve;
mod superseded;
mod texts;
mod thinking;
mod tls;
mod training_data;
mod webhooks;
mod words;
