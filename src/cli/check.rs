//! `inrush check`: whether the config file is right, whether its nodes could do their work, and which limits it gives.

use super::{Failure, Options, print};
use crate::server;

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let (config, limits) = options.load()?;
    server::check(&config)?;
    config.check_files()?;
    let webhooks = match config.webhooks.len() {
        1 => "1 webhook".to_owned(),
        count => format!("{count} webhooks"),
    };
    print(&format!("{}: right; {webhooks}; limits:\n{limits}", config.path.display()))
}
