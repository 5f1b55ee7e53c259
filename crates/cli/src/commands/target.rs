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
    /// Opens what the options name; what is not there begins.
    ///
    /// # Errors
    /// Wrong settings, a codebook name that is none, a data folder in use, a model that can't be loaded.
    pub(crate) async fn open(args: &TargetArgs) -> Result<Self> {
        let name = codebook_name(&args.codebook)?;
        if let Some(client) = client(args)? {
            return Ok(Self::Remote(client));
        }
        Ok(Self::Local(Box::new(service::open(&settings(args)?).await?), name))
    }

    /// As [`Self::open`], for commands that read a codebook: one that is not there is a mistake.
    ///
    /// # Errors
    /// As there; a folder without codebooks, a codebook that never had an edit and is not the default one.
    pub(crate) async fn open_existing(args: &TargetArgs) -> Result<Self> {
        let name = codebook_name(&args.codebook)?;
        let Some(client) = client(args)? else {
            return Ok(Self::Local(Box::new(service::open_existing(&settings(args)?, &name).await?), name));
        };
        // A service answers for one that it doesn't have as for an empty one.
        if name != CodebookName::default() && client.get("codebook").await?["embedding"].is_null() {
            let url = args.server.as_deref().unwrap_or_default();
            return Err(CliError::Failed(format!("{url}: there is no codebook {name}")));
        }
        Ok(Self::Remote(client))
    }
}

fn client(args: &TargetArgs) -> Result<Option<Client>> {
    client_of(args.server.as_deref(), args.token.as_deref(), &args.codebook)
}

/// A client of the service that is named, if one is; its token is the option's, or the variable's.
///
/// # Errors
/// A URL that is none.
pub(crate) fn client_of(server: Option<&str>, token: Option<&str>, codebook: &str) -> Result<Option<Client>> {
    let Some(url) = server else { return Ok(None) };
    let token = token.map(str::to_owned).or_else(|| std::env::var("REASONEDIT_TOKEN").ok());
    Client::new(url, token, codebook).map(Some)
}

fn settings(args: &TargetArgs) -> Result<Settings> {
    let settings = Settings::load(&args.settings)?;
    logging::start(&settings.log, true)?;
    Ok(settings)
}

/// A codebook's name from the command line.
///
/// # Errors
/// A name that is none.
pub(crate) fn codebook_name(name: &str) -> Result<CodebookName> {
    name.parse().map_err(|error| CliError::Usage(format!("--codebook: {error}")))
}
