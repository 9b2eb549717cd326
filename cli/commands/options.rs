//! Options that several commands share: those of the formats, `--to`, `--allow-loss`, how far a rebuild goes.

use crate::error::Result;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgMatches, Command, FromArgMatches};
use formats::jobs::AllowLoss;
use formats::jobs::rebuild::Mode;
use formats::model::LossKind;
use formats::{FORMATS, Format, Opt, Options, by_name};

/// The formats' own options, one for each line of `Format::options()`.
#[derive(Clone, Debug, Default)]
pub struct FormatOptions(Options);

impl FormatOptions {
    /// The values that were given.
    pub fn values(&self) -> &Options {
        &self.0
    }
}

/// How far a rebuild goes.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct How {
    /// Say what would change, and change no store
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Build and check, keep the next generation beside each store, and change no store
    #[arg(long, conflicts_with = "dry_run")]
    stage: bool,

    /// Switch to what --stage kept, where nothing has changed since (else status 6)
    #[arg(long, conflicts_with_all = ["dry_run", "stage"])]
    commit: bool,
}

impl How {
    /// As the job takes it.
    pub fn mode(self) -> Mode {
        match (self.dry_run, self.stage, self.commit) {
            (true, ..) => Mode::Plan,
            (_, true, _) => Mode::Stage,
            (.., true) => Mode::Commit,
            _ => Mode::Replace,
        }
    }
}

/// Every option of every format, once.
fn all() -> Vec<&'static Opt> {
    let mut out: Vec<&'static Opt> = Vec::new();
    for option in FORMATS.iter().flat_map(|f| f.options()) {
        if out.iter().all(|o| o.name != option.name) {
            out.push(option);
        }
    }
    out
}

fn arg(option: &'static Opt) -> Arg {
    let help = match option.default {
        "" => option.help.to_owned(),
        default => format!("{} [default: {default}]", option.help),
    };
    let arg = Arg::new(option.name)
        .long(option.name)
        .value_name(option.value_name)
        .help(help)
        .help_heading("Options of the formats");
    if option.values.is_empty() {
        return arg;
    }
    let values = option.values.iter().map(|(value, help)| PossibleValue::new(*value).help(*help));
    arg.value_parser(PossibleValuesParser::new(values))
}

impl clap::Args for FormatOptions {
    fn augment_args(command: Command) -> Command {
        command.args(all().into_iter().map(arg))
    }
    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for FormatOptions {
    fn from_arg_matches(found: &ArgMatches) -> Result<Self, clap::Error> {
        let mut options = FormatOptions::default();
        options.update_from_arg_matches(found)?;
        Ok(options)
    }
    fn update_from_arg_matches(&mut self, found: &ArgMatches) -> Result<(), clap::Error> {
        for option in all() {
            if let Some(value) = found.get_one::<String>(option.name) {
                self.0.set(option.name, value);
            }
        }
        Ok(())
    }
}

/// Parses a format's name; help and completions show the choices.
pub fn format_parser() -> impl TypedValueParser<Value = &'static dyn Format> {
    PossibleValuesParser::new(FORMATS.iter().map(|f| PossibleValue::new(f.name()).help(f.title())))
        .try_map(|name| by_name(&name).ok_or("not a format"))
}

/// `--allow-loss[=KIND]`.
#[derive(clap::Args)]
pub struct LossOptions {
    /// Go on although something is lost, or something of these kinds
    #[arg(
        long,
        value_name = "KIND",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ALL,
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(kinds()),
        hide_possible_values = true,
        long_help = long_help()
    )]
    allow_loss: Vec<String>,
}

const ALL: &str = "all";

fn kinds() -> impl Iterator<Item = &'static str> {
    std::iter::once(ALL).chain(LossKind::ALL.iter().map(|k| k.name()))
}

fn long_help() -> String {
    let kinds: Vec<_> = kinds().collect();
    format!(
        "Go on although something is lost: everything, or (with =KIND, repeatable) losses of these kinds. \
         Without it nothing is written and each loss is listed with its kind [kinds: {}]",
        kinds.join(", ")
    )
}

impl LossOptions {
    /// As the jobs take it.
    pub fn allowed(&self) -> AllowLoss {
        let is = |name: &str| self.allow_loss.iter().any(|k| k == name);
        if is(ALL) {
            return AllowLoss::All;
        }
        let kinds: Vec<_> = LossKind::ALL.iter().copied().filter(|k| is(k.name())).collect();
        if kinds.is_empty() { AllowLoss::Nothing } else { AllowLoss::Kinds(kinds) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Args as _;
    use formats::model::Loss;

    fn allowed(args: &[&str]) -> Option<AllowLoss> {
        let c = LossOptions::augment_args(Command::new("x").arg(Arg::new("file")));
        let m = c.try_get_matches_from([&["x"], args].concat()).ok()?;
        LossOptions::from_arg_matches(&m).ok().map(|o| o.allowed())
    }

    #[test]
    fn losses_are_allowed_by_kind() {
        let key = Loss::new(LossKind::Key, "a", "x");
        let trust = Loss::new(LossKind::Trust, "a", "x");
        let test = |args: &[&str]| allowed(args).map(|a| (a.allows(&key), a.allows(&trust)));
        assert_eq!(test(&[]), Some((false, false)));
        assert_eq!(test(&["--allow-loss"]), Some((true, true)));
        assert_eq!(test(&["--allow-loss", "file"]), Some((true, true)));
        assert_eq!(test(&["--allow-loss=key"]), Some((true, false)));
        assert_eq!(test(&["--allow-loss=key", "--allow-loss=trust"]), Some((true, true)));
        assert_eq!(test(&["--allow-loss=key,trust-raised"]), Some((true, false)));
        assert_eq!(test(&["--allow-loss=nonsense"]), None);
    }

    #[test]
    fn every_option_of_every_format_is_an_argument() {
        let c = FormatOptions::augment_args(Command::new("x"));
        for option in FORMATS.iter().flat_map(|f| f.options()) {
            assert!(c.get_arguments().any(|a| a.get_long() == Some(option.name)), "{}", option.name);
        }
    }
}
