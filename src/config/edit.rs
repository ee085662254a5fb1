//! Creating and changing the config file.

use super::{Config, Place, Problem};

/// Warns when a secret stands in a file that others may read.
pub(super) fn warn_of_readable_secrets(config: &mut Config, _text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let Ok(metadata) = std::fs::metadata(&config.path) else { return };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o044 != 0 && config.webhooks.iter().any(|webhook| !webhook.secrets.is_empty()) {
        config.warnings.push(Problem::at(
            Place::default(),
            format!(
                "it holds secrets and others may read it (mode {mode:04o}); run `chmod 600 {}`",
                config.path.display()
            ),
        ));
    }
}
