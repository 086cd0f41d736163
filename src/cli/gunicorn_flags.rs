//! The flags of Gunicorn's settings, declared for clap from the table in [`crate::config::gunicorn`].
//!
//! Owns their form on the command line. Flags that `serve` has anyway are in [`super::args`].

use clap::error::Error;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::config::GivenFlag;
use crate::config::gunicorn::{self, Setting, Takes};

/// Those that were given, in the order of the table.
#[derive(Debug, Clone, Default)]
pub struct GunicornFlags(pub Vec<GivenFlag>);

/// Head of their part of `--help`, which the short one leaves out.
const HEADING: &str = "Settings of Gunicorn";

fn argument(setting: &'static Setting) -> Arg {
    let mut argument = Arg::new(setting.name).help(setting.help()).help_heading(HEADING).hide_short_help(true);
    let mut has_long = false;
    for flag in setting.flags.iter().rev() {
        argument = match flag.strip_prefix("--") {
            Some(long) if has_long => argument.alias(long),
            Some(long) => {
                has_long = true;
                argument.long(long)
            }
            None => argument.short(flag.chars().nth(1).expect("a short flag has a letter")),
        };
    }
    match setting.takes {
        Takes::Value(name) => argument.value_name(name).allow_negative_numbers(true),
        Takes::Values(name) => argument.value_name(name).action(ArgAction::Append),
        Takes::Optional(name, meant) => argument.value_name(name).num_args(0..=1).default_missing_value(meant),
        Takes::Nothing(_) => argument.action(ArgAction::SetTrue),
    }
}

impl Args for GunicornFlags {
    fn augment_args(command: Command) -> Command {
        command.args(gunicorn::with_flags().map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for GunicornFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<GunicornFlags, Error> {
        let given = gunicorn::with_flags().filter_map(|setting| {
            let values = match setting.takes {
                Takes::Nothing(_) => matches.get_flag(setting.name).then(Vec::new)?,
                _ => matches.get_many::<String>(setting.name)?.cloned().collect(),
            };
            Some(GivenFlag { setting, values })
        });
        Ok(GunicornFlags(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
