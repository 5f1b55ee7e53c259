//! `keys`: makes an operator's key, and puts a data folder under another.

use reasonedit_codebook::CodebookError;
use reasonedit_keyring::OperatorKey;

use crate::args::{KeysArgs, KeysCommand, RotateKeyArgs};
use crate::error::{CliError, Result};
use crate::settings::{Settings, read_key};
use crate::{logging, output, service};

/// Runs `keys`.
///
/// # Errors
/// Wrong settings, a folder that is in use, or under another key than the one of the settings.
pub(crate) fn run(args: &KeysArgs) -> Result<()> {
    match &args.command {
        KeysCommand::New => {
            let key = OperatorKey::generate().map_err(CliError::failed)?;
            output::print(&key.to_text())
        }
        KeysCommand::Rotate(args) => rotate(args),
    }
}

fn rotate(args: &RotateKeyArgs) -> Result<()> {
    let settings = Settings::load(&args.settings)?;
    logging::start(&settings.log, true)?;
    let data = &settings.data;
    let [_, _, path] = service::folders(data);
    if !path.is_file() {
        return Err(CliError::Failed(format!("{}: no keys here", data.display())));
    }
    let new = args.new_key_file.as_deref().filter(|_| !args.remove).map(read_key);
    let new = new.transpose()?;
    // Also from under one that no folder is put under any more.
    let keys = service::open_keys_under(settings.storage.operator_key()?.as_ref(), &path)?;
    keys.rewrap(new.as_ref()).map_err(|error| service::in_folder(data, &CodebookError::from(error)))?;
    output::print(if new.is_some() {
        "the data folder is under the new key; name it in the settings (storage.encryption_key_file)"
    } else {
        "the data folder is under no operator's key"
    })
}
