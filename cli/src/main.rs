//! The command-line tool of countersign.
//!
//! One file per command. A command is a struct of arguments and a `run` that ends in a
//! [`Failure`](exit::Failure) or in nothing; what all of them share is in `exit`, `output` and `password`.
#![forbid(unsafe_code)]

mod account;
mod call;
mod chat;
mod check;
mod connect;
mod cost;
mod demo;
mod enroll;
mod exit;
mod folder;
mod interrupt;
mod listen;
mod output;
mod password;
mod peer;
mod progress;
mod receive;
mod retry;
mod send;
mod serve;
mod sockets;
mod talk;
mod tcp;
mod vectors;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Secure channels between two parties who share a password.
#[derive(Parser)]
#[command(name = "countersign", version, after_help = exit::help(), propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Serve(serve::Args),
    Listen(listen::Args),
    Connect(connect::Args),
    Send(send::Args),
    Enroll(enroll::Args),
    Check(check::Args),
    Cost(Box<cost::Args>),
    Vectors(vectors::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo(args) => demo::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Listen(args) => listen::run(&args),
        Command::Connect(args) => connect::run(&args),
        Command::Send(args) => send::run(&args),
        Command::Enroll(args) => enroll::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Cost(args) => cost::run(&args),
        Command::Vectors(args) => vectors::run(&args),
    };
    exit::report(result)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:"), "{}", command.get_name());
        }
    }
}
