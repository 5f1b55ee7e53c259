//! Errors by the names that a person gave: worlds lie in a temporary folder that nobody has named.

use std::path::Path;

use crate::error::{CliError, Result};

/// Where the data lie in the temporary folder, if they are a world.
pub(super) const WORLD: &str = "world";
/// Where those lie that editors are trained on.
pub(super) const TRAINING: &str = "training";

/// What editors are trained on where a world is evaluated and nobody names anything else.
pub(super) const USUAL_TRAINING: &str = "world:3000017:500";

/// The same, with the data as they were named in place of paths in the temporary folder.
pub(super) fn named<T>(done: Result<T>, scratch: &Path, data: &str, training: Option<&str>) -> Result<T> {
    done.map_err(|error| renamed(error, scratch, data, training.unwrap_or(USUAL_TRAINING)))
}

fn renamed(error: CliError, scratch: &Path, data: &str, training: &str) -> CliError {
    let text = error.to_string();
    let place = |name: &str| scratch.join(name).display().to_string();
    let said = text
        .replace(&place(WORLD), data)
        .replace(&place(TRAINING), training)
        .replace(&scratch.display().to_string(), "temporary folder");
    match error {
        same if said == text => same,
        CliError::Usage(_) => CliError::Usage(said),
        _ => CliError::Failed(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_are_named_as_they_were_given() {
        let scratch = Path::new("/tmp/.tmpAbc");
        let told = |path: &str| {
            let error = CliError::file(path, std::io::Error::other("full"));
            renamed(error, scratch, "world:1:2", "world:3:4").to_string()
        };
        assert_eq!(told("/tmp/.tmpAbc/world/images/1.png"), "world:1:2/images/1.png: full");
        assert_eq!(told("/tmp/.tmpAbc/training/edits.jsonl"), "world:3:4/edits.jsonl: full");
        assert_eq!(told("/tmp/.tmpAbc/work/x"), "temporary folder/work/x: full");
        assert_eq!(told("/home/x/world/edits.jsonl"), "/home/x/world/edits.jsonl: full");
        let usage = CliError::Usage("--split: /tmp/.tmpAbc/world has none".into());
        let usage = renamed(usage, scratch, "world:1:2", "");
        assert_eq!((usage.status(), usage.to_string().as_str()), (2, "--split: world:1:2 has none"));
    }
}
