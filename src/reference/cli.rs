//! Subcommands and their flags, from their definitions.

use std::fmt::Write as _;

use clap::{Arg, Command};

use super::{cell, table};

/// Every subcommand with its flags, but `serve`, which has a page of its own.
pub fn subcommands() -> String {
    let command = crate::cli::command();
    let mut text = String::from(
        "`windlass help COMMAND` prints the same. `windlass serve` has [a page of its own](settings.md).\n",
    );
    for subcommand in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        let name = subcommand.get_name();
        let about = subcommand.get_about().map(ToString::to_string);
        let _ = write!(
            text,
            "\n## windlass {name}\n\n{}.\n",
            about.unwrap_or_default()
        );
        if name == "serve" {
            continue;
        }
        let arguments = rows(subcommand);
        if !arguments.is_empty() {
            let _ = write!(
                text,
                "\n{}",
                table("| argument | default | meaning |", arguments.into_iter())
            );
        }
    }
    text
}

fn rows(command: &Command) -> Vec<String> {
    let arguments = command.get_arguments().filter(|arg| is_shown(arg));
    arguments
        .map(|arg| format!("| {} | {} | {} |", written(arg), default(arg), help(arg)))
        .collect()
}

/// The flags of `windlass serve`.
pub fn settings() -> String {
    let command = crate::cli::command();
    let serve = command.find_subcommand("serve");
    let arguments = serve.into_iter().flat_map(Command::get_arguments);
    let rows = arguments.filter(|arg| is_shown(arg)).map(|arg| {
        let variable = arg.get_env().unwrap_or_default().to_string_lossy();
        format!(
            "| {} | `{variable}` | {} | {} |",
            written(arg),
            default(arg),
            help(arg)
        )
    });
    format!(
        "Every flag has an environment variable. What is missing at start is named together with where to get it.\n\n{}",
        table("| flag | variable | default | meaning |", rows)
    )
}

fn is_shown(arg: &Arg) -> bool {
    !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str())
}

fn written(arg: &Arg) -> String {
    let value = arg
        .get_value_names()
        .and_then(|names| names.first())
        .map(ToString::to_string)
        .unwrap_or_else(|| arg.get_id().to_string().to_ascii_uppercase());
    let takes = arg.get_action().takes_values();
    match arg.get_long() {
        Some(long) if takes => format!("`--{long} {}`", value.to_ascii_uppercase()),
        Some(long) => format!("`--{long}`"),
        None => format!("`{value}`"),
    }
}

fn default(arg: &Arg) -> String {
    let values: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    match arg.get_action().takes_values() {
        true => values.join(", "),
        false => String::new(),
    }
}

fn help(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let possible: Vec<_> = arg
        .get_possible_values()
        .iter()
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    match possible.is_empty() || !arg.get_action().takes_values() {
        true => cell(&help),
        false => format!("{}: {}", cell(&help), possible.join(", ")),
    }
}
