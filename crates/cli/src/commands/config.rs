//! `config`: the settings in effect, or the commented file of defaults.

use crate::args::{ConfigArgs, ConfigOutput};
use crate::error::Result;
use crate::output;
use crate::settings::{DEFAULTS, Settings};

/// Prints what was asked for.
///
/// # Errors
/// A wrong setting.
pub(crate) fn run(args: &ConfigArgs) -> Result<()> {
    match args.what {
        ConfigOutput::Defaults => output::print(DEFAULTS.trim_end()),
        ConfigOutput::Effective => output::print_json(&Settings::load(&args.settings)?.shown()?),
    }
}
