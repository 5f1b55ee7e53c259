//! The program `reasonedit`: configuration, logging, signals, subcommands. What it does stands in the other
//! crates.

mod allocator;
mod args;
mod audited;
mod client;
mod commands;
mod environment;
mod error;
mod logging;
mod output;
mod picture;
mod progress;
mod render;
mod retention;
mod serve;
mod service;
mod settings;
mod shape;
mod sources;

use std::process::ExitCode;

use args::{Cli, Command};
use clap::Parser;
use error::Result;
use reasonedit_resilience::blocking;

fn main() -> ExitCode {
    let cli = Cli::parse();
    environment::settle(cli.jobs());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::note(&format!("reasonedit: the runtime can't be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run(cli));
    // What still blocks (a reader of the standard input) must not keep the program from ending.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("reasonedit: {error}"));
            ExitCode::from(error.status())
        }
    }
}

async fn run(cli: Cli) -> Result<()> {
    let command = cli.command.unwrap_or(Command::Serve(cli.serve));
    let Some(line) = audited::of(&command)? else { return work(command).await };
    let line = blocking(move || line.begin()).await?;
    let done = work(command).await;
    blocking(move || line.end(done)).await
}

async fn work(command: Command) -> Result<()> {
    match command {
        Command::Serve(args) => serve::run(&args).await,
        Command::Edit(args) => commands::edit::run(&args).await,
        Command::DryRun(args) => commands::dry_run::run(&args).await,
        Command::Amend(args) => commands::amend::run(&args).await,
        Command::TakeBack(args) => commands::take_back::run(&args).await,
        Command::Query(args) => commands::query::run(&args).await,
        Command::Codebook(args) => commands::codebook::run(&args).await,
        Command::Export(args) => commands::export::run(&args).await,
        Command::Backup(args) => commands::backup::run(&args).await,
        Command::Restore(args) => commands::backup::restore(args).await,
        Command::Token(args) => commands::token::run(&args).await,
        Command::Keys(args) => blocking(move || commands::keys::run(&args)).await,
        Command::Audit(args) => commands::audit::run(args).await,
        Command::Models(args) => commands::models::run(&args).await,
        Command::World(args) => blocking(move || commands::world::run(&args)).await,
        Command::Bench(args) => Box::pin(commands::bench::run(&args)).await,
        Command::Eval(args) => commands::eval::run(&args).await,
        Command::Adapt(args) => Box::pin(commands::adapt::run(&args)).await,
        Command::Modularity(args) => commands::modularity::run(&args).await,
        Command::Heads(args) => Box::pin(commands::heads::run(&args)).await,
        Command::HitRates(args) => Box::pin(commands::hit_rates::run(&args)).await,
        Command::Config(args) => commands::config::run(&args),
    }
}
