//! `inrush serve`: runs the server. With no config file at all it writes one first.

use std::fmt::Write as _;
use std::path::Path;

use uuid::Uuid;

use super::{Failure, Options, say};
use crate::config::edit::{self, NewWebhook};
use crate::config::{Config, Webhook};
use crate::limits::Limits;
use crate::server::{Server, Started};

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    // A file that was named and is missing is a mistake: starting with a new webhook would turn every sender away.
    if options.config.is_none() && !options.path().exists() {
        write_first(&options.path())?;
    }
    let (config, limits) = options.load()?;
    // The allocator asks for huge pages, which keep a page's worth resident for a few bytes: 6 KB for each idle
    // connection instead of 4. Where the kernel refuses, that is what it costs.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let first = config.clone();
    let started = |started: &Started| say(format_args!("{}", greeting(&first, &limits, started)));
    let options = options.clone();
    let read = move || options.load().map(|(config, _)| config).map_err(|failure| failure.message);
    Server::builder().config(config).limits(limits.clone()).reload_with(read).run(started)?;
    Ok(())
}

fn write_first(path: &Path) -> Result<(), Failure> {
    let webhook = NewWebhook {
        name: "default".to_owned(),
        id: Uuid::new_v4(),
        secret: None,
        allowed_origins: Vec::new(),
    };
    edit::create(path, &webhook)?;
    say(format_args!("inrush: wrote {} with the webhook `default`", path.display()));
    Ok(())
}

/// What the operator sees once the server accepts: limits, addresses, each webhook with a curl line that works.
fn greeting(config: &Config, limits: &Limits, started: &Started) -> String {
    let mut text = format!("limits:\n{limits}");
    for webhook in &config.webhooks {
        let _ = writeln!(text, "webhook {}:\n  {}", webhook.name, curl_line(config, started, webhook));
    }
    let _ = write!(
        text,
        "inrush {} listens on http://{} ({}), admin on http://{}",
        env!("CARGO_PKG_VERSION"),
        started.listen,
        started.driver,
        started.admin_listen
    );
    text
}

/// A line for a POSIX shell. A secret is not shown but named: the log of a server is read by many.
fn curl_line(config: &Config, started: &Started, webhook: &Webhook) -> String {
    let secret = match webhook.secrets.is_empty() {
        true => "",
        false => "-H \"x-bp-secret: $INRUSH_SECRET\" ",
    };
    let url = config.url_at(started.listen, webhook);
    format!("curl -i -g -H 'content-type: application/json' {secret}-d '{{\"hello\":\"world\"}}' '{url}'")
}
