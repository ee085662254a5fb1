//! `inrush new NAME`: installs a webhook.

use clap::Args;
use uuid::Uuid;

use super::{Failure, Options, exit, print, say};
use crate::config::edit::{self, NewWebhook};
use crate::config::{Config, Secret, words};

/// The arguments of `new`.
#[derive(Debug, Args)]
pub(super) struct New {
    /// What to call the webhook
    #[arg(value_parser = name)]
    name: String,
    /// Senders have to send this in the header x-bp-secret
    #[arg(long, value_name = "VALUE", value_parser = secret, conflicts_with = "generate_secret")]
    secret: Option<Secret>,
    /// The same with a new random secret, which is printed this once
    #[arg(long)]
    generate_secret: bool,
    /// A page at this origin may post from its browser; may be given more than once, * is any
    #[arg(long = "origin", value_name = "ORIGIN", value_parser = origin)]
    origins: Vec<String>,
    /// The id, if it has to be a certain one [default: a random UUID]
    #[arg(long, value_name = "UUID", value_parser = words::id)]
    id: Option<Uuid>,
}

impl New {
    /// Adds the webhook to the config file, or writes one with it; prints the URL, and a generated secret below it.
    pub(super) fn run(self, options: &Options) -> Result<(), Failure> {
        let generated = match self.generate_secret {
            true => {
                let refused = || Failure::new(exit::IO, "the system gives no random bits for a secret");
                Some(Secret::generate().ok_or_else(refused)?)
            }
            false => None,
        };
        let mut origins: Vec<String> = Vec::new();
        for origin in self.origins {
            if !origins.contains(&origin) {
                origins.push(origin);
            }
        }
        let webhook = NewWebhook {
            name: self.name,
            id: self.id.unwrap_or_else(Uuid::new_v4),
            secret: self.secret.or_else(|| generated.clone()),
            allowed_origins: origins,
        };
        let path = options.path();
        if path.exists() {
            edit::add_webhook(&path, &webhook)?;
        } else {
            edit::create(&path, &webhook)?;
            say(format_args!("inrush: wrote {}", path.display()));
        }

        let config = Config::load(&path, &options.overrides())?;
        let url = config.webhook(&webhook.name).map(|installed| config.url(installed)).unwrap_or_default();
        match generated {
            Some(secret) => print(&format!("{url}\n{}\n", secret.expose()))?,
            None => print(&format!("{url}\n"))?,
        }
        say(format_args!("inrush: a running server knows it after a restart"));
        Ok(())
    }
}

fn name(text: &str) -> Result<String, String> {
    words::name(text).map(|()| text.to_owned())
}

fn secret(text: &str) -> Result<Secret, String> {
    Secret::new(text.to_owned())
}

fn origin(text: &str) -> Result<String, String> {
    words::origin(text).map(|()| text.to_owned())
}
