//! The command-line tool of countersign.
//!
//! One file per command. A command is a struct of arguments and a `run` that ends in a
//! [`Failure`](exit::Failure) or in nothing; what all of them share is in `exit`, `output` and `password`.
#![forbid(unsafe_code)]

mod exit;
mod output;
#[allow(dead_code, reason = "for the commands that take a password")]
mod password;
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
    Vectors(vectors::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
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
