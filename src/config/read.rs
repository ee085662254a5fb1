//! The tables of `inrush.toml`, read and validated. Every problem is collected; the config exists only without any.

mod exec;
mod file;
mod forward;
mod trigger;
mod variable;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use self::file::check_rotations;
use self::trigger::read_triggers;
use super::limit_table::RawLimits;
use super::secret::expand;
use super::section::Section;
use super::source::{Place, Problem, Source, Written};
use super::{Config, ConfigError, Overrides, ReadFile, Secret, Server, Webhook, words};

/// The most threads of a kind; far beyond any machine, and still no accident with an extra digit.
const THREADS_MAX: u64 = 1024;

/// What reading needs beside the text.
struct Surroundings<'e> {
    /// Relative paths of the file start here.
    directory: PathBuf,
    environment: &'e dyn Fn(&str) -> Option<String>,
}

pub(super) fn read(
    path: &Path,
    text: &str,
    overrides: &Overrides,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigError> {
    let document = DeTable::parse(text).map_err(|error| {
        let place = error.span().map_or_else(Place::default, |span| Place::of(text, span.start));
        let problem = format!("not TOML: {}", error.message().replace('\n', "; "));
        ConfigError::new(path, vec![Problem::at(place, problem)])
    })?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let around = Surroundings { directory, environment };

    let mut source = Source::new(text);
    let mut top = Section::new("the file", document.get_ref(), Place { line: 1, column: 1 });
    let mut server = match top.table(&mut source, "server", "[server]") {
        Some(section) => read_server(&mut source, section, &around),
        None => Server::default_in(&around.directory),
    };
    apply(overrides, &mut server);
    check_addresses(&mut source, &server);
    let limits = match top.table(&mut source, "limits", "[limits]") {
        Some(section) => read_limits(&mut source, section),
        None => RawLimits::default(),
    };
    let sections = top.tables(&mut source, "webhook", "[[webhook]]");
    let webhooks: Vec<Webhook> =
        sections.into_iter().map(|section| read_webhook(&mut source, section, &around)).collect();
    top.finish(&mut source);
    check_unique(&mut source, &webhooks);
    check_rotations(&mut source, &webhooks);
    if webhooks.is_empty() {
        source.warn(Place::default(), "no webhook is installed; add one with `inrush new NAME`");
    }

    if source.problems.is_empty() {
        Ok(Config {
            path: path.to_owned(),
            files: source.files,
            server,
            limits,
            webhooks,
            holds_secrets: source.holds_secrets,
            warnings: source.warnings,
        })
    } else {
        Err(ConfigError::new(path, source.problems))
    }
}

/// The value after `rule`, or `None` with the problem noted.
fn accept<T, R>(
    source: &mut Source<'_>,
    written: Written<T>,
    rule: impl FnOnce(&T) -> Result<R, String>,
) -> Option<R> {
    match rule(&written.value) {
        Ok(value) => Some(value),
        Err(message) => {
            source.refuse(written.place, message);
            None
        }
    }
}

fn read_server(source: &mut Source<'_>, mut section: Section<'_, '_>, around: &Surroundings<'_>) -> Server {
    let mut server = Server::default_in(&around.directory);
    let expanded = |text: &String| expand(text, around.environment);
    if let Some(written) = section.string(source, "listen", "\"127.0.0.1:8080\"")
        && let Some(address) = accept(source, written, |text| words::address(&expanded(text)?))
    {
        server.listen = address;
    }
    if let Some(written) = section.string(source, "admin_listen", "\"127.0.0.1:8081\"")
        && let Some(address) = accept(source, written, |text| words::address(&expanded(text)?))
    {
        server.admin_listen = address;
    }
    if let Some(written) = section.string(source, "data_dir", "\"inrush-data\"")
        && let Some(path) = accept(source, written, |text| path_of(text, around))
    {
        server.data_dir = path;
    }
    if let Some(written) = section.string(source, "public_url", "\"https://hooks.example.com\"") {
        server.public_url = accept(source, written, |text| words::public_url(&expanded(text)?));
    }
    server.cores = threads(source, &mut section, "cores");
    server.workers = threads(source, &mut section, "workers");
    section.finish(source);
    server
}

fn threads(source: &mut Source<'_>, section: &mut Section<'_, '_>, key: &'static str) -> Option<usize> {
    let written = section.number(source, key, "threads", (1, THREADS_MAX))?;
    usize::try_from(written.value).ok()
}

fn apply(overrides: &Overrides, server: &mut Server) {
    server.listen = overrides.listen.unwrap_or(server.listen);
    server.admin_listen = overrides.admin_listen.unwrap_or(server.admin_listen);
    if let Some(data_dir) = &overrides.data_dir {
        server.data_dir.clone_from(data_dir);
    }
    server.cores = overrides.cores.or(server.cores);
    server.workers = overrides.workers.or(server.workers);
}

fn check_addresses(source: &mut Source<'_>, server: &Server) {
    if server.listen == server.admin_listen && server.listen.port() != 0 {
        let message = format!("listen and admin_listen are both {}; give one another port", server.listen);
        source.refuse(Place::default(), message);
    }
    if !server.admin_listen.ip().is_loopback() {
        let message = format!(
            "admin_listen is {}: whoever reaches it reads the metrics, without a password; let only \
             your own network through",
            server.admin_listen
        );
        source.warn(Place::default(), message);
    }
}

fn read_limits(source: &mut Source<'_>, mut section: Section<'_, '_>) -> RawLimits {
    let mut limits = RawLimits::default();
    for (row, value) in limits.rows_mut() {
        *value = section.number(source, row.name, row.unit(), (row.min, row.max));
    }
    section.finish(source);
    limits
}

fn read_webhook(source: &mut Source<'_>, mut section: Section<'_, '_>, around: &Surroundings<'_>) -> Webhook {
    let mut webhook = Webhook { place: section.place, ..Webhook::default() };
    match section.string(source, "name", "\"shop\"") {
        Some(written) => {
            webhook.name.clone_from(&written.value);
            accept(source, written, |text| words::name(text));
        }
        None => source.refuse(section.place, "this webhook has no `name`; add one, such as name = \"shop\""),
    }
    match section.string(source, "id", "\"9f3c2f6e-0a51-4d0c-9f6e-2a7d3c1b5e80\"") {
        Some(written) => webhook.id = accept(source, written, |text| words::id(text)).unwrap_or_default(),
        None => {
            let fresh = uuid::Uuid::new_v4();
            source
                .refuse(section.place, format!("this webhook has no `id`; add a new one: id = \"{fresh}\""));
        }
    }
    webhook.secrets = read_secrets(source, &mut section, around);
    for written in section.strings(source, "allowed_origins", "\"https://app.example.com\"") {
        let place = written.place;
        let origin = accept(source, written, |text| {
            let origin = expand(text, around.environment)?;
            words::origin(&origin).map(|()| origin)
        });
        if let Some(origin) = origin {
            if webhook.allowed_origins.contains(&origin) {
                source.refuse(place, format!("the origin {origin} is listed twice; remove one"));
            }
            webhook.allowed_origins.push(origin);
        }
    }
    webhook.body_bytes_max = section
        .number(source, "body_bytes_max", "bytes", (1, u64::from(u32::MAX)))
        .map(|written| written.value);
    for written in section.strings(source, "keep_headers", "\"authorization\"") {
        webhook.keep_headers.extend(accept(source, written, |text| words::header_name(text)));
    }
    webhook.triggers = read_triggers(source, &mut section, around);
    if webhook.triggers.is_empty() {
        let message = "this webhook has no trigger: its events are accepted and forgotten; add a [[webhook.trigger]] \
                       with id = \"main\" and nodes = [{ type = \"log\" }]";
        source.warn(section.place, message);
    }
    section.finish(source);
    webhook
}

fn read_secrets(
    source: &mut Source<'_>,
    section: &mut Section<'_, '_>,
    around: &Surroundings<'_>,
) -> Vec<Secret> {
    let like = "\"${SHOP_SECRET}\"";
    let mut written: Vec<Written<String>> = section.string(source, "secret", like).into_iter().collect();
    written.extend(section.strings(source, "secrets", like));
    let mut secrets: Vec<(Place, Option<Secret>)> = Vec::new();
    for written in written {
        let place = written.place;
        source.holds_secrets |= !written.value.contains("${") || written.value.contains("$${");
        let secret = accept(source, written, |text| Secret::new(expand(text, around.environment)?));
        secrets.push((place, secret));
    }
    if let Some(written) = section.string(source, "secret_file", "\"/run/secrets/shop\"") {
        let place = written.place;
        let path = accept(source, written, |text| path_of(text, around));
        let secret = path.and_then(|path| {
            source.files.push(ReadFile::about_to_be_read(&path));
            accept(source, Written { value: path, place }, |path| secret_from(path))
        });
        secrets.push((place, secret));
    }
    if let Some((place, _)) = secrets.get(2) {
        let message =
            format!("this webhook has {} secrets; two, the old and the new, are the most", secrets.len());
        source.refuse(*place, message);
    }
    if let [(_, Some(first)), (place, Some(second)), ..] = &secrets[..]
        && first.expose() == second.expose()
    {
        source.refuse(*place, "both secrets are the same; remove one, or rotate to a new one");
    }
    secrets.into_iter().filter_map(|(_, secret)| secret).collect()
}

/// The content of a secret file, without the line end that editors and `echo` leave.
fn secret_from(path: &Path) -> Result<Secret, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("secret_file {} cannot be read: {error}", path.display()))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    Secret::new(text.to_owned()).map_err(|message| format!("secret_file {}: {message}", path.display()))
}

