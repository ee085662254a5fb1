//! `inrush check`: whether the config file is right, and which limits it gives.

use super::{Failure, Options, print};

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let (config, limits) = options.load()?;
    let webhooks = match config.webhooks.len() {
        1 => "1 webhook".to_owned(),
        count => format!("{count} webhooks"),
    };
    print(&format!("{}: right; {webhooks}; limits:\n{limits}", config.path.display()))
}
