//! `inrush list`: the installed webhooks.

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use super::{Failure, Options, exit, print};
use crate::config::{Config, Webhook};

/// The arguments of `list`.
#[derive(Debug, Args)]
pub(super) struct List {
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
}

/// One webhook as `list --json` shows it; secrets are counted, never shown.
#[derive(Serialize)]
struct Row<'c> {
    name: &'c str,
    id: String,
    url: String,
    secrets: usize,
    allowed_origins: &'c [String],
    triggers: Vec<&'c str>,
}

impl<'c> Row<'c> {
    fn of(config: &'c Config, webhook: &'c Webhook) -> Self {
        Self {
            name: &webhook.name,
            id: webhook.id.to_string(),
            url: config.url(webhook),
            secrets: webhook.secrets.len(),
            allowed_origins: &webhook.allowed_origins,
            triggers: webhook.triggers.iter().map(|trigger| trigger.id.as_str()).collect(),
        }
    }
}

impl List {
    pub(super) fn run(self, options: &Options) -> Result<(), Failure> {
        let (config, _) = options.load()?;
        let rows: Vec<Row<'_>> = config.webhooks.iter().map(|webhook| Row::of(&config, webhook)).collect();
        if self.json {
            let json = serde_json::to_string_pretty(&rows)
                .map_err(|error| Failure::new(exit::INTERNAL, format!("cannot write JSON: {error}")))?;
            print(&format!("{json}\n"))
        } else {
            print(&table(&rows))
        }
    }
}

fn table(rows: &[Row<'_>]) -> String {
    let cells: Vec<[String; 5]> =
        std::iter::once(["NAME", "URL", "SECRETS", "ORIGINS", "TRIGGERS"].map(str::to_owned))
            .chain(rows.iter().map(|row| {
                let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
                [
                    row.name.to_owned(),
                    row.url.clone(),
                    row.secrets.to_string(),
                    or_dash(row.allowed_origins.join(",")),
                    or_dash(row.triggers.join(",")),
                ]
            }))
            .collect();
    let mut widths = [0; 5];
    for line in &cells {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in &cells {
        let mut shown = String::new();
        for (&width, cell) in widths.iter().zip(line) {
            let _ = write!(shown, "{cell:width$}  ");
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text
}