/// A path of the file: expanded, and relative to the file's directory.
fn path_of(text: &str, around: &Surroundings<'_>) -> Result<PathBuf, String> {
    let expanded = expand(text, around.environment)?;
    if expanded.is_empty() || expanded.contains('\0') {
        return Err("the path is empty or has a NUL in it; write one".into());
    }
    Ok(around.directory.join(expanded))
}

fn existing_directory(path: PathBuf) -> Result<PathBuf, String> {
    match path.is_dir() {
        true => Ok(path),
        false => Err(format!("the directory {} does not exist; create it first", path.display())),
    }
}

/// The file a node appends to: its directory is there, and it is no directory itself.
fn writable_file(path: PathBuf) -> Result<PathBuf, String> {
    if path.is_dir() {
        return Err(format!("{} is a directory; name a file in it", path.display()));
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => {
            Err(format!("the directory {} does not exist; create it first", parent.display()))
        }
        _ => Ok(path),
    }
}

fn check_unique(source: &mut Source<'_>, webhooks: &[Webhook]) {
    let mut names: HashMap<&str, Place> = HashMap::new();
    let mut ids: HashMap<uuid::Uuid, Place> = HashMap::new();
    for webhook in webhooks {
        if !webhook.name.is_empty()
            && let Some(first) = names.insert(&webhook.name, webhook.place)
        {
            let message = format!(
                "the name {:?} is already taken by the webhook in line {}; rename one",
                webhook.name, first.line
            );
            source.refuse(webhook.place, message);
        }
        if !webhook.id.is_nil()
            && let Some(first) = ids.insert(webhook.id, webhook.place)
        {
            let message = format!(
                "the id {} is already taken by the webhook in line {}; a new one: \"{}\"",
                webhook.id,
                first.line,
                uuid::Uuid::new_v4()
            );
            source.refuse(webhook.place, message);
        }
    }
}

#[cfg(test)]
mod tests;
