//! `token`: gives, lists and revokes tokens, in the data folder or at a running service.

use reasonedit_access::{CodebookScope, NewToken, TokenRecord, TokenStore};
use reasonedit_codebook::CodebookName;
use reasonedit_dto::token::{IssuedTokenDto, TokenDto};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::target::{client_of, codebook_name};
use crate::args::{CreateTokenArgs, TokenArgs, TokenCommand, TokenTargetArgs};
use crate::client::Client;
use crate::error::{CliError, Result};
use crate::settings::Settings;
use crate::{audited, logging, output, service};

/// Runs `token`.
///
/// # Errors
/// Wrong settings, what no token can have, a file or service that can't be written to.
pub(crate) async fn run(args: &TokenArgs) -> Result<()> {
    match &args.command {
        TokenCommand::Create(args) => create(args).await,
        TokenCommand::List { target } => list(target).await,
        TokenCommand::Revoke { id_or_name, target } => revoke(id_or_name, target).await,
    }
}

/// Does something to the tokens of the data folder, which may be in use; their ids are told to its trail.
async fn of_folder<T: Send + 'static>(
    args: &TokenTargetArgs,
    what: &str,
    work: impl FnOnce(&TokenStore) -> Result<(T, Vec<String>)> + Send + 'static,
) -> Result<(T, Settings)> {
    let settings = Settings::load(&args.settings)?;
    logging::start(&settings.log, true)?;
    let opening = settings.clone();
    let done = audited::tokens(&settings, what, move || work(&service::tokens(&opening)?)).await?;
    Ok((done, settings))
}

/// Their ids.
fn ids(records: &[TokenRecord]) -> Vec<String> {
    records.iter().map(|record| record.id.to_string()).collect()
}

fn client(args: &TokenTargetArgs) -> Result<Option<Client>> {
    client_of(args.server.as_deref(), args.token.as_deref(), CodebookName::default().as_str())
}

async fn create(args: &CreateTokenArgs) -> Result<()> {
    let names = args.codebooks.iter().map(|name| codebook_name(name).map(|name| name.to_string()));
    let names = names.collect::<Result<Vec<_>>>()?;
    let now = OffsetDateTime::now_utc();
    let expires_at = args.days.map(|days| now + time::Duration::days(days.into()));
    let issued = if let Some(client) = client(&args.target)? {
        let body = json!({
            "name": args.name,
            "role": args.role,
            "codebooks": (!names.is_empty()).then_some(names),
            "expires_at": expires_at.map(|end| end.format(&Rfc3339)).transpose().map_err(CliError::failed)?,
        });
        client.post("tokens", &body).await?
    } else {
        let codebooks = if names.is_empty() {
            CodebookScope::All
        } else {
            CodebookScope::Only(names.into_iter().collect())
        };
        let new = NewToken { name: args.name.clone(), role: args.role, codebooks, expires_at };
        let issue = move |store: &TokenStore| {
            let first = store.is_empty();
            let issued = store.issue(new, now).map_err(|error| CliError::Usage(error.to_string()))?;
            let ids = ids(std::slice::from_ref(&issued.record));
            Ok(((IssuedTokenDto::new(issued, now), first), ids))
        };
        let ((issued, first), settings) = of_folder(&args.target, "token create", issue).await?;
        if first {
            output::note(&format!(
                "A service on the data folder {} asks for tokens from now on.",
                settings.data.display()
            ));
        }
        serde_json::to_value(issued).map_err(CliError::failed)?
    };
    if args.target.json {
        return output::print_json(&issued);
    }
    output::note(&format!("{} (it is told this once; only its digest is kept):", line(&issued).join("  ")));
    output::print(issued["token"].as_str().unwrap_or_default())
}

async fn list(args: &TokenTargetArgs) -> Result<()> {
    let listed = if let Some(client) = client(args)? {
        client.get("tokens").await?
    } else {
        let listed = |store: &TokenStore| {
            let tokens = store.list();
            let ids = ids(&tokens);
            Ok((tokens, ids))
        };
        let ((tokens, _), now) = (of_folder(args, "token list", listed).await?, OffsetDateTime::now_utc());
        json!({ "tokens": tokens.iter().map(|record| TokenDto::new(record, now)).collect::<Vec<_>>() })
    };
    if args.json {
        return output::print_json(&listed);
    }
    let head = ["id", "name", "role", "codebooks", "state", "expires", "last used"].map(str::to_owned);
    let rows = listed["tokens"].as_array().into_iter().flatten().map(line);
    output::print(&output::table(&std::iter::once(head.to_vec()).chain(rows).collect::<Vec<_>>()))
}

/// A token in a list of them.
fn line(token: &Value) -> Vec<String> {
    let text = |name: &str| token[name].as_str().unwrap_or("-").to_owned();
    let codebooks = token["codebooks"].as_array().map_or_else(
        || "all".to_owned(),
        |names| names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
    );
    vec![
        text("id"),
        text("name"),
        text("role"),
        codebooks,
        text("state"),
        text("expires_at"),
        text("last_used_at"),
    ]
}

async fn revoke(id_or_name: &str, args: &TokenTargetArgs) -> Result<()> {
    let mut revoked = Vec::new();
    if let Some(client) = client(args)? {
        let listed = client.get("tokens").await?;
        for token in listed["tokens"].as_array().into_iter().flatten() {
            if token["id"] != *id_or_name && token["name"] != *id_or_name {
                continue;
            }
            let id = token["id"].as_str().unwrap_or_default();
            client.delete(&format!("tokens/{id}")).await?;
            revoked.push(token.clone());
        }
        if revoked.is_empty() {
            return Err(CliError::Failed(format!("there is no token `{id_or_name}`")));
        }
    } else {
        let (asked, now) = (id_or_name.to_owned(), OffsetDateTime::now_utc());
        let revoke = move |store: &TokenStore| {
            let records = store.revoke(&asked, now).map_err(CliError::failed)?;
            let ids = ids(&records);
            Ok((records, ids))
        };
        let (records, _) = of_folder(args, "token revoke", revoke).await?;
        for record in &records {
            revoked.push(serde_json::to_value(TokenDto::new(record, now)).map_err(CliError::failed)?);
        }
    }
    if args.json {
        return output::print_json(
            &json!({ "revoked": revoked.iter().map(|t| &t["id"]).collect::<Vec<_>>() }),
        );
    }
    for token in &revoked {
        let (id, name) = (&token["id"], &token["name"]);
        output::print(&format!(
            "revoked {} of {}",
            id.as_str().unwrap_or_default(),
            name.as_str().unwrap_or_default()
        ))?;
    }
    Ok(())
}
