//! Where `edit`, `query` and `codebook` work: a running service, or a data folder in this process.

use reasonedit_codebook::CodebookName;

use crate::args::TargetArgs;
use crate::client::Client;
use crate::error::{CliError, Result};
use crate::logging;
use crate::service::{self, Local};
use crate::settings::Settings;

/// One of the two.
pub(crate) enum Target {
    /// A running service.
    Remote(Client),
    /// A data folder, opened here.
    Local(Box<Local>, CodebookName),
}

impl Target {
    /// Opens what the options name.
    ///
    /// # Errors
    /// Wrong settings, a codebook name that is none, a data folder in use, a model that can't be loaded.
    pub(crate) async fn open(args: &TargetArgs) -> Result<Self> {
        let name = codebook_name(&args.codebook)?;
        if let Some(url) = &args.server {
            let token = args.token.clone().or_else(|| std::env::var("REASONEDIT_TOKEN").ok());
            return Ok(Self::Remote(Client::new(url, token, &args.codebook)?));
        }
        let settings = Settings::load(&args.settings)?;
        logging::start(&settings.log, true)?;
        Ok(Self::Local(Box::new(service::open(&settings).await?), name))
    }
}

/// A codebook's name from the command line.
///
/// # Errors
/// A name that is none.
pub(crate) fn codebook_name(name: &str) -> Result<CodebookName> {
    name.parse().map_err(|error| CliError::Usage(format!("--codebook: {error}")))
}
