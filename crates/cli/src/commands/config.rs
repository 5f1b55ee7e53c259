//! `config`: the settings in effect, or the commented file of defaults.

use crate::args::{ConfigArgs, ConfigOutput};
use crate::error::Result;
use crate::output;
use crate::settings::{DEFAULTS, Settings};

/// The defaults with every setting commented out: a file that sets a default would stand over a model's
/// profile.
fn as_a_start(defaults: &str) -> String {
    let lines = defaults.trim_end().lines().map(|line| {
        if line.is_empty() || line.starts_with('#') || line.starts_with('[') {
            line.to_owned()
        } else {
            format!("#{line}")
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Prints what was asked for.
///
/// # Errors
/// A wrong setting.
pub(crate) fn run(args: &ConfigArgs) -> Result<()> {
    match args.what {
        ConfigOutput::Defaults => output::print(&as_a_start(DEFAULTS)),
        ConfigOutput::Effective => output::print_json(&Settings::load(&args.settings)?.shown()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_sets_nothing_and_keeps_every_line() {
        let start = as_a_start("# What.\na = 1\n\n[b]\n#c = 2\nd = [\n    1,\n]\n");
        assert_eq!(start, "# What.\n#a = 1\n\n[b]\n#c = 2\n#d = [\n#    1,\n#]");
        let start = as_a_start(DEFAULTS);
        assert_eq!(start.lines().count(), DEFAULTS.lines().count());
        assert!(start.lines().all(|line| line.is_empty() || line.starts_with(['#', '['])));
    }
}
